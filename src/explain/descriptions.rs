//! Files that describe a package of a language's own package manager, and the files of the package.

use crate::{
    components::{Component, gem, node, python},
    elf::{Lookup as _, ReadFailure},
    path::ImagePath,
    tree::Tree,
    view::View,
};

/// Bytes of a list of files.
const MAX_RECORD: usize = 4 << 20;

/// What describes a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Description {
    /// `package.json` of npm.
    Node,
    /// `specifications/NAME-VERSION.gemspec` of RubyGems.
    Gem,
    /// `METADATA` in `*.dist-info`, and `PKG-INFO` in `*.egg-info` or a file of that name.
    Python,
}

impl Description {
    /// The kind of the file at `path`, by its name.
    pub(super) fn of(path: &ImagePath) -> Option<Self> {
        let (name, dir) = (path.file_name(), path.parent().unwrap_or_else(ImagePath::root));
        let is_python = match name {
            b"METADATA" => dir.file_name().ends_with(b".dist-info"),
            b"PKG-INFO" => dir.file_name().ends_with(b".egg-info"),
            _ => name.ends_with(b".egg-info"),
        };
        if is_python {
            return Some(Self::Python);
        }
        if gem::is_specification(name, dir.components()) {
            return Some(Self::Gem);
        }
        (name == b"package.json").then_some(Self::Node)
    }

    /// The package that `text`, a file of this kind, describes.
    pub(super) fn parse(self, text: &[u8]) -> Option<Component> {
        match self {
            Self::Node => node::parse(text),
            Self::Gem => gem::parse(text),
            Self::Python => python::parse(text),
        }
    }

    /// The files of the package that the file at `path` describes, this one among them.
    ///
    /// # Errors
    /// [`ReadFailure`] if a list of them cannot be read.
    pub(super) fn files(
        self,
        path: &ImagePath,
        tree: &Tree,
        view: &View<'_>,
    ) -> Result<Vec<ImagePath>, ReadFailure> {
        let dir = path.parent().unwrap_or_else(ImagePath::root);
        let mut files = match self {
            Self::Node => of_node(path, &dir, tree),
            Self::Gem => of_gem(path, &dir, tree),
            Self::Python => of_python(&dir, tree, view)?,
        };
        files.push(path.clone());
        Ok(files)
    }
}

/// What is in the directory, without packages inside it. Elsewhere than in `node_modules`, the
/// directory is that of a program, which is more than this package.
fn of_node(path: &ImagePath, dir: &ImagePath, tree: &Tree) -> Vec<ImagePath> {
    if !path.as_bytes().windows(14).any(|part| part == b"/node_modules/") {
        return Vec::new();
    }
    let inner = [dir.as_bytes(), b"/node_modules/"].concat();
    let mut files = below(dir, tree);
    files.retain(|path| !path.as_bytes().starts_with(&inner));
    files
}

/// What is in a directory of its own; gems of Ruby itself have none.
fn of_gem(path: &ImagePath, dir: &ImagePath, tree: &Tree) -> Vec<ImagePath> {
    let stem = path.file_name().strip_suffix(b".gemspec").unwrap_or_default();
    let own = ImagePath::new([dir.as_bytes(), b"/../gems/", stem].concat());
    own.map_or_else(|_| Vec::new(), |own| below(&own, tree))
}

/// What the record lists.
fn of_python(dir: &ImagePath, tree: &Tree, view: &View<'_>) -> Result<Vec<ImagePath>, ReadFailure> {
    let record = [dir.as_bytes(), b"/RECORD"].concat();
    let Ok(found) = view.find(&record)? else { return Ok(Vec::new()) };
    let text = view.read(&found, MAX_RECORD)?.unwrap_or_default();
    let packages = dir.parent().unwrap_or_else(ImagePath::root);
    let listed = python::record(&text).into_iter().filter_map(|listed| {
        ImagePath::new([packages.as_bytes(), b"/", &listed[..]].concat()).ok()
    });
    Ok(listed.filter(|path| tree.contains(path)).collect())
}

fn below(dir: &ImagePath, tree: &Tree) -> Vec<ImagePath> {
    let files = tree.below(dir).filter(|(_, node)| !node.is_directory());
    files.map(|(path, _)| path.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_describes_a_package() {
        for (path, kind) in [
            ("/app/package.json", Some(Description::Node)),
            ("/g/specifications/a-1.gemspec", Some(Description::Gem)),
            ("/s/a-1.dist-info/METADATA", Some(Description::Python)),
            ("/s/a-1.egg-info/PKG-INFO", Some(Description::Python)),
            ("/s/a-1.egg-info", Some(Description::Python)),
            ("/s/a/METADATA", None),
            ("/src/a.gemspec", None),
            ("/app/package-lock.json", None),
        ] {
            assert_eq!(Description::of(&ImagePath::new(path).unwrap()), kind, "{path}");
        }
    }
}
