//! One view of files: layers of trees over a sysroot, seen as `/`. The closure, the rules and
//! `imgb check` look through this.

mod packages;
mod unlisted;

use std::{
    cell::{OnceCell, RefCell},
    collections::{BTreeMap, BTreeSet},
    iter,
    sync::Arc,
};

use crate::{
    elf::{
        self, Absence, Answer, FileId, Found, FoundKind, LoaderMemo, Lookup, LookupError, Object,
        ObjectError, ReadFailure,
    },
    path::ImagePath,
    source::{FileReader, InputOptions, OpenFiles, Sysroot},
    tree::{Accounts, Content, FileNode, Kind, Node, Resolved, Step, Tree, accounts},
};

use packages::Packages;

/// Layers of trees over a sysroot. Where a layer has a directory and the sysroot a link to one
/// (`/lib` on a merged-/usr system), the directory stays and shows what the link leads to.
/// Directories that only a path below them implies exist, as an engine makes them.
///
/// What was looked up once is remembered: a view shows one moment. Files are opened once and stay
/// open while they are inspected ([`OpenFiles`]).
///
/// What this user may not look at in the sysroot is remembered too ([`View::denied`]), whatever the
/// caller makes of the answer; only [`View::probe`] and [`View::probe_names`] leave no trace.
#[derive(Debug)]
pub struct View<'a> {
    /// The highest layer.
    tree: &'a Tree,
    /// The layers below it, the highest first.
    lower: Vec<&'a Tree>,
    /// Where files come from that no layer has.
    sysroot: Option<Sysroot<'a>>,
    /// What gives the sysroot's files the metadata that they have in the image.
    options: Option<&'a InputOptions>,
    memo: RefCell<Memo>,
    loaders: LoaderMemo,
    files: RefCell<OpenFiles>,
    packages: OnceCell<Packages>,
}

#[derive(Debug, Default)]
struct Memo {
    /// Directories by the bytes they were asked for: nearly every lookup is of a new name in an old
    /// directory.
    directories: BTreeMap<Vec<u8>, Answer<Arc<Resolved>>>,
    /// Directories of the view and what they are in the sysroot.
    counterparts: BTreeMap<ImagePath, Answer<ImagePath>>,
    /// The sysroot's files by their real paths there; `None` for one that no tree can hold.
    nodes: BTreeMap<ImagePath, Answer<Option<Arc<Node>>>>,
    /// What is in the sysroot's directories.
    names: BTreeMap<ImagePath, Answer<Arc<Vec<Vec<u8>>>>>,
    objects: BTreeMap<FileId, Result<Arc<Object>, ObjectError>>,
    /// The real paths of directories and special files, numbered: their identities.
    numbers: BTreeMap<ImagePath, u64>,
    /// The sysroot's files and directories that this user may not read or search.
    denied: BTreeSet<ImagePath>,
}

/// The layer of a view that has none.
static NOTHING: Tree = Tree::new();

impl<'a> View<'a> {
    /// `tree` alone: what a container of an image with these files sees.
    pub fn of_tree(tree: &'a Tree) -> Self {
        let (memo, loaders, files, packages) = Default::default();
        let (lower, sysroot, options) = (Vec::new(), None, None);
        Self { tree, lower, sysroot, options, memo, loaders, files, packages }
    }

    /// `tree` over `sysroot`. `options` give the metadata of the sysroot's files.
    pub fn new(tree: &'a Tree, sysroot: impl Into<Sysroot<'a>>, options: &'a InputOptions) -> Self {
        Self { sysroot: Some(sysroot.into()), options: Some(options), ..Self::of_tree(tree) }
    }

    /// `sysroot` alone, with its own metadata.
    pub fn of_sysroot(sysroot: impl Into<Sysroot<'a>>) -> Self {
        Self { sysroot: Some(sysroot.into()), ..Self::of_tree(&NOTHING) }
    }

    /// Puts `tree` below the other layers, above the sysroot.
    #[must_use]
    pub fn over(mut self, tree: &'a Tree) -> Self {
        self.lower.push(tree);
        self
    }

    /// The highest layer.
    pub fn tree(&self) -> &'a Tree {
        self.tree
    }

    /// The node that a layer has at a real path.
    pub fn own(&self, path: &ImagePath) -> Option<&'a Node> {
        self.layers().find_map(|tree| tree.get(path))
    }

    /// Whether a layer has something at a real path.
    pub fn is_own(&self, path: &ImagePath) -> bool {
        self.own(path).is_some()
    }

    /// Whether a layer has a directory at a real path.
    pub fn is_own_directory(&self, path: &ImagePath) -> bool {
        self.own(path).is_some_and(Node::is_directory)
    }

    /// The regular file that a layer has at a real path.
    pub fn own_file(&self, path: &ImagePath) -> Option<&'a FileNode> {
        self.own(path).and_then(Node::file)
    }

    /// Where `path` leads.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn resolve(&self, path: &[u8]) -> Result<Answer<Resolved>, ReadFailure> {
        LookupError::split(self.follow(path))
    }

    /// The node at a real path as the image gets it: a layer's own, or one for the sysroot's file.
    /// `None` for what comes from the sysroot and no unprivileged user can make.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn node(&self, path: &ImagePath) -> Result<Answer<Option<Node>>, ReadFailure> {
        if let Some(node) = self.own(path) {
            return Ok(Ok(Some(node.clone())));
        }
        LookupError::split(self.adopted(path))
    }

    /// A reader of a file of this view. That it is denied is not remembered: a file whose node is
    /// in the image fails when it is packed.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn reader(&self, file: &FileNode) -> Result<Answer<FileReader>, ReadFailure> {
        let reader = self.files.borrow_mut().reader(file);
        LookupError::split(reader.map_err(LookupError::from))
    }

    /// The first `limit` bytes of a file of this view, or all of them.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn head(&self, file: &FileNode, limit: usize) -> Result<Answer<Vec<u8>>, ReadFailure> {
        match self.reader(file)? {
            Ok(reader) => LookupError::split(reader.head(limit).map_err(LookupError::from)),
            Err(absence) => Ok(Err(absence)),
        }
    }

    /// The tables of users and groups. A table that is not there or may not be read is empty.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn accounts(&self) -> Result<Accounts, ReadFailure> {
        let read = |path: &[u8]| match self.find(path)? {
            Ok(found) => Ok(self.read(&found, accounts::MAX_TABLE)?.unwrap_or_default()),
            Err(_) => Ok(Vec::new()),
        };
        Ok(Accounts::parse(&read(b"/etc/passwd")?, &read(b"/etc/group")?))
    }

    /// What in an object does not go together ([`elf::layout`]).
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn layout(
        &self,
        found: &Found,
    ) -> Result<Result<Option<&'static str>, ObjectError>, ReadFailure> {
        match self.open(found)? {
            Ok(reader) => reader.parse(elf::layout),
            Err(error) => Ok(Err(error)),
        }
    }

    /// As [`Lookup::find`] for a guess: a denial is not remembered.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn probe(&self, path: &[u8]) -> Result<Answer<Found>, ReadFailure> {
        self.without_trace(|| self.find(path))
    }

    /// As [`Lookup::list`] for a guess: a denial is not remembered.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn probe_names(&self, dir: &[u8]) -> Result<Answer<Vec<Vec<u8>>>, ReadFailure> {
        self.without_trace(|| self.list(dir))
    }

    fn without_trace<T>(&self, look: impl FnOnce() -> T) -> T {
        let before = self.memo.borrow().denied.clone();
        let answer = look();
        self.memo.borrow_mut().denied = before;
        answer
    }

    /// The sysroot's files that this user may not read and directories that this user may not list
    /// or search, as far as they were asked for, in order.
    pub fn denied(&self) -> Vec<ImagePath> {
        self.memo.borrow().denied.iter().cloned().collect()
    }

    /// Remembers it where `answer` is that the sysroot's file or directory at `path` is denied.
    fn record<T>(&self, path: &ImagePath, answer: Answer<T>) -> Answer<T> {
        if matches!(answer, Err(Absence::Denied)) {
            self.memo.borrow_mut().denied.insert(path.clone());
        }
        answer
    }

    fn layers(&self) -> impl Iterator<Item = &'a Tree> {
        iter::once(self.tree).chain(self.lower.iter().copied())
    }

    fn follow(&self, path: &[u8]) -> Result<Resolved, LookupError> {
        let mut step =
            |path: &ImagePath| self.with_node(path, |node| node.map_or(Step::Leaf, Step::from));
        let (dir, name) = match path.iter().rposition(|&b| b == b'/') {
            Some(slash) => path.split_at(slash + 1),
            None => (&b"/"[..], path),
        };
        if path.len() > ImagePath::MAX || matches!(name, b"" | b"." | b"..") {
            return Resolved::root().follow(path, &mut step);
        }
        let known = self.memo.borrow().directories.get(dir).cloned();
        let resolved = match known {
            Some(known) => known,
            None => {
                let resolved = Resolved::root().follow(dir, &mut step).map(Arc::new);
                let resolved = LookupError::split(resolved)?;
                // A denial is asked for again, so that it is recorded again.
                if !matches!(resolved, Err(Absence::Denied)) {
                    self.memo.borrow_mut().directories.insert(dir.to_vec(), resolved.clone());
                }
                resolved
            }
        };
        Resolved::clone(&*resolved?).follow(name, &mut step)
    }

    /// What `f` makes of the node at a real path, which for the sysroot's files has the sysroot's
    /// metadata. `None` stands for a file that no tree can hold.
    fn with_node<T>(
        &self,
        path: &ImagePath,
        f: impl FnOnce(Option<&Node>) -> T,
    ) -> Result<T, LookupError> {
        if let Some(node) = self.own(path) {
            return Ok(f(Some(node)));
        }
        if self.layers().any(|tree| tree.step(path).is_ok()) {
            return Ok(f(Some(&Node::directory(0o755))));
        }
        Ok(f(self.sysroot_node(&self.sysroot_path(path)?)??.as_deref()))
    }

    fn sysroot_node(&self, path: &ImagePath) -> Result<Answer<Option<Arc<Node>>>, ReadFailure> {
        let known = self.memo.borrow().nodes.get(path).cloned();
        let node = match (known, &self.sysroot) {
            (Some(known), _) => known,
            (None, None) => return Ok(Err(Absence::Missing)),
            (None, Some(sysroot)) => {
                let node = sysroot.node(path)?.map(|node| node.map(Arc::new));
                self.memo.borrow_mut().nodes.insert(path.clone(), node.clone());
                node
            }
        };
        // It is the directory that may not be searched.
        Ok(match node {
            Err(Absence::Denied) => {
                self.record(&path.parent().unwrap_or_else(ImagePath::root), node)
            }
            node => node,
        })
    }

    /// Where the sysroot has what stands at `path`, whose parent is a directory of the view.
    fn sysroot_path(&self, path: &ImagePath) -> Result<ImagePath, LookupError> {
        let Some(parent) = path.parent_bytes() else { return Ok(path.clone()) };
        let dir = self.counterpart(parent)??;
        if dir.as_bytes() == parent {
            return Ok(path.clone());
        }
        Ok(dir.child(path.file_name()).map_err(|_| Absence::Missing)?)
    }

    /// The directory of the sysroot that a directory of the view shows.
    fn counterpart(&self, dir: &[u8]) -> Result<Answer<ImagePath>, ReadFailure> {
        if self.sysroot.is_none() {
            return Ok(Err(Absence::Missing));
        }
        if let Some(known) = self.memo.borrow().counterparts.get(dir) {
            return Ok(known.clone());
        }
        let Ok(dir) = ImagePath::new(dir) else { return Ok(Err(Absence::Missing)) };
        if dir.is_root() {
            return Ok(Ok(dir));
        }
        let mut step = |path: &ImagePath| {
            Ok(self.sysroot_node(path)??.as_deref().map_or(Step::Leaf, Step::from))
        };
        let resolved = self
            .sysroot_path(&dir)
            .and_then(|path| Resolved::root().follow::<LookupError>(path.as_bytes(), &mut step))
            .and_then(|resolved| Ok(resolved.directory()?));
        let real = LookupError::split(resolved)?;
        if !matches!(real, Err(Absence::Denied)) {
            self.memo.borrow_mut().counterparts.insert(dir, real.clone());
        }
        Ok(real)
    }

    /// The node for a file of the sysroot as the image gets it.
    fn adopted(&self, path: &ImagePath) -> Result<Option<Node>, LookupError> {
        let Some(sysroot) = &self.sysroot else { return Err(Absence::Missing.into()) };
        let there = self.sysroot_path(path)?;
        let node = self.sysroot_node(&there)??;
        let Some(node) = node.filter(|node| !matches!(node.kind, Kind::Special(_))) else {
            return Ok(None);
        };
        let node = Node::clone(&node);
        let mut node = match self.options {
            Some(options) => options.adopt(node),
            None => node,
        };
        if node.is_executable() {
            node.meta.xattrs = sysroot.capability(&there, &node)?;
        }
        Ok(Some(node))
    }

    /// The identity of what is not a regular file: one for each real path, apart from every device
    /// and inode.
    fn number(&self, path: &ImagePath) -> FileId {
        let numbers = &mut self.memo.borrow_mut().numbers;
        let next = numbers.len() as u64;
        FileId(u64::MAX, *numbers.entry(path.clone()).or_insert(next))
    }

    /// The regular file that was found.
    fn file(&self, found: &Found) -> Result<FileNode, LookupError> {
        let file = self.with_node(&found.path, |node| node.and_then(Node::file).cloned())?;
        file.ok_or_else(|| Absence::Missing.into())
    }

    fn open(&self, found: &Found) -> Result<Result<FileReader, ObjectError>, ReadFailure> {
        if !found.is_file() {
            return Ok(Err(ObjectError::NotRegular));
        }
        match LookupError::split(self.file(found))? {
            Ok(file) => {
                let reader = self.reader(&file)?;
                Ok(self.record_file(found, reader).map_err(ObjectError::from))
            }
            Err(absence) => Ok(Err(absence.into())),
        }
    }

    /// As [`View::record`] for a file of the sysroot.
    fn record_file<T>(&self, found: &Found, answer: Answer<T>) -> Answer<T> {
        if self.is_own(&found.path) { answer } else { self.record(&found.path, answer) }
    }

    fn names(&self, dir: &[u8]) -> Result<Vec<Vec<u8>>, LookupError> {
        let resolved = self.follow(dir)?;
        let mut names: BTreeSet<Vec<u8>> = BTreeSet::new();
        for tree in self.layers() {
            names.extend(tree.names(&resolved.path).into_iter().map(<[u8]>::to_vec));
        }
        match self.counterpart(resolved.path.as_bytes())? {
            Ok(there) => names.extend(self.sysroot_names(&there)??.iter().cloned()),
            Err(_) if !resolved.is_directory => return Err(Absence::Missing.into()),
            Err(_) => {}
        }
        Ok(names.into_iter().collect())
    }

    fn sysroot_names(&self, dir: &ImagePath) -> Result<Answer<Arc<Vec<Vec<u8>>>>, ReadFailure> {
        let known = self.memo.borrow().names.get(dir).cloned();
        if let Some(known) = known {
            return Ok(self.record(dir, known));
        }
        let Some(sysroot) = &self.sysroot else { return Ok(Err(Absence::Missing)) };
        let names = self.record(dir, sysroot.list(dir)?.map(Arc::new));
        self.memo.borrow_mut().names.insert(dir.clone(), names.clone());
        Ok(names)
    }
}

impl Lookup for View<'_> {
    fn find(&self, path: &[u8]) -> Result<Answer<Found>, ReadFailure> {
        let Resolved { path, links, dotdot_dirs, .. } = match self.resolve(path)? {
            Ok(resolved) => resolved,
            Err(absence) => return Ok(Err(absence)),
        };
        let identified = LookupError::split(self.with_node(&path, identify))?;
        Ok(identified.map(|(id, kind)| {
            let id = id.unwrap_or_else(|| self.number(&path));
            Found { path, id, links, dotdot_dirs, kind }
        }))
    }

    fn object(&self, found: &Found) -> Result<Result<Arc<Object>, ObjectError>, ReadFailure> {
        let known = self.memo.borrow().objects.get(&found.id).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let object = match self.open(found)? {
            Ok(reader) => reader.parse(Object::read)?.map(Arc::new),
            // What is not a file has no identity of its own.
            Err(error) => return Ok(Err(error)),
        };
        self.memo.borrow_mut().objects.insert(found.id, object.clone());
        Ok(object)
    }

    fn read(&self, found: &Found, limit: usize) -> Result<Answer<Vec<u8>>, ReadFailure> {
        match LookupError::split(self.file(found))? {
            Ok(file) => Ok(self.record_file(found, self.head(&file, limit)?)),
            Err(absence) => Ok(Err(absence)),
        }
    }

    fn list(&self, dir: &[u8]) -> Result<Answer<Vec<Vec<u8>>>, ReadFailure> {
        LookupError::split(self.names(dir))
    }

    fn loader_memo(&self) -> Option<&LoaderMemo> {
        Some(&self.loaders)
    }
}

/// What a node is to a loader. Files with the same content have the same identity, which is device
/// and inode for a file of the host and apart from all of these for any other. Anything else has
/// none of its own.
fn identify(node: Option<&Node>) -> (Option<FileId>, FoundKind) {
    const NO_DEVICE: u64 = 1 << 63;
    match node.map(|node| &node.kind) {
        Some(Kind::Directory) => (None, FoundKind::Directory),
        Some(Kind::File(file)) => {
            let id = match &file.content {
                Content::Host(host) => FileId(host.dev, host.ino),
                Content::Member(archive, offset) => {
                    FileId(NO_DEVICE | Arc::as_ptr(archive).addr() as u64, *offset)
                }
                Content::Sparse(_, regions) => {
                    FileId(NO_DEVICE | Arc::as_ptr(regions).addr() as u64, 0)
                }
                Content::Inline(bytes) => FileId(NO_DEVICE | bytes.as_ptr().addr() as u64, 0),
            };
            (Some(id), FoundKind::File(file.len))
        }
        Some(Kind::Symlink(_) | Kind::Special(_)) | None => (None, FoundKind::Other),
    }
}

#[cfg(test)]
mod tests;
