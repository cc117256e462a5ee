"""What the commands under test read and write, and how to tell whether an output is whole."""

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile

# In the environment and beside the inputs: no message and no output may contain it.
CANARY = "canary-7d1f0c2b9e"

ELF = bytes.fromhex(
    "7f454c4602010100000000000000000002003e000100000078004000000000004000000000000000"
    "0000000000000000000000004000380001000000000000000100000005000000000000000000000000"
    "0040000000000000004000000000008100000000000000810000000000000000100000000000"
    "00b83c00000031ff0f05"
)

# The directories that commands write to, and what they must not touch.
MUTABLE = ["out", "cache", "tmp", "home"]
SENTINELS = ["victim", "inputs"]

BLOB = re.compile(r"[0-9a-f]{64}$")


class Scenario:
    """One command. `prepare` are commands that make the state before it; `outputs` are the paths
    that it may change, `same` says that its standard output is a result too."""

    def __init__(self, name, command, outputs, prepare=(), same=True):
        self.name, self.command, self.outputs = name, command.split(), outputs
        self.prepare, self.same = [line.split() for line in prepare], same


PACK = "pack inputs/app inputs/tree --jobs 1 --no-check"
OLD = "pack inputs/tree --jobs 1 --no-check --no-cache"

WRITES = [
    Scenario("pack archive", f"{PACK} --no-cache -o out/a.tar", ["out/a.tar"],
             [f"{OLD} -o out/a.tar"]),
    Scenario("pack layout", f"{PACK} --no-cache -o oci:out/l -t new:1", ["out/l"],
             [f"{OLD} -o oci:out/l -t old:1"]),
    Scenario("pack new layout", f"{PACK} --no-cache -o oci:out/l -t new:1", ["out/l"]),
    Scenario("pack cache", f"{PACK} --cache cache -o oci:out/l -t new:1", ["out/l"]),
    Scenario("pack cached", f"{PACK} --cache cache -o out/a.tar", ["out/a.tar"],
             [f"{PACK} --cache cache -o out/b.tar"]),
    Scenario("pack two outputs",
             f"{PACK} --no-cache -o rootfs:out/r.tar -o docker-archive:out/d.tar",
             ["out/r.tar", "out/d.tar"]),
    Scenario("build layout",
             "build inputs/context --jobs 1 --no-check --no-cache -o oci:out/l -t new:1",
             ["out/l"], [f"{OLD} -o oci:out/l -t old:1"]),
    Scenario("build archive", "build inputs/context --jobs 1 --no-check --cache cache -o out/a.tar",
             ["out/a.tar"]),
    Scenario("cache prune", "cache prune --cache cache --limit 0", [],
             [f"{PACK} --cache cache -o out/b.tar", f"{OLD[:-10]} --cache cache -o out/c.tar"],
             same=False),
    Scenario("run", "run inputs/image.tar", [], same=False),
]

READS = [
    Scenario("pack curl", "pack curl --jobs 1 --no-check --no-cache -o out/a.tar", ["out/a.tar"]),
    Scenario("pack tree", "pack inputs/app inputs/tree inputs/more.tar.gz --base oci:inputs/base "
             "--jobs 1 --cache cache -o out/a.tar", ["out/a.tar"]),
    Scenario("plan", "plan python3 --json", []),
    Scenario("build", "build inputs/context --jobs 1 --no-cache -o out/a.tar", ["out/a.tar"]),
    Scenario("check", "check inputs/image.tar --json", []),
    Scenario("check layout", "check oci:inputs/base --json", []),
    Scenario("inspect", "inspect inputs/image.tar --json", []),
    Scenario("run", "run inputs/image.tar", [], same=False),
]


class World:
    """A directory with the inputs, in which one scenario runs at a time."""

    def __init__(self, root, imgb):
        self.root, self.imgb = root, imgb
        self.environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": self.at("home"),
            "TMPDIR": self.at("tmp"),
            "SECRET_TOKEN": CANARY,
        }
        for name in MUTABLE + ["inputs"]:
            os.makedirs(self.at(name))
        self.make_inputs()

    def at(self, *parts):
        return os.path.join(self.root, *parts)

    def write(self, name, content, mode=0o644):
        os.makedirs(os.path.dirname(self.at(name)), exist_ok=True)
        with open(self.at(name), "wb") as file:
            file.write(content)
        os.chmod(self.at(name), mode)

    def make_inputs(self):
        self.write("inputs/app", ELF, 0o755)
        self.write("inputs/tree/etc/conf", b"conf\n")
        self.write("inputs/tree/etc/script", b"#!/app\n", 0o755)
        noise = b"".join(hashlib.sha256(bytes([i & 255, i >> 8])).digest() for i in range(12_000))
        self.write("inputs/tree/data", noise)
        os.symlink("etc/conf", self.at("inputs/tree/link"))
        os.link(self.at("inputs/tree/etc/conf"), self.at("inputs/tree/hard"))
        tarball = io.BytesIO()
        with tarfile.open(fileobj=tarball, mode="w:gz") as tar:
            tar.add(self.at("inputs/tree"), "more")
        self.write("inputs/more.tar.gz", tarball.getvalue())
        self.run("pack inputs/tree --no-check --no-cache -o oci:inputs/base -t base:1".split())
        self.run("pack inputs/app --no-cache -o inputs/image.tar".split())
        os.mkdir(self.at("inputs/context"))
        shutil.copy(self.at("inputs/app"), self.at("inputs/context/app"))
        shutil.copy(self.at("inputs/more.tar.gz"), self.at("inputs/context/more.tar.gz"))
        shutil.copytree(self.at("inputs/base"), self.at("inputs/context/base"))
        self.write("inputs/context/Buildfile", b"FROM oci:base\nCOPY app /bin/app\n"
                   b"ADD more.tar.gz /more\nENV A=1\nENTRYPOINT [\"/bin/app\"]\n")
        self.write("victim/secret", CANARY.encode())
        os.mkfifo(self.at("victim/fifo"))

    def run(self, arguments, under=(), timeout=300):
        """Runs imgb to its end; a negative code is a signal. Raises TimeoutExpired for a hang."""
        return subprocess.run([*under, self.imgb, *arguments], cwd=self.root,
                              env=self.environment, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=timeout)

    def prepare(self, scenario):
        """Makes the state before the scenario, and keeps a copy of it."""
        self.clear()
        for arguments in scenario.prepare:
            done = self.run(arguments)
            assert done.returncode == 0, (arguments, done.stderr)
        shutil.rmtree(self.at("before"), ignore_errors=True)
        os.mkdir(self.at("before"))
        for name in MUTABLE:
            shutil.copytree(self.at(name), self.at("before", name), symlinks=True)

    def clear(self):
        for name in MUTABLE:
            shutil.rmtree(self.at(name), ignore_errors=True)
            # `run` gives up root's rights to enter directories.
            os.mkdir(self.at(name), 0o755)

    def reset(self):
        """Restores the state before the scenario."""
        for name in MUTABLE:
            shutil.rmtree(self.at(name), ignore_errors=True)
            shutil.copytree(self.at("before", name), self.at(name), symlinks=True)

    def names(self):
        """Every path in the directories that commands write to, and in the root."""
        found = set(os.listdir(self.root))
        for name in MUTABLE:
            for parent, dirs, files in os.walk(self.at(name)):
                found |= {os.path.relpath(os.path.join(parent, n), self.root) for n in dirs + files}
        return found

    def sentinels(self):
        """Metadata and content of what no command may change."""
        state = {}
        for name in SENTINELS:
            for parent, dirs, files in os.walk(self.at(name)):
                for path in [parent] + [os.path.join(parent, file) for file in files]:
                    at = os.lstat(path)
                    state[path] = (at.st_ino, at.st_mode, at.st_mtime_ns, at.st_size, at.st_uid)
        return state


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state(path):
    """The state of an output: absent, a file's digest, or a layout's index, with every fault of a
    layout raised."""
    if not os.path.lexists(path):
        return "absent"
    if not os.path.isdir(path):
        return digest(path)
    blobs = os.path.join(path, "blobs", "sha256")
    for name in os.listdir(blobs) if os.path.isdir(blobs) else []:
        if BLOB.match(name) and digest(os.path.join(blobs, name)) != name:
            raise ValueError(f"torn blob {name}")
    index = os.path.join(path, "index.json")
    if not os.path.exists(index):
        return "absent"
    with open(index, "rb") as file:
        document = json.loads(file.read())
    with open(os.path.join(path, "oci-layout"), "rb") as file:
        json.loads(file.read())
    for entry in document["manifests"]:
        walk(blobs, entry["digest"])
    return json.dumps(document, sort_keys=True)


def walk(blobs, wanted):
    """Raises if a blob that a manifest leads to is missing."""
    with open(os.path.join(blobs, wanted.removeprefix("sha256:")), "rb") as file:
        manifest = json.loads(file.read())
    for descriptor in [manifest["config"], *manifest["layers"]]:
        name = os.path.join(blobs, descriptor["digest"].removeprefix("sha256:"))
        if os.path.getsize(name) != descriptor["size"]:
            raise ValueError(f"{name} has another size")
