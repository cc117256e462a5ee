//! What the environment and `/etc/ld.so.preload` add to a program's search.

use std::sync::Arc;

use crate::elf::{
    ReadFailure, SearchRule,
    closure::{dirs::DirList, state::State},
};

/// The file in which glibc's loader finds the libraries that every program loads first. The path is
/// the same in every build of glibc.
pub const PRELOAD_FILE: &[u8] = b"/etc/ld.so.preload";

/// LD_LIBRARY_PATH of the program at `file` with its tokens expanded, and the directories given in
/// addition.
pub(super) fn library_path(
    state: &mut State<'_>,
    loader: usize,
    file: usize,
) -> Result<Vec<(SearchRule, DirList)>, ReadFailure> {
    let file = state.files.get(file);
    let is_program = file.is_some_and(|file| file.object.interp.is_some());
    let at = file.map(|file| if is_program { file.path.as_bytes() } else { &file.opened });
    let at: Arc<[u8]> = at.unwrap_or_default().into();
    let tokens = state.tokens(loader, &at);
    let path = &state.options.environment_path;
    let environment = path.split(|b| matches!(b, b':' | b';')).filter(|_| !path.is_empty());
    // An empty element is the working directory, not a token without a value.
    let expand = |dir: &[u8]| if dir.is_empty() { Some(Vec::new()) } else { tokens?.glibc(dir) };
    let expanded = environment.filter_map(expand);
    let expanded: Vec<Vec<u8>> = expanded.collect();
    state.note_platform(&at, path);
    state.library_dirs(loader, &at, &expanded)
}

/// The names in the preload file, separated by blanks and colons. `#` starts a comment that ends
/// with the line.
pub(super) fn preload_file(state: &mut State<'_>) -> Result<Arc<[Vec<u8>]>, ReadFailure> {
    if let Some(known) = &state.preload_file {
        return Ok(known.clone());
    }
    let text = match state.lookup.find(PRELOAD_FILE)? {
        Ok(found) => state.lookup.read(&found, 1 << 20)?.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let lines = text
        .split(|&b| b == b'\n')
        .map(|line| line.split(|&b| b == b'#').next().unwrap_or_default());
    let names = lines.flat_map(|line| line.split(|&b| matches!(b, b' ' | b'\t' | b':')));
    let names: Arc<[Vec<u8>]> = names.filter(|n| !n.is_empty()).map(<[u8]>::to_vec).collect();
    state.preload_file = Some(names.clone());
    Ok(names)
}
