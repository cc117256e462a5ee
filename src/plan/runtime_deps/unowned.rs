//! What no package owns: which of the paths that a file mentions belong to it.

use std::collections::BTreeSet;

use super::owners::is_program_or_library;
use crate::{
    elf::{Absence, ReadFailure},
    ownership::{self, is_command},
    packages::Database,
    path::ImagePath,
    rules::{Facts, Owned},
    view::View,
};

/// Where programs have data of their own.
const DATA: [&[u8]; 4] = [b"/usr/share/", b"/usr/lib", b"/usr/local/", b"/opt/"];
/// Files that one path stands for, each with another ending.
const MAX_ENDINGS: usize = 3;

/// Adds to the facts what the object `by`, which no package owns either, mentions by its path, or
/// by a path without its ending (`/usr/share/misc/magic` for `magic.mgc`). `own` says whether the
/// object is a program or the user names it: only those start programs.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn note(
    facts: &mut Facts,
    (by, own): (&ImagePath, bool),
    paths: &BTreeSet<Box<[u8]>>,
    view: &View<'_>,
) -> Result<(), ReadFailure> {
    for mention in paths {
        let Ok(path) = ImagePath::new(mention) else { continue };
        if !own && !is_data(&path) {
            continue;
        }
        let is_there = !matches!(view.probe(mention)?, Err(Absence::Missing | Absence::Loop));
        let mut found = if is_data(&path) { with_endings(&path, view)? } else { Vec::new() };
        found.extend(is_there.then_some(path));
        for path in found {
            if is_unowned(path.as_bytes(), view)? {
                let owned = || Owned::by_nobody(by, mention);
                facts.owned.entry(path.as_bytes().into()).or_insert_with(owned);
            }
        }
    }
    Ok(())
}

/// Whether `path` may be data that a library opens.
fn is_data(path: &ImagePath) -> bool {
    let is_below = DATA.iter().any(|dir| path.as_bytes().starts_with(dir));
    is_below && !is_command(path) && !is_program_or_library(path)
}

/// The files that are called as `path`, with an ending.
fn with_endings(path: &ImagePath, view: &View<'_>) -> Result<Vec<ImagePath>, ReadFailure> {
    let Some(dir) = path.parent() else { return Ok(Vec::new()) };
    let names = view.probe_names(dir.as_bytes())?.unwrap_or_default();
    let is_ending =
        |rest: &[u8]| rest.len() > 1 && rest.starts_with(b".") && !rest[1..].contains(&b'.');
    let is_named = |name: &&Vec<u8>| name.strip_prefix(path.file_name()).is_some_and(is_ending);
    let found: Vec<_> =
        names.iter().filter(is_named).filter_map(|name| dir.child(name).ok()).collect();
    Ok(if found.len() > MAX_ENDINGS { Vec::new() } else { found })
}

/// Whether no package owns what is at `path`, and it is neither a directory that many programs have
/// nor in `/var`, where this machine keeps its state.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn is_unowned(path: &[u8], view: &View<'_>) -> Result<bool, ReadFailure> {
    let Ok(found) = view.resolve(path)? else { return Ok(false) };
    if found.path.as_bytes().starts_with(b"/var/") {
        return Ok(false);
    }
    if ownership::is_top(&found.path) {
        return Ok(false);
    }
    let is_owned = |database: &Database| !database.owners(&found.path).is_empty();
    Ok(!view.packages()?.is_some_and(is_owned))
}
