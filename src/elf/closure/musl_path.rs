//! The directories of musl's path file.

use std::sync::Arc;

use super::{SearchRule, answer::Hit, dirs::DirList, loader_table::Config, state::State};
use crate::elf::{ReadFailure, tokens::join};

/// What a search finds whose requester has no search path, nor the environment.
pub(super) fn in_musl_path(
    state: &mut State<'_>,
    loader: usize,
    name: &[u8],
) -> Result<Hit, ReadFailure> {
    let (rule, dirs) = musl_path(state, loader)?;
    for dir in dirs.dirs.iter().filter_map(|&id| state.dirs.get(id)) {
        let path = join_musl(&dir.path, name);
        if state.lookup.find(&path)?.is_ok() {
            return Ok(Hit::Found(path.into(), rule));
        }
    }
    Ok(Hit::Missing)
}

/// The directories of a loader's path file, or those that it has without one.
pub(super) fn musl_path(
    state: &mut State<'_>,
    loader: usize,
) -> Result<(SearchRule, Arc<DirList>), ReadFailure> {
    let config = state.config(loader)?;
    let Config::Path(path, from_file) = &*config else {
        return Ok((SearchRule::Default, Arc::default()));
    };
    let file = state.loader(loader).map(|facts| facts.config.clone()).filter(|_| *from_file);
    Ok((
        file.map_or(SearchRule::Default, SearchRule::PathFile),
        state.dir_list(loader, &path.dirs)?.into(),
    ))
}

/// musl puts a slash between, whatever the directory ends with.
pub(super) fn join_musl(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.ends_with(b"/") { [dir, b"/", name].concat() } else { join(dir, name) }
}
