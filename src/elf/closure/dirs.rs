//! The directories that are searched, and what is known about each.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Warning, files::is_of_process, search_log::MAX_ENTRIES};
use crate::{
    elf::{Found, FoundKind, Lookup, ReadFailure, tokens::join},
    path::ImagePath,
};

/// A directory's place in [`Directories`].
pub(super) type DirId = usize;

/// A list of directories to be searched in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DirList {
    /// The directories. After the first [`MAX_ENTRIES`], only those that exist.
    pub(super) dirs: Vec<DirId>,
    /// How many directories were left out.
    pub(super) absent: usize,
}

/// Missing names after which a directory is listed: one system call then answers for all further
/// names, and none of them has to be remembered.
const MISSES_BEFORE_LIST: usize = 16;
/// A directory that is searched.
#[derive(Debug)]
pub(super) struct Dir {
    pub(super) path: Arc<[u8]>,
    pub(super) is_there: bool,
    /// The subdirectories for processors that are there, in the order of the search.
    pub(super) subdirs: Vec<Arc<[u8]>>,
    /// Its real path.
    real: ImagePath,
    names: Names,
}

/// What is known of the names in a directory.
#[derive(Debug)]
enum Names {
    /// So many names were not there.
    Missed(usize),
    /// The complete list.
    All(Arc<BTreeSet<Vec<u8>>>),
    /// It cannot be listed.
    Unknown,
}

/// The directories that were searched, each looked at once for each loader.
pub(super) struct Directories<'a> {
    lookup: &'a dyn Lookup,
    dirs: Vec<Dir>,
    /// Their places there, by loader and path.
    ids: BTreeMap<(usize, Arc<[u8]>), DirId>,
    /// All names of directories, by their real paths.
    listings: BTreeMap<ImagePath, Arc<BTreeSet<Vec<u8>>>>,
}

/// The loader for which directories are looked at, and the subdirectories that it looks into.
pub(super) struct SearchedFor {
    pub(super) loader: usize,
    pub(super) subdirs: Arc<[Arc<[u8]>]>,
}

impl<'a> Directories<'a> {
    pub(super) fn new(lookup: &'a dyn Lookup) -> Self {
        Self { lookup, dirs: Vec::new(), ids: BTreeMap::new(), listings: BTreeMap::new() }
    }

    pub(super) fn get(&self, dir: DirId) -> Option<&Dir> {
        self.dirs.get(dir)
    }

    /// The directory at `path` as a loader sees it.
    pub(super) fn dir(
        &mut self,
        by: &SearchedFor,
        path: &Arc<[u8]>,
        warnings: &mut BTreeSet<Warning>,
    ) -> Result<DirId, ReadFailure> {
        let key = (by.loader, path.clone());
        if let Some(&known) = self.ids.get(&key) {
            return Ok(known);
        }
        let is_dir = |found: &Found| found.kind == FoundKind::Directory;
        let found = self.lookup.find(path)?.ok().filter(is_dir);
        let is_there = match &found {
            Some(found) if is_of_process(found) => {
                warnings.insert(Warning::ProcessDirectory(path.clone()));
                false
            }
            found => found.is_some(),
        };
        let mut subdirs = Vec::new();
        for sub in by.subdirs.iter().filter(|_| is_there) {
            if self.lookup.find(&join(path, sub))?.is_ok_and(|found| is_dir(&found)) {
                subdirs.push(sub.clone());
            }
        }
        let id = self.dirs.len();
        let real = found.map_or_else(ImagePath::root, |found| found.path);
        let names =
            self.listings.get(&real).map_or(Names::Missed(0), |names| Names::All(names.clone()));
        self.dirs.push(Dir { path: path.clone(), is_there, subdirs, real, names });
        self.ids.insert(key, id);
        Ok(id)
    }

    pub(super) fn list(
        &mut self,
        by: &SearchedFor,
        paths: &[Arc<[u8]>],
        warnings: &mut BTreeSet<Warning>,
    ) -> Result<DirList, ReadFailure> {
        let mut list = DirList::default();
        for (at, path) in paths.iter().enumerate() {
            let dir = self.dir(by, path, warnings)?;
            if at < MAX_ENTRIES || self.dirs.get(dir).is_some_and(|dir| dir.is_there) {
                list.dirs.push(dir);
            } else {
                list.absent += 1;
            }
        }
        Ok(list)
    }

    /// Whether a directory is known not to have `name`.
    pub(super) fn lacks(&self, dir: DirId, name: &[u8]) -> bool {
        let Some(dir) = self.dirs.get(dir) else { return false };
        let names = match &dir.names {
            Names::All(names) => Some(names),
            // By another path it may have been listed.
            Names::Missed(_) => self.listings.get(&dir.real),
            Names::Unknown => None,
        };
        names.is_some_and(|names| !names.contains(name)) && !matches!(name, b"" | b"." | b"..")
    }

    /// Notes that a directory does not have the name that was asked for.
    pub(super) fn missed(&mut self, dir: DirId) -> Result<(), ReadFailure> {
        let Some(Dir { path, names, real, .. }) = self.dirs.get_mut(dir) else { return Ok(()) };
        let Names::Missed(count) = names else { return Ok(()) };
        *count += 1;
        if *count == MISSES_BEFORE_LIST {
            *names = match self.listings.get(real) {
                Some(known) => Names::All(known.clone()),
                None => match self.lookup.list(path)? {
                    Ok(all) => {
                        let all: Arc<BTreeSet<Vec<u8>>> = Arc::new(all.into_iter().collect());
                        self.listings.insert(real.clone(), all.clone());
                        Names::All(all)
                    }
                    Err(_) => Names::Unknown,
                },
            };
        }
        Ok(())
    }
}
