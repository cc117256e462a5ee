//! A package and what an object of it mentions → the files that the object opens.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Bond, Mentions, Names, bonds::data_bonds, mentions::is_common};
use crate::{
    packages::{Database, PackageId},
    path::ImagePath,
};

/// Files that one package may have as its data.
const MAX_FILES: usize = 100_000;

/// The files that a package, and the packages with its data, own.
#[derive(Debug)]
pub struct Belongings {
    bonds: BTreeMap<PackageId, Bond>,
    /// Each with the package that owns it.
    files: BTreeMap<ImagePath, PackageId>,
    names: Arc<Names>,
}

/// A file or directory that belongs to what mentions it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// Its path. Everything below a directory belongs to it.
    pub path: ImagePath,
    /// The name, or the part of its path, by which it is mentioned.
    pub mention: Box<[u8]>,
    /// The package that owns it.
    pub package: PackageId,
    /// How strongly the package of what mentions it asks for that.
    pub bond: Bond,
}

impl Belongings {
    /// Those of the package `of`. `is_data` tells files that a program may open from programs,
    /// documentation and the like.
    pub fn new(database: &Database, of: PackageId, is_data: impl Fn(&ImagePath) -> bool) -> Self {
        let bonds = data_bonds(database, of);
        let (mut files, mut names) = (BTreeMap::new(), Names::default());
        let mut directories = BTreeSet::new();
        for id in bonds.keys() {
            let listed: Vec<_> = database.files(*id).filter(|path| !path.is_root()).collect();
            let parents: BTreeSet<_> = listed.iter().filter_map(ImagePath::parent).collect();
            let leaves = listed.into_iter().filter(|path| !parents.contains(path));
            for path in leaves.filter(|path| is_data(path)).take(MAX_FILES) {
                names.add_file(path.file_name());
                for dir in path.ancestors().filter(|dir| !is_top(dir)) {
                    if directories.insert(dir.clone()) {
                        names.add_directory(dir.as_bytes(), dir.file_name());
                    }
                }
                files.entry(path).or_insert(*id);
            }
        }
        Self { bonds, files, names: Arc::new(names) }
    }

    /// The names to look for.
    pub fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// What of this belongs to an object of the package that has these `mentions`, in order: files
    /// that are mentioned, and those below a directory that is. A directory stands for its files
    /// where no other package has any in it.
    pub fn mentioned(&self, mentions: &Mentions, database: &Database) -> Vec<Owned> {
        let mut out: BTreeMap<ImagePath, Owned> = BTreeMap::new();
        let mut exclusive: BTreeMap<ImagePath, bool> = BTreeMap::new();
        let mut by_directory: BTreeMap<ImagePath, Option<Box<[u8]>>> = BTreeMap::new();
        for (path, package) in &self.files {
            let mut above: Vec<_> = path.ancestors().collect();
            above.retain(|dir| !is_top(dir));
            let mut mention = None;
            let mut taken = path.clone();
            for dir in above {
                if mention.is_none() {
                    let find = || mentions.of_directory(dir.as_bytes(), dir.file_name());
                    mention.clone_from(by_directory.entry(dir.clone()).or_insert_with(find));
                }
                let is_exclusive =
                    || database.owners(&dir).iter().all(|owner| self.bonds.contains_key(owner));
                if mention.is_some() && *exclusive.entry(dir.clone()).or_insert_with(is_exclusive) {
                    taken = dir;
                    break;
                }
            }
            let Some(mention) = mention.or_else(|| mentions.of_file(path.file_name())) else {
                continue;
            };
            let bond = self.bonds.get(package).copied().unwrap_or(Bond::Recommends);
            let owned = Owned { path: taken.clone(), mention, package: *package, bond };
            let known = out.entry(taken).or_insert_with(|| owned.clone());
            if owned.bond < known.bond {
                *known = owned;
            }
        }
        out.into_values().collect()
    }
}

/// Whether `dir` is one in which packages have their directories: `/usr/share`, `/etc`,
/// `/usr/lib/x86_64-linux-gnu`.
pub fn is_top(dir: &ImagePath) -> bool {
    match dir.components().collect::<Vec<_>>()[..] {
        [] | [_] | [b"usr" | b"var", _] => true,
        [b"lib" | b"lib64", name]
        | [b"usr", b"lib" | b"lib64" | b"local" | b"share", name]
        | [b"usr", b"local", b"lib" | b"share", name] => is_common(name),
        _ => false,
    }
}
