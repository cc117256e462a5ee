//! Packages of the sysroot → which data belongs to a file of the closure, and how strongly the
//! packages of a program ask for a library.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    elf::ReadFailure,
    ownership::{Belongings, Bond, Mentions, Tie, bonds, near_bonds},
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
    bonds: BTreeMap<PackageId, BTreeMap<PackageId, Bond>>,
    near_bonds: BTreeMap<PackageId, BTreeMap<PackageId, Bond>>,
}

/// Whether a program's packages ask for a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// One does.
    For(Tie),
    /// None does.
    No,
    /// None does, but a text of the system that no package owns names it. It may list everything
    /// that is installed.
    Listed,
    /// No package owns the library, or the object that opens it.
    Unknown,
}

impl<'t> Owners<'t> {
    pub(super) fn new(table: &'t Table) -> Self {
        let takes = |rule: &&Rule| {
            rule.when.iter().any(|when| !when.owned.is_empty() || !when.recommended.is_empty())
        };
        let rules = table.rules().iter().filter(takes).collect();
        let (belongings, bonds, near_bonds) = Default::default();
        Self { table, rules, belongings, bonds, near_bonds }
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
        // A database takes time to read.
        if view.is_own(path) {
            return Ok(None);
        }
        let Some(database) = view.packages()? else { return Ok(None) };
        let Some(owner) = owner(path, database, view) else { return Ok(None) };
        let (table, rules) = (self.table, &self.rules);
        let mut by_directory = BTreeMap::new();
        let is_data = |path: &ImagePath| {
            let Some(dir) = path.parent() else { return false };
            // Few directories have most of the files.
            let takers: &Vec<&Rule> = by_directory.entry(dir).or_insert_with_key(|dir| {
                rules.iter().copied().filter(|rule| !table.excludes(rule, dir)).collect()
            });
            !is_program_or_library(path)
                && takers.iter().any(|rule| !table.excludes_entry(rule, path))
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
        if view.is_own(path) {
            return Ok(Vec::new());
        }
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

    /// Whether the package of `by`, directly or not, or that of one of its `programs`, directly,
    /// asks for that of `file`. What a library depends on says nothing about another library.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub(super) fn asked(
        &mut self,
        by: &ImagePath,
        programs: &[ImagePath],
        file: &ImagePath,
        view: &View<'_>,
    ) -> Result<Asked, ReadFailure> {
        let Some(database) = view.packages()? else { return Ok(Asked::Unknown) };
        let Some(package) = owner(file, database, view) else { return Ok(Asked::Unknown) };
        let programs: BTreeSet<_> =
            programs.iter().map(|path| owner(path, database, view)).collect();
        let by_owner = owner(by, database, view);
        if by_owner.is_none() && (view.is_own(by) || programs.contains(&None)) {
            return Ok(Asked::Unknown);
        }
        let mut bond = Self::essential(package, database);
        for asker in programs.into_iter().flatten() {
            let new = || near_bonds(database, asker);
            let near = self.near_bonds.entry(asker).or_insert_with(new);
            bond = [bond, near.get(&package).copied()].into_iter().flatten().min();
        }
        let Some(by) = by_owner else {
            let answer = Self::answer(bond, package, database);
            return Ok(if answer == Asked::No { Asked::Listed } else { answer });
        };
        bond = [bond, self.all_of(by, database, package)].into_iter().flatten().min();
        Ok(Self::answer(bond, package, database))
    }

    /// Whether the package of one of `scripts` asks, directly or not, for that of `file`.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub(super) fn asked_by_scripts(
        &mut self,
        scripts: &[ImagePath],
        file: &ImagePath,
        view: &View<'_>,
    ) -> Result<Asked, ReadFailure> {
        let Some(database) = view.packages()? else { return Ok(Asked::Unknown) };
        let Some(package) = owner(file, database, view) else { return Ok(Asked::Unknown) };
        let mut bond = Self::essential(package, database);
        for script in scripts {
            let Some(asker) = owner(script, database, view) else { return Ok(Asked::Unknown) };
            bond = [bond, self.all_of(asker, database, package)].into_iter().flatten().min();
        }
        Ok(Self::answer(bond, package, database))
    }

    fn essential(package: PackageId, database: &Database) -> Option<Bond> {
        let is_essential = database.package(package).is_some_and(|known| known.is_essential);
        is_essential.then_some(Bond::Depends)
    }

    /// How strongly `asker` asks for `package`, directly or not.
    fn all_of(
        &mut self,
        asker: PackageId,
        database: &Database,
        package: PackageId,
    ) -> Option<Bond> {
        let new = || bonds(database, asker);
        self.bonds.entry(asker).or_insert_with(new).get(&package).copied()
    }

    fn answer(bond: Option<Bond>, package: PackageId, database: &Database) -> Asked {
        let tie = bond.zip(database.package(package));
        tie.map_or(Asked::No, |(bond, known)| Asked::For(Tie { package: known.name.clone(), bond }))
    }
}

/// The package that owns a file of the sysroot.
pub(super) fn owner(path: &ImagePath, database: &Database, view: &View<'_>) -> Option<PackageId> {
    if view.is_own(path) {
        return None;
    }
    database.owners(path).first().copied()
}

/// Adds what of `belongings` the object or script `by` mentions to the facts; `is_weak` says
/// whether only programs that nothing starts load it.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn note(
    facts: &mut Facts,
    (by, is_weak): (&ImagePath, bool),
    (belongings, mentions): (&Belongings, &Mentions),
    view: &View<'_>,
) -> Result<(), ReadFailure> {
    if mentions.is_empty() {
        return Ok(());
    }
    let Some(database) = view.packages()? else { return Ok(()) };
    for found in belongings.mentioned(mentions, database) {
        let package = database.package(found.package).map_or("", |package| &package.name);
        let tie = Tie { package: package.into(), bond: found.bond };
        let owned = Owned { by: by.clone(), mention: found.mention, tie: Some(tie), is_weak };
        facts.add_owned(found.path.as_bytes(), owned);
    }
    Ok(())
}

/// Whether `path` is in a directory where commands or the loader's libraries are looked for: what
/// programs start, and what the loader opens.
pub(super) fn is_program_or_library(path: &ImagePath) -> bool {
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
