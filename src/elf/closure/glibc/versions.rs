//! Symbol versions: `_dl_check_map_versions` in glibc's `elf/dl-version.c`.

use std::sync::Arc;

use super::{VDSO, Walk};
use crate::elf::{
    Fault, FaultKind, Warning,
    closure::{record::Requirement, state::Versions},
};

impl Walk<'_, '_> {
    /// Checks the versions that each member needs against those that the other members define.
    pub(super) fn check_versions(&mut self) {
        for index in 0..self.members.len() {
            let Some(member) = self.members.get(index) else { return };
            let file = member.file;
            self.record.requirement = member.requirement;
            let Some(object) = self.state.files.get(file).map(|file| file.object.clone()) else {
                return;
            };
            for (at, need) in object.verneed.iter().enumerate() {
                if !self.matched.contains(&need.file) && !VDSO.contains(&&*need.file) {
                    if !self.record.failed(&need.file) {
                        let (path, kind) =
                            (self.opened(index), FaultKind::VersionsOf(need.file.clone()));
                        self.record.fault(self.state, Fault { path, kind });
                    }
                    continue;
                }
                let Some(provider) = self.names.get(&need.file) else { continue };
                let Some(provider) = self.members.get(*provider).map(|member| member.file) else {
                    continue;
                };
                for version in &*self.lacking(file, at, provider) {
                    self.complain(file, provider, version);
                }
            }
        }
        self.record.requirement = Requirement::Hard;
    }

    /// The versions in entry `at` of a file's `verneed` that `provider` does not define, except
    /// weak ones.
    fn lacking(&mut self, file: usize, at: usize, provider: usize) -> Versions {
        if let Some(known) = self.state.versions.get(&(file, at, provider)) {
            return known.clone();
        }
        let files = &self.state.files;
        let lacking = match (files.get(file), files.get(provider)) {
            (Some(user), Some(library)) => {
                match (&library.object.verdef, user.object.verneed.get(at)) {
                    (Some(defined), Some(need)) => {
                        let wanted = need
                            .versions
                            .iter()
                            .filter(|version| !version.weak)
                            .map(|version| &version.name);
                        wanted.filter(|version| !defined.contains(version)).cloned().collect()
                    }
                    _ => {
                        let warning =
                            Warning::NoVersions(library.opened.clone(), user.opened.clone());
                        self.state.warnings.insert(warning);
                        Arc::default()
                    }
                }
            }
            _ => Arc::default(),
        };
        self.state.versions.insert((file, at, provider), lacking.clone());
        lacking
    }

    fn complain(&mut self, file: usize, provider: usize, version: &Arc<[u8]>) {
        let opened = |index: usize| self.state.files.get(index).map(|file| file.opened.clone());
        let (Some(path), Some(needed_by)) = (opened(provider), opened(file)) else { return };
        let kind = FaultKind::Version(version.clone(), needed_by);
        self.record.fault(self.state, Fault { path, kind });
    }
}
