//! What the programs of one closure share: each fact is asked for once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Closure, LoaderOptions, Suggestion, Warning,
    dirs::{Dir, DirId},
    files, search,
};
use crate::elf::{Dialect, Dlopen, Loader, Lookup, Machine, Priority, dlopen};
use crate::path::ImagePath;

/// Names of symbol versions.
pub(super) type Versions = Arc<[Arc<[u8]>]>;

/// What was asked so far, and the result.
pub(super) struct State<'a> {
    pub(super) options: &'a LoaderOptions,
    pub(super) lookup: &'a dyn Lookup,
    pub(super) out: Closure,
    /// Opened paths.
    pub(super) opened: BTreeMap<Arc<[u8]>, files::Opened>,
    /// Loaders by PT_INTERP and machine.
    pub(super) loaders: BTreeMap<(Arc<[u8]>, Machine), usize>,
    /// What each loader's cache or configuration says, by its index.
    pub(super) configs: BTreeMap<usize, Arc<search::Config>>,
    /// Search paths of files, by file, loader, and whether it is the program.
    pub(super) paths: BTreeMap<(usize, usize, bool), Arc<search::Paths>>,
    /// Directories that are searched.
    pub(super) dirs: Vec<Dir>,
    /// All names of directories, by their real paths.
    pub(super) listings: BTreeMap<ImagePath, Arc<BTreeSet<Vec<u8>>>>,
    /// Their places there, by loader and path.
    pub(super) dir_ids: BTreeMap<(usize, Arc<[u8]>), DirId>,
    /// Results of the last part of the search, which depends on little: loader, NODEFLIB, name.
    pub(super) cache_searches: BTreeMap<(usize, bool, Arc<[u8]>), search::Answer>,
    /// Libraries by loader, file and name of which is known whether they need a cache.
    pub(super) judged: BTreeSet<(usize, usize, Arc<[u8]>)>,
    /// Versions that a file's need, by its index, does not find in another file.
    pub(super) versions: BTreeMap<(usize, usize, usize), Versions>,
    /// What the notes of a file say that is to be taken.
    dlopens: BTreeMap<usize, Arc<[Dlopen]>>,
    /// The files of `/etc/ld.so.preload`.
    pub(super) preload_file: Option<Arc<[Vec<u8>]>>,
    /// Requests that may still go on record; none once that was said.
    pub(super) requests_left: Option<usize>,
}

/// Requests of all programs of a closure: those of all programs of a large system are a fifth.
const MAX_REQUESTS: usize = 2_000_000;

impl<'a> State<'a> {
    pub(super) fn new(options: &'a LoaderOptions, lookup: &'a dyn Lookup) -> Self {
        Self {
            options,
            lookup,
            out: Closure::default(),
            opened: BTreeMap::new(),
            loaders: BTreeMap::new(),
            configs: BTreeMap::new(),
            paths: BTreeMap::new(),
            dirs: Vec::new(),
            listings: BTreeMap::new(),
            dir_ids: BTreeMap::new(),
            cache_searches: BTreeMap::new(),
            judged: BTreeSet::new(),
            versions: BTreeMap::new(),
            dlopens: BTreeMap::new(),
            preload_file: None,
            requests_left: Some(MAX_REQUESTS),
        }
    }

    pub(super) fn loader(&self, loader: usize) -> Option<&Loader> {
        self.out.loaders.get(loader)
    }

    /// The path by which a file was opened.
    pub(super) fn opened_path(&self, file: usize) -> Arc<[u8]> {
        self.out.files.get(file).map(|file| file.opened.clone()).unwrap_or_default()
    }

    pub(super) fn is_musl(&self, loader: usize) -> bool {
        self.loader(loader).is_some_and(|loader| loader.dialect == Dialect::Musl)
    }

    /// The names that a file is known to open.
    pub(super) fn opens(&self, file: usize) -> Vec<Arc<[u8]>> {
        let file = self.out.files.get(file);
        let names = file.and_then(|file| self.options.opens.get(&file.path));
        names.into_iter().flatten().cloned().collect()
    }

    /// The dlopen metadata of a file that is to be taken. What it only suggests is noted in
    /// passing.
    pub(super) fn dlopens(&mut self, file: usize) -> Arc<[Dlopen]> {
        if let Some(known) = self.dlopens.get(&file) {
            return known.clone();
        }
        let mut taken = Vec::new();
        if let Some((opened, object)) =
            self.out.files.get(file).map(|f| (f.opened.clone(), f.object.clone()))
        {
            for note in &object.dlopen_notes {
                let (entries, errors) = dlopen::parse(note);
                let warnings =
                    errors.iter().map(|e| Warning::Metadata(opened.clone(), e.to_string()));
                self.out.warnings.extend(warnings);
                let (suggested, hard): (Vec<_>, Vec<_>) =
                    entries.into_iter().partition(|entry| entry.priority == Priority::Suggested);
                taken.extend(hard);
                self.out
                    .suggested
                    .extend(suggested.into_iter().map(|dlopen| Suggestion { file, dlopen }));
            }
        }
        let taken: Arc<[Dlopen]> = taken.into();
        self.dlopens.insert(file, taken.clone());
        taken
    }
}
