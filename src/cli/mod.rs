//! The command line: the only module that reads the environment and prints.

mod advice;
mod build;
mod cache;
mod check;
mod command;
mod deliver;
mod deps;
mod environment;
mod failure;
mod file;
mod hints;
mod inspect;
mod options;
mod pack;
mod plan;
mod plan_text;
mod progress;
mod refusal;
mod rules;
mod run;
mod size;
mod summary;
mod terminal;
mod timing;
mod trace;
mod trace_report;
mod values;
mod warnings;

use std::process::ExitCode;

use clap::{
    CommandFactory as _, Parser as _,
    error::{ContextKind, ContextValue},
};

use command::{Cli, Command};
use failure::{Failure, exit_code};
use terminal::print_data;

use crate::error_kind::ErrorKind;

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse_from(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return report_usage(&error),
    };
    let prints_json = cli.command.prints_json();
    match dispatch(cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => report(&failure, prints_json),
    }
}

/// Prints `failure` on stderr, and as JSON on stdout where that is asked for; its exit code.
fn report(failure: &Failure, prints_json: bool) -> ExitCode {
    if !failure.is_silent() {
        terminal::print_message(&failure.text());
    }
    if let Some(json) = failure.json().filter(|_| prints_json) {
        // There is no further way to tell that stdout is closed or full.
        let _ = terminal::print_json(json);
    }
    ExitCode::from(failure.exit_code())
}

/// Runs `command` and returns the exit code.
fn dispatch(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Pack(args) => pack::pack(*args)?,
        Command::Build(args) => build::build(*args)?,
        Command::Plan(args) => plan::plan(*args)?,
        Command::Deps(args) => deps::deps(args)?,
        Command::Cache(args) => cache::cache(&args)?,
        Command::Check(args) => check::check(&args)?,
        Command::Run(args) => return run::run(&args),
        Command::Trace(args) => return trace::trace(&args),
        Command::Runner { stage, file } => return Ok(crate::run::run_stage(&stage, &file)),
        Command::Inspect(args) => inspect::inspect(&args)?,
        Command::Rules(args) => rules::rules(&args)?,
        Command::Completions { shell } => completions(shell)?,
        Command::Man { dir } => man(&dir)?,
    }
    Ok(0)
}

/// Prints help and versions on stdout with exit code 0, usage errors on stderr with exit code 2.
fn report_usage(error: &clap::Error) -> ExitCode {
    if let Some(message) = value_error(error) {
        return report(&Failure::usage(message), false);
    }
    let code = if error.use_stderr() { exit_code(ErrorKind::Usage) } else { 0 };
    match error.print() {
        Ok(()) => ExitCode::from(code),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            report(&Failure::closed_pipe(), false)
        }
        Err(_) => ExitCode::from(exit_code(ErrorKind::Local)),
    }
}

/// The message of a malformed option value, in the form of imgb's other messages.
fn value_error(error: &clap::Error) -> Option<String> {
    let why = std::error::Error::source(error)?.to_string();
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let value = text(ContextKind::InvalidValue)?;
    let option = text(ContextKind::InvalidArg)?.split(' ').next()?;
    if value.is_empty() || why.contains(&format!("`{value}`")) {
        return Some(why);
    }
    match option.starts_with('-') {
        true => Some(format!("{option} `{value}`: {why}")),
        false => Some(format!("`{value}`: {why}")),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "imgb", &mut text);
    print_data(&String::from_utf8_lossy(&text))
}

fn man(dir: &std::path::Path) -> Result<(), Failure> {
    let written =
        fs_err::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Cli::command(), dir));
    written.map_err(|error| {
        Failure::local(format!("cannot write manual pages to `{}`: {error}", dir.display()))
    })
}
