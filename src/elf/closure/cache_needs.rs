//! What the image's loader must be told of what was found.

use std::sync::Arc;

use super::{
    CacheNeed, SearchRule, Warning,
    answer::Hit,
    cache_search::{in_system_dirs, search_cache},
    musl_path::in_musl_path,
    search_log::SearchLog,
    state::State,
};
use crate::elf::{Linkage, Loader, ReadFailure, tokens::directory};

/// Notes that LD_LIBRARY_PATH leads to the library at `path` and a search path that a generated
/// cache or path file comes after to `other`, where these are two files.
pub(super) fn note_shadowed(
    state: &mut State<'_>,
    path: &Arc<[u8]>,
    other: &Arc<[u8]>,
) -> Result<(), ReadFailure> {
    if state.files.id(path)? != state.files.id(other)? {
        state.warnings.insert(Warning::Shadowed(path.clone(), other.clone()));
    }
    Ok(())
}

/// Notes that the image's loader finds a library only by what its cache says: it came from the
/// cache, the configuration or LD_LIBRARY_PATH, and by the loader's own directories nothing in
/// the image leads to it.
pub(super) fn note_cache_need(
    state: &mut State<'_>,
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
    if !state.judged.insert((loader, file, name.clone())) {
        return Ok(());
    }
    let Some((path, id)) = state.files.get(file).map(|file| (file.opened.clone(), file.id)) else {
        return Ok(());
    };
    // Another name of the same file in one of these directories is not packed with it.
    let by_default = path.ends_with(name)
        && is_system_dir(state, loader, directory(&path))
        && match in_system_dirs(state, loader, name, &mut SearchLog::default())? {
            Some(Hit::Found(path, _)) => state.files.id(&path)? == Some(id),
            _ => false,
        }
        // A cache of the image's own may lead elsewhere before.
        && match by_name(state, loader, name)? {
            Hit::Found(path, _) => state.files.id(&path)? == Some(id),
            _ => false,
        };
    if !by_default {
        state.cache_needs.insert(CacheNeed { loader, name: name.clone(), path });
    }
    Ok(())
}

/// Notes which of the libraries that are roots are found by their names only where the cache,
/// its configuration or the path file says so: the programs that open them are not known.
pub(super) fn note_libraries(state: &mut State<'_>) -> Result<(), ReadFailure> {
    for index in 0..state.programs.len() {
        let program = state.programs.get(index);
        let Some((file, own)) = program.and_then(|program| Some((program.file?, program.loader)))
        else {
            continue;
        };
        let Some(object) = state.files.get(file).map(|file| file.object.clone()) else {
            continue;
        };
        if object.linkage != Linkage::Dynamic || object.is_program() {
            continue;
        }
        let machine = object.header.machine;
        let same = |known: &Loader| known.machine == machine;
        if let Some(loader) = own.or_else(|| state.loaders.iter().position(same)) {
            note_library(state, loader, file, object.soname.as_ref())?;
        }
    }
    Ok(())
}

fn note_library(
    state: &mut State<'_>,
    loader: usize,
    file: usize,
    soname: Option<&Arc<[u8]>>,
) -> Result<(), ReadFailure> {
    let Some((opened, id)) = state.files.get(file).map(|file| (file.opened.clone(), file.id))
    else {
        return Ok(());
    };
    let own_name: Arc<[u8]> = opened.rsplit(|&b| b == b'/').next().unwrap_or_default().into();
    // musl's path file has directories, which say nothing of other names.
    let soname = soname.filter(|soname| **soname != own_name && !state.loaders.is_musl(loader));
    for name in soname.into_iter().chain([&own_name]) {
        let hit = by_name(state, loader, name)?;
        let Hit::Found(path, rule) = hit else { continue };
        if !matches!(rule, SearchRule::Cache(_) | SearchRule::Conf(..) | SearchRule::PathFile(_)) {
            continue;
        }
        if !is_system_dir(state, loader, directory(&path)) && state.files.id(&path)? == Some(id) {
            let need = CacheNeed { loader, name: name.clone(), path: opened.clone() };
            state.cache_needs.insert(need);
        }
    }
    Ok(())
}

/// What dlopen(3) of `name` finds whoever calls it.
fn by_name(state: &mut State<'_>, loader: usize, name: &Arc<[u8]>) -> Result<Hit, ReadFailure> {
    if state.loaders.is_musl(loader) {
        in_musl_path(state, loader, name)
    } else {
        Ok(search_cache(state, loader, false, name)?.result)
    }
}

fn is_system_dir(state: &State<'_>, loader: usize, dir: &[u8]) -> bool {
    state
        .loader(loader)
        .is_some_and(|facts| facts.system_dirs.iter().any(|system| **system == *dir))
}
