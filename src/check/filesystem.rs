//! The file system around the programs: links, the loader's cache, directories.

use super::{Finding, Findings};
use crate::{
    elf::{Absence, ReadFailure, cache::Cache},
    path::ImagePath,
    tree::Kind,
    view::View,
};

/// Where an engine mounts file systems of its own, so that the image need not have anything there.
const MOUNTED: [&[u8]; 4] = [b"/proc", b"/sys", b"/dev", b"/run"];

/// Checks links, the loader's cache, and the directories that engines and programs expect.
pub(super) fn prove(view: &View<'_>, findings: &mut Findings) -> Result<(), ReadFailure> {
    check_links(view, findings);
    check_cache(view, findings)?;
    let mut implied = view.tree().implied().into_iter();
    if let Some(example) = implied.next() {
        let count = implied.count() + 1;
        findings.warn(Finding::Parents { example, count });
    }
    for dir in ["/tmp", "/var/tmp"] {
        let Ok((path, Some(node))) = view.tree().find(dir.as_bytes()) else { continue };
        if node.is_directory() && node.meta.mode & 0o1777 != 0o1777 {
            findings.warn(Finding::Temporary(path, node.meta.mode));
        }
    }
    Ok(())
}

fn check_links(view: &View<'_>, findings: &mut Findings) {
    for (path, node) in view.tree() {
        let Kind::Symlink(target) = &node.kind else { continue };
        let Err(why) = view.tree().resolve(path.as_bytes()) else { continue };
        if !leads_to_mounted(path, target) {
            findings.warn(Finding::Link {
                path: path.clone(),
                target: target.to_vec(),
                why: why.into(),
            });
        }
    }
}

/// Checks the entries of the loader's cache. The loader skips an entry that leads nowhere, and then
/// misses the library.
fn check_cache(view: &View<'_>, findings: &mut Findings) -> Result<(), ReadFailure> {
    let Ok((path, Some(node))) = view.tree().find(b"/etc/ld.so.cache") else {
        return Ok(());
    };
    let Some(file) = node.file() else { return Ok(()) };
    let Ok(bytes) = view.head(file, crate::elf::cache::MAX_CACHE)? else { return Ok(()) };
    let cache = match Cache::parse(&bytes, false).or_else(|_| Cache::parse(&bytes, true)) {
        Ok(cache) => cache,
        Err(error) => {
            findings.warn(Finding::Cache { path, why: error.to_string() });
            return Ok(());
        }
    };
    for entry in cache.entries() {
        if let Err(error) = view.tree().resolve(&entry.path) {
            let error = Absence::from(error);
            let why = format!("`{}`: {error}", crate::path::escape(&entry.path));
            findings.warn(Finding::Cache { path: path.clone(), why });
        }
    }
    Ok(())
}

/// Whether a link at `path` to `target` leads to where an engine mounts something.
fn leads_to_mounted(path: &ImagePath, target: &[u8]) -> bool {
    let dir = path.parent().unwrap_or_else(ImagePath::root);
    let place = if target.starts_with(b"/") { ImagePath::new(target) } else { dir.join(target) };
    // `..` in the root is the root.
    let Ok(place) = place else { return true };
    let is_within = |dir: &[u8]| ImagePath::new(dir).is_ok_and(|dir| place.is_within(&dir));
    MOUNTED.iter().any(|dir| is_within(dir))
}
