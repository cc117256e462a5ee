//! Directories that are searched: what is known of each, and what was tried in vain.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    SearchRule, State, Warning, files::is_of_process, search::join, search_log::MAX_ENTRIES,
};
use crate::{
    elf::{Found, FoundKind, ReadFailure, tokens::without_slashes},
    path::ImagePath,
};

/// A directory's place in [`State::dirs`].
pub(super) type DirId = usize;

/// A list of directories to be searched in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DirList {
    /// The directories, but of those after the first [`MAX_ENTRIES`] only what is there.
    pub(super) dirs: Vec<DirId>,
    /// How many are not among these.
    pub(super) absent: usize,
}

/// Names that a directory may not have before it is listed: then one system call answers for all
/// further ones, and nothing is to be remembered of them.
const MISSES_BEFORE_LIST: usize = 16;
/// A directory that is searched.
#[derive(Debug)]
pub(super) struct Dir {
    pub(super) path: Arc<[u8]>,
    pub(super) is_there: bool,
    /// The subdirectories for processors that are there, in the order of the search.
    pub(super) subdirs: Vec<Arc<[u8]>>,
    /// Where it really is.
    real: ImagePath,
    names: Names,
}

/// What is known of the names in a directory.
#[derive(Debug)]
enum Names {
    /// So many were not there.
    Missed(usize),
    /// These are all.
    All(Arc<BTreeSet<Vec<u8>>>),
    /// It cannot be listed.
    Unknown,
}

impl State<'_> {
    /// The directory at `path` as `loader` sees it.
    pub(super) fn dir(&mut self, loader: usize, path: &Arc<[u8]>) -> Result<DirId, ReadFailure> {
        let key = (loader, path.clone());
        if let Some(&known) = self.dir_ids.get(&key) {
            return Ok(known);
        }
        let is_dir = |found: &Found| found.kind == FoundKind::Directory;
        let found = self.lookup.find(path)?.ok().filter(is_dir);
        let is_there = match &found {
            Some(found) if is_of_process(found) => {
                self.out.warnings.insert(Warning::ProcessDirectory(path.clone()));
                false
            }
            found => found.is_some(),
        };
        let mut subdirs = Vec::new();
        for sub in if is_there { self.subdirs(loader) } else { Vec::new() } {
            if self.lookup.find(&join(path, &sub))?.is_ok_and(|found| is_dir(&found)) {
                subdirs.push(sub);
            }
        }
        let id = self.dirs.len();
        let real = found.map_or_else(ImagePath::root, |found| found.path);
        let names =
            self.listings.get(&real).map_or(Names::Missed(0), |names| Names::All(names.clone()));
        self.dirs.push(Dir { path: path.clone(), is_there, subdirs, real, names });
        self.dir_ids.insert(key, id);
        Ok(id)
    }

    /// The directories of LD_LIBRARY_PATH, of which `program` has these, and those given besides.
    /// Relative ones are left out.
    pub(super) fn library_dirs(
        &mut self,
        loader: usize,
        program: &Arc<[u8]>,
        environment: &[Vec<u8>],
    ) -> Result<Vec<(SearchRule, DirList)>, ReadFailure> {
        let options = self.options;
        for element in environment.iter().filter(|dir| !dir.starts_with(b"/")) {
            let element = element.as_slice().into();
            let warning = Warning::RelativeElement(program.clone(), "LD_LIBRARY_PATH", element);
            self.out.warnings.insert(warning);
        }
        let all = [
            (SearchRule::Environment, environment),
            (SearchRule::LibraryPath, &options.library_path[..]),
        ];
        let all = all.into_iter().filter(|(_, path)| !path.is_empty());
        all.map(|(rule, path)| Ok((rule, self.dir_list(loader, &absolute(path))?))).collect()
    }

    pub(super) fn dir_list(
        &mut self,
        loader: usize,
        paths: &[Arc<[u8]>],
    ) -> Result<DirList, ReadFailure> {
        let mut list = DirList::default();
        for (at, path) in paths.iter().enumerate() {
            let dir = self.dir(loader, path)?;
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

    /// Notes that a directory has not what was asked for.
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

/// The absolute ones of `path`, each once, without slashes at the end.
fn absolute(path: &[Vec<u8>]) -> Vec<Arc<[u8]>> {
    let mut seen = BTreeSet::new();
    let mut dirs = Vec::new();
    for dir in path.iter().filter(|dir| dir.starts_with(b"/")) {
        let dir = without_slashes(dir);
        if seen.insert(dir) {
            dirs.push(dir.into());
        }
    }
    dirs
}
