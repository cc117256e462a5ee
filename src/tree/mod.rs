//! A file tree as a value: a map from image path to node. It records where bytes are but never
//! holds or reads them.

pub mod accounts;
pub mod capability;
mod dump;
mod executable;
mod host_file;
mod json;
mod overlay;
pub mod resolve;
mod sizes;

use std::{
    collections::{BTreeMap, BTreeSet, btree_map},
    fmt,
    fs::File,
    io,
    ops::{Bound, Range},
    os::unix::fs::FileExt as _,
    sync::Arc,
};

use crate::{path::ImagePath, timestamp::Mtime};

pub use accounts::Accounts;
pub use host_file::{HostFile, HostPath};
pub use overlay::Change;
pub use resolve::{ResolveError, Resolved, Step};
pub use sizes::Sizes;

/// Nodes of a new tree that are sorted together.
const SORTED_AT_ONCE: usize = 1 << 16;

/// Files by path, in byte order. A directory comes before its contents, as in a layer's tar. The
/// root itself has no node, since no engine lets an image set its mode or owner. The parents of a
/// path may be missing until [`Tree::add_parents`] has run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree {
    nodes: BTreeMap<ImagePath, Node>,
}

/// A file of any kind, with its metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Mode, owner, time, attributes.
    pub meta: Meta,
    /// The kind of file, with its content.
    pub kind: Kind,
}

/// A node's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits with setuid, setgid and sticky: `0..=0o7777`.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of last modification in the image.
    pub mtime: Mtime,
    /// Extended attributes by full name (`security.capability`), with raw values. `None` if there
    /// are none.
    pub xattrs: Xattrs,
}

/// Extended attributes; boxed, since few nodes have any.
pub type Xattrs = Option<Box<BTreeMap<Vec<u8>, Vec<u8>>>>;

impl Meta {
    /// Metadata with `mode`, owned by root, at the time of the content, without attributes.
    pub fn new(mode: u16) -> Self {
        Self { mode, uid: 0, gid: 0, mtime: Mtime::OfContent, xattrs: None }
    }
}

/// The kinds of file that a layer can hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File(FileNode),
    /// A symbolic link with its literal target, which is never empty.
    Symlink(Box<[u8]>),
    /// A device or FIFO. Only tarballs contain these: a layer can hold files that an unprivileged
    /// user cannot create.
    Special(Special),
}

/// A regular file. Hard links to one inode have equal [`Content::identity`] and `shared` set.
#[derive(Clone, Debug, PartialEq)]
pub struct FileNode {
    /// Length in bytes.
    pub len: u64,
    /// Where the bytes are.
    pub content: Content,
    /// Whether the tree may hold other names of the same inode; archives write these as hard links.
    pub shared: bool,
    /// When the file was modified where it comes from: the low 32 bits of the seconds since 1970,
    /// as compiled files record it. 0 for generated files.
    pub modified: u32,
}

/// A node without content that only a privileged user can create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// Character device, major and minor.
    Character(u32, u32),
    /// Block device, major and minor.
    Block(u32, u32),
    /// FIFO.
    Fifo,
}

/// Where a file's bytes are.
#[derive(Clone, Debug)]
pub enum Content {
    /// In memory: small generated files.
    Inline(Arc<[u8]>),
    /// In a file of the host.
    Host(Arc<HostFile>),
    /// In an uncompressed archive or blob, at a byte offset.
    Member(Arc<Archive>, u64),
    /// In regions of an archive, in order; all other bytes are zero.
    Sparse(Arc<Archive>, Arc<Vec<Region>>),
}

/// A part of a sparse file that an archive holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Offset in the file in bytes.
    pub start: u64,
    /// Offset in the archive.
    pub at: u64,
    /// Length in bytes; not 0.
    pub len: u64,
}

/// An open archive whose members are read at offsets.
#[derive(Debug)]
pub struct Archive {
    /// The name that the user gave it, used in messages.
    pub name: String,
    /// Open for reading; only positioned reads are used.
    pub file: File,
    /// What makes the bytes of members present in the file; `None` if all are.
    pub filler: Option<Filler>,
}

/// Makes bytes of a file present that are there only when they are asked for.
pub struct Filler(pub Box<dyn Fn(Range<u64>) -> io::Result<()> + Send + Sync>);

impl fmt::Debug for Filler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filler")
    }
}

impl Archive {
    /// An archive whose bytes are all in `file`.
    pub fn new(name: impl Into<String>, file: File) -> Self {
        Self { name: name.into(), file, filler: None }
    }

    /// Reads bytes of a member's content, which start at `offset`.
    ///
    /// # Errors
    /// If they cannot be read, or the archive is shorter.
    pub fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        if let Some(Filler(fill)) = &self.filler {
            fill(offset..offset.saturating_add(out.len() as u64))?;
        }
        self.file.read_exact_at(out, offset)
    }
}

/// Identifies the bytes of a [`Content`]: equal for two names of one inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identity {
    /// Address of generated bytes.
    Inline(usize),
    /// Device and inode.
    Host(u64, u64),
    /// Address of the archive, and offset.
    Member(usize, u64),
    /// Address of the list of regions.
    Sparse(usize),
}

impl Content {
    /// Identifies these bytes. Contains memory addresses: use it to compare within one run, never
    /// in an output.
    pub fn identity(&self) -> Identity {
        match self {
            Self::Inline(bytes) => Identity::Inline(bytes.as_ptr().addr()),
            Self::Host(file) => Identity::Host(file.dev, file.ino),
            Self::Member(archive, offset) => Identity::Member(Arc::as_ptr(archive).addr(), *offset),
            Self::Sparse(_, regions) => Identity::Sparse(Arc::as_ptr(regions).addr()),
        }
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Inline(a), Self::Inline(b)) => a == b,
            _ => self.identity() == other.identity(),
        }
    }
}

impl Node {
    /// A directory, owned by root.
    pub fn directory(mode: u16) -> Self {
        Self { meta: Meta::new(mode), kind: Kind::Directory }
    }

    /// A symbolic link, owned by root.
    pub fn symlink(target: impl Into<Box<[u8]>>) -> Self {
        Self { meta: Meta::new(0o777), kind: Kind::Symlink(target.into()) }
    }

    /// A generated file, owned by root.
    pub fn inline(mode: u16, bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        let len = bytes.len() as u64;
        let file = FileNode { len, content: Content::Inline(bytes), shared: false, modified: 0 };
        Self { meta: Meta::new(mode), kind: Kind::File(file) }
    }

    /// Whether this is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory)
    }

    /// The regular file, if this is one.
    pub fn file(&self) -> Option<&FileNode> {
        match &self.kind {
            Kind::File(file) => Some(file),
            _ => None,
        }
    }
}

impl Tree {
    /// An empty tree.
    pub const fn new() -> Self {
        Self { nodes: BTreeMap::new() }
    }

    /// Puts `node` at `path` and returns the node that it replaces. The root is ignored.
    pub fn insert(&mut self, path: ImagePath, node: Node) -> Option<Node> {
        if path.is_root() { None } else { self.nodes.insert(path, node) }
    }

    /// The node at `path`.
    pub fn get(&self, path: &ImagePath) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// The node at `path`, mutable.
    pub fn get_mut(&mut self, path: &ImagePath) -> Option<&mut Node> {
        self.nodes.get_mut(path)
    }

    /// Whether there is a node at `path`.
    pub fn contains(&self, path: &ImagePath) -> bool {
        self.nodes.contains_key(path)
    }

    /// Removes `path` and everything below it.
    pub fn remove(&mut self, path: &ImagePath) {
        self.remove_below(path);
        self.nodes.remove(path);
    }

    /// Removes everything below `path`, but not `path` itself.
    pub fn remove_below(&mut self, path: &ImagePath) {
        let below: Vec<_> = self.below(path).map(|(path, _)| path.clone()).collect();
        for path in below {
            self.nodes.remove(&path);
        }
    }

    /// All nodes below `dir` at any depth, in byte order, without `dir` itself.
    pub fn below<'a>(
        &'a self,
        dir: &ImagePath,
    ) -> impl Iterator<Item = (&'a ImagePath, &'a Node)> + use<'a> {
        // Siblings such as `/a-b` sort between `/a` and `/a/b`, and there may be millions of them,
        // so the range starts after the slash.
        let prefix = if dir.is_root() { b"/".to_vec() } else { [dir.as_bytes(), b"/"].concat() };
        self.nodes
            .range::<[u8], _>((Bound::Excluded(&prefix[..]), Bound::Unbounded))
            .take_while(move |(path, _)| path.as_bytes().starts_with(&prefix))
    }

    /// The names directly below `dir`, including directories without a node.
    pub fn names(&self, dir: &ImagePath) -> BTreeSet<&[u8]> {
        let prefix = if dir.is_root() { b"/".to_vec() } else { [dir.as_bytes(), b"/"].concat() };
        let mut from = Bound::Excluded(prefix.clone());
        let next = || {
            let bounds = (from.as_ref().map(Vec::as_slice), Bound::Unbounded);
            let (path, _) = self.nodes.range::<[u8], _>(bounds).next()?;
            let below = path.as_bytes().strip_prefix(&prefix[..])?;
            let name = below.split(|&b| b == b'/').next()?;
            // Everything below a child sorts together, but `a-b` sorts between `a` and `a/b`.
            from = if name.len() == below.len() {
                Bound::Excluded(path.as_bytes().to_vec())
            } else {
                Bound::Included([&prefix, name, b"0"].concat())
            };
            Some(name)
        };
        std::iter::from_fn(next).collect()
    }

    /// All nodes in byte order.
    pub fn iter(&self) -> btree_map::Iter<'_, ImagePath, Node> {
        self.nodes.iter()
    }

    /// All nodes in byte order, mutable.
    pub fn iter_mut(&mut self) -> btree_map::IterMut<'_, ImagePath, Node> {
        self.nodes.iter_mut()
    }

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Keeps the nodes for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&ImagePath, &Node) -> bool) {
        self.nodes.retain(|path, node| keep(path, node));
    }

    /// Adds each missing parent of each path, with the node that `parent` returns.
    pub fn add_parents(&mut self, mut parent: impl FnMut(&ImagePath) -> Node) {
        let mut missing: BTreeMap<ImagePath, Node> = BTreeMap::new();
        let mut last: &[u8] = b"/";
        for path in self.nodes.keys() {
            let Some(bytes) = path.parent_bytes() else { continue };
            // Most paths have the same parent as the path before them, and the parents of an
            // existing parent have already been added.
            if bytes == b"/" || bytes == last || self.nodes.contains_key(bytes) {
                last = bytes;
                continue;
            }
            last = bytes;
            let Some(dir) = path.parent() else { continue };
            for ancestor in dir.ancestors().skip(1).chain([dir.clone()]) {
                if !self.nodes.contains_key(&ancestor) && !missing.contains_key(&ancestor) {
                    let node = parent(&ancestor);
                    missing.insert(ancestor, node);
                }
            }
        }
        // Appending builds the whole map again.
        if missing.len() < self.nodes.len() / 16 {
            self.nodes.extend(missing);
        } else {
            self.nodes.append(&mut missing);
        }
    }
}

impl Extend<(ImagePath, Node)> for Tree {
    fn extend<I: IntoIterator<Item = (ImagePath, Node)>>(&mut self, nodes: I) {
        for (path, node) in nodes {
            self.insert(path, node);
        }
    }
}

impl FromIterator<(ImagePath, Node)> for Tree {
    fn from_iter<I: IntoIterator<Item = (ImagePath, Node)>>(nodes: I) -> Self {
        let mut nodes = nodes.into_iter().filter(|(path, _)| !path.is_root());
        let mut tree = Self::new();
        loop {
            // Collecting bulk-builds a map, which for sorted paths is cheaper than inserting them
            // one by one, and leaves no gaps. It has all nodes in a list first: of many nodes, not
            // all at once.
            let count = SORTED_AT_ONCE.max(tree.len() / 4);
            let mut part: BTreeMap<_, _> = nodes.by_ref().take(count).collect();
            if part.is_empty() {
                return tree;
            }
            tree.nodes.append(&mut part);
        }
    }
}

impl IntoIterator for Tree {
    type Item = (ImagePath, Node);
    type IntoIter = btree_map::IntoIter<ImagePath, Node>;

    fn into_iter(self) -> Self::IntoIter {
        self.nodes.into_iter()
    }
}

impl<'a> IntoIterator for &'a Tree {
    type Item = (&'a ImagePath, &'a Node);
    type IntoIter = btree_map::Iter<'a, ImagePath, Node>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    fn path(text: &str) -> ImagePath {
        ImagePath::new(text).unwrap()
    }

    #[test]
    fn below_skips_siblings_that_sort_between() {
        let tree: Tree = ["/a", "/a-b", "/a/b", "/a/b/c", "/ab"]
            .map(|p| (path(p), Node::directory(0o755)))
            .into_iter()
            .collect();
        let below: Vec<_> = tree.below(&path("/a")).map(|(path, _)| path.to_string()).collect();
        assert_eq!(below, ["/a/b", "/a/b/c"]);
        assert_eq!(tree.below(&ImagePath::root()).count(), 5);
    }

    #[test]
    fn names_are_those_directly_below() {
        let tree: Tree = ["/a", "/a-b", "/a/b", "/a/b/c", "/a/d", "/ab-c", "/ab/x/y", "/z"]
            .map(|p| (path(p), Node::directory(0o755)))
            .into_iter()
            .collect();
        let names = |dir: &str| {
            let names = tree.names(&path(dir)).into_iter();
            names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
        };
        let check = |dir: &str, wanted: &[&str]| {
            let names: Vec<String> = names(dir);
            assert_eq!(names, wanted, "{dir}");
        };
        check("/", &["a", "a-b", "ab", "ab-c", "z"]);
        check("/a", &["b", "d"]);
        check("/ab", &["x"]);
        check("/z", &[]);
    }

    #[test]
    fn adds_each_missing_parent_once() {
        let mut tree: Tree = ["/a/b/c", "/a/b/d", "/x"]
            .map(|p| (path(p), Node::symlink(*b"t")))
            .into_iter()
            .collect();
        let mut made = Vec::new();
        tree.add_parents(|path| {
            made.push(path.to_string());
            Node::directory(0o755)
        });
        assert_eq!(made, ["/a", "/a/b"]);
        assert_eq!(tree.len(), 5);
    }

    #[test]
    fn many_nodes_in_any_order_make_a_tree() {
        let count = 3 * SORTED_AT_ONCE + 1;
        // Each number once, and then one path again.
        let numbers = (0..count).map(|number| number * 7919 % count).chain([5]);
        let node = |mode: usize| Node::directory(mode as u16 & 0o777);
        let nodes = numbers.enumerate().map(|(at, n)| (path(&format!("{n}")), node(at)));
        let tree: Tree = nodes.collect();
        assert_eq!(tree.len(), count);
        assert_eq!(tree.get(&path("5")), Some(&node(count)));
        assert!(tree.iter().is_sorted_by_key(|(path, _)| path));
    }

    /// A map has a slot for each path and node: of a million files, 100 bytes are 100 MB.
    #[test]
    fn a_node_is_small() {
        assert!(size_of::<Node>() <= 80, "{}", size_of::<Node>());
    }
}
