//! A smoke run: the image's program in namespaces of its own, without privileges, in a throw-away
//! copy.
//!
//! This is the one place where anything of an image is executed. Three processes stand between it
//! and the caller: the caller itself, which waits; a single-threaded child that enters new
//! namespaces, since no thread of a process with several may; and the first process of those, which
//! mounts, drops everything and starts the program.

mod init;
mod mounts;
mod namespaces;
mod runtimes;
mod seccomp;
mod signals;
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
    check::{self, Start},
    error_kind::ErrorKind,
    path::escape,
    source::{SourceError, TreeView},
    trace::Access,
    tree::Tree,
};

pub use namespaces::run_stage;
pub use runtimes::Runtime;
pub use unpack::UnpackError;

/// The hidden command by which imgb starts its own stages.
pub const RUNNER: &str = "__runner";

/// Whose exit code this is when the runner itself fails.
pub const RUNNER_FAILED: u8 = 125;
/// Exit code of a program that cannot be executed.
pub const CANNOT_EXECUTE: u8 = 126;
/// Exit code for a program that is not there.
pub const NOT_FOUND: u8 = 127;
/// Exit code after the timeout, as of timeout(1).
pub const TIMED_OUT: u8 = 124;

/// Processes and threads that the program may have at once.
const MAX_PROCESSES: u64 = 4096;

/// How a program is run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Instead of the image's command.
    pub args: Vec<String>,
    /// Variables besides the image's.
    pub env: Vec<(OsString, OsString)>,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// Whether the root file system cannot be written.
    pub read_only: bool,
    /// Where the copy is made and removed again.
    pub scratch: PathBuf,
    /// What runs it.
    pub runtime: Runtime,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOutcome {
    /// The program's exit code; 128 and the signal's number where one ended it; 124 after the
    /// timeout.
    pub code: u8,
    /// What could not be as it is on an engine: devices that no unprivileged user can make, for
    /// instance.
    pub notes: Vec<String>,
}

/// Why nothing ran.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The image names no program and the user neither.
    #[error("the image names no program to start")]
    NoCommand,
    /// It is not there.
    #[error("the program `{}` is not in the image", escape(.0.as_bytes()))]
    NotFound(String, Vec<String>),
    /// The user or group is unknown.
    #[error("{0}")]
    User(check::Finding),
    /// A file of the image cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The copy.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The runtime that is to run it is not installed.
    #[error("the runtime `{0}` is not installed")]
    NoRuntime(Runtime),
    /// Nobody has taught imgb this machine's registers.
    #[error("programs of this machine cannot be watched")]
    CannotWatch,
    /// The system refused.
    #[error("cannot {action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// Why not.
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

/// What the stages are told, through a file in the private directory: a command line could be read
/// by others.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct RunSpec {
    /// The copy of the image.
    root: OsString,
    /// Absolute path of the program in it.
    program: OsString,
    /// The program's own name first.
    args: Vec<OsString>,
    /// The whole environment.
    env: Vec<(OsString, OsString)>,
    workdir: OsString,
    uid: u32,
    gid: u32,
    read_only: bool,
    memory: Option<u64>,
    processes: u64,
    /// Where the accesses of a program that is watched are written.
    watch: Option<OsString>,
}

/// A command of the host that is to be watched.
#[derive(Clone, Debug)]
pub struct HostCommand {
    /// The program, looked up in PATH, and its arguments.
    pub args: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Where it is started.
    pub workdir: PathBuf,
}

/// Runs the program of an image whose file system is `tree`.
///
/// # Errors
/// [`RunError`]: the program has not been started then. Stages that fail say so on stderr and give
/// the code [`RUNNER_FAILED`].
pub fn run(tree: &Tree, start: &Start, options: &RunOptions) -> Result<RunOutcome, RunError> {
    let private = PrivateDir::new(&options.scratch)?;
    run_in(&private, spec(tree, start, options)?, tree, options)
}

/// As [`run`], by imgb itself, and says which paths the program named to the system.
///
/// # Errors
/// As [`run`]; [`RunError::CannotWatch`].
pub fn watch(
    tree: &Tree,
    start: &Start,
    options: &RunOptions,
) -> Result<(RunOutcome, Vec<Access>), RunError> {
    let private = PrivateDir::new(&options.scratch)?;
    let mut spec = spec(tree, start, options)?;
    let file = private.for_accesses()?;
    spec.watch = Some(file.clone().into());
    let ended = run_in(&private, spec, tree, options)?;
    Ok((ended, accesses(&file)?))
}

/// Runs a command of the host, as the user that imgb runs as and without any sandbox, and says
/// which paths it named to the system. `timeout` and `scratch` as in [`RunOptions`].
///
/// # Errors
/// [`RunError`]: the command has not been started then.
pub fn watch_command(
    command: &HostCommand,
    timeout: Option<Duration>,
    scratch: &Path,
) -> Result<(RunOutcome, Vec<Access>), RunError> {
    let private = PrivateDir::new(scratch)?;
    let program =
        command.args.first().filter(|name| !name.is_empty()).ok_or(RunError::NoCommand)?.clone();
    let file = private.for_accesses()?;
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

/// What has been written to the file of a watch; nothing where no program was started.
fn accesses(file: &Path) -> Result<Vec<Access>, RunError> {
    let fault = |source| RunError::System { action: "read what was watched", source };
    let text = match fs_err::read(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        text => text.map_err(fault)?,
    };
    // The last line may be cut off where a timeout ended the watch.
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
    unpack::engine_files(&root, &spec.workdir, owner)?;
    let code = match options.runtime {
        Runtime::Own => stage("namespaces", private, &spec, owner, options.timeout)?,
        _ => runtimes::run(private, &spec, options)?,
    };
    if code == RUNNER_FAILED {
        notes.clear();
    }
    Ok(RunOutcome { code, notes })
}

/// What is to be started, in which surroundings.
fn spec(tree: &Tree, start: &Start, options: &RunOptions) -> Result<RunSpec, RunError> {
    let view = TreeView::new(tree);
    let args: Vec<String> = match (&options.args[..], &start.entrypoint[..]) {
        ([], _) => start.command().into_iter().map(Into::into).collect(),
        (args, entrypoint) => entrypoint.iter().chain(args).cloned().collect(),
    };
    let name = args.first().filter(|name| !name.is_empty()).ok_or(RunError::NoCommand)?;
    let workdir = start.workdir.clone().unwrap_or_else(|| "/".into());
    let user = check::resolve_user(&view, start.user.as_deref().unwrap_or_default())
        .map_err(SourceError::from)?
        .map_err(RunError::User)?;
    let mut env: BTreeMap<OsString, OsString> = BTreeMap::new();
    env.insert("PATH".into(), check::DEFAULT_PATH.into());
    env.insert("HOME".into(), if user.uid == 0 { "/root" } else { "/" }.into());
    let pairs = start.env.iter().filter_map(|entry| entry.split_once('='));
    env.extend(pairs.map(|(name, value)| (name.into(), value.into())));
    env.extend(options.env.iter().cloned());
    let path = env.get(OsStr::new("PATH")).map(|path| path.to_string_lossy().into_owned());
    let (program, _) =
        check::locate(&view, name.as_bytes(), &workdir, path.as_deref().unwrap_or_default())
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

/// Starts the first stage and waits for it.
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
    // The program could read the stages' environment in /proc, and the caller's directory may be
    // closed to whom the run is handed to.
    command.env_clear().current_dir("/");
    if spec.watch.is_some() {
        // The caller's own output tells what was watched.
        command.stdout(io::stderr());
    }
    signals::supervise(command, timeout).map_err(system("start the runner"))
}

/// A directory that is removed with all that a program may have left in it.
struct PrivateDir(Option<tempfile::TempDir>);

impl PrivateDir {
    fn new(scratch: &Path) -> Result<Self, RunError> {
        let dir = tempfile::Builder::new().prefix("imgb-run-").tempdir_in(scratch);
        dir.map(|dir| Self(Some(dir)))
            .map_err(|source| RunError::System { action: "make a private directory", source })
    }

    /// The name of a new file for what is watched.
    fn for_accesses(&self) -> Result<PathBuf, RunError> {
        if syscalls::CAN_WATCH {
            Ok(self.path().join("accesses"))
        } else {
            Err(RunError::CannotWatch)
        }
    }

    fn path(&self) -> &Path {
        self.0.as_ref().map_or(Path::new(""), |dir| dir.path())
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        let Some(dir) = self.0.take() else { return };
        unpack::make_removable(dir.path());
        // What cannot be removed stays behind: there is nobody left to tell.
        let _ = dir.close();
    }
}
