//! What the programs of one closure share: each question about the file system is asked once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    CacheNeed, Closure, Hwcaps, LoaderOptions, Program, SearchRule, Warning,
    answer::Answer,
    dirs::{DirId, DirList, Directories, SearchedFor},
    dlopen_notes::DlopenNotes,
    files::{FileTable, Verdict},
    loader_table::{Config, LoaderTable},
    search_log::NOT_THERE,
    search_paths::{OwnPaths, Paths, rpath},
};
use crate::elf::{
    Dialect, Dlopen, Loader, Lookup, Machine, ReadFailure,
    tokens::{Tokens, directory, mentions_platform, without_slashes},
};

/// Names of symbol versions.
pub(super) type Versions = Arc<[Arc<[u8]>]>;

/// The parts that programs share, and the results so far.
pub(super) struct State<'a> {
    pub(super) options: &'a LoaderOptions,
    pub(super) lookup: &'a dyn Lookup,
    pub(super) files: FileTable<'a>,
    pub(super) loaders: LoaderTable<'a>,
    pub(super) dirs: Directories<'a>,
    notes: DlopenNotes,
    pub(super) programs: Vec<Program>,
    pub(super) warnings: BTreeSet<Warning>,
    pub(super) cache_needs: BTreeSet<CacheNeed>,
    pub(super) musl_order: Vec<Arc<[u8]>>,
    /// Search paths of files, by file, loader, and whether the file is the program.
    paths: BTreeMap<(usize, usize, bool), Arc<Paths>>,
    /// Results of the last part of glibc's search, by loader, NODEFLIB and name.
    pub(super) cache_searches: BTreeMap<(usize, bool, Arc<[u8]>), Answer>,
    /// Libraries whose need of a cache is known, by loader, file and name.
    pub(super) judged: BTreeSet<(usize, usize, Arc<[u8]>)>,
    /// Versions that another file lacks, by the file that needs them, its need and the other file.
    pub(super) versions: BTreeMap<(usize, usize, usize), Versions>,
    /// The names in `/etc/ld.so.preload`.
    pub(super) preload_file: Option<Arc<[Vec<u8>]>>,
    /// Requests that may still be recorded; `None` once the limit was reported.
    pub(super) requests_left: Option<usize>,
}

/// Requests of all programs of a closure. All programs of a large system make a fifth of them.
const MAX_REQUESTS: usize = 2_000_000;

impl<'a> State<'a> {
    pub(super) fn new(options: &'a LoaderOptions, lookup: &'a dyn Lookup) -> Self {
        Self {
            options,
            lookup,
            files: FileTable::new(lookup),
            loaders: LoaderTable::new(lookup, &options.hwcaps),
            dirs: Directories::new(lookup),
            notes: DlopenNotes::default(),
            programs: Vec::new(),
            warnings: BTreeSet::new(),
            cache_needs: BTreeSet::new(),
            musl_order: Vec::new(),
            paths: BTreeMap::new(),
            cache_searches: BTreeMap::new(),
            judged: BTreeSet::new(),
            versions: BTreeMap::new(),
            preload_file: None,
            requests_left: Some(MAX_REQUESTS),
        }
    }

    pub(super) fn into_closure(self) -> Closure {
        Closure {
            files: self.files.into_vec(),
            loaders: self.loaders.into_vec(),
            programs: self.programs,
            warnings: self.warnings,
            needs_cache: self.cache_needs,
            musl_order: self.musl_order,
            suggested: self.notes.suggested,
        }
    }

    pub(super) fn loader(&self, loader: usize) -> Option<&Loader> {
        self.loaders.get(loader)
    }

    /// The index of the loader at `path`.
    pub(super) fn loader_at(
        &mut self,
        path: &Arc<[u8]>,
        machine: Machine,
    ) -> Result<usize, ReadFailure> {
        self.loaders.at(path, machine, &mut self.files, &mut self.warnings)
    }

    /// The names that a file is known to open.
    pub(super) fn opens(&self, file: usize) -> Vec<Arc<[u8]>> {
        let file = self.files.get(file);
        let names = file.and_then(|file| self.options.opens.get(&file.path));
        names.into_iter().flatten().cloned().collect()
    }

    /// The dlopen metadata of a file that is added to the closure.
    pub(super) fn dlopens(&mut self, file: usize) -> Arc<[Dlopen]> {
        self.notes.of(file, &self.files, &mut self.warnings)
    }

    pub(super) fn config(&mut self, loader: usize) -> Result<Arc<Config>, ReadFailure> {
        self.loaders.config(loader)
    }

    /// What a loader of glibc's does with the file at `path`.
    pub(super) fn glibc_verdict(
        &mut self,
        loader: usize,
        path: &[u8],
    ) -> Result<Verdict, ReadFailure> {
        let opened = self.files.open(path)?;
        Ok(match self.loader(loader) {
            Some(facts) => opened.glibc(facts),
            None => Verdict::Skip(NOT_THERE),
        })
    }

    /// The search paths of the file at index `file` for `loader`; `main` if it is the program
    /// itself, whose origin is its real place. Elements that depend on the working directory become
    /// warnings.
    pub(super) fn paths(
        &mut self,
        file: usize,
        loader: usize,
        main: bool,
    ) -> Result<Arc<Paths>, ReadFailure> {
        if let Some(known) = self.paths.get(&(file, loader, main)) {
            return Ok(known.clone());
        }
        let paths = Arc::new(self.read_paths(file, loader, main)?);
        self.paths.insert((file, loader, main), paths.clone());
        Ok(paths)
    }

    fn read_paths(&mut self, file: usize, loader: usize, main: bool) -> Result<Paths, ReadFailure> {
        let (Some(file), Some(facts)) = (self.files.get(file), self.loaders.get(loader)) else {
            return Ok(Paths::default());
        };
        let at = if main { file.path.as_bytes() } else { &file.opened };
        let Some(tokens) = self.tokens(loader, at) else { return Ok(Paths::default()) };
        let own = OwnPaths::of(&file.object, facts.dialect, tokens);
        let (opened, object) = (file.opened.clone(), file.object.clone());
        if facts.dialect == Dialect::Glibc {
            for list in [rpath(&object), object.runpath.as_ref()] {
                self.note_platform(&opened, list.map_or(&[], |list| list));
            }
        }
        let warning = |(tag, e)| Warning::RelativeElement(opened.clone(), tag, e);
        self.warnings.extend(own.relative.into_iter().map(warning));
        let mut list = |dirs: Vec<Arc<[u8]>>| self.dir_list(loader, &dirs);
        Ok(Paths {
            rpath: own.rpath.map(&mut list).transpose()?,
            runpath: own.runpath.map(list).transpose()?,
        })
    }

    /// What the tokens of the object at `path` stand for.
    pub(super) fn tokens<'t>(&'t self, loader: usize, path: &'t [u8]) -> Option<Tokens<'t>> {
        let facts = self.loader(loader)?;
        let platform = match &self.options.hwcaps {
            Hwcaps::Cpu(cpu) => cpu.platform.as_deref(),
            _ => None,
        };
        let platform = platform.unwrap_or(&facts.platform);
        Some(Tokens { origin: directory(path), lib: &facts.lib, platform })
    }

    /// Notes that a path of a file depends on which processor it is, where no certain one was asked
    /// for.
    pub(super) fn note_platform(&mut self, file: &Arc<[u8]>, path: &[u8]) {
        if !matches!(self.options.hwcaps, Hwcaps::Cpu(_)) && mentions_platform(path) {
            self.warnings.insert(Warning::Platform(file.clone(), path.into()));
        }
    }

    /// The directory at `path` as `loader` sees it.
    pub(super) fn dir(&mut self, loader: usize, path: &Arc<[u8]>) -> Result<DirId, ReadFailure> {
        let by = SearchedFor { loader, subdirs: self.loaders.subdirs(loader) };
        self.dirs.dir(&by, path, &mut self.warnings)
    }

    pub(super) fn dir_list(
        &mut self,
        loader: usize,
        paths: &[Arc<[u8]>],
    ) -> Result<DirList, ReadFailure> {
        let by = SearchedFor { loader, subdirs: self.loaders.subdirs(loader) };
        self.dirs.list(&by, paths, &mut self.warnings)
    }

    /// The directories of LD_LIBRARY_PATH, `environment` for `program`, and those of the options.
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
            self.warnings.insert(warning);
        }
        let all = [
            (SearchRule::Environment, environment),
            (SearchRule::LibraryPath, &options.library_path[..]),
        ];
        let all = all.into_iter().filter(|(_, path)| !path.is_empty());
        all.map(|(rule, path)| Ok((rule, self.dir_list(loader, &absolute(path))?))).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_directories_are_left_out() {
        let path = ["rel", "", "/a/", "./b", "/a"].map(|dir| dir.as_bytes().to_vec());
        assert_eq!(absolute(&path), [b"/a"[..].into()]);
    }
}
