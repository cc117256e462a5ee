//! Scripts that are named or come by rules → their interpreters, and the commands that shell scripts name.

use std::collections::BTreeSet;

use super::shell;
use crate::{
    elf::{Lookup as _, script::Shebang},
    path::ImagePath,
    plan::{PlanError, Reason, image::Growing, interpreters},
    rules::Evidence,
};

/// Bytes of a script that are read.
const MAX_SCRIPT: usize = 256 << 10;
/// Files that one script reads with `.`, one by another.
const MAX_SOURCED: usize = 16;
/// Names under which shells go.
const SHELLS: &[&[u8]] = &[b"sh", b"dash", b"bash", b"ash", b"ksh", b"mksh", b"zsh", b"busybox"];

/// Takes the interpreter of a script that came by a rule, and notes it as a program. Nothing where it is not
/// there: the image starts without.
pub(super) fn interpreter(
    (script, line): (&ImagePath, &Shebang),
    dirs: &[ImagePath],
    evidence: &mut Evidence,
    growing: &mut Growing<'_>,
) -> Result<Vec<ImagePath>, PlanError> {
    // What `env` starts is known by its name; that `env` itself starts it is a matter of how it is called.
    let wanted = line.command.as_ref().unwrap_or(&line.interpreter);
    let Ok((path, found)) = interpreters::find(wanted, dirs, growing) else { return Ok(Vec::new()) };
    if !growing.has(&found.path) {
        growing.take(&found, Reason::Interpreter(script.clone()))?;
        evidence.programs.insert(path.clone(), found.path);
        return Ok(vec![path]);
    }
    Ok(Vec::new())
}

/// Notes which interpreter a script of the sysroot has: its packages are what the script is written for.
pub(super) fn language(
    (script, line): (&ImagePath, &Shebang),
    evidence: &mut Evidence,
    growing: &Growing<'_>,
) {
    if !growing.view.is_own(script) {
        evidence.scripts.entry(name(line).into()).or_insert_with(|| script.clone());
    }
}

/// The file name of what runs a script.
fn name(line: &Shebang) -> &[u8] {
    let interpreter = line.command.as_ref().unwrap_or(&line.interpreter);
    interpreter.rsplit(|&b| b == b'/').next().unwrap_or_default()
}

/// Notes which of the sysroot's commands a script names, if a shell reads it.
pub(super) fn commands(
    (script, line): (&ImagePath, &Shebang),
    dirs: &[ImagePath],
    evidence: &mut Evidence,
    growing: &Growing<'_>,
) {
    if !SHELLS.contains(&name(line)) {
        return;
    }
    let (mut left, mut seen) = (vec![script.clone()], BTreeSet::new());
    while let Some(path) = left.pop() {
        if seen.len() == MAX_SOURCED || !seen.insert(path.clone()) {
            continue;
        }
        let Ok(found) = growing.view.find(path.as_bytes()) else { continue };
        let Ok(text) = growing.view.read(&found, MAX_SCRIPT) else { continue };
        let names = shell::names(&text);
        for name in names.commands {
            if let Ok((command, found)) = interpreters::find(&name, dirs, growing)
                && !growing.has(&found.path)
            {
                let known = (command.as_bytes().into(), script.clone());
                evidence.commands.entry(name.into()).or_insert(known);
            }
        }
        let beside = |name: &Vec<u8>| match name.contains(&b'/') {
            true => ImagePath::new(name).ok(),
            false => found.path.parent()?.join(name).ok(),
        };
        left.extend(names.sourced.iter().filter_map(beside));
    }
}
