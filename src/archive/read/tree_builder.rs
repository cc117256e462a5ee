//! Builds a tree from members: follows links, and decides what replaces what.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tar::EntryType;

use super::{Contents, Fault, Limits, Whiteouts, members::Member};
use crate::{
    path::{ImagePath, PathError},
    timestamp::Timestamp,
    tree::{Archive, Content, FileNode, Kind, Meta, Node, ResolveError, Resolved, Special, Step},
};

/// The most path components that are looked up, per entry on average. A normal archive needs a
/// dozen; one made of chains of links into deep directories would need thousands.
const STEPS_PER_ENTRY: u64 = 256;

/// A tree that is being built, member by member.
pub(super) struct TreeBuilder {
    archive: Arc<Archive>,
    whiteouts: Whiteouts,
    contents: Contents,
    /// Directories that are parents of entries and have no entry of their own.
    implied: BTreeSet<ImagePath>,
    path_bytes: u64,
    max_path_bytes: u64,
    /// How many more components may be looked up.
    steps: u64,
}

/// The meaning of a name.
enum Name {
    Plain,
    Whiteout(Vec<u8>),
    Opaque,
    /// Internal to aufs; Docker leaves it out too (`WhiteoutMetaPrefix`).
    Bookkeeping,
}

impl TreeBuilder {
    pub(super) fn new(archive: Arc<Archive>, whiteouts: Whiteouts, limits: Limits) -> Self {
        Self {
            archive,
            whiteouts,
            contents: Contents::default(),
            implied: BTreeSet::new(),
            path_bytes: 0,
            max_path_bytes: limits.paths,
            // For archives with few entries in deep directories.
            steps: 1 << 20,
        }
    }

    pub(super) fn finish(self) -> Contents {
        self.contents
    }

    /// Puts `member` into the tree.
    pub(super) fn put(&mut self, member: &Member) -> Result<(), Fault> {
        self.steps += STEPS_PER_ENTRY;
        self.contents.dropped_attributes += member.other_attributes;
        if member.name.is_empty() {
            return Err(Fault::Empty);
        }
        let written = ImagePath::new(&member.name)?;
        let Some(parent) = written.parent() else {
            // Container engines set the mode of the root themselves.
            return if member.kind == EntryType::Directory { Ok(()) } else { Err(Fault::Root) };
        };
        let name = self.name(&written)?;
        if let Name::Bookkeeping = name {
            return Ok(());
        }
        let parent = self.resolve(&parent)?;
        match name {
            Name::Plain => {
                let path = parent.join(written.file_name())?;
                let Some(node) = self.node(&path, member)? else { return Ok(()) };
                self.insert(path, node)
            }
            Name::Whiteout(gone) => {
                let gone = parent.join(gone)?;
                self.count(&gone)?;
                self.contents.change.whiteouts.insert(gone);
                Ok(())
            }
            Name::Opaque => {
                self.contents.change.opaque.insert(parent);
                Ok(())
            }
            Name::Bookkeeping => Ok(()),
        }
    }

    /// Tells whiteouts from plain names (OCI image-spec, layer.md, "Whiteouts").
    fn name(&self, written: &ImagePath) -> Result<Name, Fault> {
        let marked = |part: &&[u8]| part.starts_with(b".wh.");
        let Some(mark) = written.components().find(marked) else { return Ok(Name::Plain) };
        if self.whiteouts == Whiteouts::Refuse {
            return Err(Fault::Whiteout);
        }
        let is_last = mark.len() == written.file_name().len()
            && written.components().filter(marked).count() == 1
            && marked(&written.file_name());
        match &mark[b".wh.".len()..] {
            b".wh..opq" if is_last => Ok(Name::Opaque),
            rest if rest.starts_with(b".wh.") => Ok(Name::Bookkeeping),
            b"" | b"." | b".." => Err(Fault::Whiteout),
            gone if is_last => Ok(Name::Whiteout(gone.to_vec())),
            _ => Err(Fault::Whiteout),
        }
    }

    /// Where the directory `dir` leads: every link followed inside the tree. Directories that are
    /// not there are made.
    fn resolve(&mut self, dir: &ImagePath) -> Result<ImagePath, Fault> {
        if dir.is_root() || self.is_directory(dir) {
            return Ok(dir.clone());
        }
        let Self { contents, implied, path_bytes, max_path_bytes, .. } = self;
        let mut lstat = |path: &ImagePath| {
            if let Some(node) = contents.change.tree.get(path) {
                return Ok(Step::from(node));
            }
            if implied.insert(path.clone()) {
                count(path, path_bytes, *max_path_bytes)?;
            }
            Ok(Step::Directory)
        };
        let resolved =
            Resolved::root().follow_within::<Fault>(dir.relative(), &mut self.steps, &mut lstat)?;
        Ok(resolved.directory()?)
    }

    /// Whether `path` itself is a directory. No parent of a path in the tree is a link.
    fn is_directory(&self, path: &ImagePath) -> bool {
        match self.contents.change.tree.get(path) {
            Some(node) => node.is_directory(),
            None => self.implied.contains(path),
        }
    }

    /// Adds to the bytes of paths in memory.
    fn count(&mut self, path: &ImagePath) -> Result<(), Fault> {
        count(path, &mut self.path_bytes, self.max_path_bytes)
    }

    /// The node for `member`; `None` for a hard link to itself.
    fn node(&mut self, path: &ImagePath, member: &Member) -> Result<Option<Node>, Fault> {
        let kind = match member.kind {
            EntryType::Link => return self.linked(path, member),
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink(symlink_target(&member.target)?),
            EntryType::Char => Kind::Special(Special::Character(member.device.0, member.device.1)),
            EntryType::Block => Kind::Special(Special::Block(member.device.0, member.device.1)),
            EntryType::Fifo => Kind::Special(Special::Fifo),
            _ => Kind::File(FileNode {
                len: member.size,
                content: Content::Member(Arc::clone(&self.archive), member.content),
                shared: false,
            }),
        };
        let xattrs = member.capability.as_ref().map(|value| {
            Box::new(BTreeMap::from([(b"security.capability".to_vec(), value.clone())]))
        });
        let mtime = Timestamp::from_seconds(member.mtime).ok_or(Fault::Number("time"))?;
        let meta = Meta { mode: member.mode, uid: member.uid, gid: member.gid, mtime, xattrs };
        Ok(Some(Node { meta, kind }))
    }

    /// The node of a hard link's target. It is the same inode, so it has the attributes of the
    /// target and not those of the link.
    fn linked(&mut self, path: &ImagePath, member: &Member) -> Result<Option<Node>, Fault> {
        let missing = || Fault::Target(member.target.clone());
        let written = ImagePath::new(&member.target)?;
        let parent = self.resolve(&written.parent().ok_or_else(missing)?)?;
        let target = parent.join(written.file_name())?;
        let node = self.contents.change.tree.get_mut(&target).ok_or_else(missing)?;
        match &mut node.kind {
            Kind::Directory => return Err(missing()),
            Kind::File(file) => file.shared = true,
            Kind::Symlink(_) | Kind::Special(_) => {}
        }
        Ok((target != *path).then(|| node.clone()))
    }

    /// Puts `node` at `path`, whose parents are directories.
    fn insert(&mut self, path: ImagePath, node: Node) -> Result<(), Fault> {
        if !node.is_directory() && self.is_directory(&path) && !self.is_empty(&path) {
            return Err(Fault::NotEmpty);
        }
        if !self.implied.remove(&path) {
            self.count(&path)?;
        }
        if self.contents.change.tree.insert(path, node).is_some() {
            self.contents.replaced += 1;
        }
        Ok(())
    }

    fn is_empty(&self, dir: &ImagePath) -> bool {
        // The first possible path in `dir`. A directory whose path is too long for it is empty.
        let implied = dir.join(b"\x01").ok().and_then(|least| self.implied.range(least..).next());
        !implied.is_some_and(|path| path.is_within(dir))
            && self.contents.change.tree.below(dir).next().is_none()
    }
}

/// Adds the length of `path` to `sum`, which may not exceed `limit`.
fn count(path: &ImagePath, sum: &mut u64, limit: u64) -> Result<(), Fault> {
    *sum += path.as_bytes().len() as u64;
    if *sum > limit { Err(Fault::TooMany("paths")) } else { Ok(()) }
}

impl From<ResolveError> for Fault {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::NotADirectory(path) => Self::NotADirectory(path),
            ResolveError::Missing => Self::Empty,
            ResolveError::Loop => Self::Loop,
            ResolveError::TooLong => Self::Path(PathError::TooLong),
            ResolveError::OutOfSteps => Self::TooMany("links to follow"),
        }
    }
}

fn symlink_target(target: &[u8]) -> Result<Box<[u8]>, Fault> {
    match target.len() {
        0 => Err(Fault::Empty),
        1..=ImagePath::MAX => Ok(target.into()),
        _ => Err(Fault::Path(PathError::TooLong)),
    }
}
