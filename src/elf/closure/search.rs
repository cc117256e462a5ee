//! glibc's search through a list of directories.

use super::{
    Miss, SearchLogEntry, SearchRule,
    answer::Hit,
    dirs::DirList,
    files::Verdict,
    search_log::{NOT_THERE, SearchLog},
    state::State,
};
use crate::elf::{Absence, ReadFailure, tokens::join};

/// `open_path` in glibc's `elf/dl-load.c`: the end of the search, or nothing where it is the
/// next list's turn.
pub(super) fn try_dirs(
    state: &mut State<'_>,
    loader: usize,
    list: &DirList,
    name: &[u8],
    rule: &SearchRule,
    log: &mut SearchLog,
) -> Result<Option<Hit>, ReadFailure> {
    for &id in &list.dirs {
        let Some(dir) = state.dirs.get(id) else { continue };
        if !dir.is_there {
            log.push(|| SearchLogEntry::new(&dir.path, rule, Miss::NoDirectory));
            continue;
        }
        let (path, subdirs) = (dir.path.clone(), dir.subdirs.clone());
        for sub in &subdirs {
            let place = join(&join(&path, sub), name);
            if let Some(hit) = try_place(state, loader, &place, rule, log)?.0 {
                return Ok(Some(hit));
            }
        }
        if state.dirs.lacks(id, name) {
            log.push(|| SearchLogEntry::new(&join(&path, name), rule, NOT_THERE));
            continue;
        }
        match try_place(state, loader, &join(&path, name), rule, log)? {
            (Some(hit), _) => return Ok(Some(hit)),
            (None, Some(NOT_THERE)) => state.dirs.missed(id)?,
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
    state: &mut State<'_>,
    loader: usize,
    path: &[u8],
    rule: &SearchRule,
    log: &mut SearchLog,
) -> Result<(Option<Hit>, Option<Miss>), ReadFailure> {
    Ok(match state.glibc_verdict(loader, path)? {
        Verdict::Take => (Some(Hit::Found(path.into(), rule.clone())), None),
        Verdict::Fatal(fault) => (Some(Hit::Fatal(path.into(), fault)), None),
        Verdict::Skip(miss) => {
            log.push(|| SearchLogEntry::new(path, rule, miss.clone()));
            (None, Some(miss))
        }
    })
}
