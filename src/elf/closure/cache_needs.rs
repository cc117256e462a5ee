//! What the image's loader must be told of what was found.

use std::sync::Arc;

use super::{
    CacheNeed, SearchRule, State, Warning, files::Opened, search::Hit, search_log::SearchLog,
};
use crate::elf::{FileId, Linkage, Loader, ReadFailure, tokens::directory};

impl State<'_> {
    /// Notes that LD_LIBRARY_PATH leads to the library at `path` and a search path that a generated
    /// cache or path file comes after to `other`, where these are two files.
    pub(super) fn note_shadowed(
        &mut self,
        path: &Arc<[u8]>,
        other: &Arc<[u8]>,
    ) -> Result<(), ReadFailure> {
        if self.id(path)? != self.id(other)? {
            self.out.warnings.insert(Warning::Shadowed(path.clone(), other.clone()));
        }
        Ok(())
    }

    /// Notes that the image's loader finds a library only by what its cache says: it came from the
    /// cache, the configuration or LD_LIBRARY_PATH, and by the loader's own directories nothing in
    /// the image leads to it.
    pub(super) fn note_cache_need(
        &mut self,
        loader: usize,
        file: usize,
        name: &Arc<[u8]>,
        rule: &SearchRule,
    ) -> Result<(), ReadFailure> {
        if !matches!(
            rule,
            SearchRule::Cache(_)
                | SearchRule::Conf(..)
                | SearchRule::LibraryPath
                | SearchRule::PathFile(_)
        ) {
            return Ok(());
        }
        if !self.judged.insert((loader, file, name.clone())) {
            return Ok(());
        }
        let Some((path, id)) = self.out.files.get(file).map(|file| (file.opened.clone(), file.id))
        else {
            return Ok(());
        };
        // Another name of the same file in one of these directories is not packed with it.
        let by_default = path.ends_with(name)
            && self.is_system_dir(loader, directory(&path))
            && match self.in_system_dirs(loader, name, &mut SearchLog::default())? {
                Some(Hit::Found(path, _)) => self.id(&path)? == Some(id),
                _ => false,
            }
            // A cache of the image's own may lead elsewhere before.
            && match self.by_name(loader, name)? {
                Hit::Found(path, _) => self.id(&path)? == Some(id),
                _ => false,
            };
        if !by_default {
            self.out.needs_cache.insert(CacheNeed { loader, name: name.clone(), path });
        }
        Ok(())
    }

    /// Notes which of the libraries that are roots are found by their names only where the cache,
    /// its configuration or the path file says so: who opens them is not known.
    pub(super) fn note_libraries(&mut self) -> Result<(), ReadFailure> {
        for index in 0..self.out.programs.len() {
            let program = self.out.programs.get(index);
            let Some((file, own)) =
                program.and_then(|program| Some((program.file?, program.loader)))
            else {
                continue;
            };
            let Some(object) = self.out.files.get(file).map(|file| file.object.clone()) else {
                continue;
            };
            if object.linkage != Linkage::Dynamic || object.is_program() {
                continue;
            }
            let machine = object.header.machine;
            let same = |known: &Loader| known.machine == machine;
            if let Some(loader) = own.or_else(|| self.out.loaders.iter().position(same)) {
                self.note_library(loader, file, object.soname.as_ref())?;
            }
        }
        Ok(())
    }

    fn note_library(
        &mut self,
        loader: usize,
        file: usize,
        soname: Option<&Arc<[u8]>>,
    ) -> Result<(), ReadFailure> {
        let Some((opened, id)) =
            self.out.files.get(file).map(|file| (file.opened.clone(), file.id))
        else {
            return Ok(());
        };
        let own_name: Arc<[u8]> = opened.rsplit(|&b| b == b'/').next().unwrap_or_default().into();
        // musl's path file has directories, which say nothing of other names.
        let soname = soname.filter(|soname| **soname != own_name && !self.is_musl(loader));
        for name in soname.into_iter().chain([&own_name]) {
            let hit = self.by_name(loader, name)?;
            let Hit::Found(
                path,
                SearchRule::Cache(_) | SearchRule::Conf(..) | SearchRule::PathFile(_),
            ) = hit
            else {
                continue;
            };
            if !self.is_system_dir(loader, directory(&path)) && self.id(&path)? == Some(id) {
                let need = CacheNeed { loader, name: name.clone(), path: opened.clone() };
                self.out.needs_cache.insert(need);
            }
        }
        Ok(())
    }

    /// What dlopen(3) of `name` finds whoever calls it.
    fn by_name(&mut self, loader: usize, name: &Arc<[u8]>) -> Result<Hit, ReadFailure> {
        if self.is_musl(loader) {
            self.in_musl_path(loader, name)
        } else {
            Ok(self.search_cache(loader, false, name)?.result)
        }
    }

    fn id(&mut self, path: &[u8]) -> Result<Option<FileId>, ReadFailure> {
        Ok(match self.open(path)? {
            Opened::Object(found, ..) => Some(found.id),
            _ => None,
        })
    }

    fn is_system_dir(&self, loader: usize, dir: &[u8]) -> bool {
        self.loader(loader)
            .is_some_and(|facts| facts.system_dirs.iter().any(|system| **system == *dir))
    }
}
