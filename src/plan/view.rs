//! What the container will see: the inputs over the sysroot. The closure looks through this.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use crate::{
    elf::{FileId, FindError, Found, FoundKind, Lookup, Object, ObjectError},
    path::ImagePath,
    source::{HostView, InputOptions, content},
    tree::{Content, FileNode, Kind, Node, Resolved, Step, Tree},
};

/// The inputs' tree over a sysroot. Where the inputs have a directory and the sysroot a link to one
/// (`/lib` on a merged-/usr system), the directory stays and shows what the link leads to.
#[derive(Debug)]
pub struct View<'a> {
    tree: &'a Tree,
    host: &'a HostView,
    options: &'a InputOptions,
    memory: RefCell<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    directories: BTreeMap<Vec<u8>, Result<Arc<Resolved>, FindError>>,
    /// Directories of the view and what they are in the sysroot.
    counterparts: BTreeMap<ImagePath, Option<ImagePath>>,
    objects: BTreeMap<FileId, Result<Arc<Object>, ObjectError>>,
}

impl<'a> View<'a> {
    /// `tree`, which holds its paths' parents, over `host`. `options` give the metadata of the
    /// sysroot's files.
    pub fn new(tree: &'a Tree, host: &'a HostView, options: &'a InputOptions) -> Self {
        Self { tree, host, options, memory: RefCell::default() }
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

    /// The node at a real path of the view, the inputs' own or one for the sysroot's file. `None`
    /// for what no layer can hold.
    ///
    /// # Errors
    /// [`FindError`]
    pub fn node(&self, path: &ImagePath) -> Result<Option<Node>, FindError> {
        if let Some(node) = self.tree.get(path) {
            return Ok(Some(node.clone()));
        }
        let host_path = self.host_path(path)?;
        let Some(mut node) = self.host.node(&host_path)? else { return Ok(None) };
        if matches!(node.kind, Kind::Special(_)) {
            return Ok(None);
        }
        let mode =
            if matches!(node.kind, Kind::Symlink(_)) { 0o777 } else { u32::from(node.meta.mode) };
        node.meta = self.options.meta(mode, node.is_directory());
        if matches!(node.kind, Kind::Symlink(_)) {
            node.meta.mode = 0o777;
        }
        if node.file().is_some() && node.meta.mode & 0o111 != 0 {
            let on_host = self.host.host_path(&host_path);
            node.meta.xattrs = crate::source::capability_attribute(&on_host)
                .map_err(|error| FindError::Other(error.to_string()))?;
        }
        Ok(Some(node))
    }

    /// Whether the inputs bring `path`.
    pub(super) fn is_own(&self, path: &ImagePath) -> bool {
        self.tree.contains(path)
    }

    /// Whether the inputs bring `path`, and it is a directory.
    pub(super) fn is_own_directory(&self, path: &ImagePath) -> bool {
        self.tree.get(path).is_some_and(Node::is_directory)
    }

    fn step(&self, path: &ImagePath) -> Result<Step, FindError> {
        match self.tree.get(path).map(|node| &node.kind) {
            Some(Kind::Directory) => Ok(Step::Directory),
            Some(Kind::Symlink(target)) => Ok(Step::Link(target[..].into())),
            Some(Kind::File(_) | Kind::Special(_)) => Ok(Step::Leaf),
            None => self.host.step(&self.host_path(path)?),
        }
    }

    /// Where the sysroot has what stands at `path`, whose parent is a directory of the view.
    fn host_path(&self, path: &ImagePath) -> Result<ImagePath, FindError> {
        let Some(parent) = path.parent() else { return Ok(path.clone()) };
        let dir = self.counterpart(&parent).ok_or(FindError::Missing)?;
        dir.join(path.file_name()).map_err(|_| FindError::Missing)
    }

    fn counterpart(&self, dir: &ImagePath) -> Option<ImagePath> {
        if dir.is_root() {
            return Some(dir.clone());
        }
        if let Some(known) = self.memory.borrow().counterparts.get(dir) {
            return known.clone();
        }
        let host_path = self.host_path(dir).ok();
        let resolved = host_path.and_then(|path| self.host.resolve(path.as_bytes()).ok());
        let real = resolved.filter(|resolved| resolved.is_directory).map(|resolved| resolved.path);
        self.memory.borrow_mut().counterparts.insert(dir.clone(), real.clone());
        real
    }

    /// The file of the inputs at a real path, if it is one of theirs.
    pub(super) fn own_file(&self, path: &ImagePath) -> Option<&FileNode> {
        self.tree.get(path).and_then(Node::file)
    }

    fn host_found(&self, found: &Found) -> Result<Found, FindError> {
        Ok(Found { path: self.host_path(&found.path)?, ..found.clone() })
    }
}

impl Lookup for View<'_> {
    fn find(&self, path: &[u8]) -> Result<Found, FindError> {
        let resolved = self.resolve(path)?;
        let (id, kind) = match self.tree.get(&resolved.path) {
            Some(Node { kind: Kind::File(file), .. }) => {
                (file_id(&file.content), FoundKind::File(file.len))
            }
            Some(node) => {
                let kind =
                    if node.is_directory() { FoundKind::Directory } else { FoundKind::Other };
                // No directory of an input is opened as an object, so its identity is never
                // compared.
                (FileId(u64::MAX, 0), kind)
            }
            None => {
                let found = self.host.find(self.host_path(&resolved.path)?.as_bytes())?;
                (found.id, found.kind)
            }
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
        let Some(file) = self.own_file(&found.path) else {
            let found =
                self.host_found(found).map_err(|error| ObjectError::Io(error.to_string()))?;
            return self.host.object(&found);
        };
        if let Some(known) = self.memory.borrow().objects.get(&found.id) {
            return known.clone();
        }
        let object = read_object(file).map(Arc::new);
        self.memory.borrow_mut().objects.insert(found.id, object.clone());
        object
    }

    fn read(&self, found: &Found, limit: usize) -> io::Result<Vec<u8>> {
        match self.own_file(&found.path) {
            Some(file) => content::head(file, limit),
            None => self.host.read(
                &self.host_found(found).map_err(|error| io::Error::other(error.to_string()))?,
                limit,
            ),
        }
    }

    fn list(&self, dir: &[u8]) -> Result<Vec<Vec<u8>>, FindError> {
        let resolved = self.resolve(dir)?;
        let depth = resolved.path.components().count() + 1;
        let own =
            self.tree.below(&resolved.path).filter(|(path, _)| path.components().count() == depth);
        let mut names: BTreeSet<Vec<u8>> = own.map(|(path, _)| path.file_name().to_vec()).collect();
        match self.counterpart(&resolved.path) {
            Some(host) => names.extend(self.host.list(host.as_bytes())?),
            None if !resolved.is_directory => return Err(FindError::Missing),
            None => {}
        }
        Ok(names.into_iter().collect())
    }
}

/// The identity of an input's content, apart from every (device, inode) where it is not one itself.
fn file_id(content: &Content) -> FileId {
    const NO_DEVICE: u64 = 1 << 63;
    match content {
        Content::Host(file) => FileId(file.dev, file.ino),
        Content::Member(archive, offset) => {
            FileId(NO_DEVICE | Arc::as_ptr(archive).addr() as u64, *offset)
        }
        Content::Inline(bytes) => FileId(NO_DEVICE | bytes.as_ptr().addr() as u64, 0),
    }
}

fn read_object(file: &FileNode) -> Result<Object, ObjectError> {
    Object::read(file.len, &mut |offset, buffer| content::read_part(file, offset, buffer))
}
