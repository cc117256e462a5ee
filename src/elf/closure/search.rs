//! Where a name is looked for: search paths, the loader's configuration, and glibc's way through a
//! list of directories.

use std::sync::Arc;

use super::{
    FaultKind, Hwcaps, Miss, SearchLogEntry, SearchRule, State, Warning,
    dirs::DirList,
    files::Verdict,
    search_log::{ClosedLog, NOT_THERE, SearchLog},
};
use crate::elf::{
    Absence, Dialect, FoundKind, Loader, ReadFailure,
    cache::{Cache, MAX_CACHE},
    conf::{self, ConfDir},
    tokens::{SearchPath, Tokens, directory, mentions_platform, musl_list},
};

/// The search paths of one file, tokens replaced. `None` where the tag is absent or empty.
#[derive(Debug, Default)]
pub(super) struct Paths {
    pub(super) rpath: Option<DirList>,
    pub(super) runpath: Option<DirList>,
}

/// What a loader's configuration file says.
#[derive(Debug)]
pub(super) enum Config {
    /// `/etc/ld.so.cache`.
    Cache(Cache),
    /// `/etc/ld.so.conf`, where there is no cache.
    Conf(Vec<ConfDir>),
    /// musl's path file, or its default.
    Path(SearchPath, bool),
}

/// What a search gave.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) result: Hit,
    pub(super) log: ClosedLog,
}

impl Answer {
    pub(super) fn new(result: Hit, log: SearchLog) -> Self {
        let log = log.close(matches!(result, Hit::Missing));
        Self { result, log }
    }
}

/// The end of a search.
#[derive(Clone, Debug)]
pub(super) enum Hit {
    /// A path that was opened, and how it came up.
    Found(Arc<[u8]>, SearchRule),
    /// Nothing.
    Missing,
    /// A file that the loader stops at.
    Fatal(Arc<[u8]>, FaultKind),
}

impl State<'_> {
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
        let paths = Arc::new(self.paths_anew(file, loader, main)?);
        self.paths.insert((file, loader, main), paths.clone());
        Ok(paths)
    }

    fn paths_anew(&mut self, file: usize, loader: usize, main: bool) -> Result<Paths, ReadFailure> {
        let (Some(file), Some(facts)) = (self.out.files.get(file), self.out.loaders.get(loader))
        else {
            return Ok(Paths::default());
        };
        let at = if main { file.path.as_bytes() } else { &file.opened };
        let Some(tokens) = self.tokens(loader, at) else { return Ok(Paths::default()) };
        let mut relative = Vec::new();
        let mut split = |list: Option<&Arc<[u8]>>, tag| {
            let path = list.map(|list| match facts.dialect {
                Dialect::Glibc => tokens.glibc_path(list),
                Dialect::Musl => tokens.musl_path(list),
            })?;
            relative.extend(path.relative.into_iter().map(|element| (tag, element)));
            Some(path.dirs).filter(|dirs| !dirs.is_empty())
        };
        let object = &file.object;
        // DT_RPATH is nothing where there is a DT_RUNPATH, and be it empty.
        let rpath = object.rpath.as_ref().filter(|_| object.runpath.is_none());
        let (rpath, runpath) = (split(rpath, "RPATH"), split(object.runpath.as_ref(), "RUNPATH"));
        let (opened, object) = (file.opened.clone(), object.clone());
        if facts.dialect == Dialect::Glibc {
            for list in [
                object.rpath.as_ref().filter(|_| object.runpath.is_none()),
                object.runpath.as_ref(),
            ] {
                self.note_platform(&opened, list.map_or(&[], |list| list));
            }
        }
        let warnings =
            relative.into_iter().map(|(tag, e)| Warning::RelativeElement(opened.clone(), tag, e));
        self.out.warnings.extend(warnings);
        let mut list = |dirs: Vec<Arc<[u8]>>| self.dir_list(loader, &dirs);
        Ok(Paths {
            rpath: rpath.map(&mut list).transpose()?,
            runpath: runpath.map(list).transpose()?,
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
            self.out.warnings.insert(Warning::Platform(file.clone(), path.into()));
        }
    }

    /// What a loader's cache or path file says.
    pub(super) fn config(&mut self, loader: usize) -> Result<Arc<Config>, ReadFailure> {
        if let Some(known) = self.configs.get(&loader) {
            return Ok(known.clone());
        }
        let config = match self.loader(loader) {
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
        let bytes = match found.filter(|found| matches!(found.kind, FoundKind::File(_))) {
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

    /// The subdirectories for processors that the imagined one looks into.
    pub(super) fn subdirs(&self, loader: usize) -> Vec<Arc<[u8]>> {
        let Some(facts) = self.loader(loader) else { return Vec::new() };
        match &self.options.hwcaps {
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

    /// The levels that the imagined processor has, as the cache names them.
    pub(super) fn levels(&self, loader: usize) -> Vec<Arc<[u8]>> {
        match (&self.options.hwcaps, self.loader(loader)) {
            (Hwcaps::Cpu(cpu), Some(facts)) => {
                let known =
                    facts.hwcaps.iter().filter(|level| cpu.levels.iter().any(|l| **l == ***level));
                known.cloned().collect()
            }
            _ => Vec::new(),
        }
    }

    /// `open_path` in glibc's `elf/dl-load.c`: the end of the search, or nothing where it is the
    /// next list's turn.
    pub(super) fn try_dirs(
        &mut self,
        loader: usize,
        list: &DirList,
        name: &[u8],
        rule: &SearchRule,
        log: &mut SearchLog,
    ) -> Result<Option<Hit>, ReadFailure> {
        for &id in &list.dirs {
            let Some(dir) = self.dirs.get(id) else { continue };
            if !dir.is_there {
                log.push(|| SearchLogEntry::new(&dir.path, rule, Miss::NoDirectory));
                continue;
            }
            let (path, subdirs) = (dir.path.clone(), dir.subdirs.clone());
            for sub in &subdirs {
                let place = join(&join(&path, sub), name);
                if let Some(hit) = self.try_place(loader, &place, rule, log)?.0 {
                    return Ok(Some(hit));
                }
            }
            if self.lacks(id, name) {
                log.push(|| SearchLogEntry::new(&join(&path, name), rule, NOT_THERE));
                continue;
            }
            match self.try_place(loader, &join(&path, name), rule, log)? {
                (Some(hit), _) => return Ok(Some(hit)),
                (None, Some(NOT_THERE)) => self.missed(id)?,
                // ENOENT and EACCES let the next directory have a try; ELOOP and its like end this
                // list.
                (None, Some(Miss::Find(Absence::Loop) | Miss::OfProcess)) => break,
                (None, _) => {}
            }
        }
        log.count_unlisted(list.absent);
        Ok(None)
    }

    /// One path: the end of the search, or why it goes on.
    fn try_place(
        &mut self,
        loader: usize,
        path: &[u8],
        rule: &SearchRule,
        log: &mut SearchLog,
    ) -> Result<(Option<Hit>, Option<Miss>), ReadFailure> {
        Ok(match self.glibc_verdict(loader, path)? {
            Verdict::Take => (Some(Hit::Found(path.into(), rule.clone())), None),
            Verdict::Fatal(fault) => (Some(Hit::Fatal(path.into(), fault)), None),
            Verdict::Skip(miss) => {
                log.push(|| SearchLogEntry::new(path, rule, miss.clone()));
                (None, Some(miss))
            }
        })
    }

    pub(super) fn glibc_verdict(
        &mut self,
        loader: usize,
        path: &[u8],
    ) -> Result<Verdict, ReadFailure> {
        let opened = self.open(path)?;
        Ok(match self.loader(loader) {
            Some(facts) => opened.glibc(facts),
            None => Verdict::Skip(NOT_THERE),
        })
    }
}

/// `dir/name`, as the loader spells it.
pub(super) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if dir.ends_with(b"/") { b"" } else { b"/" };
    [dir, slash, name].concat()
}
