//! A tree seen as `/`, and nothing beside it: what a container of an image sees.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::content;
use crate::{
    elf::{
        self, Absence, Answer, FileId, Found, FoundKind, Lookup, Object, ObjectError, ReadFailure,
    },
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
    directories: BTreeMap<Vec<u8>, Answer<Arc<Resolved>>>,
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
    /// [`Absence`]
    pub fn resolve(&self, path: &[u8]) -> Answer<Resolved> {
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
    /// [`Absence`]
    pub fn node(&self, path: &[u8]) -> Answer<(ImagePath, Option<&'a Node>)> {
        let resolved = self.resolve(path)?;
        let node = self.tree.get(&resolved.path);
        Ok((resolved.path, node))
    }

    /// What in an object does not go together ([`elf::layout`]).
    ///
    /// # Errors
    /// As [`Lookup::object`].
    pub fn layout(
        &self,
        found: &Found,
    ) -> Result<Result<Option<&'static str>, ObjectError>, ReadFailure> {
        let file = self.tree.get(&found.path).and_then(Node::file);
        file.map_or(Ok(Err(ObjectError::NotRegular)), |file| content::parse(file, elf::layout))
    }

    fn step(&self, path: &ImagePath) -> Answer<Step> {
        match self.tree.get(path).map(|node| &node.kind) {
            Some(Kind::Directory) => Ok(Step::Directory),
            Some(Kind::Symlink(target)) => Ok(Step::Link(target[..].into())),
            Some(Kind::File(_) | Kind::Special(_)) => Ok(Step::Leaf),
            None if path.is_root() || self.implied.contains(path) => Ok(Step::Directory),
            None => Err(Absence::Missing),
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
    fn find(&self, path: &[u8]) -> Result<Answer<Found>, ReadFailure> {
        Ok(self.resolve(path).map(|resolved| {
            let (id, kind) = match self.tree.get(&resolved.path) {
                Some(Node { kind: Kind::File(file), .. }) => {
                    (self.id(file), FoundKind::File(file.len))
                }
                Some(Node { kind: Kind::Special(_), .. }) => {
                    (FileId(u64::MAX, 0), FoundKind::Other)
                }
                // No directory is opened as an object, so its identity is never compared.
                _ => (FileId(u64::MAX, 0), FoundKind::Directory),
            };
            Found {
                path: resolved.path,
                id,
                links: resolved.links,
                dotdot_dirs: resolved.dotdot_dirs,
                kind,
            }
        }))
    }

    fn object(&self, found: &Found) -> Result<Result<Arc<Object>, ObjectError>, ReadFailure> {
        if let Some(known) = self.memory.borrow().objects.get(&found.id) {
            return Ok(known.clone());
        }
        let Some(file) = self.tree.get(&found.path).and_then(Node::file) else {
            return Ok(Err(ObjectError::NotRegular));
        };
        let object = content::parse(file, Object::read)?.map(Arc::new);
        self.memory.borrow_mut().objects.insert(found.id, object.clone());
        Ok(object)
    }

    fn read(&self, found: &Found, limit: usize) -> Result<Answer<Vec<u8>>, ReadFailure> {
        let file = self.tree.get(&found.path).and_then(Node::file);
        file.map_or(Ok(Err(Absence::Missing)), |file| content::head(file, limit))
    }

    fn list(&self, dir: &[u8]) -> Result<Answer<Vec<Vec<u8>>>, ReadFailure> {
        let resolved = match self.resolve(dir) {
            Ok(resolved) if resolved.is_directory => resolved,
            Ok(_) => return Ok(Err(Absence::Missing)),
            Err(absence) => return Ok(Err(absence)),
        };
        let depth = resolved.path.components().count() + 1;
        let own = self.tree.below(&resolved.path).map(|(path, _)| path);
        let below = own.chain(self.implied.iter().filter(|path| path.is_within(&resolved.path)));
        let names: BTreeSet<Vec<u8>> = below
            .filter(|path| path.components().count() == depth)
            .map(|path| path.file_name().to_vec())
            .collect();
        Ok(Ok(names.into_iter().collect()))
    }
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
        assert_eq!(view.find(b"/lib/libx.so").unwrap().unwrap().path, path("usr/lib/libx.so"));
        assert_eq!(view.find(b"/lib/libx.so").unwrap().unwrap().links, [path("lib")]);
        assert_eq!(view.find(b"/etc/passwd").unwrap(), Err(Absence::Missing));
        assert_eq!(view.list(b"/usr").unwrap().unwrap(), [b"lib".to_vec()]);
        assert_eq!(view.implied().cloned().collect::<Vec<_>>(), [path("usr"), path("usr/lib")]);
    }
}
