//! Where musl's loader looks for a name: `path_open` and the lists of `load_library` in
//! `ldso/dynlink.c`.

use std::sync::Arc;

use super::Walk;
use crate::elf::{
    Absence, ReadFailure,
    closure::{
        Miss, SearchLogEntry, SearchRule,
        answer::{Answer, Hit},
        cache_needs::note_shadowed,
        dirs::DirList,
        files::Verdict,
        musl_path::join_musl,
        search_log::{NOT_THERE, SearchLog},
    },
};

/// Size in bytes of the path buffer in `path_open`, including the final NUL.
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
        Ok(match self.state.files.open(path)?.musl(machine) {
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
            if !is_there || self.state.dirs.lacks(id, name) {
                log.push(|| SearchLogEntry::new(&path, rule, NOT_THERE));
                continue;
            }
            match self.try_path(&path, rule, log)? {
                (Some(hit), _) => return Ok(Some(hit)),
                (None, true) => self.state.dirs.missed(id)?,
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
                    note_shadowed(self.state, path, &other)?;
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

    /// Searches the paths of the requester, then those of its own requester, and so on.
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
            let opened = self.state.files.opened_path(file);
            // Both tags are inherited; if an object has both, DT_RUNPATH applies.
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
