//! Programs and scripts that a rule adds as entry points → their interpreters, and what they ask
//! for in turn.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    commands::{self, By},
    depends::is_of_each_system,
    files::RuleFile,
    meant,
    perl::PerlModules,
    scripts::{self, is_for_shell},
};
use crate::{
    elf::{self, FoundKind, ReadFailure, Sniffed, script},
    languages::Variables,
    path::ImagePath,
    plan::{PlanError, builder::ImageBuilder, interpreters, programs::Programs},
    rules::{Evidence, Facts, Rule},
};

/// Takes those out of `found` that have more than `limit` bytes, a script with its interpreter,
/// unless they are in the image or, if they are started, the package of the file with the evidence
/// depends on them. What `optional` scripts depend on is optional, too. Returns the programs that
/// are left out, each with these bytes.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn leave_large(
    found: &mut Vec<RuleFile<'_>>,
    (limit, starts): (u64, bool),
    (dirs, optional): (&[ImagePath], &BTreeSet<ImagePath>),
    builder: &ImageBuilder<'_>,
) -> Result<BTreeMap<ImagePath, u64>, ReadFailure> {
    let mut large = BTreeMap::new();
    for one in found.iter().filter(|one| !builder.has(&one.path)) {
        let Some(file) = one.node.file() else { continue };
        let bytes = file.len + if starts { interpreter_size(one, dirs, builder)? } else { 0 };
        // The name of a program alone may mean something else.
        let is_sure = match &*one.named.evidence {
            Evidence::Starts(name) => name.contains(&b'/'),
            _ => true,
        };
        let counts = |by: &&ImagePath| is_sure && starts && !optional.contains(*by);
        let by = one.named.by.as_ref().filter(counts);
        if bytes > limit && !commands::is_needed(by, &one.path, builder)? {
            large.insert(one.path.clone(), bytes);
        }
    }
    found.retain(|one| !large.contains_key(&one.path));
    Ok(if starts { large } else { BTreeMap::new() })
}

/// Bytes of the interpreter that a script adds to the image; none for other files.
fn interpreter_size(
    one: &RuleFile<'_>,
    dirs: &[ImagePath],
    builder: &ImageBuilder<'_>,
) -> Result<u64, ReadFailure> {
    let Some(file) = one.node.file().filter(|_| one.node.is_executable()) else { return Ok(0) };
    let front = builder.view.head(file, script::FIRST_LINE)?.unwrap_or_default();
    let line = match elf::sniff(&front) {
        Sniffed::Script => script::shebang(&front),
        Sniffed::Elf | Sniffed::Data => None,
    };
    let Some(line) = line else { return Ok(0) };
    let wanted = line.command.as_ref().unwrap_or(&line.interpreter);
    let Ok((_, found)) = interpreters::find(wanted, dirs, builder)? else { return Ok(0) };
    match found.kind {
        FoundKind::File(len) if !builder.has(&found.path) => Ok(len),
        _ => Ok(0),
    }
}

/// The scripts among the `found` files of a rule that the script which names them can do without:
/// its package does not depend on theirs, or it is one of the `optional` scripts.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn optional(
    (found, programs): (&[RuleFile<'_>], &Programs),
    optional: &BTreeSet<ImagePath>,
    builder: &ImageBuilder<'_>,
) -> Result<Vec<ImagePath>, ReadFailure> {
    let scripts: BTreeSet<_> = programs.scripts.iter().map(|(path, _)| path).collect();
    let is_command = |one: &&RuleFile<'_>| {
        scripts.contains(&one.path) && matches!(*one.named.evidence, Evidence::ScriptCommand(_))
    };
    let mut out = Vec::new();
    for one in found.iter().filter(is_command) {
        let by = one.named.by.as_ref().filter(|by| !optional.contains(*by));
        if !commands::is_needed(by, &one.path, builder)? {
            out.push(one.path.clone());
        }
    }
    Ok(out)
}

/// The programs among the `found` files of a rule that guesses which come with the directory that
/// they are in: nothing says that they are started.
pub(super) fn helpers(
    rule: &Rule,
    (found, programs): (&[RuleFile<'_>], &Programs),
) -> Vec<ImagePath> {
    if !rule.generic {
        return Vec::new();
    }
    let named: BTreeSet<_> = found.iter().filter(|one| one.is_named).map(|one| &one.path).collect();
    let objects = programs.objects.iter().filter(|(_, object)| object.is_program());
    objects.map(|(path, _)| path).filter(|path| !named.contains(path)).cloned().collect()
}

/// Notes what the programs and scripts among the files of a rule ask for, and takes the
/// interpreters of these scripts. Returns the interpreters.
///
/// # Errors
/// [`PlanError::Source`] if a file of the sysroot cannot be read.
pub(super) fn start(
    rule: &Rule,
    (found, programs): (&[RuleFile<'_>], &Programs),
    (dirs, exported): (&[ImagePath], &mut Variables),
    (facts, perl): (&mut Facts, &mut PerlModules),
    builder: &mut ImageBuilder<'_>,
) -> Result<Vec<ImagePath>, PlanError> {
    // A command of a script may be one more script, and so on.
    let is_command = |one: &RuleFile<'_>| {
        matches!(
            *one.named.evidence,
            Evidence::ScriptCommand(_)
                | Evidence::ScriptNeeds(_)
                | Evidence::CommandLine(_)
                | Evidence::Starts(_)
        )
    };
    let is_guess = rule.generic || found.iter().all(is_command);
    let by = if is_guess { By::Guess } else { By::Rule };
    let needed: BTreeMap<_, _> = found
        .iter()
        .filter(|one| matches!(*one.named.evidence, Evidence::ScriptNeeds(_)))
        .map(|one| (&one.path, &one.named.pattern))
        .collect();
    let mut interpreters = Vec::new();
    let named: BTreeSet<_> = found.iter().filter(|one| one.is_named).map(|one| &one.path).collect();
    let meant = meant::meant(found, facts);
    for (path, line) in &programs.scripts {
        let is_started = match rule.generic {
            true => is_for_shell(line) && meant.contains(path),
            false => named.contains(path) || !meant::is_example(path),
        };
        if !is_started {
            continue;
        }
        interpreters.extend(scripts::take_interpreter(
            (path, line),
            dirs,
            (&mut *facts, &mut *perl),
            builder,
        )?);
        if is_for_shell(line)
            && let Some(text) = commands::read(path, builder)?
        {
            let by = if needed.contains_key(path) { By::Needed } else { by };
            commands::record(path, text, (by, &mut *exported), dirs, (facts, builder))?;
        }
        if let Some(pattern) = needed.get(path) {
            let named = ImagePath::new(pattern).unwrap_or_else(|_| path.clone());
            facts.programs.insert(named, path.clone());
        }
    }
    let started: BTreeSet<_> = programs.objects.iter().map(|(path, _)| path).collect();
    for one in found.iter().filter(|one| started.contains(&one.path)) {
        let is_run = match &*one.named.evidence {
            Evidence::ScriptNeeds(_) | Evidence::CommandLine(_) | Evidence::Starts(_) => true,
            // No package has to depend on those that each system has.
            Evidence::ScriptCommand(_) => {
                let by = one.named.by.as_ref();
                by.is_some_and(|by| facts.programs.contains_key(by))
                    && is_of_each_system(&one.path, builder.view)?
            }
            _ => false,
        };
        if is_run {
            // The rules for this program apply to it.
            let named = ImagePath::new(&one.named.pattern);
            facts.programs.insert(named.unwrap_or(one.path.clone()), one.path.clone());
        } else if let Some(by) = one.named.by.as_ref().filter(|_| rule.generic)
            && one.node.is_executable()
        {
            commands::record_own_program(&one.path, by, facts);
        }
    }
    Ok(interpreters)
}
