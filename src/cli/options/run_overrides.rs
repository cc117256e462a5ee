//! How an image's program is started, and its limits.

use std::{ffi::OsString, time::Duration};

use clap::Args;

use crate::{
    cli::{
        environment::{scratch, variable},
        size,
        values::{self, Words},
    },
    image::Config,
    run,
};

/// Processes and threads that a program may have at once unless the user says otherwise: more than
/// servers start for a trial, and few enough for this machine to stay usable.
pub(in crate::cli) const PIDS_LIMIT: u64 = 1024;

/// What replaces the image's own settings, and limits on the program.
#[derive(Args, Debug)]
pub(in crate::cli) struct RunOverrides {
    /// Run these words instead of the image's entrypoint and cmd
    #[arg(long, value_name = "WORDS", value_parser = values::words)]
    pub(in crate::cli) entrypoint: Option<Words>,

    /// Set a variable (repeatable); NAME alone takes its value from the caller's environment
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,

    /// Use this working directory instead of the image's
    #[arg(short, long, value_name = "DIR")]
    pub(in crate::cli) workdir: Option<String>,

    /// Run as this user instead of the image's
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(in crate::cli) user: Option<String>,

    /// Memory for all processes together, such as 64m; processes that exceed it are killed
    #[arg(short, long, value_name = "BYTES", value_parser = size::parse)]
    pub(in crate::cli) memory: Option<u64>,

    /// How many processes and threads it may have at once [default: 1024]
    #[arg(long, value_name = "N")]
    pub(in crate::cli) pids_limit: Option<u64>,

    /// Allow nested namespaces, io_uring, userfaultfd, bpf, perf events and sockets of all families
    #[arg(long)]
    pub(in crate::cli) allow_risky_syscalls: bool,

    /// How long the program may run, such as 10s; then it is killed, and the exit code is 124
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub(in crate::cli) timeout: Option<Duration>,
}

impl RunOverrides {
    /// The configuration that an image is started with: `config`, its own, with these options over
    /// it.
    pub(in crate::cli) fn config(&self, mut config: Config) -> Config {
        if let Some(Words(words)) = &self.entrypoint {
            (config.entrypoint, config.cmd) = (Some(words.clone()), None);
        }
        config.user = self.user.clone().or(config.user);
        config.workdir = self.workdir.clone().or(config.workdir);
        config
    }

    /// The options of a run by imgb itself, with `args` instead of the image's cmd.
    pub(in crate::cli) fn run_options(&self, args: &[String]) -> run::RunOptions {
        run::RunOptions {
            args: args.to_vec(),
            env: self.variables().collect(),
            memory: self.memory,
            processes: self.pids_limit.unwrap_or(PIDS_LIMIT),
            risky_syscalls: self.allow_risky_syscalls,
            timeout: self.timeout,
            read_only: false,
            scratch: scratch(),
            runtime: run::Runtime::Own,
        }
    }

    /// The variables to set. A name without a value is left out if the caller has no such variable.
    pub(in crate::cli) fn variables(&self) -> impl Iterator<Item = (OsString, OsString)> {
        self.env.iter().filter_map(|entry| match entry.split_once('=') {
            Some((name, value)) => Some((name.into(), value.into())),
            None => Some((entry.into(), variable(entry)?)),
        })
    }
}
