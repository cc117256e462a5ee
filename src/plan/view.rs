//! What the container will see: the inputs over the sysroot. The closure looks through this.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::Note;
use crate::{
    elf::{
        Absence, Answer, FileId, Found, FoundKind, Lookup, LookupError, Object, ObjectError,
        ReadFailure,
    },
    path::{ImagePath, escape},
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
    directories: BTreeMap<Vec<u8>, Answer<Arc<Resolved>>>,
    /// Directories of the view and what they are in the sysroot.
    counterparts: BTreeMap<ImagePath, Answer<ImagePath>>,
    objects: BTreeMap<FileId, Result<Arc<Object>, ObjectError>>,
    /// What was wanted and may not be read.
    denied: BTreeSet<Vec<u8>>,
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
    /// [`ReadFailure`]
    pub fn resolve(&self, path: &[u8]) -> Result<Answer<Resolved>, ReadFailure> {
        LookupError::split(self.walk(path))
    }

    fn walk(&self, path: &[u8]) -> Result<Resolved, LookupError> {
        let mut step = |path: &ImagePath| self.step(path);
        let (dir, name) = match path.iter().rposition(|&b| b == b'/') {
            Some(slash) => path.split_at(slash + 1),
            None => (&b"/"[..], path),
        };
        if path.len() > ImagePath::MAX || matches!(name, b"" | b"." | b"..") {
            return Resolved::root().follow(path, &mut step);
        }
        let known = self.memory.borrow().directories.get(dir).cloned();
        let resolved = match known {
            Some(known) => known,
            None => {
                let resolved = Resolved::root().follow(dir, &mut step).map(Arc::new);
                let resolved = LookupError::split(resolved)?;
                self.memory.borrow_mut().directories.insert(dir.to_vec(), resolved.clone());
                resolved
            }
        };
        Resolved::clone(&*resolved?).follow(name, &mut step)
    }

    /// The node at a real path of the view, the inputs' own or one for the sysroot's file. `None`
    /// for what no layer can hold.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn node(&self, path: &ImagePath) -> Result<Answer<Option<Node>>, ReadFailure> {
        LookupError::split(self.own_or_host_node(path))
    }

    fn own_or_host_node(&self, path: &ImagePath) -> Result<Option<Node>, LookupError> {
        if let Some(node) = self.tree.get(path) {
            return Ok(Some(node.clone()));
        }
        let host_path = self.host_path(path)?;
        let Some(mut node) = self.host.node(&host_path)?? else { return Ok(None) };
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
                .map_err(|error| LookupError::of(on_host, error))?;
        }
        Ok(Some(node))
    }

    /// `answer` about `path`, which the image is to have. That this user may not read it is
    /// remembered for a note.
    pub(super) fn wanted<T>(&self, path: &[u8], answer: Answer<T>) -> Answer<T> {
        if matches!(answer, Err(Absence::Denied)) {
            self.memory.borrow_mut().denied.insert(path.into());
        }
        answer
    }

    /// The note about what was wanted and may not be read.
    pub(super) fn denied(&self) -> Option<Note> {
        let memory = self.memory.borrow();
        let paths: Vec<String> = memory.denied.iter().map(|path| escape(path)).collect();
        let text = format!("left out, since this user may not read it: {}", paths.join(", "));
        (!paths.is_empty()).then(|| Note::warning(text))
    }

    /// Whether the inputs bring `path`.
    pub(super) fn is_own(&self, path: &ImagePath) -> bool {
        self.tree.contains(path)
    }

    /// Whether the inputs bring `path`, and it is a directory.
    pub(super) fn is_own_directory(&self, path: &ImagePath) -> bool {
        self.tree.get(path).is_some_and(Node::is_directory)
    }

    fn step(&self, path: &ImagePath) -> Result<Step, LookupError> {
        match self.tree.get(path).map(|node| &node.kind) {
            Some(Kind::Directory) => Ok(Step::Directory),
            Some(Kind::Symlink(target)) => Ok(Step::Link(target[..].into())),
            Some(Kind::File(_) | Kind::Special(_)) => Ok(Step::Leaf),
            None => self.host.step(&self.host_path(path)?),
        }
    }

    /// Where the sysroot has what stands at `path`, whose parent is a directory of the view.
    fn host_path(&self, path: &ImagePath) -> Result<ImagePath, LookupError> {
        let Some(parent) = path.parent() else { return Ok(path.clone()) };
        let dir = self.counterpart(&parent)??;
        Ok(dir.join(path.file_name()).map_err(|_| Absence::Missing)?)
    }

    fn counterpart(&self, dir: &ImagePath) -> Result<Answer<ImagePath>, ReadFailure> {
        if dir.is_root() {
            return Ok(Ok(dir.clone()));
        }
        if let Some(known) = self.memory.borrow().counterparts.get(dir) {
            return Ok(known.clone());
        }
        let resolved =
            self.host_path(dir).and_then(|path| Ok(self.host.resolve(path.as_bytes())??));
        let real = LookupError::split(resolved)?.and_then(|resolved| match resolved.is_directory {
            true => Ok(resolved.path),
            false => Err(Absence::Missing),
        });
        self.memory.borrow_mut().counterparts.insert(dir.clone(), real.clone());
        Ok(real)
    }

    /// The file of the inputs at a real path, if it is one of theirs.
    pub(super) fn own_file(&self, path: &ImagePath) -> Option<&FileNode> {
        self.tree.get(path).and_then(Node::file)
    }

    fn host_found(&self, found: &Found) -> Result<Answer<Found>, ReadFailure> {
        let path = LookupError::split(self.host_path(&found.path))?;
        Ok(path.map(|path| Found { path, ..found.clone() }))
    }

    fn found(&self, path: &[u8]) -> Result<Found, LookupError> {
        let resolved = self.walk(path)?;
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
                let found = self.host.find(self.host_path(&resolved.path)?.as_bytes())??;
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

    fn names(&self, dir: &[u8]) -> Result<Vec<Vec<u8>>, LookupError> {
        let resolved = self.walk(dir)?;
        let depth = resolved.path.components().count() + 1;
        let own =
            self.tree.below(&resolved.path).filter(|(path, _)| path.components().count() == depth);
        let mut names: BTreeSet<Vec<u8>> = own.map(|(path, _)| path.file_name().to_vec()).collect();
        match self.counterpart(&resolved.path)? {
            Ok(host) => names.extend(self.host.list(host.as_bytes())??),
            Err(_) if !resolved.is_directory => return Err(Absence::Missing.into()),
            Err(_) => {}
        }
        Ok(names.into_iter().collect())
    }
}

impl Lookup for View<'_> {
    fn find(&self, path: &[u8]) -> Result<Answer<Found>, ReadFailure> {
        LookupError::split(self.found(path))
    }

    fn object(&self, found: &Found) -> Result<Result<Arc<Object>, ObjectError>, ReadFailure> {
        let Some(file) = self.own_file(&found.path) else {
            return match self.host_found(found)? {
                Ok(found) => self.host.object(&found),
                Err(absence) => Ok(Err(absence.into())),
            };
        };
        if let Some(known) = self.memory.borrow().objects.get(&found.id) {
            return Ok(known.clone());
        }
        let object = content::parse(file, Object::read)?.map(Arc::new);
        self.memory.borrow_mut().objects.insert(found.id, object.clone());
        Ok(object)
    }

    fn read(&self, found: &Found, limit: usize) -> Result<Answer<Vec<u8>>, ReadFailure> {
        match self.own_file(&found.path) {
            Some(file) => content::head(file, limit),
            None => match self.host_found(found)? {
                Ok(found) => self.host.read(&found, limit),
                Err(absence) => Ok(Err(absence)),
            },
        }
    }

    fn list(&self, dir: &[u8]) -> Result<Answer<Vec<Vec<u8>>>, ReadFailure> {
        LookupError::split(self.names(dir))
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
