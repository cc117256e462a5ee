//! What no package owns: which of the paths that a file mentions belong to it.

use std::collections::{BTreeMap, BTreeSet};

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

/// The names in directories that were listed.
type Listings = BTreeMap<ImagePath, BTreeSet<Vec<u8>>>;

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
    let mut listings = Listings::new();
    for mention in paths {
        let Ok(path) = ImagePath::new(mention) else { continue };
        if !own && !is_data(&path) {
            continue;
        }
        let answer = view.probe(mention)?;
        let is_there = !matches!(answer, Err(Absence::Missing | Absence::Loop));
        // Whoever names the file `conf` does not mean `conf.bak`.
        let mut found = match is_data(&path) && !answer.is_ok_and(|found| found.is_file()) {
            true => with_endings(&path, &mut listings, view)?,
            false => Vec::new(),
        };
        found.extend(is_there.then_some(path));
        for path in found {
            if is_unowned(path.as_bytes(), view)? {
                facts.add_owned(path.as_bytes(), Owned::by_nobody(by, mention));
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
fn with_endings(
    path: &ImagePath,
    listings: &mut Listings,
    view: &View<'_>,
) -> Result<Vec<ImagePath>, ReadFailure> {
    let Some(dir) = path.parent() else { return Ok(Vec::new()) };
    if !listings.contains_key(&dir) {
        let names = view.probe_names(dir.as_bytes())?.unwrap_or_default();
        listings.insert(dir.clone(), names.into_iter().collect());
    }
    let Some(names) = listings.get(&dir) else { return Ok(Vec::new()) };
    let front = [path.file_name(), b"."].concat();
    let is_ending = |rest: &[u8]| !rest.is_empty() && !rest.contains(&b'.');
    let mut found = Vec::new();
    for name in names.range(front.clone()..).take_while(|name| name.starts_with(&front)) {
        if !name.strip_prefix(&front[..]).is_some_and(is_ending) {
            continue;
        }
        let Ok(file) = dir.child(name) else { continue };
        if view.probe(file.as_bytes())?.is_ok_and(|found| found.is_file()) {
            found.push(file);
        }
        if found.len() > MAX_ENDINGS {
            return Ok(Vec::new());
        }
    }
    Ok(found)
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
