//! What was put into shared directories when packages were installed → the evidence in it:
//! generated files among those of a package, and configuration that registers a library.

use std::collections::BTreeSet;

use super::texts;
use crate::{
    elf::{FoundKind, ReadFailure},
    ownership,
    path::ImagePath,
    rules::{Facts, Owned},
    view::View,
};

/// The largest generated file, in bytes.
const MAX_GENERATED: u64 = 1 << 20;
/// Directories that are looked through.
const MAX_DIRECTORIES: usize = 2000;

/// Directories that were looked through.
#[derive(Debug, Default)]
pub(super) struct Registered {
    generated: BTreeSet<ImagePath>,
    drop_ins: BTreeSet<ImagePath>,
}

impl Registered {
    /// Adds to the facts what belongs to a program, though no package of it owns that: files next
    /// to those that do, and configuration of other packages in directories that `direct` objects
    /// name ([`super::opens::direct`]).
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub(super) fn note(
        &mut self,
        facts: &mut Facts,
        direct: &BTreeSet<&ImagePath>,
        view: &View<'_>,
    ) -> Result<(), ReadFailure> {
        self.note_generated(facts, view)?;
        self.note_drop_ins(facts, direct, view)
    }

    /// Files that were made when a package was installed, such as an index of its directory: no
    /// package owns them, and only packages of one source have files in that directory.
    fn note_generated(&mut self, facts: &mut Facts, view: &View<'_>) -> Result<(), ReadFailure> {
        let mut new = Vec::new();
        for (path, owned) in &facts.owned {
            let dir = ImagePath::new(path).ok().and_then(|path| path.parent());
            let Some(dir) = dir.filter(|_| owned.tie.is_some() && !owned.is_recommended()) else {
                continue;
            };
            let is_shared = ownership::is_top(&dir) || dir.as_bytes().starts_with(b"/etc");
            let is_full = self.generated.len() >= MAX_DIRECTORIES;
            if is_shared || is_full || !self.generated.insert(dir.clone()) {
                continue;
            }
            let Some(database) = view.packages()? else { return Ok(()) };
            let owners = database.owners(&dir);
            let sources: BTreeSet<_> =
                owners.iter().filter_map(|id| Some(&database.package(*id)?.source)).collect();
            if sources.len() != 1 {
                continue;
            }
            for name in view.probe_names(dir.as_bytes())?.unwrap_or_default() {
                let Ok(path) = dir.join(&name) else { continue };
                let Ok(found) = view.probe(path.as_bytes())? else { continue };
                let is_small = found.is_file()
                    && view.node(&found.path)?.ok().flatten().is_some_and(|node| {
                        node.file().is_some_and(|file| file.len <= MAX_GENERATED)
                    });
                if is_small && database.owners(&path).is_empty() && found.path == path {
                    new.push((path, Owned { tie: None, ..owned.clone() }));
                }
            }
        }
        for (path, owned) in new {
            facts.add_owned(path.as_bytes(), owned);
        }
        Ok(())
    }

    /// Configuration that names libraries, in a directory in `/etc` whose whole path an object has
    /// among its constants: OpenCL's `.icd` files. Who installs such a file means it for the
    /// programs that read the directory: those that are linked with what names it, and not those
    /// that come to it through another library, such as ffmpeg's.
    fn note_drop_ins(
        &mut self,
        facts: &mut Facts,
        direct: &BTreeSet<&ImagePath>,
        view: &View<'_>,
    ) -> Result<(), ReadFailure> {
        if !view.may_have_packages()? {
            return Ok(());
        }
        let mut new = Vec::new();
        for (path, by) in facts.paths.iter().filter(|(_, by)| direct.contains(by)) {
            let Ok(dir) = ImagePath::new(path) else { continue };
            let is_below = dir.as_bytes().starts_with(b"/etc/");
            let is_new = is_below && self.drop_ins.insert(dir.clone());
            if !is_new || !view.probe(path)?.is_ok_and(|found| found.kind == FoundKind::Directory) {
                continue;
            }
            for name in view.probe_names(path)?.unwrap_or_default() {
                let Ok(file) = dir.join(&name) else { continue };
                if texts::names_libraries(&file, view)? {
                    let owned = Owned::by_nobody(by, path);
                    new.push((file, owned));
                }
            }
        }
        for (path, owned) in new {
            facts.add_owned(path.as_bytes(), owned);
        }
        Ok(())
    }
}

/// The files in `/etc` that name libraries: `odbcinst.ini`. Only of those that no package owns does
/// a mention say anything ([`super::unowned::is_unowned`]): they were made when packages were
/// installed.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn configuration(view: &View<'_>) -> Result<BTreeSet<Vec<u8>>, ReadFailure> {
    let mut names = BTreeSet::new();
    if !view.may_have_packages()? {
        return Ok(names);
    }
    for name in view.probe_names(b"/etc")?.unwrap_or_default() {
        let Ok(path) = ImagePath::new([b"/etc/", &name[..]].concat()) else { continue };
        if texts::names_libraries(&path, view)? {
            names.insert(name);
        }
    }
    Ok(names)
}
