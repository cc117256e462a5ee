//! Whether the package of one file asks for that of another.

use crate::{
    elf::ReadFailure,
    packages::{Database, PackageId, Strength},
    path::ImagePath,
    view::View,
};

/// Packages of package managers, which no program of an image runs.
const MANAGERS: [&str; 3] = ["dpkg", "apk-tools", "rpm"];

/// Whether a package that owns `by` depends, at least this strongly, on one that owns `on`. A
/// package depends on itself, and on what is from the source of a package that it depends on: who
/// depends on python3 runs the program of python3-minimal.
pub(super) fn depends(
    database: &Database,
    by: &ImagePath,
    on: &ImagePath,
    at_least: Strength,
) -> bool {
    let asks = |by: PackageId, on: PackageId| {
        let package = database.package(by);
        let groups = package.into_iter().flat_map(|package| &package.dependencies);
        let mut strong = groups.filter(|group| group.strength <= at_least);
        let source = |id| database.package(id).map(|package| &package.source);
        let is_on = |name: &str| database.find(name).any(|id| id == on || source(id) == source(on));
        by == on || strong.any(|group| group.alternatives.iter().any(|name| is_on(name)))
    };
    let owners = database.owners(by);
    database.owners(on).into_iter().any(|on| owners.iter().any(|by| asks(*by, on)))
}

/// Whether the program `by` is meant to run a command, found at `command` and really at the second
/// path: its package recommends that of the command, or each system has it. Without an owner of
/// both, nothing speaks against it.
pub(super) fn may_run(
    database: &Database,
    by: &ImagePath,
    (command, real): (&ImagePath, &ImagePath),
) -> bool {
    let is_owned = |path: &ImagePath| !database.owners(path).is_empty();
    !is_owned(by)
        || [command, real].into_iter().any(|path| {
            let has = || depends(database, by, path, Strength::Recommends);
            !is_owned(real) || is_essential(database, path) || has()
        })
}

/// Whether the package of `by` depends on that of a command, which two paths lead to as in
/// [`may_run`]: a link may be of another package than its target.
pub(super) fn depends_on_command(
    database: &Database,
    by: &ImagePath,
    (command, real): (&ImagePath, &ImagePath),
) -> bool {
    let depends = |path: &ImagePath| depends(database, by, path, Strength::Depends);
    depends(command) || depends(real) || database.are_of_one_source(by, real)
}

/// Whether the author of an image or of the inputs wrote the file at the real path `path`: it is
/// one of the inputs, or no package of the sysroot owns it.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn is_authors(path: &ImagePath, view: &View<'_>) -> Result<bool, ReadFailure> {
    let is_unowned = |database: &Database| database.owners(path).is_empty();
    Ok(view.is_own(path) || view.packages()?.is_some_and(is_unowned))
}

/// Whether each system has the file at the real path `path`: its package is essential, and not
/// the package manager.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn is_of_each_system(path: &ImagePath, view: &View<'_>) -> Result<bool, ReadFailure> {
    Ok(view.packages()?.is_some_and(|database| is_essential(database, path)))
}

fn is_essential(database: &Database, path: &ImagePath) -> bool {
    let is_for_programs = |id: &PackageId| {
        let package = database.package(*id);
        package.is_some_and(|one| one.is_essential && !MANAGERS.contains(&&*one.name))
    };
    database.owners(path).iter().any(is_for_programs)
}
