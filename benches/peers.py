"""The commands that are timed, and the targets for imgb."""

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field


@dataclass
class Case:
    """A command. `prepare` runs before it and is not timed; a `slow` command runs less often."""

    name: str
    command: list
    output: str = ""
    prepare: list = field(default_factory=list)
    slow: bool = False
    daemon: bool = False

    def rounds(self, quick):
        return (1 if self.slow else 5) if quick else (2 if self.slow else 9)


@dataclass
class Target:
    """`ours` is to be at least `factor` times better than the best of `peers` or, unless
    `at_least`, at most `factor` times as large."""

    ours: str
    peers: list
    factor: float
    field: str = "wall"
    at_least: bool = True


def shell(text):
    return ["bash", "-c", "set -e -o pipefail; " + text]


def by_hand(root, compressor):
    """A layer by hand: tar, the digest of the tar, compression, the digest of the blob."""
    return shell(f"mkfifo f; openssl dgst -sha256 <f >diffid & tar -C {root} -c . | tee f "
                 f"| {compressor} | tee blob | openssl dgst -sha256 >digest; wait")


def have(*commands):
    return all(shutil.which(command) for command in commands)


def cases(name, root, imgb, quick, docker, before=None):
    """The cases of a corpus, in the order in which they are run. `before` is another imgb."""
    every = []
    # The other tools do not sync what they wrote. pigz and zstd get two threads, and so does imgb.
    ours = [imgb, "pack", root + "/", "--no-deps", "--quiet", "--jobs", "2", "--no-fsync"]

    def add(name, command, output="", prepare=(), **more):
        every.append(Case(name, command, output, ["rm -rf f blob out out.tar t", *prepare], **more))

    add("imgb none", [*ours, "--compress", "none", "-o", "out.tar"], "out.tar")
    if before:
        for compression in ("none", "zstd:3"):
            options = ["--no-cache", "--compress", compression, "-o", "out.tar"]
            add(f"before {compression}", [before, *ours[1:], *options], "out.tar")
    add("imgb none, one layer",
        [*ours, "--layers", "one", "--compress", "none", "-o", "out.tar"], "out.tar")
    add("imgb none, on the disk", [*ours[:-1], "--compress", "none", "-o", "out.tar"], "out.tar")
    add("tar -c", ["tar", "-C", root, "-cf", "out.tar", "."], "out.tar")
    add("tar + openssl dgst",
        shell(f"mkfifo f; openssl dgst -sha256 <f >diffid & tar -C {root} -c . | tee f >out.tar; "
              "wait"), "out.tar")
    add("openssl dgst", ["openssl", "dgst", "-sha256", "hashed.tar"],
        prepare=[f"test -e hashed.tar || tar -C {root} -cf hashed.tar ."])
    # The first run fills a cache, the second uses it. Both write a layout, as umoci does.
    cached = [*ours, "--cache", "cache", "-o", "oci:layout"]
    add("imgb gzip, first run", cached, "layout", ["rm -rf cache layout"])
    every.append(Case("imgb gzip, second run", cached, "layout"))
    add("imgb zstd:3", [*ours, "--no-cache", "--compress", "zstd:3", "-o", "out.tar"], "out.tar")
    if have("zstd"):
        add("tar | zstd -3 -T2 + digests", by_hand(root, "zstd -q -3 -T2"), "blob")
    if have("pigz"):
        add("tar | pigz -6 + digests", by_hand(root, "pigz -6 -p 2"), "blob", slow=name == "big")
    if name == "python" or (not quick and name != "big"):
        add("tar | gzip -6 + digests", by_hand(root, "gzip -6"), "blob", slow=True)
    if have("umoci"):
        umoci = ("umoci init --layout out; umoci new --image out:x; "
                 f"umoci insert --image out:x {root} /")
        add("umoci init, new, insert", shell(umoci), "out", slow=name != "tiny")
        if have("skopeo") and (name == "tiny" or not quick or name == "python"):
            add("umoci + skopeo docker-archive",
                shell(f"{umoci}; skopeo copy -q oci:out:x docker-archive:out.tar:x:latest"),
                "out.tar", slow=name != "tiny")
    if have("buildah") and os.geteuid() == 0 and (name in ("tiny", "python") or not quick):
        store = "--root $PWD/t/root --runroot $PWD/t/run --storage-driver vfs"
        for kind, option, output in [("docker-archive", "", "docker-archive:$PWD/out.tar:x"),
                                     ("oci gzip", "--disable-compression=false", "oci:$PWD/out:x")]:
            if quick and name == "python" and kind == "docker-archive":
                continue
            add(f"buildah {kind}",
                shell(f"c=$(buildah {store} from scratch); buildah {store} copy -q $c {root} /; "
                      f"buildah {store} commit -q {option} $c {output}"),
                "out.tar" if "archive" in kind else "out", slow=True)
    if docker and name in ("tiny", "python"):
        client = "docker -H unix://$PWD/../docker.sock"
        add("docker import", shell(f"tar -C {root} -c . | {client} import - imported"),
            slow=True, daemon=True)
        add("docker build + save",
            shell("printf 'FROM scratch\\nCOPY . /\\n' >Dockerfile; "
                  f"DOCKER_BUILDKIT=0 {client} build --no-cache -q -t x -f Dockerfile {root}; "
                  f"{client} save -o out.tar x"),
            "out.tar", slow=True, daemon=True)
    if name == "many":
        every.append(Case("find -printf", ["find", root, "-printf", "%s %T@\\n"]))
    if name == "tiny":
        every.extend(programs(imgb))
    return every


def programs(imgb):
    """Programs with everything they need: not a corpus, but as quick as the smallest one."""
    every = []
    listed = "tar -tf true.tar | grep -v '/$' >true.list"
    options = ["--compress", "none", "--quiet", "--no-fsync", "-o", "out.tar"]
    every.append(Case("imgb /bin/true none", [imgb, "pack", "/bin/true", *options],
                      "out.tar", ["rm -f out.tar"]))
    every.append(Case("tar -c of its files",
                      ["tar", "-C", "/", "-cf", "out.tar", "--no-recursion", "-T", "true.list"],
                      "out.tar",
                      ["test -e true.list || { "
                       f"{imgb} pack /bin/true:/bin/ --quiet -o rootfs:true.tar; {listed}; "
                       "sed -i -e 's,^bin/true$,usr/bin/true,' true.list; "
                       "while read -r f; do test -e \"/$f\" && echo \"$f\"; done <true.list >l; "
                       "mv l true.list; }"]))
    for program in ["curl", "git", "redis-server"]:
        if not have(program):
            continue
        every.append(Case(f"imgb {program} none",
                          [imgb, "pack", program, "--soft", "none", *options],
                          "out.tar", ["rm -f out.tar"]))
        # As users pack it: rules add more than lddtree finds. It has no target.
        every.append(Case(f"imgb {program} none, with rules",
                          [imgb, "pack", program, *options],
                          "out.tar", ["rm -f out.tar"]))
        if have("lddtree"):
            path = shutil.which(program)
            every.append(Case(f"lddtree {program}, tar, digest",
                              shell(f"lddtree --copy-to-tree t {path}; tar -C t -cf out.tar .; "
                                    "openssl dgst -sha256 out.tar"),
                              "out.tar", ["rm -rf t out.tar"]))
    return every


def targets(name):
    """The targets for a corpus."""
    every = []
    if name in ("python", "many", "big"):
        every.append(Target("imgb none", ["tar -c"], 1.3 if name == "many" else 1.0))
        every.append(Target("imgb none", ["tar + openssl dgst"],
                         {"python": 2.5, "many": 1.5, "big": 3.5}[name]))
        every.append(Target("imgb none", ["umoci + skopeo docker-archive", "buildah docker-archive",
                                       "docker build + save"], 15))
        every.append(Target("imgb none", ["bound"], 1.3, at_least=False))
    gzip, pigz, umoci = "imgb gzip, first run", "tar | pigz -6 + digests", "umoci init, new, insert"
    if name == "python":
        every += [Target(gzip, [pigz], 3),
                  Target(gzip, ["tar | gzip -6 + digests"], 1, "size", False),
                  Target(gzip, [umoci], 2.2), Target(gzip, [umoci], 1, "size", False),
                  Target(gzip, ["buildah oci gzip"], 5, "cpu")]
    if name == "big":
        # One layer is hashed by one thread. On 16 cores, 16 layers take as long as the largest one.
        every += [Target(gzip, [pigz], 3, "cpu"),
                  Target("imgb none", ["imgb none, one layer"], 1.7)]
    if name == "many":
        every += [Target(gzip, [umoci], 3),
                  Target("imgb gzip, second run", ["find -printf"], 1.5, at_least=False)]
    if name == "tiny":
        every += [Target(gzip, [umoci], 2),
                  Target("imgb /bin/true none", ["tar -c of its files"], 4, at_least=False)]
        every += [Target(f"imgb {program} none", [f"lddtree {program}, tar, digest"], 15)
                  for program in ("curl", "git", "redis-server")]
    # Only measured with `--before`.
    every += [Target(f"imgb {compression}", [f"before {compression}"], 1.03, at_least=False)
              for compression in ("none", "zstd:3")]
    zstd = "tar | zstd -3 -T2 + digests"
    every += [Target("imgb zstd:3", [zstd], 1.8),
              Target("imgb zstd:3", [zstd], 1.07, "size", False)]
    if name in ("python", "big"):
        every.append(Target("imgb gzip, second run", [gzip], 10 if name == "python" else 50))
    return every


def start_docker(base):
    """A separate daemon, without a network; `None` if it cannot be started."""
    if os.geteuid() != 0 or not have("dockerd", "docker"):
        return None
    root = os.path.join(base, "docker")
    daemon = subprocess.Popen(
        ["dockerd", "--iptables=false", "--bridge=none", "--storage-driver=vfs",
         f"--data-root={root}/data", f"--exec-root={root}/exec", f"--pidfile={root}.pid",
         "-H", f"unix://{base}/docker.sock"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(100):
        if os.path.exists(f"{base}/docker.sock"):
            return daemon
        time.sleep(0.2)
    stop_docker(daemon, base)
    return None


def stop_docker(daemon, base):
    if daemon is not None:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait()
        shutil.rmtree(os.path.join(base, "docker"), ignore_errors=True)


def cpu_of(daemon):
    """CPU seconds of all threads of a daemon so far."""
    if daemon is None:
        return 0
    with open(f"/proc/{daemon.pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
