"""Lists tars as Python's tarfile reads them: one line of JSON for each argument."""

import json
import sys
import tarfile

for name in sys.argv[1:]:
    entries = []
    try:
        with tarfile.open(name, "r:", errors="surrogateescape") as tar:
            for member in tar:
                content = tar.extractfile(member).read() if member.isreg() else b""
                kind = "file" if member.isreg() else chr(member.type[0])
                device = [member.devmajor, member.devminor] if kind in "34" else [0, 0]
                entries.append({
                    "name": member.name.encode(errors="surrogateescape").hex(),
                    "kind": kind,
                    "mode": member.mode & 0o7777,
                    "uid": member.uid,
                    "gid": member.gid,
                    "target": member.linkname.encode(errors="surrogateescape").hex(),
                    "device": device,
                    "content": content.hex(),
                })
        print(json.dumps(entries))
    except Exception as error:
        print(json.dumps(str(error)))
