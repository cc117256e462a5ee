//! Names of libraries in texts: in scripts, in the sources and the configuration of the inputs, and
//! in the configuration that rules add.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

use super::{
    opens::{Mentions, Openings},
    owners::Owners,
};
use crate::{
    elf::{self, Closure, FoundKind, Lookup as _, ReadFailure},
    languages::{Languages, TextKind, library_names},
    machine_files,
    path::ImagePath,
    rules::{Evidence, Facts, Mention},
    tree::Tree,
    view::View,
};

/// Bytes of a text that is read; typelibs are among them.
const MAX_TEXT: u64 = 1 << 20;
/// Texts of one tree that are read.
const MAX_TEXTS: usize = 20_000;
/// Programs that may open a library which a text names.
const MAX_PROGRAMS: usize = 16;
/// Libraries that the loader does not find.
const MAX_LEFT: usize = 200;
/// Paths among which are the directories in which a library is looked for then.
const MAX_DIRECTORIES: usize = 1000;

/// What is in the directories in which libraries were looked for, by their paths.
/// `None` is a directory that may not be listed, only looked into.
pub(super) type Listings = BTreeMap<Box<[u8]>, Option<BTreeSet<Vec<u8>>>>;

/// Notes the libraries that texts in `tree` name.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn note(
    tree: &Tree,
    kinds: &[TextKind],
    (facts, view): (&mut Facts, &View<'_>),
) -> Result<(), ReadFailure> {
    let texts = &Languages::builtin().texts;
    let files = tree.iter().filter_map(|(path, node)| {
        let kind = texts.kind(path).filter(|kind| kinds.contains(kind))?;
        Some((path, kind, node.file().filter(|file| file.len <= MAX_TEXT)?))
    });
    for (path, kind, file) in files.take(MAX_TEXTS) {
        let Ok(text) = view.head(file, file.len as usize)? else { continue };
        let names = match kind {
            TextKind::Source => library_names::in_source(&text, texts),
            TextKind::Configuration => library_names::in_configuration(&text),
        };
        for name in names {
            facts.library_names.entry(name.into()).or_insert_with(|| path.clone());
        }
    }
    Ok(())
}

/// Whether the file at `path` is configuration that names libraries.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn names_libraries(path: &ImagePath, view: &View<'_>) -> Result<bool, ReadFailure> {
    if Languages::builtin().texts.kind(path) != Some(TextKind::Configuration) {
        return Ok(false);
    }
    let Ok(found) = view.find(path.as_bytes())? else { return Ok(false) };
    let text = view.read(&found, MAX_TEXT as usize)?;
    Ok(text.is_ok_and(|text| !library_names::in_configuration(&text).is_empty()))
}

/// Looks for the libraries that texts name: as the programs of `closure` open them, or by their
/// paths, which may be relative to the text.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn resolve(
    (openings, listings): (&mut Openings, &mut Listings),
    closure: &Closure,
    search: &elf::LoaderOptions,
    (facts, owners, view): (&mut Facts, &mut Owners<'_>, &View<'_>),
) -> Result<(), ReadFailure> {
    if facts.library_names.is_empty() {
        return Ok(());
    }
    let loaded = closure.programs.iter().filter(|program| program.loader.is_some());
    let programs = loaded.filter_map(|program| closure.files.get(program.file?));
    let programs: BTreeSet<&ImagePath> = programs.map(|file| &file.path).collect();
    let mut mentions = Mentions::new();
    let names: Vec<_> =
        facts.library_names.iter().map(|(name, by)| (name.clone(), by.clone())).collect();
    for (name, by) in &names {
        let evidence = Arc::new(Evidence::LibraryInText(name.clone()));
        let mention = Mention { by: by.clone(), evidence };
        if name.contains(&b'/') {
            let path = by.parent().and_then(|dir| match name.starts_with(b"/") {
                true => ImagePath::new(name).ok(),
                false => dir.join(name).ok(),
            });
            note_path(path, mention, facts, view)?;
            continue;
        }
        for program in programs.iter().take(MAX_PROGRAMS) {
            mentions.insert(((*program).clone(), Arc::from(&**name)), mention.clone());
        }
    }
    openings.resolve(mentions, closure, search, (facts, owners, view))?;
    let is_left = |name: &[u8]| !name.contains(&b'/') && !facts.opens.contains_key(name);
    let left: Vec<_> = names.into_iter().filter(|(name, _)| is_left(name)).take(MAX_LEFT).collect();
    note_in_directories(left, listings, (facts, view))
}

/// Notes the libraries that the loader does not find, but that are in a directory which an object
/// of the closure names: unixODBC's drivers.
fn note_in_directories(
    names: Vec<(Box<[u8]>, ImagePath)>,
    listings: &mut Listings,
    (facts, view): (&mut Facts, &View<'_>),
) -> Result<(), ReadFailure> {
    if names.is_empty() {
        return Ok(());
    }
    // What programs leave there is not part of any.
    let is_lasting =
        |dir: &[u8]| !machine_files::is_temporary(dir) && !machine_files::is_system(dir);
    let dirs: Vec<_> =
        facts.paths.keys().filter(|dir| is_lasting(dir)).take(MAX_DIRECTORIES).cloned().collect();
    for dir in dirs {
        let listed = match listings.entry(dir.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(list(&dir, view)?),
        };
        let may_have = |name: &[u8]| listed.as_ref().is_none_or(|listed| listed.contains(name));
        for (name, by) in names.iter().filter(|(name, _)| may_have(name)) {
            let evidence = Arc::new(Evidence::LibraryInText(name.clone()));
            let path = ImagePath::new([&dir, &b"/"[..], name].concat()).ok();
            note_path(path, Mention { by: by.clone(), evidence }, facts, view)?;
        }
    }
    Ok(())
}

/// What is in the directory that `path` leads to: nothing if it leads to none.
fn list(path: &[u8], view: &View<'_>) -> Result<Option<BTreeSet<Vec<u8>>>, ReadFailure> {
    let is_directory = view.probe(path)?.is_ok_and(|found| found.kind == FoundKind::Directory);
    if !is_directory {
        return Ok(Some(BTreeSet::new()));
    }
    Ok(view.probe_names(path)?.ok().map(|names| names.into_iter().collect()))
}

fn note_path(
    path: Option<ImagePath>,
    mention: Mention,
    facts: &mut Facts,
    view: &View<'_>,
) -> Result<(), ReadFailure> {
    let Some(path) = path else { return Ok(()) };
    if view.probe(path.as_bytes())?.is_ok_and(|found| found.is_file()) {
        let paths = facts.opens.entry(path.file_name().into()).or_default();
        paths.entry(path.as_bytes().into()).or_insert(mention);
    }
    Ok(())
}
