//! The command line: the one place that reads the environment and prints.

mod args;
mod build;
mod build_args;
mod cache;
mod cache_args;
mod check;
mod deps;
mod image_args;
mod inspect;
mod pack;
mod progress;
mod report;
mod rules;
mod run;
mod timing;
mod trace;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory as _, Parser as _};

use crate::error_kind::ErrorKind;
use args::{Cli, Command};
use report::{Failure, exit_code, print};

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse_from(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let done = match &cli.command {
        Command::Pack(args) => pack::pack(args),
        Command::Build(args) => build::build(args),
        Command::Plan(args) => pack::plan(args),
        Command::Deps(args) => deps::deps(args),
        Command::Cache(args) => cache::cache(args),
        Command::Check(args) => check::check(args),
        Command::Run(args) => match run::run(args) {
            Ok(code) => return ExitCode::from(code),
            Err(failure) => Err(failure),
        },
        Command::Trace(args) => match trace::trace(args) {
            Ok(code) => return ExitCode::from(code),
            Err(failure) => Err(failure),
        },
        Command::Runner { stage, file } => {
            return ExitCode::from(crate::run::run_stage(stage, file));
        }
        Command::Inspect(args) => inspect::inspect(args),
        Command::Rules(args) => rules::rules(args),
        Command::Completions { shell } => completions(*shell),
        Command::Man { dir } => man(dir),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ExitCode::from(failure.report()),
    }
}

/// Help and versions go to stdout with success, mistakes to stderr with code 2.
fn usage(error: &clap::Error) -> ExitCode {
    let asked_for = !error.use_stderr();
    match error.print() {
        Ok(()) if asked_for => ExitCode::SUCCESS,
        Ok(()) => ExitCode::from(exit_code(ErrorKind::Usage)),
        Err(_) => ExitCode::from(exit_code(ErrorKind::Local)),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "imgb", &mut text);
    print(&String::from_utf8_lossy(&text))
}

fn man(dir: &std::path::Path) -> Result<(), Failure> {
    let written =
        fs_err::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Cli::command(), dir));
    written.map_err(|error| {
        Failure::local(format!("cannot write manual pages to `{}`: {error}", dir.display()))
    })
}

/// An environment variable that the user may set.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
