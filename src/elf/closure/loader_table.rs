//! The loaders of a closure, each read once, and what their configuration files say.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Hwcaps, Warning,
    files::{FileTable, Opened},
};
use crate::elf::{
    Absence, Dialect, Loader, Lookup, Machine, ReadFailure,
    cache::{Cache, MAX_CACHE},
    conf::{self, ConfDir},
    loader::has_known_name,
    tokens::{SearchPath, musl_list},
};

/// Bytes of a loader that are searched for its facts; musl's is its whole C library, with debugging
/// information.
const MAX_LOADER: usize = 16 << 20;

/// What a loader's configuration file says.
#[derive(Debug)]
pub(super) enum Config {
    /// `/etc/ld.so.cache`.
    Cache(Cache),
    /// `/etc/ld.so.conf`, if there is no cache.
    Conf(Vec<ConfDir>),
    /// musl's path file, or its default.
    Path(SearchPath, bool),
}

/// The loaders, by the indices of [`super::Closure::loaders`].
pub(super) struct LoaderTable<'a> {
    lookup: &'a dyn Lookup,
    hwcaps: &'a Hwcaps,
    loaders: Vec<Loader>,
    /// By PT_INTERP and machine.
    indices: BTreeMap<(Arc<[u8]>, Machine), usize>,
    /// The subdirectories for processors that each loader looks into, by its index.
    subdirs: Vec<Arc<[Arc<[u8]>]>>,
    configs: BTreeMap<usize, Arc<Config>>,
}

impl<'a> LoaderTable<'a> {
    pub(super) fn new(lookup: &'a dyn Lookup, hwcaps: &'a Hwcaps) -> Self {
        Self {
            lookup,
            hwcaps,
            loaders: Vec::new(),
            indices: BTreeMap::new(),
            subdirs: Vec::new(),
            configs: BTreeMap::new(),
        }
    }

    pub(super) fn get(&self, loader: usize) -> Option<&Loader> {
        self.loaders.get(loader)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Loader> {
        self.loaders.iter()
    }

    pub(super) fn into_vec(self) -> Vec<Loader> {
        self.loaders
    }

    pub(super) fn is_musl(&self, loader: usize) -> bool {
        self.get(loader).is_some_and(|loader| loader.dialect == Dialect::Musl)
    }

    /// The index of the loader at `path` for `machine`, whose file is read the first time.
    pub(super) fn at(
        &mut self,
        path: &Arc<[u8]>,
        machine: Machine,
        files: &mut FileTable<'a>,
        warnings: &mut BTreeSet<Warning>,
    ) -> Result<usize, ReadFailure> {
        let key = (path.clone(), machine);
        if let Some(known) = self.indices.get(&key) {
            return Ok(*known);
        }
        let memo = self.lookup.loader_memo();
        let loader = match memo.and_then(|memo| memo.get(path, machine)) {
            Some(loader) => loader,
            None => self.read_loader(path, machine, files)?,
        };
        if let Some(memo) = memo {
            memo.insert(loader.clone());
        }
        if !has_known_name(path) {
            warnings.insert(Warning::UnknownLoader(path.clone()));
        }
        let index = self.loaders.len();
        self.subdirs.push(subdirs(&loader, self.hwcaps).into());
        self.loaders.push(loader);
        self.indices.insert(key, index);
        Ok(index)
    }

    fn read_loader(
        &self,
        path: &[u8],
        machine: Machine,
        files: &mut FileTable<'a>,
    ) -> Result<Loader, ReadFailure> {
        let bytes = match files.open(path)? {
            Opened::Object(found, ..) => self.lookup.read(&found, MAX_LOADER)?.ok(),
            _ => None,
        };
        Ok(Loader::new(path, machine, bytes.as_deref()))
    }

    /// The subdirectories for processors that a loader looks into on the assumed processor.
    pub(super) fn subdirs(&self, loader: usize) -> Arc<[Arc<[u8]>]> {
        self.subdirs.get(loader).cloned().unwrap_or_default()
    }

    /// The levels that the assumed processor has, as the cache names them.
    pub(super) fn levels(&self, loader: usize) -> Vec<Arc<[u8]>> {
        match (self.hwcaps, self.get(loader)) {
            (Hwcaps::Cpu(cpu), Some(facts)) => {
                let known =
                    facts.hwcaps.iter().filter(|level| cpu.levels.iter().any(|l| **l == ***level));
                known.cloned().collect()
            }
            _ => Vec::new(),
        }
    }

    /// What a loader's cache or path file says.
    pub(super) fn config(&mut self, loader: usize) -> Result<Arc<Config>, ReadFailure> {
        if let Some(known) = self.configs.get(&loader) {
            return Ok(known.clone());
        }
        let config = match self.get(loader) {
            Some(facts) if facts.dialect == Dialect::Musl => self.musl_config(facts)?,
            Some(facts) => self.glibc_config(facts)?,
            None => Config::Conf(Vec::new()),
        };
        let config = Arc::new(config);
        self.configs.insert(loader, config.clone());
        Ok(config)
    }

    fn musl_config(&self, facts: &Loader) -> Result<Config, ReadFailure> {
        let text = match self.lookup.find(&facts.config)? {
            Ok(found) => self.lookup.read(&found, 1 << 20)?.ok(),
            Err(Absence::Missing) => {
                let dirs = facts.system_dirs.clone();
                return Ok(Config::Path(SearchPath { dirs, ..SearchPath::default() }, false));
            }
            Err(_) => None,
        };
        // A file that this user may not read stands for an empty path.
        Ok(Config::Path(musl_list(&text.unwrap_or_default()), true))
    }

    fn glibc_config(&self, facts: &Loader) -> Result<Config, ReadFailure> {
        let found = self.lookup.find(&facts.config)?.ok();
        let bytes = match found.filter(|found| found.is_file()) {
            Some(found) => self.lookup.read(&found, MAX_CACHE)?.ok(),
            None => None,
        };
        if let Some(cache) =
            bytes.and_then(|bytes| Cache::parse(&bytes, facts.machine.big_endian).ok())
        {
            return Ok(Config::Cache(cache));
        }
        let conf =
            [facts.config.strip_suffix(b"cache").unwrap_or(b"/etc/ld.so."), b"conf"].concat();
        Ok(Config::Conf(conf::directories(&conf, self.lookup)?))
    }
}

fn subdirs(facts: &Loader, hwcaps: &Hwcaps) -> Vec<Arc<[u8]>> {
    match hwcaps {
        Hwcaps::Baseline | Hwcaps::All => facts.baseline_subdirs(),
        Hwcaps::Cpu(cpu) => {
            let levels =
                facts.hwcaps.iter().filter(|level| cpu.levels.iter().any(|l| **l == ***level));
            let levels = levels.map(|level| [b"glibc-hwcaps/", &**level].concat().into());
            let legacy = cpu.legacy.iter().filter(|_| facts.legacy_hwcaps);
            levels.chain(legacy.map(|dir| Arc::from(&**dir))).collect()
        }
    }
}
