//! Resolves one requested name: `_dl_map_object` in glibc's `elf/dl-load.c`.

use std::sync::Arc;

use super::{VDSO, Walk};
use crate::elf::{
    Absence, Fault, FaultKind, FileId, Hwcaps, Miss, Outcome, ReadFailure, SearchLogEntry,
    SearchRule, Tag, Warning,
    closure::{
        answer::{Answer, Hit},
        cache_needs::{note_cache_need, note_shadowed},
        cache_search::search_cache,
        dirs::DirList,
        files::Verdict,
        search::try_dirs,
        search_log::{ClosedLog, SearchLog},
    },
    tokens::{directory, join},
};

impl Walk<'_, '_> {
    /// Resolves a name that a member requests. Returns the member that satisfies it, if any.
    pub(super) fn request(
        &mut self,
        member: usize,
        tag: Tag,
        name: &Arc<[u8]>,
    ) -> Result<Option<usize>, ReadFailure> {
        let Some(requester) = self.members.get(member).map(|member| member.file) else {
            return Ok(None);
        };
        let mut log = ClosedLog::default();
        let (found, outcome) = match self.expand(member, name) {
            // The loader skips an empty name.
            None if name.is_empty() => return Ok(None),
            None => {
                log = ClosedLog::of(SearchLogEntry::new(name, &SearchRule::Path, Miss::Token));
                (None, Outcome::Missing)
            }
            Some(full) => match self.loaded(&full) {
                Some((found, outcome)) => {
                    self.matched.insert(full);
                    (found, outcome)
                }
                None => {
                    let answer = self.search(member, &full)?;
                    log = answer.log;
                    if let Hit::Missing = answer.result {
                        self.note_variant(&full, &log.entries)?;
                    }
                    self.map(Some(member), tag, &full, answer.result)?
                }
            },
        };
        self.record.request(self.state, (requester, tag, name.clone()), outcome, log);
        Ok(found)
    }

    /// The name with its tokens expanded (`expand_dst`).
    pub(super) fn expand(&self, member: usize, name: &Arc<[u8]>) -> Option<Arc<[u8]>> {
        if !name.contains(&b'$') {
            return Some(name.clone()).filter(|name| !name.is_empty());
        }
        let file = self.members.get(member).and_then(|m| self.state.files.get(m.file))?;
        let main = member == 0 && file.object.interp.is_some();
        let at = if main { file.path.as_bytes() } else { &file.opened };
        self.state.tokens(self.loader, at)?.glibc(name).map(Arc::from)
    }

    /// The loaded object that has the name `name` (`_dl_name_match_p`, DT_SONAME).
    pub(super) fn loaded(&self, name: &[u8]) -> Option<(Option<usize>, Outcome)> {
        if VDSO.contains(&name) {
            return Some((None, Outcome::Kernel));
        }
        let index = *self.names.get(name)?;
        let file = self.members.get(index)?.file;
        let opened = self.state.files.get(file)?.opened.clone();
        Some((Some(index), Outcome::Found(file, SearchRule::Loaded(opened))))
    }

    /// The search of `_dl_map_object`.
    pub(super) fn search(
        &mut self,
        member: usize,
        name: &Arc<[u8]>,
    ) -> Result<Answer, ReadFailure> {
        let mut log = SearchLog::default();
        if name.contains(&b'/') {
            return self.at_path(name);
        }
        if let Some(hit) = self.search_before_cache(member, name, &mut log)? {
            return Ok(Answer::new(hit, log));
        }
        let nodeflib = self.members.get(member).is_some_and(|m| m.nodeflib);
        let from_cache = search_cache(self.state, self.loader, nodeflib, name)?;
        if log.is_empty() {
            return Ok(from_cache);
        }
        log.extend(&from_cache.log);
        Ok(Answer::new(from_cache.result, log))
    }

    fn at_path(&mut self, path: &Arc<[u8]>) -> Result<Answer, ReadFailure> {
        let (result, miss) = if path.starts_with(b"/") {
            match self.state.glibc_verdict(self.loader, path)? {
                Verdict::Take => (Hit::Found(path.clone(), SearchRule::Path), None),
                Verdict::Fatal(fault) => (Hit::Fatal(path.clone(), fault), None),
                Verdict::Skip(miss) => (Hit::Missing, Some(miss)),
            }
        } else {
            (Hit::Missing, Some(Miss::Relative))
        };
        let entry = miss.map(|miss| SearchLogEntry::new(path, &SearchRule::Path, miss));
        Ok(Answer { result, log: entry.map(ClosedLog::of).unwrap_or_default() })
    }

    /// Searches DT_RPATH up the chain of requesters, then LD_LIBRARY_PATH, then DT_RUNPATH.
    fn search_before_cache(
        &mut self,
        member: usize,
        name: &[u8],
        log: &mut SearchLog,
    ) -> Result<Option<Hit>, ReadFailure> {
        let Some(at) = self.members.get(member) else { return Ok(None) };
        let (file, paths) = (at.file, at.paths.clone());
        if !at.has_runpath {
            let mut next = Some(member);
            let mut did_main = false;
            while let Some(index) = next {
                next = self.members.get(index).and_then(|at| at.requester);
                did_main |= index == 0;
                if let Some(hit) = self.in_rpath(index, name, log)? {
                    return Ok(Some(hit));
                }
            }
            if !did_main && let Some(hit) = self.in_rpath(0, name, log)? {
                return Ok(Some(hit));
            }
        }
        for (rule, dirs) in &*self.library_path.clone() {
            if let Some(hit) = self.in_list(dirs, name, rule, log)? {
                if *rule == SearchRule::LibraryPath {
                    self.note_shadowed(member, name, &hit)?;
                }
                return Ok(Some(hit));
            }
        }
        let Some(dirs) = &paths.runpath else { return Ok(None) };
        let rule = SearchRule::Runpath(self.state.files.opened_path(file));
        self.in_list(dirs, name, &rule, log)
    }

    fn in_rpath(
        &mut self,
        index: usize,
        name: &[u8],
        log: &mut SearchLog,
    ) -> Result<Option<Hit>, ReadFailure> {
        let Some(at) = self.members.get(index) else { return Ok(None) };
        let (file, paths) = (at.file, at.paths.clone());
        let Some(dirs) = &paths.rpath else { return Ok(None) };
        let rule = SearchRule::Rpath(self.state.files.opened_path(file));
        self.in_list(dirs, name, &rule, log)
    }

    fn in_list(
        &mut self,
        dirs: &DirList,
        name: &[u8],
        rule: &SearchRule,
        log: &mut SearchLog,
    ) -> Result<Option<Hit>, ReadFailure> {
        try_dirs(self.state, self.loader, dirs, name, rule, log)
    }

    /// `_dl_map_object_from_fd`: adds a name to a loaded file, or a new member.
    pub(super) fn map(
        &mut self,
        requester: Option<usize>,
        tag: Tag,
        name: &Arc<[u8]>,
        hit: Hit,
    ) -> Result<(Option<usize>, Outcome), ReadFailure> {
        let (path, rule) = match hit {
            Hit::Found(path, rule) => (path, rule),
            Hit::Missing => return Ok((None, Outcome::Missing)),
            Hit::Fatal(path, kind) => {
                if tag.is_hard() {
                    self.record.fault(self.state, Fault { path, kind: kind.clone() });
                }
                return Ok((None, Outcome::Fatal(kind)));
            }
        };
        let Some(file) = self.state.files.take(&path) else {
            return Ok((None, Outcome::Fatal(FaultKind::Find(Absence::Missing))));
        };
        note_cache_need(self.state, self.loader, file, name, &rule)?;
        self.matched.extend([name.clone(), path.clone()]);
        let id = self.state.files.get(file).map(|file| file.id).unwrap_or(FileId(0, 0));
        if let Some(&loaded) = self.ids.get(&id) {
            self.names.entry(name.clone()).or_insert(loaded);
            let loaded_file = self.members.get(loaded).map_or(file, |member| member.file);
            return Ok((Some(loaded), Outcome::Same(file, loaded_file, rule)));
        }
        let index = self.add(file, requester, false)?;
        self.ids.insert(id, index);
        // The path is `l_name`, the requested name `l_libname`.
        self.names.entry(path).or_insert(index);
        self.names.entry(name.clone()).or_insert(index);
        Ok((Some(index), Outcome::Found(file, rule)))
    }

    /// Notes a library that LD_LIBRARY_PATH finds and DT_RUNPATH would find too. The variable is
    /// searched before DT_RUNPATH, the cache after it, so a generated cache cannot replace the
    /// variable.
    fn note_shadowed(&mut self, member: usize, name: &[u8], hit: &Hit) -> Result<(), ReadFailure> {
        let Hit::Found(path, _) = hit else { return Ok(()) };
        let Some(paths) = self.members.get(member).map(|member| member.paths.clone()) else {
            return Ok(());
        };
        let Some(dirs) = &paths.runpath else { return Ok(()) };
        match self.in_list(dirs, name, &SearchRule::LibraryPath, &mut SearchLog::default())? {
            Some(Hit::Found(other, _)) => note_shadowed(self.state, path, &other),
            _ => Ok(()),
        }
    }

    /// Warns about a missing library that exists only as a build for newer processors.
    fn note_variant(
        &mut self,
        name: &Arc<[u8]>,
        log: &[SearchLogEntry],
    ) -> Result<(), ReadFailure> {
        let levels = match (&self.state.options.hwcaps, self.state.loader(self.loader)) {
            (Hwcaps::Baseline | Hwcaps::All, Some(facts)) => facts.hwcaps.clone(),
            _ => return Ok(()),
        };
        for place in log.iter().filter(|entry| entry.path.ends_with(name)) {
            for level in &levels {
                let dir = join(&join(directory(&place.path), b"glibc-hwcaps"), level);
                let path = join(&dir, name);
                if let Verdict::Take = self.state.glibc_verdict(self.loader, &path)? {
                    self.state.warnings.insert(Warning::OnlyVariant(name.clone(), path.into()));
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
