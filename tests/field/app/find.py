#!/usr/bin/python3
import ctypes.util
print(ctypes.util.find_library("magic"), ctypes.CDLL("libmagic.so.1").magic_version() > 500)
