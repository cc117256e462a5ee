//! Where a name is looked for: the parts that both loaders' searches share, and glibc's last part.

use std::sync::Arc;

use super::{FaultKind, How, Hwcaps, Miss, State, Tried, Warning, files::Verdict};
use crate::elf::{
    Dialect, FindError, FoundKind, Loader,
    cache::{Asking, Cache, MAX_CACHE},
    conf::{self, ConfDir},
    tokens::{SearchPath, Tokens, directory, musl_list},
};

/// A directory that is searched.
#[derive(Debug)]
pub(super) struct Dir {
    is_there: bool,
    /// The subdirectories for processors that are there, in the order of the search.
    subdirs: Vec<Arc<[u8]>>,
}

/// The search paths of one file, tokens replaced. `None` where the tag is absent or empty.
#[derive(Debug, Default)]
pub(super) struct Paths {
    pub(super) rpath: Option<Vec<Arc<[u8]>>>,
    pub(super) runpath: Option<Vec<Arc<[u8]>>>,
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
    pub(super) tried: Arc<[Tried]>,
}

/// The end of a search.
#[derive(Clone, Debug)]
pub(super) enum Hit {
    /// A path that was opened, and how it came up.
    Found(Arc<[u8]>, How),
    /// Nothing.
    Missing,
    /// A file that the loader stops at.
    Fatal(Arc<[u8]>, FaultKind),
}

/// What one list of directories gave.
pub(super) enum Listed {
    /// The end of the search.
    End(Hit),
    /// The next list's turn.
    Next,
}

impl State<'_> {
    /// The search paths of the file at index `file` for `loader`; `main` if it is the program itself, whose
    /// origin is its real place. Elements that depend on the working directory become warnings.
    pub(super) fn paths(&mut self, file: usize, loader: usize, main: bool) -> Arc<Paths> {
        if let Some(known) = self.paths.get(&(file, loader, main)) {
            return known.clone();
        }
        let paths = Arc::new(self.paths_anew(file, loader, main).unwrap_or_default());
        self.paths.insert((file, loader, main), paths.clone());
        paths
    }

    fn paths_anew(&mut self, file: usize, loader: usize, main: bool) -> Option<Paths> {
        let (file, facts) = (self.out.files.get(file)?, self.out.loaders.get(loader)?);
        let at = if main { file.path.as_bytes() } else { &file.opened };
        let platform = match &self.options.hwcaps {
            Hwcaps::Cpu(cpu) => cpu.platform.as_deref(),
            _ => None,
        };
        let tokens =
            Tokens { origin: directory(at), lib: &facts.lib, platform: platform.unwrap_or(&facts.platform) };
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
        let paths =
            Paths { rpath: split(rpath, "RPATH"), runpath: split(object.runpath.as_ref(), "RUNPATH") };
        let opened = file.opened.clone();
        let warnings = relative.into_iter().map(|(tag, e)| Warning::RelativeElement(opened.clone(), tag, e));
        self.out.warnings.extend(warnings);
        Some(paths)
    }

    /// What a loader's cache or path file says.
    pub(super) fn config(&mut self, loader: usize) -> Arc<Config> {
        if let Some(known) = self.configs.get(&loader) {
            return known.clone();
        }
        let config = match self.loader(loader) {
            Some(facts) if facts.dialect == Dialect::Musl => self.musl_config(facts),
            Some(facts) => self.glibc_config(facts),
            None => Config::Conf(Vec::new()),
        };
        let config = Arc::new(config);
        self.configs.insert(loader, config.clone());
        config
    }

    fn musl_config(&self, facts: &Loader) -> Config {
        let text = match self.lookup.find(&facts.config) {
            Ok(found) => self.lookup.read(&found, 1 << 20).ok(),
            Err(FindError::Missing) => {
                return Config::Path(
                    SearchPath { dirs: facts.system_dirs.clone(), relative: Vec::new() },
                    false,
                );
            }
            Err(_) => None,
        };
        // A file that cannot be read stands for an empty path.
        Config::Path(musl_list(&text.unwrap_or_default()), true)
    }

    fn glibc_config(&self, facts: &Loader) -> Config {
        let bytes = self.lookup.find(&facts.config).ok().and_then(|found| match found.kind {
            FoundKind::File(_) => self.lookup.read(&found, MAX_CACHE).ok(),
            _ => None,
        });
        if let Some(cache) = bytes.and_then(|bytes| Cache::parse(&bytes, facts.machine.big_endian).ok()) {
            return Config::Cache(cache);
        }
        let conf = [facts.config.strip_suffix(b"cache").unwrap_or(b"/etc/ld.so."), b"conf"].concat();
        Config::Conf(conf::directories(&conf, self.lookup))
    }

    /// The subdirectories for processors that the imagined one looks into.
    pub(super) fn subdirs(&self, loader: usize) -> Vec<Arc<[u8]>> {
        let Some(facts) = self.loader(loader) else { return Vec::new() };
        match &self.options.hwcaps {
            Hwcaps::Baseline | Hwcaps::All => facts.baseline_subdirs(),
            Hwcaps::Cpu(cpu) => {
                let levels = facts.hwcaps.iter().filter(|level| cpu.levels.iter().any(|l| **l == ***level));
                let levels = levels.map(|level| [b"glibc-hwcaps/", &**level].concat().into());
                let legacy = cpu.legacy.iter().filter(|_| facts.legacy_hwcaps);
                levels.chain(legacy.map(|dir| Arc::from(&**dir))).collect()
            }
        }
    }

    /// The levels that the imagined processor has, as the cache names them.
    fn levels(&self, loader: usize) -> Vec<Arc<[u8]>> {
        match (&self.options.hwcaps, self.loader(loader)) {
            (Hwcaps::Cpu(cpu), Some(facts)) => {
                let known = facts.hwcaps.iter().filter(|level| cpu.levels.iter().any(|l| **l == ***level));
                known.cloned().collect()
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn dir(&mut self, loader: usize, dir: &Arc<[u8]>) -> Arc<Dir> {
        let key = (loader, dir.clone());
        if let Some(known) = self.dirs.get(&key) {
            return known.clone();
        }
        let is_dir = |path: &[u8]| matches!(self.lookup.find(path), Ok(f) if f.kind == FoundKind::Directory);
        let is_there = is_dir(dir);
        let subdirs = if is_there { self.subdirs(loader) } else { Vec::new() };
        let subdirs = subdirs.into_iter().filter(|sub| is_dir(&join(dir, sub))).collect();
        let facts = Arc::new(Dir { is_there, subdirs });
        self.dirs.insert(key, facts.clone());
        facts
    }

    /// `open_path` in glibc's `elf/dl-load.c`.
    pub(super) fn try_dirs(
        &mut self,
        loader: usize,
        dirs: &[Arc<[u8]>],
        name: &[u8],
        how: &How,
        tried: &mut Vec<Tried>,
    ) -> Listed {
        for dir in dirs {
            let facts = self.dir(loader, dir);
            if !facts.is_there {
                tried.push(Tried { path: dir.clone(), how: how.clone(), miss: Miss::NoDirectory });
                continue;
            }
            let base = Arc::from(&b""[..]);
            let mut last = None;
            for sub in facts.subdirs.iter().chain([&base]) {
                let path = if sub.is_empty() { join(dir, name) } else { join(&join(dir, sub), name) };
                match self.glibc_verdict(loader, &path) {
                    Verdict::Take => return Listed::End(Hit::Found(path.into(), how.clone())),
                    Verdict::Fatal(fault) => return Listed::End(Hit::Fatal(path.into(), fault)),
                    Verdict::Skip(miss) => {
                        tried.push(Tried { path: path.into(), how: how.clone(), miss: miss.clone() });
                        last = Some(miss);
                    }
                }
            }
            // ENOENT and EACCES let the next directory have a try; ELOOP and its like end this list.
            if let Some(Miss::Find(FindError::Loop | FindError::Other(_))) = last {
                break;
            }
        }
        Listed::Next
    }

    pub(super) fn glibc_verdict(&mut self, loader: usize, path: &[u8]) -> Verdict {
        let opened = self.open(path);
        match self.loader(loader) {
            Some(facts) => opened.glibc(facts),
            None => Verdict::Skip(Miss::Find(FindError::Missing)),
        }
    }

    /// The last part of glibc's search, which depends on little and is therefore remembered: the cache and the
    /// loader's own directories.
    pub(super) fn tail(&mut self, loader: usize, nodeflib: bool, name: &Arc<[u8]>) -> Answer {
        let key = (loader, nodeflib, name.clone());
        if let Some(known) = self.tails.get(&key) {
            return known.clone();
        }
        let mut tried = Vec::new();
        let mut result = match &*self.config(loader) {
            Config::Cache(cache) => self.in_cache(loader, cache, nodeflib, name, &mut tried),
            Config::Conf(dirs) => self.in_conf(loader, dirs, nodeflib, name, &mut tried),
            Config::Path(..) => None,
        };
        let system = self.loader(loader).map(|facts| facts.system_dirs.clone()).unwrap_or_default();
        if result.is_none()
            && !nodeflib
            && let Listed::End(hit) = self.try_dirs(loader, &system, name, &How::Default, &mut tried)
        {
            result = Some(hit);
        }
        let answer = Answer { result: result.unwrap_or(Hit::Missing), tried: tried.into() };
        self.tails.insert(key, answer.clone());
        answer
    }

    fn in_cache(
        &mut self,
        loader: usize,
        cache: &Cache,
        nodeflib: bool,
        name: &[u8],
        tried: &mut Vec<Tried>,
    ) -> Option<Hit> {
        let facts = self.loader(loader)?;
        let how = How::Cache(facts.config.clone());
        let (levels, legacy) = (self.levels(loader), self.subdirs(loader));
        let asking = Asking { levels: &levels, legacy: if facts.legacy_hwcaps { &legacy } else { &[] } };
        let Some(entry) = cache.lookup(name, facts.machine, asking) else {
            tried.push(Tried { path: facts.config.clone(), how, miss: Miss::NotInCache });
            return None;
        };
        let path = entry.path.clone();
        if nodeflib && is_system(facts, &path) {
            tried.push(Tried { path, how, miss: Miss::NoDefaultLib });
            return None;
        }
        let verdict = match path.first() {
            Some(b'/') => self.glibc_verdict(loader, &path),
            // ldconfig takes relative directories, too.
            _ => Verdict::Skip(Miss::Relative),
        };
        match verdict {
            Verdict::Take => Some(Hit::Found(path, how)),
            Verdict::Fatal(fault) => Some(Hit::Fatal(path, fault)),
            Verdict::Skip(miss) => {
                tried.push(Tried { path, how, miss });
                None
            }
        }
    }

    /// What a cache would say that ldconfig had made of these directories: the first of them that has a file
    /// which ldconfig would enter under `name`.
    fn in_conf(
        &mut self,
        loader: usize,
        dirs: &[ConfDir],
        nodeflib: bool,
        name: &[u8],
        tried: &mut Vec<Tried>,
    ) -> Option<Hit> {
        if !conf::is_library_name(name) {
            return None;
        }
        for conf in dirs {
            let how = How::Conf(conf.file.clone(), conf.line);
            let dir = self.dir(loader, &conf.dir);
            let levels = dir.subdirs.iter().filter(|sub| sub.starts_with(b"glibc-hwcaps/"));
            let places = levels.map(|sub| join(&conf.dir, sub)).chain([conf.dir.to_vec()]);
            for path in places.map(|place| join(&place, name)) {
                let path: Arc<[u8]> = path.into();
                let miss = match self.glibc_verdict(loader, &path) {
                    Verdict::Take if !self.is_entered(&path, name) => Miss::NotInCache,
                    Verdict::Take if nodeflib && self.loader(loader).is_some_and(|f| is_system(f, &path)) => {
                        tried.push(Tried { path, how, miss: Miss::NoDefaultLib });
                        return None;
                    }
                    Verdict::Take => return Some(Hit::Found(path, how)),
                    // ldconfig leaves out what it cannot read.
                    Verdict::Fatal(_) => Miss::NotInCache,
                    Verdict::Skip(miss) => miss,
                };
                tried.push(Tried { path, how: how.clone(), miss });
            }
        }
        None
    }

    /// Whether ldconfig (`search_dir` in `elf/ldconfig.c`) enters the file at `path` under its own `name`: its
    /// SONAME is that, or it is a link for the linker, `libx.so` for the SONAME `libx.so.1`.
    fn is_entered(&mut self, path: &[u8], name: &[u8]) -> bool {
        let super::files::Opened::Object(found, object, _) = self.open(path) else { return false };
        let Some(soname) = &object.soname else { return true };
        if **soname == *name {
            return true;
        }
        let real_dir = self.lookup.find(directory(path)).ok().and_then(|dir| dir.path.join(name).ok());
        let is_link = real_dir.is_none_or(|own| own != found.path);
        is_link && name.ends_with(b".so") && soname.starts_with(name)
    }
}

/// Whether the loader's DF_1_NODEFLIB test takes `path` for one in a system directory: a prefix of the string.
fn is_system(facts: &Loader, path: &[u8]) -> bool {
    facts.system_dirs.iter().any(|dir| path.strip_prefix(&**dir).is_some_and(|rest| rest.starts_with(b"/")))
}

/// `dir/name`, as the loader spells it.
pub(super) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if dir.ends_with(b"/") { b"" } else { b"/" };
    [dir, slash, name].concat()
}
