//! What an image's loader must be told: a cache, or musl's path file, for the libraries that it
//! would not find.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{CacheNeed, Closure, Edge, Outcome, SearchRule, Tag};
use crate::elf::{
    Dialect, Loader, Machine,
    cache::{self, Cache, Entry, Hwcap},
    tokens::directory,
};

/// A file to be generated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    /// Where the loader looks for it.
    pub path: Arc<[u8]>,
    /// What must be in it. The same closure gives the same bytes.
    pub bytes: Vec<u8>,
    /// The libraries that would not be found without it.
    pub needs: Vec<CacheNeed>,
    /// Whose format it has.
    pub dialect: Dialect,
    /// A machine that reads it.
    pub machine: Machine,
}

impl ConfigFile {
    /// The replacement for `existing`, the image's file at this path: its contents, and entries for
    /// those libraries here that it lacks. `None` if it already leads to all of them.
    pub fn over(&self, existing: &[u8]) -> Option<Vec<u8>> {
        match self.dialect {
            Dialect::Glibc => self.cache_over(existing),
            Dialect::Musl => self.path_file_over(existing),
        }
    }

    fn cache_over(&self, existing: &[u8]) -> Option<Vec<u8>> {
        // A loader that cannot read its cache goes without one.
        let Ok(known) = Cache::parse(existing, self.machine.big_endian) else {
            return Some(self.bytes.clone());
        };
        let same = |a: &Entry, b: &Entry| {
            (&a.name, a.flags, &a.hwcap) == (&b.name, b.flags, &b.hwcap) && a.hwcap == Hwcap::None
        };
        let own = Cache::parse(&self.bytes, self.machine.big_endian).unwrap_or_default();
        let is_need = |entry: &&Entry| {
            self.needs.iter().any(|need| (&need.name, &need.path) == (&entry.name, &entry.path))
        };
        // What the loader does not come to by the first plain entry of that name.
        let lacks = |need: &&Entry| {
            known
                .entries()
                .iter()
                .find(|entry| same(entry, need))
                .is_none_or(|entry| entry.path != need.path)
        };
        let lacking: Vec<&Entry> = own.entries().iter().filter(is_need).filter(lacks).collect();
        if lacking.is_empty() {
            return None;
        }
        // Entries for certain processors stay before the plain ones.
        let replaced = |entry: &&Entry| lacking.iter().any(|need| same(entry, need));
        let (plain, levels): (Vec<&Entry>, Vec<&Entry>) =
            known.entries().iter().partition(|entry| entry.hwcap == Hwcap::None);
        let plain = plain.into_iter().filter(|entry| !replaced(entry));
        let entries: Vec<Entry> =
            levels.into_iter().chain(lacking.iter().copied()).chain(plain).cloned().collect();
        Some(cache::write_in_order(&entries, self.machine))
    }

    fn path_file_over(&self, existing: &[u8]) -> Option<Vec<u8>> {
        let known: Vec<&[u8]> = existing.split(|b| matches!(b, b'\n' | b':')).collect();
        let dirs = self.needs.iter().map(|need| directory(&need.path));
        let missing: BTreeSet<&[u8]> = dirs.filter(|dir| !known.contains(dir)).collect();
        if missing.is_empty() {
            return None;
        }
        // In the order of the search, which `bytes` has.
        let lines = self.bytes.split(|&b| b == b'\n').filter(|line| missing.contains(line));
        let lines = lines.chain(known.into_iter().filter(|line| !line.is_empty()));
        Some(lines.flat_map(|line| [line, b"\n"]).collect::<Vec<_>>().concat())
    }
}

impl Closure {
    /// The files without which some library would not be found in an image that has nothing but
    /// this closure's files. A cache names all libraries that its loaders search for in the places
    /// that it stands for.
    pub fn config_files(&self) -> Vec<ConfigFile> {
        let mut files: BTreeMap<Arc<[u8]>, (usize, Vec<CacheNeed>)> = BTreeMap::new();
        for need in &self.needs_cache {
            let Some(loader) = self.loaders.get(need.loader) else { continue };
            let file = files.entry(loader.config.clone()).or_insert((need.loader, Vec::new()));
            file.1.push(need.clone());
        }
        let files = files.into_iter().filter_map(|(path, (loader, needs))| {
            let loader = self.loaders.get(loader)?;
            let bytes = match loader.dialect {
                Dialect::Glibc => self.cache(&path, loader.machine),
                Dialect::Musl => self.path_file(&path, loader),
            };
            let (dialect, machine) = (loader.dialect, loader.machine);
            Some(ConfigFile { path, bytes, needs, dialect, machine })
        });
        files.collect()
    }

    /// The needs of all loaders that read `config`.
    fn needs_for(&self, config: &[u8]) -> impl Iterator<Item = (&Loader, &CacheNeed)> {
        let needs =
            self.needs_cache.iter().filter_map(|need| Some((self.loaders.get(need.loader)?, need)));
        needs.filter(move |(loader, _)| *loader.config == *config)
    }

    /// The edges of all programs whose loader reads `config`.
    fn edges_for(&self, config: &[u8]) -> impl Iterator<Item = (&Loader, &Edge)> {
        let programs = self
            .programs
            .iter()
            .filter_map(|program| Some((program, self.loaders.get(program.loader?)?)));
        let programs = programs.filter(move |(_, loader)| *loader.config == *config);
        programs.flat_map(|(program, loader)| program.edges.iter().map(move |edge| (loader, edge)))
    }

    fn cache(&self, config: &[u8], machine: Machine) -> Vec<u8> {
        let big_endian = machine.big_endian;
        let mut entries = Vec::new();
        // Loaders of several machines share a cache.
        let edges =
            self.edges_for(config).filter(|(loader, _)| loader.machine.big_endian == big_endian);
        for (loader, edge) in edges {
            let (Outcome::Found(file, rule) | Outcome::Same(file, _, rule)) = &edge.outcome else {
                continue;
            };
            let Some(file) = self.files.get(*file) else { continue };
            let hwcap = match rule {
                SearchRule::Cache(_)
                | SearchRule::Conf(..)
                | SearchRule::LibraryPath
                | SearchRule::Default => Hwcap::None,
                SearchRule::Beside(_) if edge.tag == Tag::Variant => {
                    Hwcap::Level(level(&file.opened))
                }
                _ => continue,
            };
            entries.push(Entry {
                name: edge.name.clone(),
                path: file.opened.clone(),
                flags: flags(loader),
                hwcap,
            });
        }
        let needs =
            self.needs_for(config).filter(|(loader, _)| loader.machine.big_endian == big_endian);
        entries.extend(needs.map(|(loader, need)| Entry {
            name: need.name.clone(),
            path: need.path.clone(),
            flags: flags(loader),
            hwcap: Hwcap::None,
        }));
        // A build for better processors counts where the plain one is found by the cache.
        let plain: Vec<Entry> =
            entries.iter().filter(|entry| entry.hwcap == Hwcap::None).cloned().collect();
        entries.retain(|entry| {
            let dir = |path: &[u8]| directory(directory(directory(path))).to_vec();
            let beside = |known: &Entry| {
                known.name == entry.name && *directory(&known.path) == *dir(&entry.path)
            };
            entry.hwcap == Hwcap::None || plain.iter().any(beside)
        });
        cache::write(&entries, machine)
    }

    /// The directories that were of use, in the order of the search: LD_LIBRARY_PATH's and then the
    /// loader's own.
    fn path_file(&self, config: &[u8], loader: &Loader) -> Vec<u8> {
        let (mut first, mut then): (Vec<&[u8]>, Vec<&[u8]>) = (Vec::new(), Vec::new());
        for (_, edge) in self.edges_for(config) {
            let (Outcome::Found(file, rule) | Outcome::Same(file, _, rule)) = &edge.outcome else {
                continue;
            };
            let Some(dir) = self.files.get(*file).map(|file| directory(&file.opened)) else {
                continue;
            };
            let dirs = match rule {
                SearchRule::LibraryPath => &mut first,
                SearchRule::PathFile(_) => &mut then,
                _ => continue,
            };
            if !dirs.contains(&dir) {
                dirs.push(dir);
            }
        }
        for dir in self.needs_for(config).map(|(_, need)| directory(&need.path)) {
            if !first.contains(&dir) && !then.contains(&dir) {
                first.push(dir);
            }
        }
        // What a directory shadows depends on the order, which that of the first use need not be.
        let place = |dir: &&[u8]| self.musl_order.iter().position(|known| **known == **dir);
        first.sort_by_key(place);
        then.sort_by_key(place);
        // What else is in the image was found there without a file, and is still.
        then.extend(loader.system_dirs.iter().map(|dir| &**dir));
        let mut seen = BTreeSet::new();
        let mut out = Vec::new();
        for dir in first.iter().chain(&then).filter(|dir| seen.insert(**dir)) {
            out.extend_from_slice(dir);
            out.push(b'\n');
        }
        out
    }
}

/// The flags of an entry for `loader`.
fn flags(loader: &Loader) -> i32 {
    cache::flags(loader.machine).first().copied().unwrap_or(3)
}

/// The subdirectory of `glibc-hwcaps` that a path is in.
fn level(path: &[u8]) -> Arc<[u8]> {
    directory(path).rsplit(|&b| b == b'/').next().unwrap_or_default().into()
}
