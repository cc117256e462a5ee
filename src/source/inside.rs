//! A tree seen as `/`, and nothing beside it: what a container of an image sees.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use super::content;
use crate::{
    elf::{self, FileId, FindError, Found, FoundKind, Lookup, Object, ObjectError},
    path::ImagePath,
    tree::{FileNode, Identity, Kind, Node, Resolved, Step, Tree},
};

/// A tree as a root. Directories that the tree has no node for are there all the same, as an engine
/// makes them.
#[derive(Debug)]
pub struct TreeView<'a> {
    tree: &'a Tree,
    implied: BTreeSet<ImagePath>,
    memory: RefCell<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    directories: BTreeMap<Vec<u8>, Result<Arc<Resolved>, FindError>>,
    objects: BTreeMap<FileId, Result<Arc<Object>, ObjectError>>,
    ids: BTreeMap<Identity, u64>,
}

impl<'a> TreeView<'a> {
    /// `tree` as `/`.
    pub fn new(tree: &'a Tree) -> Self {
        let mut implied = BTreeSet::new();
        for (path, _) in tree {
            let mut dir = path.parent();
            while let Some(parent) = dir.filter(|dir| !dir.is_root() && !tree.contains(dir)) {
                dir = parent.parent();
                if !implied.insert(parent) {
                    break;
                }
            }
        }
        Self { tree, implied, memory: RefCell::default() }
    }

    /// The tree.
    pub fn tree(&self) -> &'a Tree {
        self.tree
    }

    /// Directories that only paths below them imply, in order.
    pub fn implied(&self) -> impl Iterator<Item = &ImagePath> {
        self.implied.iter()
    }

    /// Where `path` leads.
    ///
    /// # Errors
    /// [`FindError`]
    pub fn resolve(&self, path: &[u8]) -> Result<Resolved, FindError> {
        let mut step = |path: &ImagePath| self.step(path);
        let (dir, name) = match path.iter().rposition(|&b| b == b'/') {
            Some(slash) => path.split_at(slash + 1),
            None => (&b"/"[..], path),
        };
        if path.len() > ImagePath::MAX || matches!(name, b"" | b"." | b"..") {
            return Resolved::root().follow(path, &mut step);
        }
        let known = self.memory.borrow().directories.get(dir).cloned();
        let resolved = known.unwrap_or_else(|| {
            let resolved = Resolved::root().follow(dir, &mut step).map(Arc::new);
            self.memory.borrow_mut().directories.insert(dir.to_vec(), resolved.clone());
            resolved
        });
        Resolved::clone(&*resolved?).follow(name, &mut step)
    }

    /// The node that `path` leads to; `None` for a directory without one.
    ///
    /// # Errors
    /// [`FindError`]
    pub fn node(&self, path: &[u8]) -> Result<(ImagePath, Option<&'a Node>), FindError> {
        let resolved = self.resolve(path)?;
        let node = self.tree.get(&resolved.path);
        Ok((resolved.path, node))
    }

    /// What in an object does not go together ([`elf::layout`]).
    ///
    /// # Errors
    /// As [`Lookup::object`].
    pub fn layout(&self, found: &Found) -> Result<Option<&'static str>, ObjectError> {
        let gone = || ObjectError::Io("no regular file".into());
        let file = self.tree.get(&found.path).and_then(Node::file).ok_or_else(gone)?;
        elf::layout(file.len, &mut |offset, buffer| content::read_part(file, offset, buffer))
    }

    fn step(&self, path: &ImagePath) -> Result<Step, FindError> {
        match self.tree.get(path).map(|node| &node.kind) {
            Some(Kind::Directory) => Ok(Step::Directory),
            Some(Kind::Symlink(target)) => Ok(Step::Link(target[..].into())),
            Some(Kind::File(_) | Kind::Special(_)) => Ok(Step::Leaf),
            None if path.is_root() || self.implied.contains(path) => Ok(Step::Directory),
            None => Err(FindError::Missing),
        }
    }

    /// A number for each content, the same for the names of one inode.
    fn id(&self, file: &FileNode) -> FileId {
        let mut memory = self.memory.borrow_mut();
        let next = memory.ids.len() as u64;
        FileId(0, *memory.ids.entry(file.content.identity()).or_insert(next))
    }
}

impl Lookup for TreeView<'_> {
    fn find(&self, path: &[u8]) -> Result<Found, FindError> {
        let resolved = self.resolve(path)?;
        let (id, kind) = match self.tree.get(&resolved.path) {
            Some(Node { kind: Kind::File(file), .. }) => (self.id(file), FoundKind::File(file.len)),
            Some(Node { kind: Kind::Special(_), .. }) => (FileId(u64::MAX, 0), FoundKind::Other),
            // No directory is opened as an object, so its identity is never compared.
            _ => (FileId(u64::MAX, 0), FoundKind::Directory),
        };
        Ok(Found {
            path: resolved.path,
            id,
            links: resolved.links,
            dotdot_dirs: resolved.dotdot_dirs,
            kind,
        })
    }

    fn object(&self, found: &Found) -> Result<Arc<Object>, ObjectError> {
        if let Some(known) = self.memory.borrow().objects.get(&found.id) {
            return known.clone();
        }
        let gone = || ObjectError::Io("no regular file".into());
        let file = self.tree.get(&found.path).and_then(Node::file).ok_or_else(gone)?;
        let object = read_object(file).map(Arc::new);
        self.memory.borrow_mut().objects.insert(found.id, object.clone());
        object
    }

    fn read(&self, found: &Found, limit: usize) -> io::Result<Vec<u8>> {
        let file = self.tree.get(&found.path).and_then(Node::file);
        content::head(file.ok_or(io::ErrorKind::NotFound)?, limit)
    }

    fn list(&self, dir: &[u8]) -> Result<Vec<Vec<u8>>, FindError> {
        let resolved = self.resolve(dir)?;
        if !resolved.is_directory {
            return Err(FindError::Missing);
        }
        let depth = resolved.path.components().count() + 1;
        let own = self.tree.below(&resolved.path).map(|(path, _)| path);
        let below = own.chain(self.implied.iter().filter(|path| path.is_within(&resolved.path)));
        let names: BTreeSet<Vec<u8>> = below
            .filter(|path| path.components().count() == depth)
            .map(|path| path.file_name().to_vec())
            .collect();
        Ok(names.into_iter().collect())
    }
}

fn read_object(file: &FileNode) -> Result<Object, ObjectError> {
    Object::read(file.len, &mut |offset, buffer| content::read_part(file, offset, buffer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_tree_and_nothing_else() {
        let path = |text: &str| ImagePath::new(text).unwrap();
        let tree: Tree = [
            (path("usr/lib/libx.so"), Node::inline(0o644, *b"x")),
            (path("lib"), Node::symlink(*b"usr/lib")),
            (path("etc"), Node::directory(0o755)),
            (path("etc/passwd"), Node::symlink(*b"/../../proc/self/status")),
        ]
        .into_iter()
        .collect();
        let view = TreeView::new(&tree);
        assert_eq!(view.find(b"/lib/libx.so").unwrap().path, path("usr/lib/libx.so"));
        assert_eq!(view.find(b"/lib/libx.so").unwrap().links, [path("lib")]);
        assert_eq!(view.find(b"/etc/passwd"), Err(FindError::Missing));
        assert_eq!(view.list(b"/usr").unwrap(), [b"lib".to_vec()]);
        assert_eq!(view.implied().cloned().collect::<Vec<_>>(), [path("usr"), path("usr/lib")]);
    }
}
