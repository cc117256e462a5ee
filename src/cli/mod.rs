//! The command line: the only module that reads the environment and prints.

mod advice;
mod attach;
mod build;
mod cache;
mod check;
mod command;
mod copy;
mod deliver;
mod deps;
mod diff;
mod document_file;
mod documents;
mod environment;
mod failure;
mod file;
mod generated;
mod hints;
mod index;
mod inspect;
mod inspect_text;
mod load;
mod login;
mod next_step;
mod options;
mod overlap;
mod pack;
mod pack_trace;
mod parameters;
mod plan;
mod plan_text;
mod printable;
mod progress;
mod referrers;
mod refusal;
mod relayer;
mod rules;
mod run;
mod sbom;
mod size;
mod slim;
mod summary;
mod terminal;
mod timing;
mod trace;
mod trace_report;
mod transfers;
mod values;
mod warnings;
mod why;

use std::{os::unix::ffi::OsStrExt as _, path::Path, process::ExitCode, sync::Arc};

use clap::{
    ArgMatches, CommandFactory as _, FromArgMatches as _,
    error::{ContextKind, ContextValue},
};

use command::{Cli, Command};
use failure::{Failure, exit_code};

use crate::error_kind::ErrorKind;

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == crate::run::RUNNER) {
        let (stage, file) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        return ExitCode::from(crate::run::run_stage(&stage, Path::new(&file)));
    }
    // A write beyond the limit on file sizes (setrlimit(2)) then fails, which is reported.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
    let matches = Cli::command().try_get_matches_from(std::env::args_os());
    let parsed = matches.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return report_usage(error),
    };
    if is_quiet(&matches) {
        terminal::silence_notices();
    }
    let prints_json = cli.command.prints_json();
    match dispatch(cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => report(&failure, prints_json),
    }
}

/// Whether the command was given `--quiet`.
fn is_quiet(matches: &ArgMatches) -> bool {
    let options = matches.subcommand().map(|(_, options)| options);
    let quiet = options.and_then(|options| options.try_get_one("quiet").ok().flatten());
    quiet.copied().unwrap_or(false)
}

/// Prints `failure` on stderr, and as JSON on stdout where that is asked for; its exit code.
fn report(failure: &Failure, prints_json: bool) -> ExitCode {
    if !failure.is_silent() {
        terminal::print_lines(&failure.text());
    }
    if let Some(json) = failure.json().filter(|_| prints_json) {
        // If stdout is closed or full, nothing is left to report that with.
        let _ = terminal::print_json(json);
    }
    ExitCode::from(failure.exit_code())
}

/// Runs `command` and returns the exit code.
fn dispatch(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Pack(args) => pack::pack(*args)?,
        Command::Build(args) => build::build(*args)?,
        Command::Slim(args) => slim::slim(*args)?,
        Command::Plan(args) => plan::plan(*args)?,
        Command::Deps(args) => deps::deps(args)?,
        Command::Cache(args) => cache::cache(&args)?,
        Command::Index(args) => index::index(&args)?,
        Command::Check(args) => check::check(&args)?,
        Command::Run(args) => return run::run(&args),
        Command::Trace(args) => return trace::trace(&args),
        Command::Diff(args) => return diff::run(&args),
        Command::Sbom(args) => sbom::sbom(&args)?,
        Command::Why(args) => return why::why(&args),
        Command::Inspect(args) => inspect::inspect(&args)?,
        Command::Copy(args) => copy::copy(&args)?,
        Command::Push(args) => copy::push(&args)?,
        Command::Pull(args) => copy::pull(&args)?,
        Command::Load(args) => load::load(&args)?,
        Command::Attach(args) => attach::attach(&args)?,
        Command::Referrers(args) => referrers::referrers(&args)?,
        Command::Login(args) => login::login(&args)?,
        Command::Logout(args) => login::logout(&args)?,
        Command::Rules(args) => rules::rules(&args)?,
        Command::Completions { shell } => generated::completions(shell)?,
        Command::Man { dir } => generated::man(&dir)?,
    }
    Ok(0)
}

/// Prints help and versions on stdout with exit code 0, usage errors on stderr with exit code 2.
fn report_usage(mut error: clap::Error) -> ExitCode {
    if let Some(failure) = usage_failure(&error) {
        return report(&failure, false);
    }
    escape_context(&mut error);
    let code = if error.use_stderr() { exit_code(ErrorKind::Usage) } else { 0 };
    match error.print() {
        Ok(()) => ExitCode::from(code),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            report(&Failure::closed_pipe(), false)
        }
        Err(error) => report(&terminal::unwritable(&error), false),
    }
}

/// Escapes control characters in what `error` repeats of the command line, which may be the names
/// of files that a shell has put there.
fn escape_context(error: &mut clap::Error) {
    let escaped: Vec<(ContextKind, String)> = error
        .context()
        .filter_map(|(kind, value)| match value {
            ContextValue::String(text) => Some((kind, printable::printable(text))),
            _ => None,
        })
        .filter(|(kind, text)| error.get(*kind) != Some(&ContextValue::String(text.clone())))
        .collect();
    for (kind, text) in escaped {
        error.insert(kind, ContextValue::String(text));
        // They repeat the text.
        error.insert(ContextKind::Suggested, ContextValue::None);
    }
}

/// The failure for errors that clap does not explain well.
fn usage_failure(error: &clap::Error) -> Option<Failure> {
    match error.kind() {
        clap::error::ErrorKind::InvalidUtf8 => {
            let mut words = std::env::args_os();
            let word = words.find(|word| word.to_str().is_none()).unwrap_or_default();
            let word = crate::path::escape(word.as_bytes());
            let failure = Failure::usage(format!("the argument `{word}` is not UTF-8"));
            Some(failure.with_hint("rename the file, or name the directory that holds it"))
        }
        clap::error::ErrorKind::MissingRequiredArgument => {
            let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) else {
                return None;
            };
            let is_output = |name: &String| name.starts_with("--output ");
            (missing.len() == 1 && missing.iter().all(is_output)).then(|| {
                Failure::usage("nothing says where the image goes: add -o").with_hint(
                    "`-o - | docker load` (or `podman load`) loads it at once; `-o app.tar` \
                     writes a file for `docker load -i app.tar`",
                )
            })
        }
        _ => value_error(error).map(Failure::usage),
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
