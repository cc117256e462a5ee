//! What records of installed packages list: of Python's distributions, conda and Composer.

use std::collections::BTreeMap;

use super::language;
use crate::{
    components::{composer, conda, python::record},
    elf::ReadFailure,
    path::ImagePath,
    tree::{FileNode, Tree},
    view::View,
};

/// Bytes of a record that are read at most.
const MAX_RECORD: usize = 16 << 20;

/// Which package each path belongs to.
#[derive(Debug, Default)]
pub(super) struct Listed {
    paths: BTreeMap<ImagePath, usize>,
    /// Directories that packages have with all that is in them.
    directories: BTreeMap<ImagePath, usize>,
    names: Vec<String>,
}

/// A kind of record, and the directory that its paths are relative to.
enum Kind {
    /// `SITE/NAME-VERSION.dist-info/RECORD`, with the name of the distribution.
    Python(String),
    /// `PREFIX/conda-meta/NAME-VERSION-BUILD.json`.
    Conda,
    /// `vendor/composer/installed.json`.
    Composer,
}

impl Listed {
    /// What the records in `tree` list. Of several records that list a file, the first counts.
    ///
    /// # Errors
    /// [`ReadFailure`] if a record cannot be read.
    pub(super) fn of(tree: &Tree) -> Result<Self, ReadFailure> {
        let view = View::of_tree(tree);
        let mut listed = Self::default();
        for (path, node) in tree {
            let Some((file, dir, kind)) = node.file().and_then(|file| kind(path, file)) else {
                continue;
            };
            if let Ok(text) = view.head(file, MAX_RECORD)? {
                listed.read((path, &text), &dir, kind, tree);
            }
        }
        Ok(listed)
    }

    /// The name of the package that lists `path`.
    pub(super) fn package(&self, path: &ImagePath) -> Option<&str> {
        let number = self.paths.get(path).or_else(|| self.innermost(path))?;
        self.names.get(*number).map(String::as_str)
    }

    /// The package of the innermost of the directories that `path` is in.
    fn innermost(&self, path: &ImagePath) -> Option<&usize> {
        if self.directories.is_empty() {
            return None;
        }
        path.ancestors().filter_map(|dir| self.directories.get(&dir)).last()
    }

    fn read(
        &mut self,
        (path, text): (&ImagePath, &[u8]),
        dir: &ImagePath,
        kind: Kind,
        tree: &Tree,
    ) {
        match kind {
            Kind::Python(name) => self.add(name, record(text), dir, tree),
            Kind::Conda => {
                let Some(record) = conda::record(text) else { return };
                let name = language::conda(record.name.as_bytes());
                self.add(name, record.files.into_iter().map(String::into_bytes), dir, tree);
                self.paths.insert(path.clone(), self.names.len() - 1);
            }
            Kind::Composer => {
                for package in composer::installed(text) {
                    let Ok(dir) = dir.join(package.directory().as_bytes()) else { continue };
                    let number = self.name(language::composer(package.name.as_bytes()));
                    self.directories.entry(dir).or_insert(number);
                }
            }
        }
    }

    fn add(
        &mut self,
        name: String,
        files: impl IntoIterator<Item = Vec<u8>>,
        dir: &ImagePath,
        tree: &Tree,
    ) {
        let number = self.name(name);
        for relative in files {
            if let Ok(path) = dir.join(relative)
                && tree.contains(&path)
            {
                self.paths.entry(path).or_insert(number);
            }
        }
    }

    fn name(&mut self, name: String) -> usize {
        self.names.push(name);
        self.names.len() - 1
    }
}

fn kind<'a>(path: &ImagePath, file: &'a FileNode) -> Option<(&'a FileNode, ImagePath, Kind)> {
    let name = path.file_name();
    if name != b"RECORD" && !name.ends_with(b".json") {
        return None;
    }
    let dir = path.parent()?;
    match (dir.file_name(), name) {
        (info, b"RECORD") => {
            let stem = info.strip_suffix(b".dist-info")?;
            let name = stem.split(|&byte| byte == b'-').next()?;
            Some((file, dir.parent()?, Kind::Python(language::pypi(name))))
        }
        (b"conda-meta", name) if name.ends_with(b".json") => {
            Some((file, dir.parent()?, Kind::Conda))
        }
        (b"composer", b"installed.json") => Some((file, dir, Kind::Composer)),
        _ => None,
    }
}
