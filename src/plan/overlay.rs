//! Changes over the files of an image, in which every path is followed through links.

use std::collections::BTreeSet;

use crate::{
    path::ImagePath,
    tree::{Node, ResolveError, Tree, resolve::destination},
};

/// The files of an image and the changes made to them so far. Nothing leaves the root through a
/// link.
#[derive(Debug)]
pub struct Overlay<'a> {
    below: &'a Tree,
    changes: Tree,
    /// Directories of `below` that another kind of file has replaced.
    replaced: BTreeSet<ImagePath>,
    /// The last parent and its real path: files come directory by directory.
    parent: Option<(ImagePath, ImagePath)>,
}

impl<'a> Overlay<'a> {
    /// No changes to `below`, which holds the parents of its paths.
    pub fn new(below: &'a Tree) -> Self {
        Self { below, changes: Tree::new(), replaced: BTreeSet::new(), parent: None }
    }

    /// What was changed. Parents are in it only if they were put there.
    pub fn into_changes(self) -> Tree {
        self.changes
    }

    /// The changes so far.
    pub fn changes(&self) -> &Tree {
        &self.changes
    }

    /// A changed node.
    pub fn changed_mut(&mut self, path: &ImagePath) -> Option<&mut Node> {
        self.changes.get_mut(path)
    }

    /// The node at a real path.
    pub fn get(&self, path: &ImagePath) -> Option<&Node> {
        self.changes.get(path).or_else(|| {
            let hidden = !self.replaced.is_empty()
                && path.ancestors().any(|dir| self.replaced.contains(&dir));
            self.below.get(path).filter(|_| !hidden)
        })
    }

    /// Whether a real path is a directory.
    pub fn is_directory(&self, path: &ImagePath) -> bool {
        path.is_root() || self.get(path).is_some_and(Node::is_directory)
    }

    /// The real path of `path`; what does not exist is taken as it is written.
    ///
    /// # Errors
    /// [`ResolveError`]
    pub fn resolve(&self, path: &ImagePath) -> Result<ImagePath, ResolveError> {
        Ok(destination(path, |path| self.get(path))?.path)
    }

    /// The real path of `path`, whose last component is not followed.
    ///
    /// # Errors
    /// [`ResolveError`]
    pub fn place(&mut self, path: &ImagePath) -> Result<ImagePath, ResolveError> {
        let Some(parent) = path.parent() else { return Ok(path.clone()) };
        let real = match &self.parent {
            Some((known, real)) if *known == parent => real.clone(),
            _ => {
                let real = self.resolve(&parent)?;
                if self.get(&real).is_some_and(|node| !node.is_directory()) {
                    return Err(ResolveError::NotADirectory(real));
                }
                self.parent = Some((parent, real.clone()));
                real
            }
        };
        real.join(path.file_name()).map_err(|_| ResolveError::TooLong)
    }

    /// Forgets the last parent, which may have become another.
    pub fn forget_parent(&mut self) {
        self.parent = None;
    }

    /// Puts `node` at the real path `path`. What is not a directory replaces a directory and all
    /// that is in it.
    pub fn put(&mut self, path: ImagePath, node: Node) {
        if !node.is_directory() && !path.is_root() && self.is_directory(&path) {
            self.changes.remove_below(&path);
            self.replaced.insert(path.clone());
            self.parent = None;
        }
        self.changes.insert(path, node);
    }
}
