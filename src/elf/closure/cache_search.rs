//! The last part of glibc's search: the cache and the loader's own directories.

use std::sync::Arc;

use super::{
    Miss, SearchLogEntry, SearchRule,
    answer::{Answer, Hit},
    files::{Opened, Verdict},
    loader_table::Config,
    search::try_dirs,
    search_log::SearchLog,
    state::State,
};
use crate::elf::{
    Loader, ReadFailure,
    cache::{Asking, Cache},
    conf::{self, ConfDir},
    tokens::{directory, join},
};

/// The last part of glibc's search, which depends on little and is therefore remembered: the
/// cache and the loader's own directories.
pub(super) fn search_cache(
    state: &mut State<'_>,
    loader: usize,
    nodeflib: bool,
    name: &Arc<[u8]>,
) -> Result<Answer, ReadFailure> {
    let key = (loader, nodeflib, name.clone());
    if let Some(known) = state.cache_searches.get(&key) {
        return Ok(known.clone());
    }
    let mut log = SearchLog::default();
    let mut result = match &*state.config(loader)? {
        Config::Cache(cache) => in_cache(state, loader, cache, nodeflib, name, &mut log)?,
        Config::Conf(dirs) => in_conf(state, loader, dirs, nodeflib, name, &mut log)?,
        Config::Path(..) => None,
    };
    if result.is_none() && !nodeflib {
        result = in_system_dirs(state, loader, name, &mut log)?;
    }
    let answer = Answer::new(result.unwrap_or(Hit::Missing), log);
    state.cache_searches.insert(key, answer.clone());
    Ok(answer)
}

/// The loader's own directories.
pub(super) fn in_system_dirs(
    state: &mut State<'_>,
    loader: usize,
    name: &[u8],
    log: &mut SearchLog,
) -> Result<Option<Hit>, ReadFailure> {
    let system = state.loader(loader).map(|facts| facts.system_dirs.clone()).unwrap_or_default();
    let system = state.dir_list(loader, &system)?;
    try_dirs(state, loader, &system, name, &SearchRule::Default, log)
}

fn in_cache(
    state: &mut State<'_>,
    loader: usize,
    cache: &Cache,
    nodeflib: bool,
    name: &[u8],
    log: &mut SearchLog,
) -> Result<Option<Hit>, ReadFailure> {
    let Some(facts) = state.loader(loader) else { return Ok(None) };
    let rule = SearchRule::Cache(facts.config.clone());
    let (levels, legacy) = (state.loaders.levels(loader), state.loaders.subdirs(loader));
    let asking =
        Asking { levels: &levels, legacy: if facts.legacy_hwcaps { &legacy } else { &[] } };
    let Some(entry) = cache.lookup(name, facts.machine, asking) else {
        log.push(|| SearchLogEntry::new(&facts.config, &rule, Miss::NotInCache));
        return Ok(None);
    };
    let path = entry.path.clone();
    if nodeflib && is_system(facts, &path) {
        log.push(|| SearchLogEntry::new(&path, &rule, Miss::NoDefaultLib));
        return Ok(None);
    }
    let verdict = match path.first() {
        Some(b'/') => state.glibc_verdict(loader, &path)?,
        // ldconfig takes relative directories, too.
        _ => Verdict::Skip(Miss::Relative),
    };
    Ok(match verdict {
        Verdict::Take => Some(Hit::Found(path, rule)),
        Verdict::Fatal(fault) => Some(Hit::Fatal(path, fault)),
        Verdict::Skip(miss) => {
            log.push(|| SearchLogEntry::new(&path, &rule, miss));
            None
        }
    })
}

/// What a cache would say that ldconfig had made of these directories: the first of them that
/// has a file which ldconfig would enter under `name`.
fn in_conf(
    state: &mut State<'_>,
    loader: usize,
    dirs: &[ConfDir],
    nodeflib: bool,
    name: &[u8],
    log: &mut SearchLog,
) -> Result<Option<Hit>, ReadFailure> {
    if !conf::is_library_name(name) {
        return Ok(None);
    }
    for conf in dirs {
        let rule = SearchRule::Conf(conf.file.clone(), conf.line);
        let id = state.dir(loader, &conf.dir)?;
        let levels = state.dirs.get(id).map(|dir| dir.subdirs.clone()).unwrap_or_default();
        let levels = levels.iter().filter(|sub| sub.starts_with(b"glibc-hwcaps/"));
        let places = levels.map(|sub| join(&conf.dir, sub)).chain([conf.dir.to_vec()]);
        for path in places.map(|place| join(&place, name)) {
            let path: Arc<[u8]> = path.into();
            let miss = match state.glibc_verdict(loader, &path)? {
                Verdict::Take if !is_entered(state, &path, name)? => Miss::NotInCache,
                Verdict::Take
                    if nodeflib && state.loader(loader).is_some_and(|f| is_system(f, &path)) =>
                {
                    log.push(|| SearchLogEntry::new(&path, &rule, Miss::NoDefaultLib));
                    return Ok(None);
                }
                Verdict::Take => return Ok(Some(Hit::Found(path, rule))),
                // ldconfig leaves out what it cannot read.
                Verdict::Fatal(_) => Miss::NotInCache,
                Verdict::Skip(miss) => miss,
            };
            log.push(|| SearchLogEntry::new(&path, &rule, miss));
        }
    }
    Ok(None)
}

/// Whether ldconfig (`search_dir` in `elf/ldconfig.c`) enters the file at `path` under its own
/// `name`: its SONAME is that, or it is a link for the linker, `libx.so` for the SONAME
/// `libx.so.1`.
fn is_entered(state: &mut State<'_>, path: &[u8], name: &[u8]) -> Result<bool, ReadFailure> {
    let Opened::Object(found, object, _) = state.files.open(path)? else { return Ok(false) };
    let Some(soname) = &object.soname else { return Ok(true) };
    if **soname == *name {
        return Ok(true);
    }
    let real_dir =
        state.lookup.find(directory(path))?.ok().and_then(|dir| dir.path.join(name).ok());
    let is_link = real_dir.is_none_or(|own| own != found.path);
    Ok(is_link && name.ends_with(b".so") && soname.starts_with(name))
}

/// Whether the loader's DF_1_NODEFLIB test takes `path` for one in a system directory: a prefix of
/// the string.
fn is_system(facts: &Loader, path: &[u8]) -> bool {
    facts
        .system_dirs
        .iter()
        .any(|dir| path.strip_prefix(&**dir).is_some_and(|rest| rest.starts_with(b"/")))
}
