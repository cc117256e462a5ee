//! Where musl's loader looks for a name: `path_open` and the lists of `load_library` in
//! `ldso/dynlink.c`.

use std::sync::Arc;

use super::Walk;
use crate::elf::{
    FindError,
    closure::{
        How, Miss, State,
        dirs::{DirList, NOT_THERE, Trail, tried},
        files::Verdict,
        search::{Answer, Config, Hit, join},
    },
};

/// Bytes of a path that `path_open` has room for, with its end.
const MAX_PATH: usize = 2 * 255 + 2;

impl Walk<'_, '_> {
    pub(super) fn at_path(&mut self, path: &Arc<[u8]>) -> Answer {
        let mut trail = Trail::default();
        let result = if path.starts_with(b"/") {
            self.try_path(path, &How::Path, &mut trail).0
        } else {
            trail.push(|| tried(path, &How::Path, Miss::Relative));
            None
        };
        Answer::new(result.unwrap_or(Hit::Missing), trail)
    }

    /// One path: the search's end, if it is one; whether nothing is there.
    fn try_path(&mut self, path: &[u8], how: &How, trail: &mut Trail) -> (Option<Hit>, bool) {
        let Some(machine) = self.state.loader(self.loader).map(|loader| loader.machine) else {
            return (None, false);
        };
        match self.state.open(path).musl(machine) {
            Verdict::Take => (Some(Hit::Found(path.into(), how.clone())), false),
            Verdict::Fatal(fault) => (Some(Hit::Fatal(path.into(), fault)), false),
            Verdict::Skip(miss) => {
                trail.push(|| tried(path, how, miss.clone()));
                // `path_open` gives up at an errno that it does not expect.
                let stops = matches!(miss, Miss::Find(FindError::Loop | FindError::Other(_)));
                (stops.then_some(Hit::Missing), miss == NOT_THERE)
            }
        }
    }

    fn try_dirs(
        &mut self,
        list: &DirList,
        name: &[u8],
        how: &How,
        trail: &mut Trail,
    ) -> Option<Hit> {
        for &id in &list.dirs {
            let Some(dir) = self.state.dirs.get(id) else { continue };
            let (path, is_there) = (join_musl(&dir.path, name), dir.is_there);
            if path.len() >= MAX_PATH {
                trail.push(|| tried(&path, how, Miss::TooLong));
                continue;
            }
            if !is_there || self.state.lacks(id, name) {
                trail.push(|| tried(&path, how, NOT_THERE));
                continue;
            }
            match self.try_path(&path, how, trail) {
                (Some(hit), _) => return Some(hit),
                (None, true) => self.state.missed(id),
                (None, false) => {}
            }
        }
        trail.pass(list);
        None
    }

    /// `path_open` along the lists of `load_library`.
    pub(super) fn search(&mut self, needed_by: Option<usize>, name: &Arc<[u8]>) -> Answer {
        let mut trail = Trail::default();
        for (how, dirs) in &*self.library_path.clone() {
            if let Some(hit) = self.try_dirs(dirs, name, how, &mut trail) {
                if let (How::LibraryPath, Hit::Found(path, _)) = (how, &hit)
                    && let Some(Hit::Found(other, _)) =
                        self.in_inherited(needed_by, name, &mut Trail::default())
                {
                    self.state.note_shadowed(path, &other);
                }
                return Answer::new(hit, trail);
            }
        }
        let mut result = self.in_inherited(needed_by, name, &mut trail);
        if result.is_none() {
            let (how, dirs) = self.own_path.clone();
            result = self.try_dirs(&dirs, name, &how, &mut trail);
        }
        Answer::new(result.unwrap_or(Hit::Missing), trail)
    }

    /// The search paths of the requester, and of who asked for that.
    fn in_inherited(
        &mut self,
        needed_by: Option<usize>,
        name: &[u8],
        trail: &mut Trail,
    ) -> Option<Hit> {
        let mut next = needed_by;
        while let Some(index) = next {
            let at = self.members.get(index)?;
            let (paths, file) = (at.paths.clone(), at.file);
            next = at.requester;
            let opened =
                self.state.out.files.get(file).map(|file| file.opened.clone()).unwrap_or_default();
            // Both tags are inherited; where both are, DT_RUNPATH counts.
            let (dirs, how) = match (&paths.runpath, &paths.rpath) {
                (Some(dirs), _) => (dirs, How::Runpath(opened)),
                (None, Some(dirs)) => (dirs, How::Rpath(opened)),
                (None, None) => continue,
            };
            if let Some(hit) = self.try_dirs(dirs, name, &how, trail) {
                return Some(hit);
            }
        }
        None
    }
}

impl State<'_> {
    /// What a search finds whose requester has no search path, nor the environment.
    pub(in crate::elf::closure) fn in_musl_path(&mut self, loader: usize, name: &[u8]) -> Hit {
        let (how, dirs) = self.musl_path(loader);
        let mut paths =
            dirs.dirs.iter().filter_map(|&id| Some(join_musl(&self.dirs.get(id)?.path, name)));
        let is_there = |path: &Vec<u8>| self.lookup.find(path).is_ok();
        paths.find(is_there).map_or(Hit::Missing, |path| Hit::Found(path.into(), how))
    }

    /// The directories of a loader's path file, or those that it has without one.
    pub(super) fn musl_path(&mut self, loader: usize) -> (How, Arc<DirList>) {
        let config = self.config(loader);
        let Config::Path(path, from_file) = &*config else { return (How::Default, Arc::default()) };
        let file = self.loader(loader).map(|facts| facts.config.clone()).filter(|_| *from_file);
        (file.map_or(How::Default, How::PathFile), self.dir_list(loader, &path.dirs).into())
    }
}

/// musl puts a slash between, whatever the directory ends with.
pub(super) fn join_musl(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.ends_with(b"/") { [dir, b"/", name].concat() } else { join(dir, name) }
}
