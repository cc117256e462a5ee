//! The smoke run: starts an image's program in namespaces of its own, without privileges, in a
//! throw-away copy of the image.
//!
//! This is the only module that executes anything of an image. A run has three processes besides
//! the program: the caller, which waits; a child with one thread, which enters new namespaces, as
//! unshare(2) allows that only to processes with one thread; and process 1 of those namespaces,
//! which mounts file systems, gives up all privileges and starts the program.

mod capabilities;
mod engine_files;
mod gate;
mod init;
mod limits;
mod mounts;
mod namespaces;
mod private_dir;
mod procfs;
mod runtimes;
mod seccomp;
mod signals;
mod stage_error;
mod stages;
mod syscalls;
mod tracer;
mod unpack;

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    os::unix::{ffi::OsStrExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    error_kind::ErrorKind,
    path::escape,
    process::{self, Start, User, UserError},
    source::SourceError,
    trace::Access,
    tree::Tree,
    view::View,
};

use private_dir::PrivateDir;
pub use stages::run_stage;

pub use runtimes::Runtime;
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

/// Processes and threads that the program may have at once.
const MAX_PROCESSES: u64 = 4096;

/// How a program is run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Arguments in place of the image's CMD.
    pub args: Vec<String>,
    /// Variables added to the image's.
    pub env: Vec<(OsString, OsString)>,
    /// The limit on memory, in bytes.
    pub memory: Option<u64>,
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
    /// imgb cannot decode system calls of this machine's architecture.
    #[error("programs of this machine cannot be watched")]
    CannotWatch,
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
            | Self::CannotWatch
            | Self::System { .. } => ErrorKind::Runner,
        }
    }
}

/// What the stages are to do. They read it from a file in the private directory: other users could
/// read a command line.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct RunSpec {
    /// The image's copy, on the host.
    root: OsString,
    /// The absolute path of the program in the image.
    program: OsString,
    /// Starts with the program's own name.
    args: Vec<OsString>,
    /// The whole environment.
    env: Vec<(OsString, OsString)>,
    workdir: OsString,
    uid: u32,
    gid: u32,
    read_only: bool,
    memory: Option<u64>,
    processes: u64,
    /// The file for the accesses of a program that is watched.
    watch: Option<OsString>,
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

/// Runs the program of an image whose file system is `tree`.
///
/// # Errors [`RunError`] where the program was not started. A stage that fails prints its error to
/// stderr and gives the exit code [`RUNNER_FAILED`].
pub fn run(tree: &Tree, start: &Start, options: &RunOptions) -> Result<RunOutcome, RunError> {
    let private = private_dir(&options.scratch)?;
    run_in(&private, spec(tree, start, options)?, tree, options)
}

/// As [`run`], always by imgb itself, and returns the paths that the program named in system calls.
///
/// # Errors
/// As [`run`]; [`RunError::CannotWatch`].
pub fn watch(
    tree: &Tree,
    start: &Start,
    options: &RunOptions,
) -> Result<(RunOutcome, Vec<Access>), RunError> {
    let private = private_dir(&options.scratch)?;
    let mut spec = spec(tree, start, options)?;
    let file = accesses_file(&private)?;
    spec.watch = Some(file.clone().into());
    let ended = run_in(&private, spec, tree, options)?;
    Ok((ended, accesses(&file)?))
}

/// Runs a command of the host, as the same user and without a sandbox, and returns the paths that
/// it named in system calls. `timeout` and `scratch` as in [`RunOptions`].
///
/// # Errors
/// [`RunError`] where the command was not started.
pub fn watch_command(
    command: &HostCommand,
    timeout: Option<Duration>,
    scratch: &Path,
) -> Result<(RunOutcome, Vec<Access>), RunError> {
    let private = private_dir(scratch)?;
    let program =
        command.args.first().filter(|name| !name.is_empty()).ok_or(RunError::NoCommand)?.clone();
    let file = accesses_file(&private)?;
    let spec = RunSpec {
        root: "/".into(),
        program,
        args: command.args.clone(),
        env: command.env.clone(),
        workdir: command.workdir.clone().into(),
        uid: 0,
        gid: 0,
        read_only: false,
        memory: None,
        processes: 0,
        watch: Some(file.clone().into()),
    };
    let code = stage("watch", &private, &spec, None, timeout)?;
    Ok((RunOutcome { code, notes: Vec::new() }, accesses(&file)?))
}

/// Reads the accesses that a tracer has written. None where no program was started.
fn accesses(file: &Path) -> Result<Vec<Access>, RunError> {
    let failed = |source| RunError::System { action: "read what was watched", source };
    let text = match fs_err::read(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        text => text.map_err(failed)?,
    };
    // A timeout may have cut off the last line.
    let lines = text.split(|&byte| byte == b'\n');
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

fn run_in(
    private: &PrivateDir,
    mut spec: RunSpec,
    tree: &Tree,
    options: &RunOptions,
) -> Result<RunOutcome, RunError> {
    let root = private.path().join("root");
    spec.root = root.clone().into();
    let owner = namespaces::unprivileged_owner();
    let mut notes = unpack::unpack(tree, &root, owner)?;
    engine_files::add(&root, &spec.workdir, owner)?;
    let code = match options.runtime {
        Runtime::Own => stage("namespaces", private, &spec, owner, options.timeout)?,
        _ => runtimes::run(private, &spec, options)?,
    };
    if code == RUNNER_FAILED {
        notes.clear();
    }
    Ok(RunOutcome { code, notes })
}

/// The spec of a run, without the path of the image's copy.
fn spec(tree: &Tree, start: &Start, options: &RunOptions) -> Result<RunSpec, RunError> {
    let view = View::of_tree(tree);
    let args: Vec<String> = match (&options.args[..], &start.entrypoint[..]) {
        ([], _) => start.command().into_iter().map(Into::into).collect(),
        (args, entrypoint) => entrypoint.iter().chain(args).cloned().collect(),
    };
    let name = args.first().filter(|name| !name.is_empty()).ok_or(RunError::NoCommand)?;
    let workdir = start.workdir.clone().unwrap_or_else(|| "/".into());
    let user = User::resolve(&view, start.user.as_deref().unwrap_or_default())
        .map_err(SourceError::from)??;
    let mut env: BTreeMap<OsString, OsString> = BTreeMap::new();
    env.insert("PATH".into(), process::DEFAULT_PATH.into());
    env.insert("HOME".into(), if user.uid == 0 { "/root" } else { "/" }.into());
    let pairs = start.env.iter().filter_map(|entry| entry.split_once('='));
    env.extend(pairs.map(|(name, value)| (name.into(), value.into())));
    env.extend(options.env.iter().cloned());
    let path = env.get(OsStr::new("PATH")).map(|path| path.to_string_lossy().into_owned());
    let (program, _) =
        process::locate(&view, name.as_bytes(), &workdir, path.as_deref().unwrap_or_default())
            .map_err(SourceError::from)?
            .map_err(|searched| RunError::NotFound(name.clone(), searched))?;
    Ok(RunSpec {
        root: OsString::new(),
        program: OsStr::from_bytes(&program).into(),
        args: args.into_iter().map(Into::into).collect(),
        env: env.into_iter().collect(),
        workdir: workdir.into(),
        uid: user.uid,
        gid: user.gids.first().copied().unwrap_or(0),
        read_only: options.read_only,
        memory: options.memory,
        processes: MAX_PROCESSES,
        watch: None,
    })
}

/// Starts the first stage and waits for its exit code.
fn stage(
    name: &str,
    private: &PrivateDir,
    spec: &RunSpec,
    owner: Option<(u32, u32)>,
    timeout: Option<Duration>,
) -> Result<u8, RunError> {
    let system = |action| move |source| RunError::System { action, source };
    let file = private.path().join("spec.json");
    let text = serde_json::to_vec(spec)
        .map_err(|error| system("write the runner's file")(error.into()))?;
    fs_err::write(&file, text).map_err(system("write the runner's file"))?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("imgb").arg(RUNNER).arg(name).arg(&file);
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::chown(&file, Some(uid), Some(gid))
            .map_err(system("write the runner's file"))?;
        std::os::unix::fs::chown(private.path(), Some(uid), Some(gid))
            .map_err(system("make a private directory"))?;
        command.uid(uid).gid(gid);
    }
    // The program could read the stages' environment in /proc, and the user that the stages run as
    // may not be able to enter the caller's directory.
    command.env_clear().current_dir("/");
    if spec.watch.is_some() {
        // The caller's own stdout is for its report.
        command.stdout(io::stderr());
    }
    signals::supervise(command, timeout).map_err(system("start the runner"))
}

fn private_dir(scratch: &Path) -> Result<PrivateDir, RunError> {
    PrivateDir::new(scratch)
        .map_err(|source| RunError::System { action: "make a private directory", source })
}

/// The file for the accesses of a watched program.
fn accesses_file(private: &PrivateDir) -> Result<PathBuf, RunError> {
    if syscalls::CAN_TRACE { Ok(private.accesses()) } else { Err(RunError::CannotWatch) }
}
