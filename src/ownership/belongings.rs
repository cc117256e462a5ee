//! A package and what an object of it mentions → the files that the object opens.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use super::{Bond, Mentions, Names, bonds::data_bonds};
use crate::{
    packages::{Database, PackageId},
    path::{ImagePath, shared_dirs::is_common},
};

/// Files that one package may have as its data.
const MAX_FILES: usize = 100_000;

/// The files that a package, and the packages with its data, own.
#[derive(Debug)]
pub struct Belongings {
    bonds: BTreeMap<PackageId, Bond>,
    /// By the directory that they are in.
    files: BTreeMap<ImagePath, Files>,
    /// Directories above files, each with whether only these packages have anything in it, once
    /// that is asked for.
    exclusive: BTreeMap<ImagePath, OnceLock<bool>>,
    names: Arc<Names>,
}

/// The files of one directory.
#[derive(Debug, Default)]
struct Files {
    /// The directories above them that are not those of all packages, from the outermost to their
    /// own.
    above: Vec<ImagePath>,
    /// Each with the package that owns it.
    paths: BTreeMap<ImagePath, PackageId>,
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
    pub fn new(
        database: &Database,
        of: PackageId,
        mut is_data: impl FnMut(&ImagePath) -> bool,
    ) -> Self {
        let bonds = data_bonds(database, of);
        let (mut files, mut names) = (BTreeMap::<ImagePath, Files>::new(), Names::default());
        let mut exclusive = BTreeMap::new();
        for id in bonds.keys() {
            let listed: Vec<_> = database.files(*id).filter(|path| !path.is_root()).collect();
            let parents: BTreeSet<_> = listed.iter().filter_map(ImagePath::parent).collect();
            let leaves = listed.into_iter().filter(|path| !parents.contains(path));
            // A directory without files of this package may have those of others.
            let is_own = |path: &ImagePath| {
                database.owners(path).iter().all(|owner| bonds.contains_key(owner))
            };
            let data = leaves.filter(|path| is_data(path) && is_own(path));
            for path in data.take(MAX_FILES) {
                names.add_file(path.file_name());
                let Some(parent) = path.parent() else { continue };
                let of_parent = files.entry(parent).or_insert_with_key(|parent| {
                    let above = parent.ancestors().chain([parent.clone()]);
                    Files { above: above.filter(|dir| !is_top(dir)).collect(), ..Files::default() }
                });
                for dir in &of_parent.above {
                    if !exclusive.contains_key(dir) {
                        names.add_directory(dir.as_bytes(), dir.file_name());
                        exclusive.insert(dir.clone(), OnceLock::new());
                    }
                }
                of_parent.paths.entry(path).or_insert(*id);
            }
        }
        Self { bonds, files, exclusive, names: Arc::new(names) }
    }

    /// The names to look for.
    pub fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// What of this belongs to an object of the package that has these `mentions`, in order: files
    /// that are mentioned, and those below a directory that is. A directory stands for its files
    /// where no other package has any in it; a file in it whose own name is mentioned is listed,
    /// too. What has several mentions is listed with each.
    pub fn mentioned(&self, mentions: &Mentions, database: &Database) -> Vec<Owned> {
        let mut out: BTreeMap<(ImagePath, Box<[u8]>), Owned> = BTreeMap::new();
        if mentions.is_empty() {
            return Vec::new();
        }
        let mut by_directory: BTreeMap<&ImagePath, Option<Box<[u8]>>> = BTreeMap::new();
        for Files { above, paths } in self.files.values() {
            let (mut whole, mut shared) = (Vec::new(), Vec::new());
            for dir in above {
                let find = || mentions.of_directory(dir.as_bytes(), dir.file_name());
                shared.extend(by_directory.entry(dir).or_insert_with(find).clone());
                if !shared.is_empty() && self.is_exclusive(dir, database) {
                    whole.extend(shared.drain(..).map(|mention| (dir, mention)));
                }
            }
            for (path, package) in paths {
                let bond = self.bonds.get(package).copied().unwrap_or(Bond::Recommends);
                let is_enough = |mention: &[u8]| bond == Bond::Own || !mentions.is_word(mention);
                let of_shared = shared.iter().map(|mention| (path, mention.clone()));
                let of_directories = whole.iter().cloned().chain(of_shared);
                let of_directories = of_directories.filter(|(_, mention)| is_enough(mention));
                let of_file = mentions
                    .of_file(path.as_bytes(), path.file_name())
                    .map(|mention| (path, mention));
                for (taken, mention) in of_directories.chain(of_file) {
                    let key = (taken.clone(), mention.clone());
                    let owned = Owned { path: taken.clone(), mention, package: *package, bond };
                    let known = out.entry(key).or_insert_with(|| owned.clone());
                    if owned.bond < known.bond {
                        *known = owned;
                    }
                }
            }
        }
        out.into_values().collect()
    }

    /// Whether no other package has anything in `dir`.
    fn is_exclusive(&self, dir: &ImagePath, database: &Database) -> bool {
        let find = || database.owners(dir).iter().all(|owner| self.bonds.contains_key(owner));
        self.exclusive.get(dir).is_some_and(|known| *known.get_or_init(find))
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
