//! The smoke run: starts an image's program in namespaces of its own, without privileges, in a
//! throw-away copy of the image.
//!
//! This is the only module that executes anything of an image. A run has three processes besides
//! the program: the caller, which waits; a child with one thread, which enters new namespaces, as
//! unshare(2) allows that only to processes with one thread; and process 1 of those namespaces,
//! which mounts file systems, gives up all privileges and starts the program.

mod access_log;
mod capabilities;
mod engine_files;
mod foreground;
mod gate;
mod image_copy;
mod init;
mod interrupt;
mod limits;
mod memory;
mod mounts;
mod namespaces;
mod own_binary;
mod personal_files;
mod private_dir;
mod procfs;
mod removal;
mod rewind;
mod runtimes;
mod seccomp;
mod serving;
mod serving_channel;
mod serving_source;
mod signals;
mod spec;
mod stage_error;
mod stages;
mod streams;
mod supervise;
mod syscalls;
mod tracer;
mod unpack;

use std::{
    ffi::OsString,
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    error_kind::ErrorKind,
    image::Config,
    path::escape,
    process::UserError,
    source::SourceError,
    trace::{Access, Served},
    tree::Tree,
    uninterrupted::uninterrupted,
};

use interrupt::Interrupt;
use own_binary::OwnBinary;
use private_dir::PrivateDir;
use spec::RunSpec;
use streams::Streams;
use supervise::{Supervision, Unsupervised, supervise};

pub use interrupt::Interrupted;
pub use runtimes::Runtime;
pub use serving_source::Serving;
pub use stages::run_stage;
pub use unpack::UnpackError;

/// The hidden command with which imgb starts its own stages.
pub const RUNNER: &str = "__runner";

/// Exit code when the runner itself fails.
pub const RUNNER_FAILED: u8 = 125;
/// Exit code for a program that cannot be executed.
pub const CANNOT_EXECUTE: u8 = 126;
/// Exit code for a program that does not exist.
pub const NOT_FOUND: u8 = 127;
/// Exit code after the timeout, as of timeout(1).
pub const TIMED_OUT: u8 = 124;

/// How a program is run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Arguments in place of the image's CMD.
    pub args: Vec<String>,
    /// Variables added to the image's.
    pub env: Vec<(OsString, OsString)>,
    /// The limit on memory, in bytes.
    pub memory: Option<u64>,
    /// Processes and threads that it may have at once.
    pub processes: u64,
    /// Whether it may use kernel interfaces that few programs need and many attacks: nested
    /// namespaces, io_uring(7), userfaultfd(2), bpf(2), perf_event_open(2), sockets of all
    /// families.
    pub risky_syscalls: bool,
    /// The limit on the time it runs.
    pub timeout: Option<Duration>,
    /// Whether the root file system is read-only.
    pub read_only: bool,
    /// The directory in which the image's copy is created and removed again.
    pub scratch: PathBuf,
    /// What runs it.
    pub runtime: Runtime,
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOutcome {
    /// The program's exit code, 128 plus the number of the signal that ended it, or 124 after the
    /// timeout.
    pub code: u8,
    /// Differences from a run in a container engine, such as devices that no unprivileged user can
    /// create.
    pub notes: Vec<String>,
}

/// Why a program was not started.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Neither the image nor the user names a program.
    #[error("the image names no program to start")]
    NoCommand,
    /// The program does not exist: its name, and the paths that were searched.
    #[error("the program `{}` is not in the image", escape(.0.as_bytes()))]
    NotFound(String, Vec<String>),
    /// The user or group is unknown.
    #[error(transparent)]
    User(#[from] UserError),
    /// A file of the image cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The image's copy cannot be created.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The chosen runtime is not installed.
    #[error("the runtime `{0}` is not installed")]
    NoRuntime(Runtime),
    /// The program would run as the machine's root, since no other user has a number here.
    #[error("no program runs as the machine's root, and the user namespace has no `nobody`")]
    OnlyRoot,
    /// The user that stands in for root cannot reach the image's copy: the directory on the way to
    /// it, and its mode.
    #[error(
        "`nobody`, as whom root's programs run, cannot enter `{}` (mode {mode:04o})",
        .dir.display()
    )]
    Unreachable {
        /// The directory.
        dir: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// imgb cannot decode system calls of this machine's architecture.
    #[error("programs of this machine cannot be watched")]
    CannotWatch,
    /// A standard stream is a directory, through which a program could leave its root.
    #[error("a standard stream is a directory, which no program in a sandbox may have open")]
    DirectoryStream,
    /// The system refused.
    #[error("cannot {action}")]
    System {
        /// What failed, to complete "cannot …".
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

impl RunError {
    /// What the error means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(..) => ErrorKind::ProgramNotFound,
            Self::NoCommand
            | Self::Source(_)
            | Self::User(_)
            | Self::Unpack(_)
            | Self::NoRuntime(_)
            | Self::OnlyRoot
            | Self::Unreachable { .. }
            | Self::CannotWatch
            | Self::DirectoryStream
            | Self::System { .. } => ErrorKind::Runner,
        }
    }
}

/// A command of the host to watch.
#[derive(Clone, Debug)]
pub struct HostCommand {
    /// The program, looked up in PATH, and its arguments.
    pub args: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Its working directory.
    pub workdir: PathBuf,
}

/// Runs the program of an image: `config` is its configuration, `tree` its file system.
///
/// # Errors
/// [`RunError`] if the program was not started. A stage that fails prints its error to stderr
/// and gives the exit code [`RUNNER_FAILED`].
pub fn run(tree: &Tree, config: &Config, options: &RunOptions) -> Result<RunOutcome, RunError> {
    let spec = RunSpec::of_image(tree, config, options)?;
    with_private_dir(&options.scratch, |private, interrupt| {
        run_in(private, spec, tree, options, interrupt)
    })
}

/// What was seen of a program that was watched.
#[derive(Clone, Debug)]
pub struct Watch {
    /// How it ended.
    pub ended: RunOutcome,
    /// The paths that it named in system calls, in the order of their first occurrence.
    pub accesses: Vec<Access>,
    /// What it got from the sysroot.
    pub served: Served,
}

/// As [`run`], always by imgb itself, and watches the program. With `serving`, it gets what the
/// image lacks from there.
///
/// # Errors
/// As [`run`]; [`RunError::CannotWatch`].
pub fn watch(
    tree: &Tree,
    config: &Config,
    options: &RunOptions,
    serving: Option<Serving<'_>>,
) -> Result<Watch, RunError> {
    let mut spec = RunSpec::of_image(tree, config, options)?;
    with_private_dir(&options.scratch, |private, interrupt| {
        let file = accesses_file(private)?;
        spec.watch = Some(file.clone().into());
        let owner = owner()?;
        let notes = prepare(private, &mut spec, tree, interrupt)?;
        let mut run = |pipes| {
            spec.serving = pipes;
            stage("namespaces", (private, interrupt), &spec, owner, options.timeout)
        };
        let (code, served) = match serving {
            None => (run(None), Served::default()),
            Some(serving) => {
                let root = private.path().join("root");
                let dirs = serving::CopyDirs { root: &root, private: private.path(), owner };
                let action = "serve what the image lacks";
                serving::during(serving, tree, &dirs, |pipes| run(Some(pipes)))
                    .map_err(|source| RunError::System { action, source })?
            }
        };
        Ok(Watch { served, ..with_accesses(outcome(code?, notes), &file)? })
    })
}

/// Runs a command of the host, as the same user and without a sandbox, and returns the paths that
/// it named in system calls. `timeout` and `scratch` as in [`RunOptions`].
///
/// # Errors
/// [`RunError`] if the command was not started.
pub fn watch_command(
    command: &HostCommand,
    timeout: Option<Duration>,
    scratch: &Path,
) -> Result<Watch, RunError> {
    let spec = RunSpec::of_command(command)?;
    with_private_dir(scratch, |private, interrupt| {
        let file = accesses_file(private)?;
        let spec = RunSpec { watch: Some(file.clone().into()), ..spec };
        let code = stage("watch", (private, interrupt), &spec, None, timeout)?;
        with_accesses(RunOutcome { code, notes: Vec::new() }, &file)
    })
}

/// Adds what a tracer has recorded in `file` to the outcome; nothing where no program was started.
fn with_accesses(mut ended: RunOutcome, file: &Path) -> Result<Watch, RunError> {
    let action = "read what was watched";
    let accesses = access_log::read(file).map_err(|source| RunError::System { action, source })?;
    if accesses.is_cut {
        let text = "the program named more files than are recorded; the report lacks the last ones";
        ended.notes.push(text.into());
    }
    Ok(Watch { ended, accesses: accesses.list, served: Served::default() })
}

fn run_in(
    private: &PrivateDir,
    mut spec: RunSpec,
    tree: &Tree,
    options: &RunOptions,
    interrupt: &Interrupt,
) -> Result<RunOutcome, RunError> {
    let notes = prepare(private, &mut spec, tree, interrupt)?;
    let code = match options.runtime {
        Runtime::Own => {
            let owner = owner()?;
            stage("namespaces", (private, interrupt), &spec, owner, options.timeout)?
        }
        _ => runtimes::run((private, interrupt), &spec, options)?,
    };
    Ok(outcome(code, notes))
}

/// The user and group that the program and the stages run as instead of root.
fn owner() -> Result<Option<(u32, u32)>, RunError> {
    namespaces::unprivileged_owner().map_err(unknown_users)
}

fn unknown_users(source: io::Error) -> RunError {
    RunError::System { action: "find out which users there are", source }
}

/// The outcome of a run; one that imgb itself could not start has no notes.
fn outcome(code: u8, notes: Vec<String>) -> RunOutcome {
    RunOutcome { code, notes: if code == RUNNER_FAILED { Vec::new() } else { notes } }
}

/// Makes the image's copy, in which the program of `spec` is to run. Returns notes.
fn prepare(
    private: &PrivateDir,
    spec: &mut RunSpec,
    tree: &Tree,
    interrupt: &Interrupt,
) -> Result<Vec<String>, RunError> {
    let root = private.path().join("root");
    spec.root = root.clone().into();
    spec.session = !supervise::is_at_terminal(spec.watch.is_some());
    let owner = owner()?;
    // Without any capability, it could still write to what belongs to root in /proc.
    if owner.is_none() && namespaces::is_real_root().map_err(unknown_users)? {
        return Err(RunError::OnlyRoot);
    }
    let notes = unpack::unpack(tree, &root, owner, interrupt)?;
    engine_files::add(&root, &spec.workdir, owner)?;
    interrupt.check().map_err(UnpackError::from)?;
    Ok(notes)
}

/// Starts the first stage and waits for its exit code: `namespaces` for an image's program, `watch`
/// for a command of the host.
fn stage(
    name: &str,
    (private, interrupt): (&PrivateDir, &Interrupt),
    spec: &RunSpec,
    owner: Option<(u32, u32)>,
    timeout: Option<Duration>,
) -> Result<u8, RunError> {
    let system = |action| move |source| RunError::System { action, source };
    let file = private.path().join("spec.json");
    let text = serde_json::to_vec(spec)
        .map_err(|error| system("write the runner's file")(error.into()))?;
    fs_err::write(&file, text).map_err(system("write the runner's file"))?;
    let is_sandboxed = name == "namespaces";
    let own = is_sandboxed.then(OwnBinary::copy).transpose();
    let own = own.map_err(system("copy imgb's own binary into memory"))?;
    let mut command = Command::new(own.as_ref().map_or("/proc/self/exe".into(), OwnBinary::path));
    command.arg0("imgb").arg(RUNNER).arg(name).arg(&file);
    if let Some((uid, gid)) = owner {
        let closed = private.closed_to(uid, gid).map_err(system("make a private directory"))?;
        if let Some((dir, mode)) = closed {
            return Err(RunError::Unreachable { dir, mode });
        }
        uninterrupted(|| std::os::unix::fs::chown(&file, Some(uid), Some(gid)))
            .map_err(system("write the runner's file"))?;
        uninterrupted(|| std::os::unix::fs::chown(private.path(), Some(uid), Some(gid)))
            .map_err(system("make a private directory"))?;
        command.uid(uid).gid(gid);
    }
    // The program could read the stages' environment in /proc, and the user that the stages run as
    // may not be able to enter the caller's directory.
    command.env_clear().current_dir("/");
    // The caller's own stdout is for its report.
    let prints_to_stderr = spec.watch.is_some();
    let user = owner.unwrap_or_else(|| {
        (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
    });
    let streams = match is_sandboxed {
        true => connect(&mut command, Some(user), prints_to_stderr)?,
        false => {
            command.stdout(io::stderr());
            Streams::default()
        }
    };
    let how = Supervision { leads_session: spec.session, with_descendants: is_sandboxed, timeout };
    let ended = supervise(command, how, interrupt)
        .map_err(|why| unsupervised(why, system("start the runner")))?;
    finish(streams, ended)
}

/// Why nothing was started; `system` names what the system refused.
fn unsupervised(why: Unsupervised, system: impl FnOnce(io::Error) -> RunError) -> RunError {
    match why {
        Unsupervised::Interrupted(interrupted) => UnpackError::from(interrupted).into(),
        Unsupervised::System(error) => system(error),
    }
}

/// Gives `command` its standard streams, which a program of the user and group `owner` can open
/// again.
fn connect(
    command: &mut Command,
    owner: Option<(u32, u32)>,
    prints_to_stderr: bool,
) -> Result<Streams, RunError> {
    Streams::connect(command, owner, prints_to_stderr).map_err(|source| match source.kind() {
        io::ErrorKind::IsADirectory => RunError::DirectoryStream,
        _ => RunError::System { action: "connect the standard streams", source },
    })
}

/// Waits until everything is written that the program has printed. `ended` is its exit code, or
/// `None` after the timeout. Returns the exit code.
fn finish(streams: Streams, ended: Option<u8>) -> Result<u8, RunError> {
    let action = "copy the program's standard streams";
    let finished = streams.finish(ended.is_none());
    finished.map_err(|source| RunError::System { action, source })?;
    Ok(ended.unwrap_or(TIMED_OUT))
}

/// Calls `work` with a private directory below `scratch`, which is removed afterwards, also after a
/// signal that ends the work before a program runs. Such a signal then ends this process.
fn with_private_dir<T>(
    scratch: &Path,
    work: impl FnOnce(&PrivateDir, &Interrupt) -> Result<T, RunError>,
) -> Result<T, RunError> {
    let failed = |action| move |source| RunError::System { action, source };
    let interrupt = Interrupt::catch().map_err(failed("catch signals"))?;
    let private = PrivateDir::new(scratch).map_err(failed("make a private directory"))?;
    let done = work(&private, &interrupt);
    drop(private);
    if let Err(RunError::Unpack(UnpackError::Interrupted(interrupted))) = &done {
        interrupted.end_process();
    }
    done
}

/// The file for the accesses of a watched program.
fn accesses_file(private: &PrivateDir) -> Result<PathBuf, RunError> {
    if syscalls::CAN_TRACE { Ok(private.accesses()) } else { Err(RunError::CannotWatch) }
}
