//! What the image's health check runs. The image starts without it, and an engine then calls it
//! unhealthy.

use super::{Finding, Findings, Subject, start};
use crate::{
    elf::ReadFailure,
    languages::{Languages, Variables, shell},
    process::locate,
};

/// What runs a line if the image does not say it (Docker's `SHELL`).
const SHELL: &str = "/bin/sh";

/// Checks the program of the health check, or its shell and the commands that this runs.
pub(super) fn prove(subject: &Subject<'_>, findings: &mut Findings) -> Result<(), ReadFailure> {
    let Some(health) = &subject.config.healthcheck else { return Ok(()) };
    let (kind, words) = match &health.test[..] {
        [kind, words @ ..] => (&**kind, words),
        [] => return Ok(()),
    };
    let shell = subject.config.shell.as_ref().and_then(|words| words.first());
    let program = match kind {
        "CMD" => words.first().map(|word| &**word),
        "CMD-SHELL" => Some(shell.map_or(SHELL, |shell| shell)),
        _ => None,
    };
    let Some(program) = program else { return Ok(()) };
    let mut found = Findings::default();
    start::prove_program(subject, program.as_bytes(), &mut found)?;
    if kind == "CMD-SHELL" {
        for line in words {
            commands(subject, line, &mut found)?;
        }
    }
    for fault in found.lists().0 {
        findings.warn(Finding::Health(Box::new(fault)));
    }
    Ok(())
}

/// Checks that the image has the commands of a line.
fn commands(subject: &Subject<'_>, line: &str, findings: &mut Findings) -> Result<(), ReadFailure> {
    let language = &Languages::builtin().shell;
    let workdir = subject.config.workdir.as_deref().unwrap_or("/");
    for name in shell::names(line.as_bytes(), language, &mut Variables::default()).commands {
        if !shell::is_plain(&name) || shell::asks_for(line.as_bytes(), &name, language) {
            continue;
        }
        let located = locate(subject.view, &name, workdir, subject.config.path())?;
        if let Err(searched) = located {
            let name = String::from_utf8_lossy(&name).into_owned();
            findings.fault(Finding::Command { name, searched });
        }
    }
    Ok(())
}
