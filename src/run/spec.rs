//! What a run is to start, and how.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
};

use serde::{Deserialize, Serialize};

use super::{HostCommand, RunError, RunOptions, serving_channel::Pipes};
use crate::{
    image::{Config, DEFAULT_PATH},
    process::{self, User},
    source::SourceError,
    tree::Tree,
    view::View,
};

/// What the stages are to do. They read it from a file in the private directory: other users could
/// read a command line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RunSpec {
    /// The image's copy, on the host.
    pub(super) root: OsString,
    /// The absolute path of the program in the image.
    pub(super) program: OsString,
    /// Starts with the program's own name.
    pub(super) args: Vec<OsString>,
    /// The whole environment.
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) workdir: OsString,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) read_only: bool,
    pub(super) memory: Option<u64>,
    /// Processes and threads that the program may have at once.
    pub(super) processes: u64,
    /// The file for the accesses of a program that is watched.
    pub(super) watch: Option<OsString>,
    /// The pipes through which files are asked for that a watched program's image lacks.
    pub(super) serving: Option<Pipes>,
    /// Whether the program may use kernel interfaces that few programs need.
    pub(super) risky_syscalls: bool,
    /// Whether the stages make a session of their own.
    pub(super) session: bool,
}

impl RunSpec {
    /// The spec for an image, without the path of its copy.
    pub(super) fn of_image(
        tree: &Tree,
        config: &Config,
        options: &RunOptions,
    ) -> Result<Self, RunError> {
        let view = View::of_tree(tree);
        let args: Vec<String> = match &options.args[..] {
            [] => config.command().into_iter().map(Into::into).collect(),
            args => config.entrypoint.iter().flatten().chain(args).cloned().collect(),
        };
        let name = args.first().filter(|name| !name.is_empty()).ok_or(RunError::NoCommand)?;
        let workdir = config.workdir.clone().unwrap_or_else(|| "/".into());
        let user = User::resolve(&view, config.user.as_deref().unwrap_or_default())
            .map_err(SourceError::from)??;
        let mut env: BTreeMap<OsString, OsString> = BTreeMap::new();
        env.insert("PATH".into(), DEFAULT_PATH.into());
        env.insert("HOME".into(), if user.uid == 0 { "/root" } else { "/" }.into());
        let pairs = config.env.iter().filter_map(|entry| entry.split_once('='));
        env.extend(pairs.map(|(name, value)| (name.into(), value.into())));
        env.extend(options.env.iter().cloned());
        let path = env.get(OsStr::new("PATH")).map(|path| path.to_string_lossy().into_owned());
        let (program, _) =
            process::locate(&view, name.as_bytes(), &workdir, path.as_deref().unwrap_or_default())
                .map_err(SourceError::from)?
                .map_err(|searched| RunError::NotFound(name.clone(), searched))?;
        Ok(Self {
            root: OsString::new(),
            program: OsStr::from_bytes(&program).into(),
            args: args.into_iter().map(Into::into).collect(),
            env: env.into_iter().collect(),
            workdir: workdir.into(),
            uid: user.uid,
            gid: user.gids.first().copied().unwrap_or(0),
            read_only: options.read_only,
            memory: options.memory,
            processes: options.processes,
            watch: None,
            serving: None,
            risky_syscalls: options.risky_syscalls,
            session: false,
        })
    }

    /// The spec for a command of the host, without a file for accesses.
    pub(super) fn of_command(command: &HostCommand) -> Result<Self, RunError> {
        let program = command.args.first().filter(|name| !name.is_empty());
        Ok(Self {
            root: "/".into(),
            program: program.ok_or(RunError::NoCommand)?.clone(),
            args: command.args.clone(),
            env: command.env.clone(),
            workdir: command.workdir.clone().into(),
            uid: 0,
            gid: 0,
            read_only: false,
            memory: None,
            processes: 0,
            watch: None,
            serving: None,
            risky_syscalls: false,
            session: false,
        })
    }
}
