#!/usr/bin/python3
import magic
print(magic.from_file("/in/one.png", mime=True))
