//! `imgb pack --trace`: runs commands in the planned image, and adds what they ask for.

use std::time::Duration;

use clap::Args;

use super::{
    environment::scratch,
    failure::Failure,
    options::run_overrides::PIDS_LIMIT,
    run::run_failure,
    terminal::print_message,
    trace::{Serve, report, serving},
    values::{self, Words},
};
use crate::{
    error_kind::ErrorKind,
    path::escape,
    pipeline::{self, Event, PackRequest, Planned},
    plan::Include,
    quantity,
    run::{self, RunOptions, Runtime, TIMED_OUT},
    trace::{self, Report, Watched},
};

/// How often all commands are run: what is added may make them ask for more.
const ROUNDS: usize = 5;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Args, Debug)]
pub(super) struct TraceOptions {
    /// Run this command in the image, in the sandbox of `imgb trace`, and add what it asks for,
    /// until it runs without missing anything (repeatable)
    #[arg(long, value_name = "COMMAND", value_parser = values::words, help_heading = "Inputs")]
    trace: Vec<Words>,

    /// How long a command of --trace may run, such as 10s; then it is ended, and what it asked for
    /// is added [default: 60s]
    #[arg(
        long,
        value_name = "TIME",
        requires = "trace",
        value_parser = values::duration,
        help_heading = "Inputs"
    )]
    trace_timeout: Option<Duration>,
}

/// Runs the commands in the image of `planned`, which is the answer to `request`, and plans again
/// with what they ask for, until each runs and misses nothing. Without commands nothing is run.
pub(super) fn complete(
    mut planned: Planned,
    request: &mut PackRequest,
    options: &TraceOptions,
    is_quiet: bool,
    event: &dyn Fn(Event),
) -> Result<Planned, Failure> {
    if options.trace.is_empty() {
        return Ok(planned);
    }
    for round in 1..=ROUNDS {
        let mut added = Vec::new();
        for words in &options.trace {
            let warns = round == 1 && !is_quiet;
            let files = trace(words, &planned, options.trace_timeout, warns)?;
            added.extend(files.into_iter().filter(|file| !request.plan.include.contains(file)));
        }
        if added.is_empty() {
            return Ok(planned);
        }
        request.plan.include.extend(added);
        planned = pipeline::plan(request, event)?;
    }
    let message = format!("the commands of --trace ask for other files in each of {ROUNDS} runs");
    let hint = "use `imgb trace -o LIST` and `imgb pack --include-from LIST`, and check the list";
    Err(Failure::new(ErrorKind::Build, message).with_hint(hint))
}

/// Runs one command in the image of `plan`, and returns what it asked for and got.
fn trace(
    words: &Words,
    Planned { plan, sysroot, .. }: &Planned,
    timeout: Option<Duration>,
    warns: bool,
) -> Result<Vec<Include>, Failure> {
    let text = format!("--trace `{}`", shell_words::join(&words.0));
    let mut config = plan.config.clone();
    (config.entrypoint, config.cmd) = (Some(words.0.clone()), None);
    let how = RunOptions {
        args: Vec::new(),
        env: Vec::new(),
        memory: None,
        processes: PIDS_LIMIT,
        risky_syscalls: false,
        timeout: Some(timeout.unwrap_or(DEFAULT_TIMEOUT)),
        read_only: false,
        scratch: scratch(),
        runtime: Runtime::Own,
    };
    let tree = plan.merged();
    let sysroot = sysroot.files(&plan.base);
    let watch = run::watch(&tree, &config, &how, serving(sysroot, Serve::Public))
        .map_err(|error| run_failure(error).with_kind(ErrorKind::Build))?;
    let report = report(&watch, Watched::InImage, sysroot, Some(&tree))?;
    match watch.ended.code {
        0 | TIMED_OUT => {}
        code => {
            let hint = "find out why with `imgb trace IMAGE -- …`, or leave --trace out";
            let message = format!("{text} ended with exit code {code}");
            return Err(Failure::new(ErrorKind::Build, message).with_hint(hint));
        }
    }
    if warns {
        for note in &watch.ended.notes {
            print_message(&format!("warning: {text}: {note}"));
        }
        warn_of_withheld(&text, &report);
    }
    let served = report.missing.iter().filter(|file| file.withheld.is_none());
    let include = |path| Include::new(path, format!("--trace {}", shell_words::join(&words.0)));
    Ok(served.filter_map(|file| include(trace::include_path(file)).ok()).collect())
}

/// Says which files the command asked for and did not get.
fn warn_of_withheld(text: &str, report: &Report) {
    let withheld: Vec<_> = report
        .confidential
        .iter()
        .chain(&report.missing)
        .filter_map(|file| Some(format!("{} ({})", escape(&file.path), file.withheld.as_ref()?)))
        .collect();
    if !withheld.is_empty() {
        let count = quantity::count(withheld.len(), "file");
        let list = withheld.join(", ");
        print_message(&format!("warning: {text} asked for {count} that it did not get: {list}"));
    }
}
