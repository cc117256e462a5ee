//! What surrounds the programs: links, the loader's cache, directories.

use super::{Finding, Proof};
use crate::{
    elf::{Absence, ReadFailure, cache::Cache},
    path::ImagePath,
    tree::Kind,
};

/// Where an engine puts file systems of its own, so that nothing need be there before.
const MOUNTED: [&[u8]; 4] = [b"/proc", b"/sys", b"/dev", b"/run"];

impl Proof<'_> {
    pub(super) fn around(&mut self) -> Result<(), ReadFailure> {
        self.links();
        self.cache()?;
        let mut implied = self.view.tree().implied().into_iter();
        if let Some(example) = implied.next() {
            let count = implied.count() + 1;
            self.warn(Finding::Parents { example, count });
        }
        for dir in ["/tmp", "/var/tmp"] {
            let Ok((path, Some(node))) = self.view.tree().find(dir.as_bytes()) else { continue };
            if node.is_directory() && node.meta.mode & 0o1777 != 0o1777 {
                self.warn(Finding::Temporary(path, node.meta.mode));
            }
        }
        Ok(())
    }

    fn links(&mut self) {
        for (path, node) in self.view.tree() {
            let Kind::Symlink(target) = &node.kind else { continue };
            let Err(why) = self.view.tree().resolve(path.as_bytes()) else { continue };
            if !leads_to_mounted(path, target) {
                self.warn(Finding::Link {
                    path: path.clone(),
                    target: target.to_vec(),
                    why: why.into(),
                });
            }
        }
    }

    /// The loader skips entries of its cache that lead nowhere; what it needs of them it then
    /// misses.
    fn cache(&mut self) -> Result<(), ReadFailure> {
        let Ok((path, Some(node))) = self.view.tree().find(b"/etc/ld.so.cache") else {
            return Ok(());
        };
        let Some(file) = node.file() else { return Ok(()) };
        let Ok(bytes) = self.view.head(file, crate::elf::cache::MAX_CACHE)? else { return Ok(()) };
        let cache = match Cache::parse(&bytes, false).or_else(|_| Cache::parse(&bytes, true)) {
            Ok(cache) => cache,
            Err(error) => {
                self.warn(Finding::Cache { path, why: error.to_string() });
                return Ok(());
            }
        };
        for entry in cache.entries() {
            if let Err(error) = self.view.tree().resolve(&entry.path) {
                let error = Absence::from(error);
                let why = format!("`{}`: {error}", crate::path::escape(&entry.path));
                self.warn(Finding::Cache { path: path.clone(), why });
            }
        }
        Ok(())
    }
}

fn leads_to_mounted(path: &ImagePath, target: &[u8]) -> bool {
    let dir = path.parent().unwrap_or_else(ImagePath::root);
    let place = if target.starts_with(b"/") { ImagePath::new(target) } else { dir.join(target) };
    // Past the root `..` stays there.
    let Ok(place) = place else { return true };
    let is_within = |dir: &[u8]| ImagePath::new(dir).is_ok_and(|dir| place.is_within(&dir));
    MOUNTED.iter().any(|dir| is_within(dir))
}
