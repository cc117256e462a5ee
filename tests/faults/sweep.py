"""Injects one fault at a time with strace, and checks what must hold after each."""

import collections
import os
import re
import subprocess

from scenarios import BLOB, CANARY, state

WRITE = ["write", "pwrite64", "writev", "pwritev", "pwritev2", "copy_file_range", "sendfile",
         "splice", "ftruncate", "fallocate"]
SYNC = ["fsync", "fdatasync", "syncfs", "sync_file_range"]
NAME = ["rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink",
        "unlinkat", "mkdir", "mkdirat", "fchmod"]
OPEN = ["openat", "openat2", "close", "flock"]
READ = ["openat", "read", "pread64", "getdents64", "statx", "newfstatat", "fstat", "readlink",
        "readlinkat", "lgetxattr", "mmap"]

WRITE_FAULTS = ["ENOSPC", "EIO", "EACCES", "EINTR", "KILL"]
READ_FAULTS = ["EIO", "EACCES", "EINTR"]

TEXTS = {
    "ENOSPC": "no space left on device",
    "EIO": "input/output error",
    "EACCES": "permission denied",
    "ENOMEM": "memory",
}

# Calls whose failure a user cannot be told about.
TELLS = re.compile(r"\bwrite\(2[,<]")

Fault = collections.namedtuple("Fault", "call error number")


class Control:
    """How a scenario ends without a fault, and how often it makes each call."""

    def __init__(self, world, scenario, calls):
        world.prepare(scenario)
        self.sentinels = world.sentinels()
        self.old = {path: state(world.at(path)) for path in scenario.outputs}
        log = world.at("..", os.path.basename(world.root) + ".log")
        done = traced(world, scenario, log, ["-e", "trace=" + ",".join(available(calls))])
        assert done.returncode == 0, (scenario.name, done.stderr)
        self.stdout = done.stdout
        self.new = {path: state(world.at(path)) for path in scenario.outputs}
        self.names = world.names() | names_before(world)
        self.counts = counts(log)


def names_before(world):
    world.reset()
    return world.names()


def available(calls):
    """The calls that this machine's strace knows: some do not exist on all architectures."""
    return ["?" + call for call in calls]


def traced(world, scenario, log, options):
    strace = ["strace", "-f", "-qq", "-y", "-o", log, *options]
    # Only traced calls stop the process, which is much faster. `run` installs filters of its own.
    if scenario.name != "run":
        strace.append("--seccomp-bpf")
    return world.run(scenario.command, strace)


def counts(log):
    """How often one thread at most makes each call, as strace counts."""
    seen = collections.Counter()
    with open(log, encoding="utf-8", errors="replace") as file:
        for line in file:
            found = re.match(r"(\d+) +(\w+)\(", line)
            if found:
                seen[found.groups()] += 1
    most = collections.Counter()
    for (_, call), count in seen.items():
        most[call] = max(most[call], count)
    return most


def faults(control, calls, errors, most):
    """Every fault: each call as often as it is made, or `most` numbers spread evenly."""
    for call in calls:
        count = control.counts[call]
        step = max(1, -(-count // most))
        for number in range(1, count + 1, step):
            for error in ["ENOMEM"] if call == "mmap" else errors:
                yield Fault(call, error, number)


def inject(world, scenario, control, fault):
    """Runs the scenario with one fault. Returns how often it fired, and what was violated.

    A file is not denied once and open a moment later: what a single EACCES violates counts only if
    denying the same path every time violates something too."""
    fired, violations, path = attempt(world, scenario, control, fault, [])
    if violations and fault.error == "EACCES" and path:
        every = fault._replace(number="1+")
        again, violations, _ = attempt(world, scenario, control, every, ["-P", path])
        fired = max(fired, again)
    return fired, violations


def attempt(world, scenario, control, fault, options):
    """As `inject`, once; the last value is the path in the call that failed."""
    world.reset()
    log = world.at("..", os.path.basename(world.root) + ".log")
    what = "signal=KILL" if fault.error == "KILL" else f"error={fault.error}"
    option = f"inject={fault.call}:{what}:when={fault.number}"
    trace = ["-e", f"trace={fault.call}", "-e", option, *options]
    try:
        done = traced(world, scenario, log, trace)
    except subprocess.TimeoutExpired:
        return 1, ["I2 it hangs"], None
    with open(log, encoding="utf-8", errors="replace") as file:
        lines = [line for line in file if "(INJECTED)" in line or "killed by SIGKILL" in line]
    # The loader and the C library of imgb itself fail before its first instruction.
    if not lines or done.returncode == 127:
        return 0, [], None
    # Before main, the loader of the C library ends so where it gets no memory.
    if fault.call == "mmap" and done.returncode == -11 and not done.stderr:
        return 0, [], None
    violations = list(check(world, scenario, control, fault, done, lines))
    paths = re.findall(r'"([^"]+)"', lines[0])
    return len(lines), violations, paths[0] if paths else None


def check(world, scenario, control, fault, done, lines):
    stderr = done.stderr.decode(errors="replace")
    killed = fault.error == "KILL"
    said = stderr + done.stdout.decode(errors="replace")
    noted = fault.error == "EACCES" and done.returncode == 0 and names_denied(said, lines)
    for path in scenario.outputs:
        try:
            found = state(world.at(path))
        except (OSError, ValueError, KeyError) as error:
            yield f"I1 {path} is torn: {error}"
            continue
        # What a rule wants and the user may not read is left out, and named.
        if noted and found != control.old[path]:
            continue
        if found not in (control.old[path], control.new[path]):
            yield f"I1 {path} is another output"
        if done.returncode == 0 and found != control.new[path]:
            yield f"I1 {path} is not there after success"
    if not killed:
        yield from ending(scenario, control, fault, done, lines, stderr, noted)
        left = {name for name in world.names() - control.names
                if not (BLOB.search(name) or is_part_of_layout(name))}
        if left:
            yield f"I3 left behind: {sorted(left)}"
    if world.sentinels() != control.sentinels:
        yield "I5 something beside the outputs changed"
    if CANARY in stderr or CANARY.encode() in done.stdout:
        yield "I6 a secret is printed"
    try:
        again = world.run(scenario.command)
    except subprocess.TimeoutExpired:
        yield "I4 the next run hangs"
        return
    if again.returncode != 0:
        yield f"I4 the next run fails: {again.stderr.decode(errors='replace')[-300:]}"
    elif scenario.same and again.stdout != control.stdout:
        yield "I4 the next run gives another result"
    else:
        for path in scenario.outputs:
            if state(world.at(path)) != control.new[path]:
                yield f"I4 the next run gives another {path}"


def names_denied(said, lines):
    """Whether a message or a note in JSON says that one of the files in these calls is denied, or
    of calls that the kernel only denies for a directory, that this is."""
    text = "".join(lines)
    paths = re.findall(r'[<"]([^<>"]*/[^<>"]+|[^<>"/ ]+)[>"]', text)
    names = {os.path.basename(path) for path in paths} - {""}
    denied = re.findall(f'[^"\n]*{TEXTS["EACCES"]}[^"\n]*', said, re.IGNORECASE)
    if any(name in one for one in denied for name in names):
        return True
    dirs = {os.path.dirname(path) for path in paths} if re.search(r"stat|readlink", text) else ()
    patterns = [re.escape(path) + r"(?![\w/.-])" for path in dirs if path not in ("", "/")]
    return any(re.search(pattern, one) for one in denied for pattern in patterns)


def is_part_of_layout(name):
    """What a layout that was not finished may hold: whole blobs and its marker."""
    return re.fullmatch(r"out/l(/blobs(/sha256)?|/oci-layout|/\.imgb-lock)?", name) is not None


def ending(scenario, control, fault, done, lines, stderr, noted):
    """I2: success with the same result, or one message that says what failed and why."""
    code = done.returncode
    if code == 0:
        if scenario.same and done.stdout != control.stdout and not noted:
            yield "I2 success with another result"
        return
    # A call that only seems to fail leaves the file open, which no kernel does.
    if fault.call == "close" and "Text file busy" in stderr:
        return
    if fault.error == "EINTR":
        yield f"I2 EINTR is an error: {code} {stderr[-200:]!r}"
        return
    if fault.error == "ENOMEM" and code in (-6, 134):
        # Rust aborts where no memory can be had; strace ends by the same signal.
        return
    if any(TELLS.search(line) for line in lines):
        return
    if code in (101, 134) or code < 0 or "panicked" in stderr:
        yield f"I2 it crashed: {code} {stderr[-300:]!r}"
        return
    errors = [line for line in stderr.splitlines() if "error: " in line]
    if len(errors) != 1:
        yield f"I2 {len(errors)} errors: {stderr[-300:]!r}"
    elif TEXTS[fault.error] not in stderr.lower():
        yield f"I2 it does not say why: {stderr[-300:]!r}"
    if code not in allowed(fault, scenario):
        yield f"I2 exit code {code}: {stderr[-300:]!r}"


def allowed(fault, scenario):
    """Writing is 5. A failed open or read may be that of an input (3) or of a file of imgb's own;
    `run` says 125 for all that keeps it from starting the program."""
    codes = {5} if fault.call in WRITE + SYNC + NAME else {3, 5}
    return codes | {125} if scenario.name == "run" else codes
