//! Where musl's loader looks for a name: `path_open` and the lists of `load_library` in
//! `ldso/dynlink.c`.

use std::sync::Arc;

use super::Walk;
use crate::elf::{
    Absence, ReadFailure,
    closure::{
        Miss, SearchLogEntry, SearchRule, State,
        dirs::DirList,
        files::Verdict,
        search::{Answer, Config, Hit, join},
        search_log::{NOT_THERE, SearchLog},
    },
};

/// Bytes of a path that `path_open` has room for, with its end.
const MAX_PATH: usize = 2 * 255 + 2;

impl Walk<'_, '_> {
    pub(super) fn at_path(&mut self, path: &Arc<[u8]>) -> Result<Answer, ReadFailure> {
        let mut log = SearchLog::default();
        let result = if path.starts_with(b"/") {
            self.try_path(path, &SearchRule::Path, &mut log)?.0
        } else {
            log.push(|| SearchLogEntry::new(path, &SearchRule::Path, Miss::Relative));
            None
        };
        Ok(Answer::new(result.unwrap_or(Hit::Missing), log))
    }

    /// One path: the search's end, if it is one; whether nothing is there.
    fn try_path(
        &mut self,
        path: &[u8],
        rule: &SearchRule,
        log: &mut SearchLog,
    ) -> Result<(Option<Hit>, bool), ReadFailure> {
        let Some(machine) = self.state.loader(self.loader).map(|loader| loader.machine) else {
            return Ok((None, false));
        };
        Ok(match self.state.open(path)?.musl(machine) {
            Verdict::Take => (Some(Hit::Found(path.into(), rule.clone())), false),
            Verdict::Fatal(fault) => (Some(Hit::Fatal(path.into(), fault)), false),
            Verdict::Skip(miss) => {
                log.push(|| SearchLogEntry::new(path, rule, miss.clone()));
                // `path_open` gives up at an errno that it does not expect.
                let stops = matches!(miss, Miss::Find(Absence::Loop) | Miss::OfProcess);
                (stops.then_some(Hit::Missing), miss == NOT_THERE)
            }
        })
    }

    fn try_dirs(
        &mut self,
        list: &DirList,
        name: &[u8],
        rule: &SearchRule,
        log: &mut SearchLog,
    ) -> Result<Option<Hit>, ReadFailure> {
        for &id in &list.dirs {
            let Some(dir) = self.state.dirs.get(id) else { continue };
            let (path, is_there) = (join_musl(&dir.path, name), dir.is_there);
            if path.len() >= MAX_PATH {
                log.push(|| SearchLogEntry::new(&path, rule, Miss::TooLong));
                continue;
            }
            if !is_there || self.state.lacks(id, name) {
                log.push(|| SearchLogEntry::new(&path, rule, NOT_THERE));
                continue;
            }
            match self.try_path(&path, rule, log)? {
                (Some(hit), _) => return Ok(Some(hit)),
                (None, true) => self.state.missed(id)?,
                (None, false) => {}
            }
        }
        log.count_unlisted(list.absent);
        Ok(None)
    }

    /// `path_open` along the lists of `load_library`.
    pub(super) fn search(
        &mut self,
        needed_by: Option<usize>,
        name: &Arc<[u8]>,
    ) -> Result<Answer, ReadFailure> {
        let mut log = SearchLog::default();
        for (rule, dirs) in &*self.library_path.clone() {
            if let Some(hit) = self.try_dirs(dirs, name, rule, &mut log)? {
                if let (SearchRule::LibraryPath, Hit::Found(path, _)) = (rule, &hit)
                    && let Some(Hit::Found(other, _)) =
                        self.in_inherited(needed_by, name, &mut SearchLog::default())?
                {
                    self.state.note_shadowed(path, &other)?;
                }
                return Ok(Answer::new(hit, log));
            }
        }
        let mut result = self.in_inherited(needed_by, name, &mut log)?;
        if result.is_none() {
            let (rule, dirs) = self.own_path.clone();
            result = self.try_dirs(&dirs, name, &rule, &mut log)?;
        }
        Ok(Answer::new(result.unwrap_or(Hit::Missing), log))
    }

    /// The search paths of the requester, and of who asked for that.
    fn in_inherited(
        &mut self,
        needed_by: Option<usize>,
        name: &[u8],
        log: &mut SearchLog,
    ) -> Result<Option<Hit>, ReadFailure> {
        let mut next = needed_by;
        while let Some(index) = next {
            let Some(at) = self.members.get(index) else { break };
            let (paths, file) = (at.paths.clone(), at.file);
            next = at.requester;
            let opened = self.state.opened_path(file);
            // Both tags are inherited; where both are, DT_RUNPATH counts.
            let (dirs, rule) = match (&paths.runpath, &paths.rpath) {
                (Some(dirs), _) => (dirs, SearchRule::Runpath(opened)),
                (None, Some(dirs)) => (dirs, SearchRule::Rpath(opened)),
                (None, None) => continue,
            };
            if let Some(hit) = self.try_dirs(dirs, name, &rule, log)? {
                return Ok(Some(hit));
            }
        }
        Ok(None)
    }
}

impl State<'_> {
    /// What a search finds whose requester has no search path, nor the environment.
    pub(in crate::elf::closure) fn in_musl_path(
        &mut self,
        loader: usize,
        name: &[u8],
    ) -> Result<Hit, ReadFailure> {
        let (rule, dirs) = self.musl_path(loader)?;
        for dir in dirs.dirs.iter().filter_map(|&id| self.dirs.get(id)) {
            let path = join_musl(&dir.path, name);
            if self.lookup.find(&path)?.is_ok() {
                return Ok(Hit::Found(path.into(), rule));
            }
        }
        Ok(Hit::Missing)
    }

    /// The directories of a loader's path file, or those that it has without one.
    pub(super) fn musl_path(
        &mut self,
        loader: usize,
    ) -> Result<(SearchRule, Arc<DirList>), ReadFailure> {
        let config = self.config(loader)?;
        let Config::Path(path, from_file) = &*config else {
            return Ok((SearchRule::Default, Arc::default()));
        };
        let file = self.loader(loader).map(|facts| facts.config.clone()).filter(|_| *from_file);
        Ok((
            file.map_or(SearchRule::Default, SearchRule::PathFile),
            self.dir_list(loader, &path.dirs)?.into(),
        ))
    }
}

/// musl puts a slash between, whatever the directory ends with.
pub(super) fn join_musl(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.ends_with(b"/") { [dir, b"/", name].concat() } else { join(dir, name) }
}
