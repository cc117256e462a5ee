//! What objects import → which of them start no programs.

use std::collections::{BTreeMap, BTreeSet};

use super::owners::owner;
use crate::{
    elf::{self, Closure, File, ReadFailure},
    packages::{Database, PackageId},
    path::ImagePath,
    view::View,
};

/// The objects of `closure` that start no programs, by their real paths. `starting` are those that
/// import functions which start programs. A library starts them for the programs that are built
/// from its source: in the names of what other programs do not use, it says nothing about them.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn starting_nothing(
    closure: &Closure,
    starting: &BTreeSet<ImagePath>,
    view: &View<'_>,
) -> Result<BTreeSet<ImagePath>, ReadFailure> {
    let database = view.packages()?;
    let mut sources = BTreeMap::new();
    let mut source_of = |file: &File| {
        let find = || source(&file.path, database, view);
        sources.entry(file.path.clone()).or_insert_with(find).clone()
    };
    let mut starters = BTreeSet::new();
    for program in &closure.programs {
        let Some(file) = program.file.and_then(|file| closure.files.get(file)) else { continue };
        let source = source_of(file);
        let loads = program.loads.iter().chain(&program.extra);
        let libraries: Vec<_> = loads
            .filter_map(|file| closure.files.get(*file))
            .filter(|library| starting.contains(&library.path) && source_of(library) == source)
            .map(|library| &library.path)
            .collect();
        if starting.contains(&file.path) || !libraries.is_empty() || is_static(program) {
            starters.insert(&file.path);
        }
        starters.extend(libraries);
    }
    let files = closure.files.iter().map(|file| &file.path);
    Ok(files.filter(|path| !starters.contains(path)).cloned().collect())
}

/// The source package of the file at `path`; `None` if no package owns it.
fn source(path: &ImagePath, database: Option<&Database>, view: &View<'_>) -> Option<Box<str>> {
    let database = database?;
    let of = |id: PackageId| database.package(id).map(|package| (*package.source).into());
    owner(path, database, view).and_then(of)
}

/// Whether a program imports nothing, whatever it does.
fn is_static(program: &elf::Program) -> bool {
    program.loader.is_none() && program.loads.is_empty()
}
