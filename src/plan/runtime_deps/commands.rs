//! Scripts, and command lines among the constants of programs → the commands that they run.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    depends::{depends_on_command, is_authors, is_of_each_system, may_run},
    survey::Survey,
};
use crate::{
    elf::{Found, Lookup as _, ReadFailure},
    languages::{Languages, Variables, calls::Started, shell},
    ownership::{Startable, Startables, is_command},
    path::ImagePath,
    plan::{builder::ImageBuilder, interpreters},
    rules::{Evidence, Facts, Mention},
    view::View,
};

/// Bytes of a script that are read.
const MAX_SCRIPT: usize = 256 << 10;
/// Files that are read for one script: itself, and what it reads with `.`, directly or not.
const MAX_SOURCED: usize = 16;
/// Commands of one script that do not exist.
const MAX_ABSENT: usize = 5;

/// Who brings a script, which says how much its commands count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// The user names it: what it runs is needed.
    Named,
    /// A script that the user names cannot do without it: what its package depends on is needed.
    Needed,
    /// A rule that is about its program.
    Rule,
    /// A rule that guesses which files belong to a program: only those commands count that each
    /// system has or that the script's package depends on.
    Guess,
}

/// The commands that a script for a shell runs and that do not exist. Of a script of the sysroot,
/// which may do without much, only those count that are named by their paths.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn absent(
    script: &ImagePath,
    text: &[u8],
    dirs: &[ImagePath],
    builder: &ImageBuilder<'_>,
) -> Result<BTreeSet<Vec<u8>>, ReadFailure> {
    let language = &Languages::builtin().shell;
    let mut absent = BTreeSet::new();
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

/// The real path of a script and its text, up to [`MAX_SCRIPT`] bytes.
pub(super) fn read(
    script: &ImagePath,
    builder: &ImageBuilder<'_>,
) -> Result<Option<(ImagePath, Vec<u8>)>, ReadFailure> {
    let Ok(found) = builder.view.find(script.as_bytes())? else { return Ok(None) };
    let text = builder.view.read(&found, MAX_SCRIPT)?;
    Ok(text.ok().map(|text| (found.path, text)))
}

/// Notes which of the sysroot's commands a script for a shell names. `exported` are the variables
/// that the scripts before it have; those of a script that the user names are added.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn record(
    script: &ImagePath,
    text: (ImagePath, Vec<u8>),
    (by, exported): (By, &mut Variables),
    dirs: &[ImagePath],
    (facts, builder): (&mut Facts, &ImageBuilder<'_>),
) -> Result<(), ReadFailure> {
    let language = &Languages::builtin().shell;
    let mut seen = BTreeSet::from([script.clone()]);
    let is_authors = builder.view.is_own(script) || is_authors(&text.0, builder.view)?;
    let mut variables = exported.clone();
    if let Some(dir) = script.parent() {
        variables.set_own_directory(dir.as_bytes());
    }
    let mut texts = vec![text];
    // What one text assigns may be a command in another: read all of them again with everything
    // that is assigned.
    let mut known = None;
    while known != Some((texts.len(), variables.count())) {
        known = Some((texts.len(), variables.count()));
        let mut at = 0;
        while let Some((path, text)) = texts.get(at) {
            let names = shell::names(text, language, &mut variables);
            for name in &names.commands | &names.assigned {
                let executes = names.executed.contains(&name);
                let asks = || shell::asks_for(text, &name, language);
                let may_need = executes || is_authors;
                let needs = by == By::Named && may_need && !asks();
                record_command((script, by), (&name, needs), dirs, (facts, builder))?;
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
    if by == By::Named {
        *exported = variables;
    }
    Ok(())
}

/// Notes a command of the sysroot that `script` names, unless it is in the image.
fn record_command(
    (script, by): (&ImagePath, By),
    (name, needs): (&[u8], bool),
    dirs: &[ImagePath],
    (facts, builder): (&mut Facts, &ImageBuilder<'_>),
) -> Result<(), ReadFailure> {
    let Ok((command, found)) = interpreters::find(name, dirs, builder)? else { return Ok(()) };
    if builder.has(&found.path) {
        note_interpreter((&command, &found), facts);
        // Nothing says that a script is started which only comes with its directory.
        facts.started.extend((by != By::Guess).then_some(found.path));
        return Ok(());
    }
    let depends = match builder.view.packages()? {
        Some(database) => depends_on_command(database, script, (&command, &found.path)),
        None => false,
    };
    let is_bounded = matches!(by, By::Guess | By::Needed);
    if is_bounded && !depends && !is_of_each_system(&found.path, builder.view)? {
        return Ok(());
    }
    let known = (command.as_bytes().into(), script.clone());
    let commands = match needs || (depends && matches!(by, By::Named | By::Needed)) {
        true => &mut facts.needed_commands,
        false => &mut facts.commands,
    };
    commands.entry(name.into()).or_insert(known);
    Ok(())
}

/// Notes the commands of the sysroot that a script in another language than that of a shell starts,
/// which is what its text says.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn record_started(
    (script, started): (&ImagePath, Started),
    dirs: &[ImagePath],
    facts: &mut Facts,
    builder: &ImageBuilder<'_>,
) -> Result<(), ReadFailure> {
    for line in started.lines {
        record_line((script, Counts::Meant, &line), dirs, facts, builder)?;
    }
    let Some(database) = builder.view.packages()? else { return Ok(()) };
    for word in started.words {
        let Ok((command, found)) = interpreters::find(&word, dirs, builder)? else { continue };
        // Its interpreter, among others.
        if builder.has(&found.path) {
            continue;
        }
        // No package depends on what each system has.
        if depends_on_command(database, script, (&command, &found.path))
            || (started.by_variable && is_of_each_system(&found.path, builder.view)?)
        {
            note_line((script, &word), (&command, &found), facts);
        }
    }
    Ok(())
}

/// Notes the program whose path `quoted` the source `by` has, if each system has it or the package
/// of the source depends on its package. What only starts other programs (`env`) does not count.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn record_quoted(
    (by, quoted): (&ImagePath, &[u8]),
    facts: &mut Facts,
    builder: &ImageBuilder<'_>,
) -> Result<(), ReadFailure> {
    let Some(database) = builder.view.packages()? else { return Ok(()) };
    let Ok((command, found)) = interpreters::find(quoted, &[], builder)? else { return Ok(()) };
    if is_command(&command)
        && !Languages::builtin().shell.starters.contains(command.file_name())
        && !builder.has(&found.path)
        && (depends_on_command(database, by, (&command, &found.path))
            || is_of_each_system(&found.path, builder.view)?)
    {
        note_line((by, quoted), (&command, &found), facts);
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
    for (line, (by, own)) in std::mem::take(&mut facts.command_lines) {
        let counts = match own {
            false => Counts::Asked,
            true if shell::is_command_line(&line) => Counts::Meant,
            true => Counts::Guessed,
        };
        record_line((&by, counts, &line), dirs, facts, builder)?;
    }
    Ok(())
}

/// Which commands of a line count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    /// Those that its package depends on or recommends, and those that each system has. Without
    /// packages, all.
    Meant,
    /// Those that its package depends on, and those that each system has: it may be prose.
    Guessed,
    /// Those that its package depends on: it is in a library, or in what starts programs without a
    /// shell.
    Asked,
}

/// Notes the commands of the sysroot in one command line, if the first of them exists.
fn record_line(
    (by, counts, line): (&ImagePath, Counts, &[u8]),
    dirs: &[ImagePath],
    facts: &mut Facts,
    builder: &ImageBuilder<'_>,
) -> Result<(), ReadFailure> {
    let shell = &Languages::builtin().shell;
    let mut words = line.split(|&b| b == b' ').filter(|word| *word != shell.replaces.as_bytes());
    let first = words.next().unwrap_or_default();
    if shell.builtins.contains(first) || interpreters::find(first, dirs, builder)?.is_err() {
        return Ok(());
    }
    for name in shell::names(line, shell, &mut Variables::default()).commands {
        let Ok((command, found)) = interpreters::find(&name, dirs, builder)? else { continue };
        if builder.has(&found.path) {
            if counts == Counts::Meant {
                note_interpreter((&command, &found), facts);
                facts.started.insert(found.path);
            }
            continue;
        }
        let may_run = match (builder.view.packages()?, counts) {
            (Some(database), Counts::Meant) => may_run(database, by, (&command, &found.path)),
            (Some(database), _) => {
                let is_basic = is_of_each_system(&found.path, builder.view)?;
                (counts == Counts::Guessed && is_basic)
                    || depends_on_command(database, by, (&command, &found.path))
            }
            // Without packages nothing speaks against what a program itself names.
            (None, Counts::Meant) => true,
            (None, Counts::Asked) => facts.programs.values().any(|program| program == by),
            (None, Counts::Guessed) => false,
        };
        if !may_run {
            continue;
        }
        note_line((by, line), (&command, &found), facts);
    }
    Ok(())
}

fn note_line(
    (by, line): (&ImagePath, &[u8]),
    (command, found): (&ImagePath, &Found),
    facts: &mut Facts,
) {
    let evidence = Arc::new(Evidence::CommandLine(line.into()));
    let mention = Mention { by: by.clone(), evidence };
    let name = found.path.file_name().into();
    let paths = facts.line_commands.entry(name).or_default();
    paths.entry(command.as_bytes().into()).or_insert(mention);
}

/// Notes the programs that `by` mentions and starts: those that are `startable` by their names, and
/// by their paths those of packages that its own depends on.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn record_programs(
    by: &ImagePath,
    (survey, startable): (&Survey<'_>, &Startables),
    facts: &mut Facts,
    view: &View<'_>,
) -> Result<(), ReadFailure> {
    let mut note = |name: &[u8], path: &ImagePath| {
        let paths = facts.own_programs.entry(path.file_name().into()).or_default();
        let evidence = Arc::new(Evidence::Starts(name.into()));
        paths.entry(path.as_bytes().into()).or_insert(Mention { by: by.clone(), evidence });
    };
    for name in &survey.programs {
        let Some(Startable { path, .. }) = startable.get(name).filter(|one| one.path != *by) else {
            continue;
        };
        if view.node(path)?.ok().flatten().is_some_and(|node| node.is_executable()) {
            note(name, path);
        }
    }
    let Some(database) = view.packages()?.filter(|_| survey.own && survey.starts_programs) else {
        return Ok(());
    };
    for path in &survey.hits.paths {
        let Some(command) = ImagePath::new(path).ok().filter(is_command) else { continue };
        let Ok(found) = view.probe(path)? else { continue };
        let is_program = found.is_file() && found.path != *by;
        if is_program && depends_on_command(database, by, (&command, &found.path)) {
            note(path, &command);
        }
    }
    Ok(())
}

/// Whether the package of `by` itself depends on that of the command which `command` leads to.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn is_needed(
    by: Option<&ImagePath>,
    command: &ImagePath,
    builder: &ImageBuilder<'_>,
) -> Result<bool, ReadFailure> {
    let Some((by, database)) = by.zip(builder.view.packages()?) else { return Ok(false) };
    let real = builder.view.resolve(command.as_bytes())?;
    let real = real.map_or_else(|_| command.clone(), |found| found.path);
    Ok(depends_on_command(database, by, (command, &real)))
}

/// Notes that a program runs what a rule brings for it, if it runs a shell: a program of its own
/// package.
pub(super) fn record_own_program(path: &ImagePath, by: &ImagePath, facts: &mut Facts) {
    let runs = |name: &[u8]| facts.symbols.get(name).is_some_and(|symbol| symbol.own);
    if runs(b"system") || runs(b"popen") {
        let evidence = Arc::new(Evidence::OwnProgram(path.clone()));
        let paths = facts.line_commands.entry(path.file_name().into()).or_default();
        paths.entry(path.as_bytes().into()).or_insert(Mention { by: by.clone(), evidence });
    }
}

/// Notes an interpreter that is in the image as a program of its own: what a command line has it
/// run (`perl -MJSON -e …`) is not among the scripts whose modules are known.
fn note_interpreter((command, found): (&ImagePath, &Found), facts: &mut Facts) {
    let perl = Languages::builtin().perl.interpreter.as_bytes();
    let version = found.path.file_name().strip_prefix(perl);
    if version.is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_digit)) {
        facts.programs.entry(command.clone()).or_insert_with(|| found.path.clone());
    }
}
