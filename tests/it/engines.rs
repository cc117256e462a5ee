//! Real engines. Each has its state in a directory of its own, uses no network, and ends after the
//! last test that uses it, also if the tests are killed.

use std::{
    io::{self, Write as _},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::Duration,
};

use tempfile::TempDir;

use crate::sandbox::{Outcome, PATH, Run, Sandbox, is_root, is_there, record_lack};

/// Whether all of `tools` are installed. If not, the calling test must return; the reason has been
/// printed.
///
/// # Panics
///
/// If one is absent and `IMGB_REQUIRE_ENGINES=1`: where all tools are installed, no test may be
/// skipped.
pub(crate) fn have(tools: &[&str]) -> bool {
    let absent: Vec<&str> = tools.iter().copied().filter(|tool| !is_there(tool)).collect();
    absent.iter().for_each(|tool| record_lack(tool));
    if !absent.is_empty() {
        skip(&format!("no {} here", absent.join(", ")));
    }
    absent.is_empty()
}

/// Whether the tests run as root; with the same meaning as [`have`].
pub(crate) fn have_root() -> bool {
    if !is_root() {
        skip("it needs root");
    }
    is_root()
}

/// Prints that the calling test is skipped, and why.
fn skip(why: &str) {
    let name = thread::current().name().unwrap_or("a test").to_owned();
    let required = std::env::var_os("IMGB_REQUIRE_ENGINES").is_some_and(|value| value == "1");
    assert!(!required, "{name} cannot run: {why}, and IMGB_REQUIRE_ENGINES=1");
    // Written directly to stderr, because the harness hides the output of passed tests.
    let _ = writeln!(io::stderr(), "skipped: {name}: {why}");
}

/// Waits until its standard input closes, which happens however the tests end, then ends the
/// daemon.
const GUARD: &str = r#"
timeout --kill-after=10 7200 "$@" </dev/null >"$LOG" 2>&1 &
pid=$!
read -r _
kill -TERM "$pid"
wait "$pid"
rm -rf "$DIR"
"#;

/// A daemon and the directory of its state. Drop removes both.
pub(crate) struct Daemon {
    guard: Child,
    pub(crate) dir: PathBuf,
}

impl Daemon {
    /// Starts `words`, in which `DIR` stands for a new directory, and waits until `ready` says yes.
    pub(crate) fn start(words: &[&str], ready: impl Fn(&Path) -> bool) -> Self {
        let temp: TempDir = tempfile::Builder::new().prefix("imgb-d-").tempdir_in("/tmp").unwrap();
        let dir = temp.keep();
        let state = dir.to_str().unwrap();
        let guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .args(words.iter().map(|word| word.replace("DIR", state)))
            .env_clear()
            .envs([
                ("PATH", PATH),
                ("HOME", state),
                ("DIR", state),
                ("LOG", &format!("{state}/log")),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // In a process group of its own, so that after an interrupt at the terminal the guard
            // ends the daemon.
            .process_group(0)
            .spawn()
            .unwrap();
        let daemon = Self { guard, dir };
        for _ in 0..600 {
            if ready(&daemon.dir) {
                return daemon;
            }
            thread::sleep(Duration::from_millis(100));
        }
        let log = fs_err::read_to_string(daemon.dir.join("log")).unwrap_or_default();
        panic!("{} does not start:\n{log}", words[0]);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// The one running instance of an engine, started by the first test that asks and ended after the
/// last.
struct Shared<T>(Mutex<Weak<T>>);

impl<T> Shared<T> {
    const fn new() -> Self {
        Self(Mutex::new(Weak::new()))
    }

    fn get(&self, start: impl FnOnce() -> T) -> Arc<T> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let fresh = Arc::new(start());
            *shared = Arc::downgrade(&fresh);
            fresh
        })
    }
}

/// A dockerd that listens on a socket of its own.
pub(crate) struct Docker(Daemon);

/// The shared dockerd, or nothing if the test has to be skipped. Each test uses image names of its
/// own.
pub(crate) fn docker() -> Option<Arc<Docker>> {
    static SHARED: Shared<Docker> = Shared::new();
    have_docker().then(|| SHARED.get(Docker::start))
}

/// A new dockerd, for a test whose image names others may use.
pub(crate) fn own_docker() -> Option<Docker> {
    have_docker().then(Docker::start)
}

fn have_docker() -> bool {
    have(&["dockerd", "docker", "containerd", "runc"]) && have_root()
}

fn docker_client(dir: &Path) -> Run {
    let host = format!("unix://{}/sock", dir.display());
    Run::new("docker").env("DOCKER_HOST", host).env("DOCKER_CONFIG", dir).env("HOME", dir)
}

impl Docker {
    fn start() -> Self {
        // A configuration of its own, because the machine's may contradict the flags; and one of
        // its clients, whose credentials podman and buildah read too.
        let script = "echo '{}' >DIR/config.json && cp DIR/config.json DIR/daemon.json && \
            exec dockerd --config-file=DIR/daemon.json \
            --data-root=DIR/data \
            --exec-root=DIR/exec --pidfile=DIR/pid --host=unix://DIR/sock --storage-driver=vfs \
            --bridge=none --iptables=false --ip-forward=false --ip-masq=false";
        let ready = |dir: &Path| docker_client(dir).args("version").run().success();
        Self(Daemon::start(&["sh", "-c", script], ready))
    }

    /// Variables with which any client talks to it.
    pub(crate) fn environment(&self) -> [(&'static str, String); 2] {
        let dir = self.0.dir.display();
        [("DOCKER_HOST", format!("unix://{dir}/sock")), ("DOCKER_CONFIG", dir.to_string())]
    }

    /// The client, with `args`.
    pub(crate) fn cli(&self, args: &str) -> Run {
        docker_client(&self.0.dir).args(args)
    }

    /// Loads an archive. The exit code is not enough: with the containerd store, a layer that
    /// cannot be unpacked is printed as an error and the client ends with 0.
    pub(crate) fn load(&self, archive: &Path) {
        let loaded = self.cli("load --input").arg(archive).run().ok().prints("Loaded image");
        let all = loaded.text() + loaded.stderr();
        assert!(!all.to_lowercase().contains("error"), "{}", loaded.show());
    }

    /// Writes an image as `docker save` does.
    pub(crate) fn save(&self, image: &str, archive: &Path) {
        self.cli("save --output").arg(archive).arg(image).run().ok();
    }

    /// Runs an image, with no network.
    pub(crate) fn image(&self, image: &str) -> Run {
        self.cli("run --rm --network=none").arg(image)
    }
}

/// A containerd that listens on a socket of its own.
pub(crate) struct Containerd(Daemon);

/// The shared containerd, or nothing if the test has to be skipped.
pub(crate) fn containerd() -> Option<Arc<Containerd>> {
    static SHARED: Shared<Containerd> = Shared::new();
    if !(have(&["containerd", "ctr", "runc"]) && have_root()) {
        return None;
    }
    let config = r#"
version = 2
root = "DIR/root"
state = "DIR/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "DIR/sock"
"#;
    let script = format!(
        "printf %s '{config}' >DIR/config.toml && exec containerd --config DIR/config.toml"
    );
    let ready = |dir: &Path| ctr(dir).args("version").run().success();
    Some(SHARED.get(|| Containerd(Daemon::start(&["sh", "-c", &script], ready))))
}

fn ctr(dir: &Path) -> Run {
    Run::new("ctr").arg("--address").arg(dir.join("sock"))
}

impl Containerd {
    /// Variables with which `ctr` talks to it.
    pub(crate) fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("CONTAINERD_ADDRESS", format!("{}/sock", self.0.dir.display())),
            ("CONTAINERD_SNAPSHOTTER", "native".to_owned()),
        ]
    }

    /// Imports an archive.
    pub(crate) fn import(&self, archive: &Path) -> Outcome {
        ctr(&self.0.dir).args("image import --snapshotter native").arg(archive).run().ok()
    }

    /// Writes an image as `ctr image export` does.
    pub(crate) fn export(&self, image: &str, archive: &Path) {
        ctr(&self.0.dir).args("image export").arg(archive).arg(image).run().ok();
    }

    /// Whether it unpacks onto overlayfs here, as it does by default: not on another overlayfs.
    pub(crate) fn has_overlayfs(&self) -> bool {
        let all = ctr(&self.0.dir).args("plugins ls id==overlayfs").run().ok();
        all.text().lines().any(|line| line.ends_with("ok"))
    }

    /// A command, whose words are to be added, that sees the files of an archive's image at `at`,
    /// unpacked onto overlayfs.
    pub(crate) fn mounted(&self, archive: &Path, name: &str, at: &Path) -> Run {
        let mount = r#"ctr --address "$0" image import --index-name "$1" "$2" >&2
            ctr --address "$0" image mount "$1" "$3" >&2
            shift 3
            exec "$@""#;
        let run = Run::new("unshare").args("--mount sh -euc").arg(mount);
        run.arg(self.0.dir.join("sock")).arg(name).arg(archive).arg(at)
    }

    /// Runs an image, which needs its full name, as the container `id`.
    pub(crate) fn image(&self, image: &str, id: &str) -> Run {
        ctr(&self.0.dir).args("run --rm --snapshotter native").arg(image).arg(id)
    }
}

/// podman with a store of its own.
pub(crate) struct Podman(Sandbox);

/// A new podman store, or nothing if the test has to be skipped.
pub(crate) fn podman() -> Option<Podman> {
    (have(&["podman", "runc"]) && have_root()).then(|| Podman(Sandbox::new()))
}

impl Podman {
    /// Variables with which podman uses this store and registries on loopback, without a network.
    pub(crate) fn environment(&self) -> [(&'static str, String); 3] {
        let dir = self.0.root().display().to_string();
        let storage = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"{dir}/root\"\nrunroot = \"{dir}/run\"\n"
        );
        let containers = format!(
            "[containers]\nnetns = \"none\"\ndefault_ulimits = [\"nofile=1024:1024\", \
             \"nproc=1024:1024\"]\n[engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\n\
             events_logger = \"file\"\ntmp_dir = \"{dir}/tmp\"\n"
        );
        let registries = "[[registry]]\nlocation = \"127.0.0.1\"\ninsecure = true\n";
        self.0.file("storage.conf", storage).file("containers.conf", containers);
        self.0.file("registries.conf", registries);
        [
            ("CONTAINERS_REGISTRIES_CONF", format!("{dir}/registries.conf")),
            ("CONTAINERS_STORAGE_CONF", format!("{dir}/storage.conf")),
            ("CONTAINERS_CONF", format!("{dir}/containers.conf")),
        ]
    }

    /// The client, with `args`.
    pub(crate) fn cli(&self, args: &str) -> Run {
        let dir = |name: &str| format!("{}/{name}", self.0.root().display());
        let global = format!(
            // runc, because crun refuses a host that mounts both versions of cgroups.
            "--root {} --runroot {} --tmpdir {} --storage-driver vfs --cgroup-manager cgroupfs \
             --events-backend file --runtime runc",
            dir("root"),
            dir("run"),
            dir("tmp"),
        );
        Run::new("podman").env("HOME", self.0.root()).args(&global).args(args)
    }

    /// Loads an archive.
    pub(crate) fn load(&self, archive: &Path) -> Outcome {
        self.cli("load --input").arg(archive).run().ok()
    }

    /// Writes an image as `podman save` does, in one of its formats.
    pub(crate) fn save(&self, image: &str, format: &str, archive: &Path) {
        self.cli(&format!("save --format {format} --output")).arg(archive).arg(image).run().ok();
    }

    /// Runs an image, with no network, and with limits that a root without CAP_SYS_RESOURCE may
    /// set.
    pub(crate) fn image(&self, image: &str) -> Run {
        self.cli("run --rm --network=none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024")
            .arg(image)
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // A container that a failed test left has mounts, which would block the removal of the
        // directory.
        self.cli("rm --all --force").run();
    }
}

#[test]
fn a_daemon_and_its_files_go_with_its_last_user() {
    let words = ["sh", "-c", "echo $$ >DIR/pid; touch DIR/ready; exec sleep 7000"];
    static SHARED: Shared<Daemon> = Shared::new();
    let start = || Daemon::start(&words, |dir| dir.join("ready").exists());
    let first = SHARED.get(start);
    let second = SHARED.get(start);
    let dir = first.dir.clone();
    let pid = fs_err::read_to_string(dir.join("pid")).unwrap();
    let process = Path::new("/proc").join(pid.trim());
    drop(first);
    assert!(process.exists() && second.dir == dir, "one daemon for all its users");
    drop(second);
    assert!(!process.exists() && !dir.exists(), "nothing is left of it");
}
