//! Whether the package of one file asks for that of another.

use crate::{
    packages::{Database, PackageId, Strength},
    path::ImagePath,
};

/// Whether a package that owns `by` depends, at least this strongly, on one that owns `on`. A
/// package depends on itself.
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
        let is_on = |name: &str| database.find(name).any(|id| id == on);
        by == on || strong.any(|group| group.alternatives.iter().any(|name| is_on(name)))
    };
    let owners = database.owners(by);
    database.owners(on).into_iter().any(|on| owners.iter().any(|by| asks(*by, on)))
}

/// Whether the program `by` is meant to run `command`: its package recommends that of the command,
/// or each system has it. Without an owner of both, nothing speaks against it.
pub(super) fn may_run(database: &Database, by: &ImagePath, command: &ImagePath) -> bool {
    let owners = database.owners(command);
    let is_essential = |id: &PackageId| database.package(*id).is_some_and(|one| one.is_essential);
    owners.is_empty()
        || database.owners(by).is_empty()
        || owners.iter().any(is_essential)
        || depends(database, by, command, Strength::Recommends)
}
