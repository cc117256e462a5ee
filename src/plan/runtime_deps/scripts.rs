//! Scripts that are named or come by rules → their interpreters, and the commands that shell
//! scripts name.

use std::collections::BTreeSet;

use super::{files, python, shell};
use crate::{
    elf::{Lookup as _, ReadFailure, script::Shebang},
    path::ImagePath,
    plan::{PlanError, Reason, builder::ImageBuilder, interpreters},
    rules::{Facts, is_named_after},
};

/// Bytes of a script that are read.
const MAX_SCRIPT: usize = 256 << 10;
/// Files that one script reads with `.`, one by another.
const MAX_SOURCED: usize = 16;
/// Modules of one Perl script that are looked for.
const MAX_MODULES: usize = 1000;
/// Bytes of a path that a script names, and paths of all scripts.
const MAX_PATH: usize = 512;
const MAX_NAME_MATCHES: usize = 10_000;
/// Names under which shells go.
const SHELLS: &[&[u8]] = &[b"sh", b"dash", b"bash", b"ash", b"ksh", b"mksh", b"zsh", b"busybox"];

/// Takes the interpreter of a script that came by a rule, and notes it as a program. Nothing where
/// it is not there: the image starts without.
pub(super) fn take_interpreter(
    (script, line): (&ImagePath, &Shebang),
    dirs: &[ImagePath],
    facts: &mut Facts,
    builder: &mut ImageBuilder<'_>,
) -> Result<Vec<ImagePath>, PlanError> {
    // What `env` starts is known by its name; that `env` itself starts it is a matter of how it is
    // called.
    let wanted = line.command.as_ref().unwrap_or(&line.interpreter);
    let Ok((path, found)) = interpreters::find(wanted, dirs, builder)? else {
        return Ok(Vec::new());
    };
    if !builder.has(&found.path) {
        builder.take(&found, Reason::Interpreter(script.clone()))?;
        facts.programs.insert(path.clone(), found.path);
        return Ok(vec![path]);
    }
    Ok(Vec::new())
}

/// Notes which interpreter a script of the sysroot has: its packages are what the script is written
/// for. So are they for a script of the user's that asks for one.
pub(super) fn record_interpreter(
    (script, line): (&ImagePath, &Shebang),
    facts: &mut Facts,
    builder: &ImageBuilder<'_>,
) -> Result<(), ReadFailure> {
    let installed = !builder.view.is_own(script);
    if installed
        || (interpreter_name(line).starts_with(b"perl") && uses_perl_packages(script, builder)?)
    {
        facts.scripts.entry(interpreter_name(line).into()).or_insert_with(|| script.clone());
    }
    Ok(())
}

/// Whether a Perl script loads a module that is installed system-wide, beside Perl's own: with it
/// may come drivers that no line names.
fn uses_perl_packages(script: &ImagePath, builder: &ImageBuilder<'_>) -> Result<bool, ReadFailure> {
    let Some(text) = text(script, builder)? else { return Ok(false) };
    let mut dirs = files::expand(b"/usr/share/perl5", builder)?;
    dirs.extend(files::expand(b"/usr/lib*/*/perl5/5.*", builder)?);
    dirs.extend(files::expand(b"/usr/local/share/perl/5.*", builder)?);
    let lines = text
        .split(|&b| b == b'\n')
        .flat_map(|line| line.split(|&b| b == b';'))
        .map(<[u8]>::trim_ascii);
    let words = lines
        .filter_map(|line| line.strip_prefix(b"use ").or_else(|| line.strip_prefix(b"require ")));
    for rest in words.take(MAX_MODULES) {
        let end = rest.iter().position(|b| !b.is_ascii_alphanumeric() && !b"_:".contains(b));
        let module = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let file = String::from_utf8_lossy(module).replace("::", "/") + ".pm";
        for dir in &dirs {
            let path = [dir.as_bytes(), b"/", file.as_bytes()].concat();
            if builder.view.find(&path)?.is_ok() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Notes which installed packages a Python script needs, whoever's it is.
pub(super) fn record_modules(
    (script, line): (&ImagePath, &Shebang),
    facts: &mut Facts,
    builder: &ImageBuilder<'_>,
) -> Result<(), ReadFailure> {
    if !interpreter_name(line).starts_with(b"python") {
        return Ok(());
    }
    let Some(text) = text(script, builder)? else { return Ok(()) };
    for (module, paths) in python::modules(&text, builder)?.paths {
        let known = facts.modules.entry(module.into()).or_default();
        for path in paths {
            known.entry(path.as_bytes().into()).or_insert_with(|| script.clone());
        }
    }
    Ok(())
}

/// Notes the paths of the sysroot that a script of the sysroot names and that bear its name, as
/// those in the constants of programs: debootstrap's `/usr/share/debootstrap`.
pub(super) fn record_name_matches(
    script: &ImagePath,
    facts: &mut Facts,
    builder: &ImageBuilder<'_>,
) -> Result<(), ReadFailure> {
    if builder.view.is_own(script) {
        return Ok(());
    }
    let Some(text) = text(script, builder)? else { return Ok(()) };
    let in_path = |b: &u8| b.is_ascii_alphanumeric() || b"/._+-".contains(b);
    for word in
        text.split(|b| !in_path(b)).filter(|word| word.starts_with(b"/") && word.len() < MAX_PATH)
    {
        let own = is_named_after(word, script.file_name());
        if own && facts.namesakes.len() < MAX_NAME_MATCHES && builder.view.find(word)?.is_ok() {
            facts.namesakes.entry(word.into()).or_insert_with(|| script.clone());
        }
    }
    Ok(())
}

/// What a script says, as much of it as is looked at.
fn text(script: &ImagePath, builder: &ImageBuilder<'_>) -> Result<Option<Vec<u8>>, ReadFailure> {
    let Ok(found) = builder.view.find(script.as_bytes())? else { return Ok(None) };
    Ok(builder.view.read(&found, MAX_SCRIPT)?.ok())
}

/// The file name of what runs a script.
fn interpreter_name(line: &Shebang) -> &[u8] {
    let interpreter = line.command.as_ref().unwrap_or(&line.interpreter);
    interpreter.rsplit(|&b| b == b'/').next().unwrap_or_default()
}

/// Notes which of the sysroot's commands a script names, if a shell reads it.
pub(super) fn record_commands(
    (script, line): (&ImagePath, &Shebang),
    dirs: &[ImagePath],
    facts: &mut Facts,
    builder: &ImageBuilder<'_>,
) -> Result<(), ReadFailure> {
    if !SHELLS.contains(&interpreter_name(line)) {
        return Ok(());
    }
    let (mut left, mut seen) = (vec![script.clone()], BTreeSet::new());
    while let Some(path) = left.pop() {
        if seen.len() == MAX_SOURCED || !seen.insert(path.clone()) {
            continue;
        }
        let Ok(found) = builder.view.find(path.as_bytes())? else { continue };
        let Ok(text) = builder.view.read(&found, MAX_SCRIPT)? else { continue };
        let names = shell::names(&text);
        for name in names.commands {
            if let Ok((command, found)) = interpreters::find(&name, dirs, builder)?
                && !builder.has(&found.path)
            {
                let known = (command.as_bytes().into(), script.clone());
                facts.commands.entry(name.into()).or_insert(known);
            }
        }
        let beside = |name: &Vec<u8>| match name.contains(&b'/') {
            true => ImagePath::new(name).ok(),
            false => found.path.parent()?.join(name).ok(),
        };
        left.extend(names.sourced.iter().filter_map(beside));
    }
    Ok(())
}
