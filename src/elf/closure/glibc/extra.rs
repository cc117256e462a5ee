//! Additions to the libraries that a program loads at start: builds for newer processors, and
//! libraries that dlopen metadata names.

use std::sync::Arc;

use super::{Member, Walk};
use crate::elf::{
    FileId, Outcome, ReadFailure, SearchRule, Tag,
    closure::{
        answer::Hit,
        files::Verdict,
        record::Requirement,
        search_log::{ClosedLog, SearchLog},
    },
    dlopen::Dlopen,
    tokens::{directory, join},
};

impl Walk<'_, '_> {
    /// Loads the libraries that the members' dlopen notes name, and their dependencies. Required
    /// ones come first, since a recommended library may need parts of these too.
    pub(super) fn dlopens(&mut self) -> Result<(), ReadFailure> {
        for requirement in [Requirement::Hard, Requirement::Recommended] {
            self.record.requirement = requirement;
            let mut at = 0;
            while let Some(member) = self.members.get(at) {
                let (file, of) = (member.file, member.requirement);
                for entry in &*self.state.dlopens(file) {
                    if of.max(Requirement::of(entry.priority)) == requirement {
                        self.dlopen(at, entry)?;
                        self.breadth_first()?;
                    }
                }
                at += 1;
            }
        }
        self.record.requirement = Requirement::Hard;
        Ok(())
    }

    /// `dlopen` from `member` of the first alternative that exists.
    fn dlopen(&mut self, member: usize, entry: &Dlopen) -> Result<(), ReadFailure> {
        let Some(requester) = self.members.get(member).map(|member| member.file) else {
            return Ok(());
        };
        let tag = Tag::Dlopen(entry.priority);
        let mut log = SearchLog::default();
        for name in &entry.sonames {
            let Some(full) = self.expand(member, name) else { continue };
            let outcome = if let Some((_, outcome)) = self.loaded(&full) {
                outcome
            } else {
                let answer = self.search(member, &full)?;
                log.extend(&answer.log);
                let Hit::Found(..) = answer.result else { continue };
                self.map_opened(tag, &full, answer.result)?
            };
            self.record.request(
                self.state,
                (requester, tag, name.clone()),
                outcome,
                log.close(false),
            );
            return Ok(());
        }
        self.record.unanswered(self.state, requester, entry, log);
        Ok(())
    }

    /// Maps a library found for dlopen and enlists it, so that its dependencies are loaded. Only
    /// its own DT_RPATH and the program's apply.
    fn map_opened(&mut self, tag: Tag, name: &Arc<[u8]>, hit: Hit) -> Result<Outcome, ReadFailure> {
        let (found, outcome) = self.map(None, tag, name, hit)?;
        if let Some(found) = found.filter(|&found| !self.is_listed(found)) {
            self.enlist(self.list.len(), found);
        }
        Ok(outcome)
    }

    /// Loads the libraries that members are known to open. Their order is unknown, so a library
    /// loaded for one name does not satisfy another.
    pub(super) fn opens(&mut self) -> Result<(), ReadFailure> {
        self.record.requirement = Requirement::Named;
        let (mut at, before) = (0, self.members.len());
        while let Some(file) = self.members.get(at).map(|member| member.file) {
            for name in self.state.opens(file) {
                self.open((at, file), &name, before)?;
                self.breadth_first()?;
            }
            at += 1;
        }
        self.record.requirement = Requirement::Hard;
        Ok(())
    }

    fn open(
        &mut self,
        (member, requester): (usize, usize),
        name: &Arc<[u8]>,
        before: usize,
    ) -> Result<(), ReadFailure> {
        let Some(full) = self.expand(member, name) else { return Ok(()) };
        let (outcome, log) = match self.loaded(&full) {
            Some((loaded, outcome)) if loaded.is_none_or(|loaded| loaded < before) => {
                (outcome, ClosedLog::default())
            }
            _ => {
                let answer = self.search(member, &full)?;
                let Hit::Found(..) = answer.result else { return Ok(()) };
                (self.map_opened(Tag::Opened, &full, answer.result)?, answer.log)
            }
        };
        self.record.request(self.state, (requester, Tag::Opened, name.clone()), outcome, log);
        Ok(())
    }

    /// Adds the processor-specific builds of every library found, and their dependencies.
    pub(super) fn variants(&mut self) -> Result<(), ReadFailure> {
        let levels =
            self.state.loader(self.loader).map(|facts| facts.hwcaps.clone()).unwrap_or_default();
        let count = self.members.len();
        for member in 1..count {
            let Some(Member { file, requirement, .. }) = self.members.get(member) else { break };
            let file = *file;
            self.record.requirement = *requirement;
            let Some(opened) = self.state.files.get(file).map(|file| file.opened.clone()) else {
                break;
            };
            let name = opened.rsplit(|&b| b == b'/').next().unwrap_or_default();
            for level in &levels {
                let dir = join(&join(directory(&opened), b"glibc-hwcaps"), level);
                let path: Arc<[u8]> = join(&dir, name).into();
                if let Verdict::Take = self.state.glibc_verdict(self.loader, &path)? {
                    self.variant(member, &path, &opened)?;
                }
            }
            self.breadth_first()?;
        }
        self.record.requirement = Requirement::Hard;
        Ok(())
    }

    fn variant(
        &mut self,
        of: usize,
        path: &Arc<[u8]>,
        opened: &Arc<[u8]>,
    ) -> Result<(), ReadFailure> {
        let Some(found) = self.state.files.take(path) else { return Ok(()) };
        let id = self.state.files.get(found).map_or(FileId(0, 0), |file| file.id);
        let Some(base) = self.members.get(of) else { return Ok(()) };
        let (requester, base) = (base.requester, base.file);
        if self.ids.contains_key(&id) {
            return Ok(());
        }
        let index = self.add(found, requester, false)?;
        self.ids.insert(id, index);
        self.enlist(self.list.len(), index);
        let name: Arc<[u8]> = path.rsplit(|&b| b == b'/').next().unwrap_or_default().into();
        let outcome = Outcome::Found(found, SearchRule::Beside(opened.clone()));
        self.record.request(self.state, (base, Tag::Variant, name), outcome, ClosedLog::default());
        Ok(())
    }
}
