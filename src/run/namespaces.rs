//! The first stage: a process of one thread enters new namespaces and starts the second stage in
//! them.

use std::{
    ffi::OsStr,
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::Command,
};

use rustix::{
    process::Signal,
    thread::{CapabilitySet, CapabilitySets, UnshareFlags},
};

use super::{
    RUNNER, RUNNER_FAILED, RunSpec, init,
    signals::{self, Caught},
    tracer::{self, Gate, Tracer},
};

/// Bytes of the file that the stages read.
const MAX_SPEC: u64 = 16 << 20;

/// The user that stands in for root: in no namespace of ours is anyone the host's root.
const NOBODY: u32 = 65534;

/// What a stage could not do, and why.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(super) struct StageError {
    pub(super) what: String,
    pub(super) source: io::Error,
    /// The exit code.
    pub(super) code: u8,
}

/// Names what was tried.
pub(super) fn trying<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> StageError {
    move |error| StageError {
        what: format!("cannot {}", what.into()),
        source: error.into(),
        code: RUNNER_FAILED,
    }
}

/// Whom root hands the run to; `None` for anybody else, and where that user does not exist in this
/// namespace.
pub(super) fn unprivileged_owner() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let exists = |file| {
        let map = fs_err::read_to_string(file).unwrap_or_default();
        map.lines().any(|line| {
            let mut fields = line.split_whitespace().map(str::parse::<u64>);
            match (fields.next(), fields.next(), fields.next()) {
                (Some(Ok(first)), Some(Ok(_)), Some(Ok(count))) => {
                    (first..first.saturating_add(count)).contains(&u64::from(NOBODY))
                }
                _ => false,
            }
        })
    };
    (exists("/proc/self/uid_map") && exists("/proc/self/gid_map")).then_some((NOBODY, NOBODY))
}

/// A stage of a run, which imgb starts itself under this name: `namespaces` and `init`, or where a
/// command of the host is watched `watch` and `command`. Returns the exit code; what fails is said
/// on stderr.
pub fn run_stage(stage: &OsStr, file: &Path) -> u8 {
    let done = read(file).and_then(|spec| match stage.as_encoded_bytes() {
        b"namespaces" => enter(&spec, file),
        b"watch" => start(&spec, file, "command"),
        b"command" => command(&spec, file),
        _ => init::start(&spec, file),
    });
    match done {
        Ok(code) => code,
        Err(error) => {
            let why = error.source.to_string();
            let why = why.split(" (os error").next().unwrap_or_default();
            let _ = writeln!(io::stderr(), "error: {error}: {why}");
            if let Some(hint) = hint(&error) {
                let _ = writeln!(io::stderr(), "\nhint: {hint}");
            }
            error.code
        }
    }
}

fn hint(error: &StageError) -> Option<&'static str> {
    if error.source.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) {
        return Some(
            "it is made for another machine than this one, or is no program: `imgb check IMAGE` says which",
        );
    }
    let refused = matches!(error.source.raw_os_error(), Some(1 | 13 | 22 | 28 | 38));
    let about_namespaces = error.what.contains("namespace") || error.what.contains("mount");
    (refused && about_namespaces).then_some(
        "this system does not let you make user namespaces (in a container, or by kernel.unprivileged_userns_clone, \
         user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns); run it elsewhere, or with \
         `--runtime podman`",
    )
}

fn read(file: &Path) -> Result<RunSpec, StageError> {
    use io::Read as _;
    let mut text = Vec::new();
    let file = fs_err::File::open(file).map_err(trying("read the runner's file"))?;
    file.take(MAX_SPEC).read_to_end(&mut text).map_err(trying("read the runner's file"))?;
    serde_json::from_slice(&text)
        .map_err(|error| trying("read the runner's file")(io::Error::from(error)))
}

/// Closes whatever the caller had open besides the three standard streams: by a directory of the
/// host the program could leave its root.
fn close_inherited() -> Result<(), StageError> {
    let fault = || trying("close what the caller has open");
    let entries = fs_err::read_dir("/proc/self/fd").map_err(fault())?;
    let names = entries
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(fault())?;
    // The listing itself is closed by now.
    for fd in
        names.iter().filter_map(|name| name.to_str()?.parse::<i32>().ok()).filter(|fd| *fd > 2)
    {
        let _ = nix::unistd::close(fd);
    }
    Ok(())
}

fn enter(spec: &RunSpec, file: &Path) -> Result<u8, StageError> {
    die_with_parent()?;
    close_inherited()?;
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let all = UnshareFlags::NEWUSER
        | UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWCGROUP;
    #[expect(
        deprecated,
        reason = "unsafe only for shared file descriptors, which are not unshared here"
    )]
    rustix::thread::unshare(all).map_err(trying("make user namespaces"))?;
    let map = |name: &str, text: String| {
        fs_err::write(format!("/proc/self/{name}"), text).map_err(trying("map the user namespace"))
    };
    map("setgroups", "deny".into())?;
    map("uid_map", format!("{} {uid} 1", spec.uid))?;
    map("gid_map", format!("{} {gid} 1", spec.gid))?;
    keep_capabilities()?;
    start(spec, file, "init")
}

/// Starts the next stage and waits for it; watches it where that is asked for.
fn start(spec: &RunSpec, file: &Path, stage: &str) -> Result<u8, StageError> {
    die_with_parent()?;
    let mut caught = Caught::new().map_err(trying("catch signals"))?;
    let watch = match &spec.watch {
        Some(out) => Some((Tracer::new(Path::new(out))?, Gate::close(file)?)),
        None => None,
    };
    let mut command = Command::new("/proc/self/exe");
    command.arg0("imgb").arg(RUNNER).arg(stage).arg(file);
    let child = command.spawn().map_err(trying(format!("start the stage `{stage}`")))?;
    let pid = signals::pid(&child).map_err(trying("start the next stage"))?;
    let status = match watch {
        None => caught.wait(pid).map_err(trying("wait for the program"))?,
        Some((watch, gate)) => watch.follow(pid, gate, &mut caught)?,
    };
    Ok(signals::code(status))
}

/// Becomes a command of the host, once it is watched.
fn command(spec: &RunSpec, file: &Path) -> Result<u8, StageError> {
    tracer::wait_to_be_watched(file)?;
    let mut command = Command::new(&spec.program);
    command.args(spec.args.iter().skip(1)).env_clear();
    command.envs(spec.env.iter().map(|(name, value)| (name, value))).current_dir(&spec.workdir);
    Err(init::cannot_start(&spec.program, command.exec()))
}

/// The next stage needs the new namespaces' capabilities whatever user it is, so they have to
/// survive execve(2).
fn keep_capabilities() -> Result<(), StageError> {
    let keep = || trying("keep capabilities in the namespace");
    let own = rustix::thread::capabilities(None).map_err(keep())?;
    let inherited = CapabilitySets { inheritable: own.permitted, ..own };
    rustix::thread::set_capabilities(None, inherited).map_err(keep())?;
    for capability in own.permitted.iter() {
        rustix::thread::configure_capability_in_ambient_set(capability, true).map_err(keep())?;
    }
    Ok(())
}

/// Gives every capability up, for this process and all that it starts.
pub(super) fn drop_capabilities() -> Result<(), StageError> {
    let fault = || trying("drop capabilities");
    rustix::thread::clear_ambient_capability_set().map_err(fault())?;
    for capability in CapabilitySet::all().iter() {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // Newer than this kernel.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(errno) => return Err(fault()(errno)),
        }
    }
    rustix::thread::set_no_new_privs(true).map_err(fault())?;
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, none).map_err(fault())
}

pub(super) fn die_with_parent() -> Result<(), StageError> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(trying("prepare the runner"))
}
