//! Scripts that the user names or that rules add → their interpreters, and the evidence in their
//! text.

use std::collections::BTreeSet;

use super::{
    commands::{self, read},
    files,
    owners::{self, Owners},
    perl::PerlModules,
    python::{self, Modules},
};
use crate::{
    elf::{Lookup as _, ReadFailure, script::Shebang},
    languages::{
        Languages, Perl, Variables,
        calls::{self, Started},
        library_names,
        perl::loaded,
        python::started_modules,
        tcl,
    },
    ownership::Mentions,
    path::ImagePath,
    plan::{PlanError, Reason, builder::ImageBuilder, interpreters},
    rules::Facts,
};

/// Modules of one Perl script that are looked for.
const MAX_MODULES: usize = 1000;

/// Takes the interpreter of a script that a rule added, and notes it as a program unless the
/// modules that the script loads are all that it needs. Nothing happens if it does not exist: the
/// image starts without it.
pub(super) fn take_interpreter(
    (script, line): (&ImagePath, &Shebang),
    dirs: &[ImagePath],
    (facts, perl): (&mut Facts, &mut PerlModules),
    builder: &mut ImageBuilder<'_>,
) -> Result<Vec<ImagePath>, PlanError> {
    // For `env NAME`, the interpreter is NAME: `env` itself is only the way to start it.
    let wanted = line.command.as_ref().unwrap_or(&line.interpreter);
    let Ok((path, found)) = interpreters::find(wanted, dirs, builder)? else {
        return Ok(Vec::new());
    };
    let mut new = Vec::new();
    if !builder.has(&found.path) {
        builder.take(&found, Reason::Interpreter(script.clone()))?;
        if !perl.follow(line, &found.path) {
            facts.programs.insert(path.clone(), found.path);
        }
        new.push(path);
    }
    perl.add_script((script, line), facts, builder)?;
    Ok(new)
}

/// Records everything that a script packed by name reveals. The script is read once. Returns the
/// commands that it runs and that do not exist. Of a script of the sysroot, which may do without
/// much, only those count that are named by their paths.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn record(
    script: (&ImagePath, &Shebang),
    (dirs, exported): (&[ImagePath], &mut Variables),
    (facts, owners): (&mut Facts, &mut Owners<'_>),
    builder: &ImageBuilder<'_>,
) -> Result<BTreeSet<Vec<u8>>, ReadFailure> {
    let Some((path, text)) = read(script.0, builder)? else {
        record_interpreter(script, b"", facts, builder)?;
        return Ok(BTreeSet::new());
    };
    record_interpreter(script, &text, facts, builder)?;
    for name in library_names::in_source(&text, &Languages::builtin().texts) {
        facts.library_names.entry(name.into()).or_insert_with(|| path.clone());
    }
    record_modules(script, (&path, &text), (&mut *facts, &mut *owners), builder)?;
    record_mentions((&path, script.1, &text), (facts, owners), builder)?;
    if !is_for_shell(script.1) {
        commands::record_started((&path, started(script.1, &text)), dirs, facts, builder)?;
        return Ok(BTreeSet::new());
    }
    let modules = started_modules(&text, &Languages::builtin().python);
    record_imports(script.0, &modules, (facts, owners), builder)?;
    let absent = commands::absent(script.0, &text, dirs, builder)?;
    let by = (commands::By::Named, exported);
    commands::record(script.0, (path, text), by, dirs, (facts, builder))?;
    Ok(absent)
}

/// What a script in another language than that of a shell starts.
fn started(line: &Shebang, text: &[u8]) -> Started {
    let languages = Languages::builtin();
    let mut started = calls::started(text, &languages.calls);
    if languages.tcl.is_interpreter(line.interpreter_name()) {
        started.lines.extend(tcl::started(text));
    }
    started
}

/// Notes which interpreter a script of the sysroot has: the interpreter's installed packages may be
/// what the script needs. A script that the inputs bring counts if it loads one of them.
fn record_interpreter(
    (script, line): (&ImagePath, &Shebang),
    text: &[u8],
    facts: &mut Facts,
    builder: &ImageBuilder<'_>,
) -> Result<(), ReadFailure> {
    let name = line.interpreter_name();
    let perl = &Languages::builtin().perl;
    let uses_packages = || {
        let is_perl = name.starts_with(perl.interpreter.as_bytes());
        Ok::<_, ReadFailure>(is_perl && loads_package(text, perl, builder)?)
    };
    if !builder.view.is_own(script) || uses_packages()? {
        facts.scripts.entry(name.into()).or_insert_with(|| script.clone());
    }
    Ok(())
}

/// Whether a Perl script loads a module that is installed system-wide and not Perl's own: drivers
/// that no line names may come with it.
fn loads_package(
    text: &[u8],
    perl: &Perl,
    builder: &ImageBuilder<'_>,
) -> Result<bool, ReadFailure> {
    let mut dirs = Vec::new();
    for pattern in &perl.packages {
        dirs.extend(files::expand(pattern.as_bytes(), builder)?);
    }
    for file in loaded(text, perl).files.iter().take(MAX_MODULES) {
        for dir in &dirs {
            let path = [dir.as_bytes(), b"/", file].concat();
            if builder.view.find(&path)?.is_ok() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Notes which installed packages a Python script needs, whose real path and text are given.
fn record_modules(
    (script, line): (&ImagePath, &Shebang),
    text: (&ImagePath, &[u8]),
    (facts, owners): (&mut Facts, &mut Owners<'_>),
    builder: &ImageBuilder<'_>,
) -> Result<(), ReadFailure> {
    if !is_for_python(line) {
        return Ok(());
    }
    let found = python::modules(text, &Languages::builtin().python, (owners, builder))?;
    note_modules(script, found, (facts, builder))
}

/// Notes which installed packages the sources in the archive at `path` need, which import these
/// modules.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn record_imports(
    path: &ImagePath,
    imports: &BTreeSet<Vec<u8>>,
    (facts, owners): (&mut Facts, &mut Owners<'_>),
    builder: &ImageBuilder<'_>,
) -> Result<(), ReadFailure> {
    if !imports.is_empty() {
        let language = &Languages::builtin().python;
        let found = python::imported(imports.clone(), language, (owners, builder))?;
        note_modules(path, found, (facts, builder))?;
    }
    Ok(())
}

fn note_modules(
    by: &ImagePath,
    found: Modules,
    (facts, builder): (&mut Facts, &ImageBuilder<'_>),
) -> Result<(), ReadFailure> {
    for (source, belongings, mentions) in &found.mentions {
        owners::note(facts, (source, false), (belongings, mentions), builder.view)?;
    }
    for (line, source) in found.lines {
        facts.command_lines.entry(line.into()).or_insert((source, false));
    }
    for (path, source) in &found.programs {
        commands::record_quoted((source, path), facts, builder)?;
    }
    for (name, source) in found.libraries {
        facts.library_names.entry(name).or_insert(source);
    }
    for (module, paths) in found.paths {
        let known = facts.modules.entry(module.into()).or_default();
        for path in paths {
            known.entry(path.as_bytes().into()).or_insert_with(|| by.clone());
        }
    }
    Ok(())
}

/// Notes what of its package a script of the sysroot mentions.
fn record_mentions(
    (path, line, text): (&ImagePath, &Shebang, &[u8]),
    (facts, owners): (&mut Facts, &mut Owners<'_>),
    builder: &ImageBuilder<'_>,
) -> Result<(), ReadFailure> {
    let Some(belongings) = owners.belongings(path, builder.view)? else { return Ok(()) };
    let mut mentions = match is_for_python(line) {
        true => Mentions::of_prose(),
        false => Mentions::default(),
    };
    belongings.names().scan(text, &mut mentions);
    owners::note(facts, (path, false), (&belongings, &mentions), builder.view)
}

fn is_for_python(line: &Shebang) -> bool {
    line.interpreter_name().starts_with(Languages::builtin().python.interpreter.as_bytes())
}

pub(in crate::plan) fn is_for_shell(line: &Shebang) -> bool {
    Languages::builtin().shell.interpreters.contains(line.interpreter_name())
}
