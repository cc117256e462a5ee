//! Scripts that the user names or that rules add → their interpreters, and the evidence in their
//! text.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    depends::may_run,
    files,
    owners::{self, Owners},
    python::{self, Modules},
};
use crate::{
    elf::{Lookup as _, ReadFailure, script::Shebang},
    languages::{Languages, Perl, Variables, library_names, shell},
    ownership::Mentions,
    path::ImagePath,
    plan::{PlanError, Reason, builder::ImageBuilder, interpreters},
    rules::{Evidence, Facts, Mention},
};

/// Bytes of a script that are read.
const MAX_SCRIPT: usize = 256 << 10;
/// Files that are read for one script: itself, and what it reads with `.`, directly or not.
const MAX_SOURCED: usize = 16;
/// Modules of one Perl script that are looked for.
const MAX_MODULES: usize = 1000;
/// Commands of one script that do not exist.
const MAX_ABSENT: usize = 5;

/// Takes the interpreter of a script that a rule added, and notes it as a program. Nothing happens
/// if it does not exist: the image starts without it.
pub(super) fn take_interpreter(
    (script, line): (&ImagePath, &Shebang),
    dirs: &[ImagePath],
    facts: &mut Facts,
    builder: &mut ImageBuilder<'_>,
) -> Result<Vec<ImagePath>, PlanError> {
    // For `env NAME`, the interpreter is NAME: `env` itself is only the way to start it.
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

/// Records everything that a script packed by name reveals. The script is read once. Returns the
/// commands that it runs and that do not exist. Of a script of the sysroot, which may do without
/// much, only those count that are named by their paths.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn record(
    script: (&ImagePath, &Shebang),
    dirs: &[ImagePath],
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
    record_modules(script, &text, facts, builder)?;
    record_mentions((&path, &text), (facts, owners), builder)?;
    let absent = absent_commands(script, &text, dirs, builder)?;
    record_text_commands(script, (path, text), dirs, facts, builder)?;
    Ok(absent)
}

fn absent_commands(
    (script, line): (&ImagePath, &Shebang),
    text: &[u8],
    dirs: &[ImagePath],
    builder: &ImageBuilder<'_>,
) -> Result<BTreeSet<Vec<u8>>, ReadFailure> {
    let language = &Languages::builtin().shell;
    let mut absent = BTreeSet::new();
    if !is_for_shell(line) {
        return Ok(absent);
    }
    // What it reads may define functions.
    let mut lines = text.split(|&b| b == b'\n').map(<[u8]>::trim_ascii_start);
    let reads = lines.any(|line| line.starts_with(b". ") || line.starts_with(b"source "));
    let plain = builder.view.is_own(script) && !reads;
    for name in shell::names(text, language, &mut Variables::default()).commands {
        let counts = if name.contains(&b'/') { name.starts_with(b"/") } else { plain };
        if counts
            && shell::is_plain(&name)
            && !shell::asks_for(text, &name, language)
            && interpreters::find(&name, dirs, builder)?.is_err()
        {
            absent.insert(name);
        }
    }
    // So many are words of a text that was taken for commands.
    Ok(if absent.len() > MAX_ABSENT { BTreeSet::new() } else { absent })
}

/// Notes which interpreter a script of the sysroot has: the interpreter's installed packages may be
/// what the script needs. A script that the inputs bring counts if it loads one of them.
fn record_interpreter(
    (script, line): (&ImagePath, &Shebang),
    text: &[u8],
    facts: &mut Facts,
    builder: &ImageBuilder<'_>,
) -> Result<(), ReadFailure> {
    let name = interpreter_name(line);
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
    let statements = text
        .split(|&b| b == b'\n')
        .flat_map(|line| line.split(|&b| b == b';'))
        .map(<[u8]>::trim_ascii);
    let modules = statements.filter_map(|statement| {
        perl.imports.iter().find_map(|import| statement.strip_prefix(import.as_bytes()))
    });
    for rest in modules.take(MAX_MODULES) {
        let end = rest.iter().position(|b| !b.is_ascii_alphanumeric() && !b"_:".contains(b));
        let module = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let file = String::from_utf8_lossy(module).replace("::", "/") + &perl.source;
        for dir in &dirs {
            let path = [dir.as_bytes(), b"/", file.as_bytes()].concat();
            if builder.view.find(&path)?.is_ok() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Notes which installed packages a Python script needs.
fn record_modules(
    (script, line): (&ImagePath, &Shebang),
    text: &[u8],
    facts: &mut Facts,
    builder: &ImageBuilder<'_>,
) -> Result<(), ReadFailure> {
    let language = &Languages::builtin().python;
    if !interpreter_name(line).starts_with(language.interpreter.as_bytes()) {
        return Ok(());
    }
    note_modules(script, python::modules(text, language, builder)?, facts);
    Ok(())
}

/// Notes which installed packages the sources in the archive at `path` need, which import these
/// modules.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn record_imports(
    path: &ImagePath,
    imports: &BTreeSet<Vec<u8>>,
    facts: &mut Facts,
    builder: &ImageBuilder<'_>,
) -> Result<(), ReadFailure> {
    if !imports.is_empty() {
        let language = &Languages::builtin().python;
        note_modules(path, python::imported(imports.clone(), language, builder)?, facts);
    }
    Ok(())
}

fn note_modules(by: &ImagePath, found: Modules, facts: &mut Facts) {
    for (name, source) in found.libraries {
        facts.library_names.entry(name).or_insert(source);
    }
    for (module, paths) in found.paths {
        let known = facts.modules.entry(module.into()).or_default();
        for path in paths {
            known.entry(path.as_bytes().into()).or_insert_with(|| by.clone());
        }
    }
}

/// Notes what of its package a script of the sysroot mentions.
fn record_mentions(
    (path, text): (&ImagePath, &[u8]),
    (facts, owners): (&mut Facts, &mut Owners<'_>),
    builder: &ImageBuilder<'_>,
) -> Result<(), ReadFailure> {
    let Some(belongings) = owners.belongings(path, builder.view)? else { return Ok(()) };
    let mut mentions = Mentions::default();
    belongings.names().scan(text, &mut mentions);
    owners::note(facts, path, (&belongings, &mentions), builder.view)
}

/// The real path of a script and its text, up to [`MAX_SCRIPT`] bytes.
fn read(
    script: &ImagePath,
    builder: &ImageBuilder<'_>,
) -> Result<Option<(ImagePath, Vec<u8>)>, ReadFailure> {
    let Ok(found) = builder.view.find(script.as_bytes())? else { return Ok(None) };
    let text = builder.view.read(&found, MAX_SCRIPT)?;
    Ok(text.ok().map(|text| (found.path, text)))
}

/// The file name of a script's interpreter.
fn interpreter_name(line: &Shebang) -> &[u8] {
    let interpreter = line.command.as_ref().unwrap_or(&line.interpreter);
    interpreter.rsplit(|&b| b == b'/').next().unwrap_or_default()
}

/// Notes which of the sysroot's commands a script names, if a shell reads it.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn record_commands(
    script: (&ImagePath, &Shebang),
    dirs: &[ImagePath],
    facts: &mut Facts,
    builder: &ImageBuilder<'_>,
) -> Result<(), ReadFailure> {
    if !is_for_shell(script.1) {
        return Ok(());
    }
    match read(script.0, builder)? {
        Some(text) => record_text_commands(script, text, dirs, facts, builder),
        None => Ok(()),
    }
}

/// As [`record_commands`], for a script with this real path and text.
fn record_text_commands(
    (script, line): (&ImagePath, &Shebang),
    text: (ImagePath, Vec<u8>),
    dirs: &[ImagePath],
    facts: &mut Facts,
    builder: &ImageBuilder<'_>,
) -> Result<(), ReadFailure> {
    if !is_for_shell(line) {
        return Ok(());
    }
    let mut seen = BTreeSet::from([script.clone()]);
    let mut texts = vec![text];
    let mut variables = Variables::default();
    // What one text assigns may be a command in another: read all of them again with everything
    // that is assigned.
    let mut known = None;
    while known != Some((texts.len(), variables.count())) {
        known = Some((texts.len(), variables.count()));
        let mut at = 0;
        while let Some((path, text)) = texts.get(at) {
            let names = shell::names(text, &Languages::builtin().shell, &mut variables);
            for name in &names.commands | &names.assigned {
                record_command(script, name, dirs, (facts, builder))?;
            }
            let sourced = |name: &Vec<u8>| match name.contains(&b'/') {
                true => ImagePath::new(name).ok(),
                false => path.parent().and_then(|dir| dir.join(name).ok()),
            };
            for sourced in names.sourced.iter().filter_map(sourced).collect::<Vec<_>>() {
                if seen.len() < MAX_SOURCED && seen.insert(sourced.clone()) {
                    texts.extend(read(&sourced, builder)?);
                }
            }
            at += 1;
        }
    }
    Ok(())
}

/// Notes the commands of the sysroot in the command lines of programs, if the first command of the
/// line exists.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn record_lines(
    dirs: &[ImagePath],
    facts: &mut Facts,
    builder: &ImageBuilder<'_>,
) -> Result<(), ReadFailure> {
    for (line, by) in std::mem::take(&mut facts.command_lines) {
        let shell = &Languages::builtin().shell;
        let first = line.split(|&b| b == b' ').next().unwrap_or_default();
        if shell.builtins.contains(first) || interpreters::find(first, dirs, builder)?.is_err() {
            continue;
        }
        for name in shell::names(&line, shell, &mut Variables::default()).commands {
            let Ok((command, found)) = interpreters::find(&name, dirs, builder)? else { continue };
            let database = builder.view.packages()?;
            if database.is_some_and(|database| !may_run(database, &by, &found.path)) {
                continue;
            }
            let evidence = Arc::new(Evidence::CommandLine(line.clone()));
            let mention = Mention { by: by.clone(), evidence };
            let paths = facts.line_commands.entry(command.file_name().into()).or_default();
            paths.entry(command.as_bytes().into()).or_insert(mention);
        }
    }
    Ok(())
}

/// Notes a command of the sysroot that `script` names, unless it is in the image.
fn record_command(
    script: &ImagePath,
    name: Vec<u8>,
    dirs: &[ImagePath],
    (facts, builder): (&mut Facts, &ImageBuilder<'_>),
) -> Result<(), ReadFailure> {
    if let Ok((command, found)) = interpreters::find(&name, dirs, builder)?
        && !builder.has(&found.path)
    {
        let known = (command.as_bytes().into(), script.clone());
        facts.commands.entry(name.into()).or_insert(known);
    }
    Ok(())
}

pub(in crate::plan) fn is_for_shell(line: &Shebang) -> bool {
    Languages::builtin().shell.interpreters.contains(interpreter_name(line))
}
