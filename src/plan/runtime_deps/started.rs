//! Programs and scripts that a rule adds as entry points → their interpreters, and what they ask
//! for in turn.

use std::collections::BTreeSet;

use super::{
    commands::{self, By},
    files::RuleFile,
    scripts::{self, is_for_shell},
};
use crate::{
    elf::ReadFailure,
    languages::Variables,
    path::ImagePath,
    plan::{PlanError, builder::ImageBuilder, programs::Programs},
    rules::{Evidence, Facts, Rule},
};

/// Those of `found` that have at most `limit` bytes, that are in the image, or, if they are
/// started, that the package of the file with the evidence depends on.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn within_file_limit<'f>(
    found: Vec<RuleFile<'f>>,
    (limit, starts): (u64, bool),
    builder: &ImageBuilder<'_>,
) -> Result<Vec<RuleFile<'f>>, ReadFailure> {
    let mut small = Vec::new();
    for one in found {
        let fits = one.node.file().is_none_or(|file| file.len <= limit);
        let by = one.named.by.as_ref().filter(|_| starts);
        if fits || builder.has(&one.path) || commands::is_needed(by, &one.path, builder)? {
            small.push(one);
        }
    }
    Ok(small)
}

/// Whether a script at `path` is an example or a template: in a directory of shared data, and not
/// with commands there.
fn is_example(path: &ImagePath) -> bool {
    let parts: Vec<&[u8]> = path.components().collect();
    let dirs = parts.split_last().map_or(&[][..], |(_, dirs)| dirs);
    let is_for_commands = |dir: &&&[u8]| matches!(**dir, b"bin" | b"sbin" | b"libexec");
    dirs.contains(&&b"share"[..]) && dirs.last().filter(is_for_commands).is_none()
}

/// Notes what the programs and scripts among the files of a rule ask for, and takes the
/// interpreters of these scripts. Returns the interpreters.
///
/// # Errors
/// [`PlanError::Source`] if a file of the sysroot cannot be read.
pub(super) fn start(
    rule: &Rule,
    (found, programs): (&[RuleFile<'_>], &Programs),
    (dirs, facts, exported): (&[ImagePath], &mut Facts, &mut Variables),
    builder: &mut ImageBuilder<'_>,
) -> Result<Vec<ImagePath>, PlanError> {
    // A command of a script may be one more script, and so on.
    let is_command = |one: &RuleFile<'_>| {
        matches!(
            *one.named.evidence,
            Evidence::ScriptCommand(_) | Evidence::ScriptNeeds(_) | Evidence::CommandLine(_)
        )
    };
    let is_guess = rule.generic || found.iter().all(is_command);
    let by = if is_guess { By::Guess } else { By::Rule };
    let mut interpreters = Vec::new();
    let named: BTreeSet<_> = found.iter().filter(|one| one.is_named).map(|one| &one.path).collect();
    for (path, line) in &programs.scripts {
        let is_started = match rule.generic {
            true => is_for_shell(line),
            false => named.contains(path) || !is_example(path),
        };
        if !is_started {
            continue;
        }
        interpreters.extend(scripts::take_interpreter((path, line), dirs, facts, builder)?);
        if is_for_shell(line)
            && let Some(text) = commands::read(path, builder)?
        {
            commands::record(path, text, (by, &mut *exported), dirs, (facts, builder))?;
        }
    }
    let started: BTreeSet<_> = programs.objects.iter().map(|(path, _)| path).collect();
    for one in found.iter().filter(|one| started.contains(&one.path)) {
        match &*one.named.evidence {
            Evidence::ScriptNeeds(_) | Evidence::CommandLine(_) => {
                // The rules for this program apply to it.
                let named = ImagePath::new(&one.named.pattern);
                facts.programs.insert(named.unwrap_or(one.path.clone()), one.path.clone());
            }
            _ if rule.generic && one.node.is_executable() => {
                if let Some(by) = &one.named.by {
                    commands::record_own_program(&one.path, by, facts);
                }
            }
            _ => {}
        }
    }
    Ok(interpreters)
}
