"""The corpora of the benchmarks, made from Debian's and PyPI's archives and a fixed seed.

Each is made once, in a directory of its own, and marked complete for later runs. All times are
fixed. Nothing depends on the machine except the versions in its archives.
"""

import os
import random
import shutil
import subprocess
import sys
import sysconfig
import zipfile

# Wheels of the `python` corpus: with the standard library about 200 MB.
WHEELS = [
    "django==4.2.16",
    "numpy==1.26.4",
    "pandas==2.1.4",
    "botocore==1.34.162",
    "pytz==2024.1",
    "babel==2.14.0",
]

# Packages whose shared objects make the `big` corpus, in this order until its size is reached.
OBJECTS = [
    "libllvm14", "libllvm15", "libllvm16", "libllvm19", "libclang-cpp14", "libclang-cpp15",
    "libclang-cpp16", "libclang-cpp19", "libwebkit2gtk-4.0-37", "libwebkit2gtk-4.1-0",
    "libreoffice-core", "chromium", "libqt5webenginecore5", "libqt6webenginecore6",
    "libnode108", "thunderbird", "firefox-esr", "libboost-all-dev",
]

TIME = 1_700_000_000


def quiet(args, **more):
    subprocess.run(args, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)


def tiny(root, scale):
    """busybox and a link for each of its applets."""
    busybox = shutil.which("busybox")
    if not busybox:
        raise RuntimeError("busybox is missing (Debian: busybox-static)")
    os.makedirs(f"{root}/bin")
    shutil.copy(busybox, f"{root}/bin/busybox")
    listed = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True)
    names = listed.stdout.split()
    for name in sorted(set(names) - {"busybox"}):
        os.symlink("busybox", f"{root}/bin/{name}")


def python(root, scale):
    """A CPython tree: this interpreter's standard library and pinned wheels."""
    work = f"{root}.wheels"
    os.makedirs(work, exist_ok=True)
    quiet([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
           "--only-binary", ":all:", "--python-version", "3.11", "--platform",
           "manylinux2014_x86_64", "--platform", "manylinux_2_17_x86_64", "--dest", work, *WHEELS])
    site = f"{root}/lib/python3/site-packages"
    os.makedirs(site)
    for name in sorted(os.listdir(work)):
        with zipfile.ZipFile(f"{work}/{name}") as wheel:
            wheel.extractall(site)
    shutil.rmtree(work)
    stdlib = sysconfig.get_path("stdlib")
    ignore = shutil.ignore_patterns("site-packages", "dist-packages", "__pycache__", "config-*",
                                    "*.a", "test")
    shutil.copytree(stdlib, f"{root}/lib/python3/stdlib", ignore=ignore, symlinks=True)
    # A tree that has run once has its compiled modules.
    subprocess.run([sys.executable, "-m", "compileall", "-q", "-j", "0",
                    f"{root}/lib/python3/stdlib"],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def big(root, scale):
    """About 1 GB of shared objects out of Debian's packages."""
    wanted = int(1_060_000_000 * scale)
    have = 0
    os.makedirs(root)
    for package in OBJECTS:
        if have >= wanted:
            break
        work = f"{root}.{package}"
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(work)
        try:
            quiet(["apt-get", "download", package], cwd=work)
            for deb in os.listdir(work):
                quiet(["dpkg", "-x", f"{work}/{deb}", f"{work}/x"])
        except (subprocess.CalledProcessError, FileNotFoundError):
            shutil.rmtree(work)
            continue
        for top, dirs, files in os.walk(f"{work}/x"):
            dirs.sort()
            for name in sorted(files):
                path = os.path.join(top, name)
                if os.path.islink(path):
                    continue
                with open(path, "rb") as file:
                    is_object = file.read(4) == b"\x7fELF"
                size = os.path.getsize(path)
                if is_object and have + size <= wanted * 1.05:
                    # Renamed, so that no object finds another: this corpus is only about bytes.
                    os.makedirs(f"{root}/{package}", exist_ok=True)
                    shutil.move(path, f"{root}/{package}/{name}.bin")
                    have += size
        shutil.rmtree(work)
    if have < wanted * 0.8:
        raise RuntimeError(f"only {have} bytes of shared objects could be had by apt-get download")


def many(root, scale):
    """100,000 small files, half words, half random bytes: 64 to 4,159 bytes, mostly small."""
    source = random.Random(20261121)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(source.choices(letters, k=source.randint(2, 10))) for _ in range(4000)]
    for number in range(int(100_000 * scale)):
        directory = f"{root}/d{number // 1000:03}/e{number // 100 % 10}"
        if number % 100 == 0:
            os.makedirs(directory)
        size = 64 + int(4096 * source.random() ** 2)
        if number % 2:
            data = source.randbytes(size)
        else:
            data = " ".join(source.choices(words, k=size // 3)).encode()[:size]
        with open(f"{directory}/f{number:06}", "wb") as file:
            file.write(data)


def sparse(root):
    """A sparse file of 10 GB: also a member that exceeds the 8 GiB of a ustar size field."""
    with open(f"{root}/file", "wb") as file:
        file.truncate(10_000_000_000)
    return 1


def million(root):
    """A million files, empty ones: what is held is their paths."""
    for number in range(1000):
        directory = f"{root}/directory-{number:03}"
        os.mkdir(directory)
        fd = os.open(directory, os.O_RDONLY)
        for name in range(1000):
            os.close(os.open(f"file-{name:03}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=fd))
        os.close(fd)
    return 1_001_000


# Trees that memory is measured with: each returns how many paths it has.
def member(root):
    """One file of 9 GiB that is all there: its size has no place in a plain header."""
    block = os.urandom(1 << 16) * 64
    with open(os.path.join(root, "nine"), "wb") as file:
        for _ in range((9 << 30) // len(block)):
            file.write(block)
    return 1


LARGE = {"sparse": sparse, "million": million, "member": member}


def stamp(root):
    """Gives everything one time and plain modes, so that two machines pack the same."""
    for top, dirs, files in os.walk(root):
        for name in dirs + files:
            path = os.path.join(top, name)
            if not os.path.islink(path):
                os.chmod(path, 0o755 if os.path.isdir(path) or os.access(path, os.X_OK) else 0o644)
            os.utime(path, (TIME, TIME), follow_symlinks=False)
    os.utime(root, (TIME, TIME))


MAKERS = {"tiny": tiny, "python": python, "big": big, "many": many}


def make(name, directory, scale):
    """The corpus `name` in `directory`, made if missing. `scale` shrinks `big` and `many`."""
    suffix = "" if scale == 1 or name in ("tiny", "python") else f"-{scale:g}"
    root = os.path.realpath(os.path.join(directory, name + suffix))
    done = os.path.join(directory, name + suffix) + ".complete"
    if not os.path.exists(done):
        for leftover in (root, root + ".wheels"):
            shutil.rmtree(leftover, ignore_errors=True)
        MAKERS[name](root, scale)
        stamp(root)
        open(done, "w").close()
    return root


def count(root):
    """Number of files, and bytes in them."""
    files = size = 0
    for top, _, names in os.walk(root):
        for name in names:
            path = os.path.join(top, name)
            if not os.path.islink(path):
                files += 1
                size += os.path.getsize(path)
    return files, size


if __name__ == "__main__":
    directory, scale, names = sys.argv[1], float(sys.argv[2]), sys.argv[3:] or list(MAKERS)
    for name in names:
        root = make(name, directory, scale)
        print(root, *count(root))
