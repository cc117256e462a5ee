//! Dependencies between packages → how strongly one asks for another.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
};

use crate::{
    packages::{Database, Package, PackageId, Strength},
    path::ImagePath,
};

/// How strongly a package asks for another, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bond {
    /// It is the same, or from the same source.
    Own,
    /// It depends on it, directly or not, or each system has it.
    Depends,
    /// It recommends it, or what depends on it.
    Recommends,
}

/// A package, and how strongly that of a file asks for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tie {
    /// The package's name.
    pub package: Box<str>,
    /// How strongly.
    pub bond: Bond,
}

/// `of curl`, `of libssl3, which its package depends on`.
impl fmt::Display for Tie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "of {}", self.package)?;
        f.write_str(match self.bond {
            Bond::Own => "",
            Bond::Depends => ", which its package depends on",
            Bond::Recommends => ", which its package recommends",
        })
    }
}

/// All packages that the package `of` asks for, itself included, each with the strongest bond.
/// What it only suggests is left out.
pub fn bonds(database: &Database, of: PackageId) -> BTreeMap<PackageId, Bond> {
    let mut bonds = BTreeMap::from([(of, Bond::Own)]);
    let mut left: Vec<_> = wanted(database, of, is_dependency).collect();
    reach(database, &mut left, Bond::Depends, &mut bonds);
    left.extend(wanted(database, of, is_recommendation));
    reach(database, &mut left, Bond::Recommends, &mut bonds);
    for (id, bond) in &mut bonds {
        if *bond == Bond::Depends && is_same_source(database, *id, of) {
            *bond = Bond::Own;
        }
    }
    bonds
}

/// The packages that the package `of` asks for itself, and not only through others: as [`bonds`],
/// without what its dependencies depend on. Packages from its source that it depends on ask with
/// it.
pub fn near_bonds(database: &Database, of: PackageId) -> BTreeMap<PackageId, Bond> {
    let mut bonds = own(database, of);
    for id in bonds.keys().copied().collect::<Vec<_>>() {
        for next in wanted(database, id, is_dependency) {
            let bond = bonds.entry(next).or_insert(Bond::Depends);
            *bond = (*bond).min(Bond::Depends);
        }
        for next in wanted(database, id, is_recommendation) {
            bonds.entry(next).or_insert(Bond::Recommends);
        }
    }
    bonds
}

/// The package `of`, and those from its source that it depends on, directly or not.
fn own(database: &Database, of: PackageId) -> BTreeMap<PackageId, Bond> {
    let mut bonds = BTreeMap::new();
    let mut left = vec![of];
    while let Some(id) = left.pop() {
        if bonds.insert(id, Bond::Own).is_none() {
            let next = wanted(database, id, is_dependency);
            left.extend(next.filter(|next| is_same_source(database, *next, of)));
        }
    }
    bonds
}

/// A file that may be a program which a program starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startable {
    /// Where it is.
    pub path: ImagePath,
    /// Whether a package that the program's own depends on owns it, and not a package of its own:
    /// one word of a constant is enough then.
    pub is_asked_for: bool,
}

/// Programs that a file may start, by file name.
pub type Startables = BTreeMap<Box<[u8]>, Startable>;

/// What a program of the package `of` may start: commands of packages that this
/// depends on itself, files of it or of packages from its source below directories of libraries,
/// and commands of these, except for one that has the name of the package or its source. Of equal
/// names the last of these kinds counts.
pub fn startable(database: &Database, of: PackageId) -> Startables {
    let may_be_helper = |path: &ImagePath| {
        let is_library = memchr::memmem::find(path.file_name(), b".so").is_some();
        path.as_bytes().starts_with(b"/usr/lib") && !is_library
    };
    let own = own(database, of);
    let is_other = |id: &PackageId| {
        let is_essential = database.package(*id).is_some_and(|package| package.is_essential);
        !own.contains_key(id) && !is_essential
    };
    let others = wanted(database, of, is_dependency).filter(is_other);
    let asked_for = others.flat_map(|id| database.files(id)).filter(is_command);
    let (commands, rest): (Vec<_>, Vec<_>) =
        own.keys().flat_map(|id| database.files(*id)).partition(is_command);
    let own = rest.into_iter().filter(may_be_helper).chain(commands);
    // A product's name stands for much besides its program.
    let is_product = |name: &[u8]| {
        let package = database.package(of);
        package.is_some_and(|one| [&one.name, &one.source].iter().any(|n| n.as_bytes() == name))
    };
    let own = own.filter(|path| !is_product(path.file_name()));
    let all = asked_for.map(|path| (path, true)).chain(own.map(|path| (path, false)));
    let all = all.filter(|(path, _)| path.file_name().len() > 1);
    let named = |(path, is_asked_for): (ImagePath, bool)| {
        (path.file_name().into(), Startable { path, is_asked_for })
    };
    all.map(named).collect()
}

/// Whether `path` is in a directory of commands.
pub fn is_command(path: &ImagePath) -> bool {
    let dir = path.parent();
    dir.is_some_and(|dir| matches!(dir.file_name(), b"bin" | b"sbin" | b"games"))
}

/// Adds `left` and everything that it depends on.
fn reach(
    database: &Database,
    left: &mut Vec<PackageId>,
    bond: Bond,
    bonds: &mut BTreeMap<PackageId, Bond>,
) {
    while let Some(id) = left.pop() {
        if let Entry::Vacant(entry) = bonds.entry(id) {
            entry.insert(bond);
            left.extend(wanted(database, id, is_dependency));
        }
    }
}

/// The packages whose files may be data of the package `of`: itself, those from its source that it
/// depends on, and those without code that it depends on or recommends. What each system has, and
/// the C library, belongs to all packages and is left out.
pub(super) fn data_bonds(database: &Database, of: PackageId) -> BTreeMap<PackageId, Bond> {
    let mut bonds = own(database, of);
    let is_data = |id: &PackageId| {
        let is_for_all = database.package(*id).is_some_and(Package::is_for_all);
        is_for_all || is_same_source(database, *id, of)
    };
    for id in wanted(database, of, is_dependency).filter(is_data) {
        bonds.entry(id).or_insert(Bond::Depends);
    }
    for id in wanted(database, of, is_recommendation).filter(is_data) {
        bonds.entry(id).or_insert(Bond::Recommends);
    }
    let is = |id: PackageId, test: fn(&Package) -> bool| database.package(id).is_some_and(test);
    bonds.retain(|id, _| {
        !is(*id, |one| matches!(&*one.source, "glibc" | "musl"))
            && (*id == of || !is(*id, |one| one.is_essential))
    });
    bonds
}

fn is_dependency(strength: Strength) -> bool {
    matches!(strength, Strength::PreDepends | Strength::Depends)
}

fn is_recommendation(strength: Strength) -> bool {
    strength == Strength::Recommends
}

fn is_same_source(database: &Database, one: PackageId, other: PackageId) -> bool {
    let source = |id| database.package(id).map(|package| &package.source);
    source(one) == source(other)
}

/// The installed packages that satisfy the dependencies of `of` with a strength that `matches`.
fn wanted(
    database: &Database,
    of: PackageId,
    matches: impl Fn(Strength) -> bool,
) -> impl Iterator<Item = PackageId> {
    let dependencies = database.package(of).map_or(&[][..], |package| &package.dependencies);
    let dependencies = dependencies.iter().filter(move |one| matches(one.strength));
    let names = dependencies.flat_map(|dependency| &dependency.alternatives);
    names.flat_map(|name| database.find(name))
}
