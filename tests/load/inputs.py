"""Large inputs: trees, tars, layouts of many layers, and shared objects."""

import hashlib
import json
import os
import struct
import tarfile


def tree(root, count, depth=20):
    """`count` small files, spread over directories of 20 levels."""
    parent = os.path.join(root, *(f"level{level}" for level in range(depth)))
    os.makedirs(parent)
    directory = parent
    for number in range(count):
        if number % 1000 == 0:
            directory = os.path.join(parent, f"d{number // 1000}")
            os.mkdir(directory)
        with open(os.path.join(directory, f"f{number}"), "w", encoding="ascii") as file:
            file.write(f"{number}\n")


def tar_of_empty_files(out, count):
    """A tar of empty files with short names, written as a stream."""
    template = tarfile.TarInfo("n" * 10)
    for number in range(count):
        template.name = f"{number:x}"
        out.write(template.tobuf(tarfile.USTAR_FORMAT))
    out.write(bytes(1024))


def long_paths(path, longest, levels):
    """A tar of files whose paths have 200 to `longest` bytes, a file that many levels deep, and a
    link with a target of 4,095 bytes. Returns the names of the files."""
    names = ["c" * 255, "d/" * levels + "f"]
    for length in (200, 256, 1000, longest):
        whole = ("e" * 200 + "/") * (length // 201)
        names.append(whole + "f" * (length - len(whole)) if length % 201 else whole[:-2] + "/f")
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "t" * 4095
        tar.addfile(link)
    return names


class Layout:
    """An OCI layout, written blob by blob."""

    def __init__(self, root):
        self.root = root
        os.makedirs(os.path.join(root, "blobs/sha256"))

    def blob(self, kind, content):
        name = hashlib.sha256(content).hexdigest()
        with open(os.path.join(self.root, "blobs/sha256", name), "wb") as file:
            file.write(content)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{name}",
                "size": len(content)}

    def finish(self, layers, config):
        """Writes the documents of an image with these layers, which are plain tars."""
        config = {"architecture": "amd64", "os": "linux", **config, "rootfs": {
            "type": "layers", "diff_ids": [layer["digest"] for layer in layers]}}
        manifest = {"schemaVersion": 2, "layers": layers,
                    "config": self.blob("config.v1+json", json.dumps(config).encode())}
        manifest = self.blob("manifest.v1+json", json.dumps(manifest).encode())
        index = {"schemaVersion": 2, "manifests": [manifest]}
        for name, value in [("index.json", index), ("oci-layout", {"imageLayoutVersion": "1.0.0"})]:
            with open(os.path.join(self.root, name), "w", encoding="ascii") as file:
                json.dump(value, file)

    def layer(self, name, content, mode=0o644):
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), mode
        padding = bytes(-len(content) % 512)
        return self.blob("layer.v1.tar", member.tobuf() + content + padding + bytes(1024))


def elf(needed, program):
    """A 64-bit x86-64 object that needs these libraries: one segment, and a dynamic section."""
    strings, offsets = b"\0", []
    for name in needed:
        offsets.append(len(strings))
        strings += name.encode() + b"\0"
    interpreter = b"/lib64/ld-linux-x86-64.so.2\0"
    headers = 64 + 56 * (3 if program else 2)
    dynamic_at = headers + len(strings) + len(interpreter)
    dynamic_at += -dynamic_at % 8
    entries = [(1, offset) for offset in offsets]  # DT_NEEDED
    entries += [(5, headers), (10, len(strings)), (0, 0)]  # DT_STRTAB, DT_STRSZ, DT_NULL
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in entries)
    size = dynamic_at + len(dynamic)

    def segment(kind, at, length):
        return struct.pack("<IIQQQQQQ", kind, 5, at, at, at, length, length, 8)

    segments = segment(1, 0, size) + segment(2, dynamic_at, len(dynamic))
    if program:
        segments += segment(3, headers + len(strings), len(interpreter))
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, len(segments) // 56, 64,
                          0, 0)
    content = header + segments + strings + interpreter
    return content + bytes(dynamic_at - len(content)) + dynamic


def objects(root, fan_out, chain):
    """`fan`, a program that needs `fan_out` libraries, and `chain`, the first of a chain of
    `chain` libraries."""
    os.makedirs(os.path.join(root, "lib64"))

    def write(name, content):
        with open(os.path.join(root, name), "wb") as file:
            file.write(content)
        os.chmod(os.path.join(root, name), 0o755)

    write("lib64/ld-linux-x86-64.so.2", elf([], False))
    names = [f"libfan{number}.so" for number in range(fan_out)]
    for name in names:
        write(f"lib64/{name}", elf([], False))
    # An object may name 4,096 libraries; a second level names the others.
    groups = [names[at:at + 1000] for at in range(0, fan_out, 1000)]
    for number, group in enumerate(groups):
        write(f"lib64/libgroup{number}.so", elf(group, False))
    write("fan", elf([f"libgroup{number}.so" for number in range(len(groups))], True))
    for number in range(chain):
        follows = [f"libchain{number + 1}.so"] if number + 1 < chain else []
        write(f"lib64/libchain{number}.so", elf(follows, False))
    write("chain", elf(["libchain0.so"], True))
