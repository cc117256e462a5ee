"""The cases of tests/load/run. Each yields rows: what, measured, bound, and whether it holds."""

import json
import os
import random
import resource
import signal
import subprocess
import tarfile
import time

import inputs

MIB = 1 << 20


class Bench:
    """A directory, the program, and the scale of the inputs."""

    def __init__(self, root, imgb, scale):
        self.root, self.imgb, self.scale = root, imgb, scale
        self.environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": root, "TMPDIR": root}

    def at(self, *parts):
        return os.path.join(self.root, *parts)

    def count(self, number):
        return max(1, int(number * self.scale))

    def run(self, command, stdin=None, under=(), stdout=None):
        """Runs imgb, or another program whose words are a list. Exit code, seconds, peak memory in
        bytes, standard output and error. The seconds are those that pass or, where other work
        shares the processors, those of CPU time."""
        words = [self.imgb, *command.split()] if isinstance(command, str) else command
        out = open(stdout or self.at("stdout"), "wb+")
        err = open(self.at("stderr"), "wb+")
        with out, err:
            begin = time.monotonic()
            process = subprocess.Popen([*under, *words], cwd=self.root, env=self.environment,
                                       stdin=stdin or subprocess.DEVNULL, stdout=out, stderr=err)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            seconds = min(time.monotonic() - begin, usage.ru_utime + usage.ru_stime)
            out.seek(0)
            err.seek(0)
            texts = [b"" if stdout else out.read(), err.read()]
        return process.returncode, seconds, usage.ru_maxrss << 10, *texts


def row(what, result, code, seconds, memory):
    """A row for a run that has to end with `code` in time and with `memory` bytes at most."""
    found, took, used, _, stderr = result
    holds = found == code and took <= seconds and used <= memory
    why = "" if found == code else f", exit {found}: {stderr[-200:].decode(errors='replace')!r}"
    # A process starts as a copy of this one, which the kernel counts as its memory.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    holds = holds or (found == code and took <= seconds and used <= own)
    return (what, f"{took:.1f} s, {used / MIB:.0f} MiB{why}",
            f"exit {code}, {seconds:.0f} s, {memory / MIB:.0f} MiB", holds)


def files(bench):
    count = bench.count(1_000_000)
    inputs.tree(bench.at("tree"), count)
    pack = "pack tree/ --no-deps --no-check --no-cache --no-fsync -q -o out.tar --force"
    tar = ["sh", "-c", "tar --sort=name -c tree | gzip -1 > peer.tar.gz"]
    _, peer, *_ = bench.run(tar)
    first = bench.run(pack)
    # With a second for starting, where the tree is small.
    yield row(f"{count:,} files, 20 levels deep", first, 0, 2 * peer + 1, 64 * MIB + 500 * count)
    second = bench.run(pack)
    yield "the same again", "same digest", "same digest", first[3] == second[3] != b""


def entries(bench):
    """imgb takes 10 million headers, and paths of 64 MiB in all."""
    for count, code in [(bench.count(1_000_000), 0), (max(bench.count(10_000_000), 10_000_001), 4)]:
        with open(bench.at("many.tar.zst"), "wb") as out:
            zstd = subprocess.Popen(["zstd", "-q", "-1"], stdin=subprocess.PIPE, stdout=out)
            inputs.tar_of_empty_files(zstd.stdin, count)
            zstd.stdin.close()
            zstd.wait()
        result = bench.run("plan ./many.tar.zst --no-deps --json", stdout="/dev/null")
        yield row(f"a tar of {count:,} entries", result, code, 60 + count / 20_000,
                  64 * MIB + 700 * min(count, 10_000_000))


def large(bench):
    """One sparse file: at scale 1 it is 100 GB, of which nothing is on the disk."""
    size = bench.count(100_000_000_000)
    os.mkdir(bench.at("tree"))
    with open(bench.at("tree/large"), "wb") as file:
        file.truncate(size)
    result = bench.run("pack tree/ --no-deps --no-check --no-cache -q --compress zstd -o oci:out")
    yield row(f"a layer of {size:,} bytes", result, 0, 60 + size / 100e6, 96 * MIB)
    layer = bench.at("out/blobs/sha256", manifest(bench.at("out"))["layers"][0]["digest"][7:])
    for reader, command in {
        "GNU tar": f"zstd -dc {layer} | tar -tvf - | grep -c ' {size} .*large'",
        "bsdtar": f"zstd -dc {layer} | bsdtar -tvf - | grep -c ' {size} .*large'",
        "Python": f"zstd -dc {layer} | python3 -c 'import sys, tarfile; "
                  "print(sum(m.size == " + str(size) + " for m in "
                  "tarfile.open(fileobj=sys.stdin.buffer, mode=\"r|\")))'",
    }.items():
        found = bench.run(["bash", "-c", command])
        count = found[3].decode().strip()
        yield f"its size as {reader} reads it", f"{count} entries", "1 entry", count == "1"


def manifest(layout):
    """The manifest of a layout's first image."""
    with open(os.path.join(layout, "index.json"), "rb") as file:
        name = json.load(file)["manifests"][0]["digest"][7:]
    with open(os.path.join(layout, "blobs/sha256", name), "rb") as file:
        return json.load(file)


def paths(bench):
    """Names and links of all lengths that imgb takes, as other readers list them."""
    names = inputs.long_paths(bench.at("long.tar"), 4094, 2000)
    pack = "--no-deps --no-check --no-cache -q -o oci:"
    result = bench.run(f"pack ./long.tar {pack}out:1")
    yield row("paths of up to 4,094 bytes, 2,000 levels", result, 0, 30, 64 * MIB)
    layer = bench.at("out/blobs/sha256", manifest(bench.at("out"))["layers"][0]["digest"][7:])
    for reader in ("tar", "bsdtar"):
        found = bench.run([reader, "-tzf", layer])[3].decode()
        missing = sorted({name[:20] for name in set(names) - set(found.splitlines())})
        yield f"listed by {reader}", f"missing {missing}", "missing []", not missing
    with tarfile.open(layer) as tar:
        target = len(tar.getmember("link").linkname)
    yield "a link's target, read by Python", f"{target} bytes", "4095 bytes", target == 4095
    code = bench.run(["skopeo", "copy", "-q", "oci:out:1", "oci:copy:1"])[0]
    same = code == 0 and manifest(bench.at("copy")) == manifest(bench.at("out"))
    yield "copied by skopeo", "the same" if same else "another image", "the same", same
    # umoci puts its own directory before each path, and takes minutes for 2,000 levels.
    names = inputs.long_paths(bench.at("shorter.tar"), 3900, 50)
    bench.run(f"pack ./shorter.tar {pack}shorter:1")
    code = bench.run(["umoci", "unpack", "--rootless", "--image", "shorter:1", "u"])[0]
    there = sum(os.path.lexists(bench.at("u/rootfs", name)) for name in names)
    yield ("paths of up to 3,900 bytes, unpacked by umoci", f"exit {code}, {there} files",
           f"exit 0, {len(names)} files", code == 0 and there == len(names))


def layers(bench):
    count = bench.count(10_000)
    layout = inputs.Layout(bench.at("many"))
    app = layout.layer("app", bytes.fromhex("23212f6e6f0a"), 0o755)
    made = [app] + [layout.layer(f"d{n % 100}/f{n}", f"{n}".encode()) for n in range(count - 1)]
    layout.finish(made, {"config": {"Entrypoint": ["/app"]}})
    os.mkdir(bench.at("more"))
    open(bench.at("more/file"), "w", encoding="ascii").close()
    for command, code in [
        ("inspect oci:many --json", 0), ("check oci:many", 1),
        ("pack more/ --base oci:many --no-check --no-fsync -o oci:out", 0),
    ]:
        result = bench.run(command, under=["prlimit", "--nofile=256"])
        what = f"{count:,} layers, 256 open files: {command.split()[0]}"
        yield row(what, result, code, 240, 256 * MIB)
        if command.startswith("pack") and count > 125:
            told = b"layers" in result[4]
            yield "a warning that engines take fewer", str(told), "True", told


def configuration(bench):
    labels = [f"--label=l{number}={'v' * 20}" for number in range(bench.count(10_000))]
    variables = [f"--env=V{number}={'v' * 100_000}" for number in range(10)]
    os.mkdir(bench.at("tree"))
    pack = [bench.imgb, "pack", "tree/", "--no-check", "--no-cache", "-q", "-o", "oci:out"]
    result = bench.run([*pack, *labels, *variables])
    yield row(f"{len(labels):,} labels and 1 MB of variables", result, 0, 20, 64 * MIB)
    yield row("read again", bench.run("inspect oci:out --json"), 0, 20, 64 * MIB)
    layout = inputs.Layout(bench.at("history"))
    empty = {"created_by": "RUN " + "x" * 60, "empty_layer": True}
    layer = layout.layer("file", b"x")
    count = bench.count(100_000)
    layout.finish([layer], {"history": [{"created_by": "one"}] + [empty] * count})
    result = bench.run("inspect oci:history --json")
    code = 0 if count < 40_000 else 4
    yield row(f"{count:,} lines of history, more than 4 MiB", result, code, 20, 128 * MIB)


def closure(bench):
    fan_out, chain = bench.count(10_000), bench.count(5000)
    inputs.objects(bench.at("root"), fan_out, chain)
    under = ["bash", "-c", 'ulimit -s 256; exec "$@"', "bash"]
    for program, count in [("fan", fan_out), ("chain", chain)]:
        result = bench.run(f"deps --sysroot root root/{program} --json", under=under)
        yield row(f"{program} of {count:,} libraries, 256 KiB of stack", result, 0, 30, 512 * MIB)
        found = result[3].count(b".so")
        yield f"{program}: libraries listed", f"{found >= count}", "True", found >= count


def processes(bench):
    """16 processes in each round write into one layout and one cache; 4 of them are killed."""
    chance, tags, killed, failed = random.Random(1), set(), 0, []
    os.mkdir(bench.at("tree"))
    for number in range(20):
        with open(bench.at(f"tree/f{number}"), "wb") as file:
            file.write(random.Random(number).randbytes(20_000))
    begin = time.monotonic()
    pack = f"{bench.imgb} pack tree/ --no-check --cache cache --jobs 1 -q -o oci:out -t x:"
    bench.run((pack + "first").split())
    usual = time.monotonic() - begin
    rounds = bench.count(50)
    begin = time.monotonic()
    for number in range(rounds):
        running = {}
        for process in range(16):
            tag = f"r{number}-{process}"
            running[tag] = subprocess.Popen((pack + tag).split(), cwd=bench.root,
                                            env=bench.environment, stdout=subprocess.DEVNULL,
                                            stderr=subprocess.PIPE)
        for tag in chance.sample(sorted(running), 4):
            time.sleep(chance.uniform(0, usual / 2))
            running[tag].send_signal(signal.SIGKILL)
        for tag, process in running.items():
            _, stderr = process.communicate(timeout=300)
            if process.returncode == 0:
                tags.add(tag)
            elif process.returncode == -signal.SIGKILL:
                killed += 1
            else:
                failed.append(stderr)
    seconds = time.monotonic() - begin
    index = json.load(open(bench.at("out/index.json")))
    names = {entry["annotations"]["org.opencontainers.image.ref.name"]
             for entry in index["manifests"]}
    lost = tags - names
    serial = rounds * 16 * usual
    yield (f"{rounds} rounds of 16 processes, {killed} killed", f"{len(lost)} lost tags, "
           f"{len(failed)} failures, {seconds:.0f} s", f"0, 0, {1.5 * serial + 5:.0f} s",
           not lost and not failed and seconds <= 1.5 * serial + 5)
    bad = 0
    for directory in ("out/blobs/sha256", "cache/blobs"):
        for name in os.listdir(bench.at(directory)):
            if len(name) == 64:
                found = subprocess.run(["sha256sum", bench.at(directory, name)],
                                       capture_output=True, text=True, check=True).stdout
                bad += not found.startswith(name)
    yield "blobs of layout and cache", f"{bad} torn", "0 torn", bad == 0


CASES = {case.__name__: case for case in (files, entries, large, paths, layers, configuration,
                                           closure, processes)}
