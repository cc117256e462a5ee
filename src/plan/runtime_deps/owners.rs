//! Packages of the sysroot → which data belongs to a file of the closure, and how strongly the
//! packages of a program ask for a library.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    elf::ReadFailure,
    ownership::{self, Belongings, Bond, Mentions, Tie, bonds},
    packages::{Database, PackageId},
    path::ImagePath,
    rules::{Facts, Owned, Rule, Table},
    view::View,
};

/// What is known of packages so far.
#[derive(Debug)]
pub(super) struct Owners<'t> {
    table: &'t Table,
    /// Those that take what belongs to a file.
    rules: Vec<&'t Rule>,
    belongings: BTreeMap<PackageId, Arc<Belongings>>,
    bonds: BTreeMap<PackageId, Arc<BTreeMap<PackageId, Bond>>>,
}

/// Whether a program's packages ask for a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// One does.
    For(Tie),
    /// None does.
    No,
    /// No package owns the library, or the object that opens it.
    Unknown,
}

impl<'t> Owners<'t> {
    pub(super) fn new(table: &'t Table) -> Self {
        let takes = |rule: &&Rule| {
            rule.when.iter().any(|when| !when.owned.is_empty() || !when.recommended.is_empty())
        };
        let rules = table.rules().iter().filter(takes).collect();
        Self { table, rules, belongings: BTreeMap::new(), bonds: BTreeMap::new() }
    }

    /// What belongs to the file at the real path `path`; `None` if no package owns it.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub(super) fn belongings(
        &mut self,
        path: &ImagePath,
        view: &View<'_>,
    ) -> Result<Option<Arc<Belongings>>, ReadFailure> {
        let Some(database) = view.packages()? else { return Ok(None) };
        let Some(owner) = owner(path, database, view) else { return Ok(None) };
        let (table, rules) = (self.table, &self.rules);
        let is_data = |path: &ImagePath| {
            !is_program_or_library(path) && rules.iter().any(|rule| !table.excludes(rule, path))
        };
        let new = || Arc::new(Belongings::new(database, owner, is_data));
        Ok(Some(self.belongings.entry(owner).or_insert_with(new).clone()))
    }

    /// As [`Owners::belongings`], and what belongs to those `programs` whose packages are of the
    /// same source: a library may open the data of the package that its program is in.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub(super) fn all_belongings(
        &mut self,
        path: &ImagePath,
        programs: &[ImagePath],
        view: &View<'_>,
    ) -> Result<Vec<Arc<Belongings>>, ReadFailure> {
        let Some(database) = view.packages()? else { return Ok(Vec::new()) };
        let Some(id) = owner(path, database, view) else { return Ok(Vec::new()) };
        let source = |id| database.package(id).map(|package| &package.source);
        let relatives = programs.iter().filter(|program| {
            let other = owner(program, database, view);
            other.is_some_and(|other| other != id && source(other) == source(id))
        });
        let mut all: Vec<_> = self.belongings(path, view)?.into_iter().collect();
        for program in relatives {
            all.extend(self.belongings(program, view)?);
        }
        Ok(all)
    }

    /// Whether the package of `by`, or that of one of its `programs`, asks for that of `library`.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub(super) fn asked(
        &mut self,
        by: &ImagePath,
        programs: &[ImagePath],
        library: &ImagePath,
        view: &View<'_>,
    ) -> Result<Asked, ReadFailure> {
        let Some(database) = view.packages()? else { return Ok(Asked::Unknown) };
        let Some(package) = owner(library, database, view) else { return Ok(Asked::Unknown) };
        let known = database.package(package);
        let mut bond = known.filter(|known| known.is_essential).map(|_| Bond::Depends);
        let askers: BTreeSet<_> =
            programs.iter().chain([by]).filter_map(|path| owner(path, database, view)).collect();
        if owner(by, database, view).is_none() {
            return Ok(Asked::Unknown);
        }
        for asker in askers {
            let new = || Arc::new(bonds(database, asker));
            let all = self.bonds.entry(asker).or_insert_with(new);
            bond = [bond, all.get(&package).copied()].into_iter().flatten().min();
        }
        let tie = bond.zip(known);
        Ok(tie.map_or(Asked::No, |(bond, known)| {
            Asked::For(Tie { package: known.name.clone(), bond })
        }))
    }
}

/// The package that owns a file of the sysroot.
fn owner(path: &ImagePath, database: &Database, view: &View<'_>) -> Option<PackageId> {
    if view.is_own(path) {
        return None;
    }
    database.owners(path).first().copied()
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
    let is_owned = |database: &Database| !database.owners(&found.path).is_empty();
    Ok(!view.packages()?.is_some_and(is_owned) && !ownership::is_top(&found.path))
}

/// Adds what of `belongings` the object or script `by` mentions to the facts.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn note(
    facts: &mut Facts,
    by: &ImagePath,
    (belongings, mentions): (&Belongings, &Mentions),
    view: &View<'_>,
) -> Result<(), ReadFailure> {
    let Some(database) = view.packages()? else { return Ok(()) };
    for found in belongings.mentioned(mentions, database) {
        let package = database.package(found.package).map_or("", |package| &package.name);
        let tie = Tie { package: package.into(), bond: found.bond };
        let owned = Owned { by: by.clone(), mention: found.mention, tie: Some(tie) };
        let known = facts.owned.entry(found.path.as_bytes().into());
        known.or_insert(owned);
    }
    Ok(())
}

/// Whether `path` is in a directory where commands or the loader's libraries are looked for: what
/// programs start, and what the loader opens.
fn is_program_or_library(path: &ImagePath) -> bool {
    let parts: Vec<&[u8]> = path.components().collect();
    let Some((name, dir)) = parts.split_last() else { return false };
    let dir = dir.strip_prefix(&[&b"usr"[..]]).unwrap_or(dir);
    let dir = dir.strip_prefix(&[&b"local"[..]]).unwrap_or(dir);
    let is_target = |part: &[u8]| memchr::memmem::find(part, b"-linux-").is_some();
    match dir {
        [b"bin" | b"sbin" | b"games"] => true,
        [b"lib" | b"lib64" | b"lib32"] => memchr::memmem::find(name, b".so").is_some(),
        [b"lib", target] if is_target(target) => memchr::memmem::find(name, b".so").is_some(),
        _ => false,
    }
}
