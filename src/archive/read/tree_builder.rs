//! Builds a tree from members: follows links, and decides what replaces what.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tar::EntryType;

use super::{Budget, Contents, Fault, Whiteouts, members::Member};
use crate::{
    path::{ImagePath, PathError},
    timestamp::{Mtime, Timestamp},
    tree::{Archive, Content, FileNode, Kind, Meta, Node, ResolveError, Resolved, Special, Step},
};

/// A tree that is being built, member by member.
pub(super) struct TreeBuilder {
    archive: Arc<Archive>,
    whiteouts: Whiteouts,
    contents: Contents,
    /// Directories that are parents of entries and have no entry of their own.
    implied: BTreeSet<ImagePath>,
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
    pub(super) fn new(archive: Arc<Archive>, whiteouts: Whiteouts) -> Self {
        Self { archive, whiteouts, contents: Contents::default(), implied: BTreeSet::new() }
    }

    pub(super) fn finish(self) -> Contents {
        self.contents
    }

    /// Puts `member` into the tree.
    pub(super) fn put(&mut self, member: &Member, budget: &mut Budget) -> Result<(), Fault> {
        budget.entry();
        self.contents.dropped_attributes += member.other_attributes;
        if member.name.is_empty() && member.kind != EntryType::Directory {
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
        if self.whiteouts == Whiteouts::Apply && !self.is_directory(&parent) {
            self.check_links(&parent, budget)?;
        }
        let parent = self.resolve(&parent, budget)?;
        match name {
            Name::Plain => {
                let path = parent.join(written.file_name())?;
                let Some(node) = self.node(&path, member, budget)? else { return Ok(()) };
                self.insert(path, node, budget)
            }
            Name::Whiteout(gone) => {
                let gone = parent.join(gone)?;
                budget.path(&gone)?;
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
    fn resolve(&mut self, dir: &ImagePath, budget: &mut Budget) -> Result<ImagePath, Fault> {
        // What is known to be a directory is reached without a link.
        let mut known = dir.clone();
        while !self.is_directory(&known) {
            let Some(parent) = known.parent() else { break };
            budget.step(&known)?;
            known = parent;
        }
        let below = &dir.as_bytes()[known.as_bytes().len()..];
        let below = below.strip_prefix(b"/").unwrap_or(below);
        if below.is_empty() {
            return Ok(known);
        }
        let mut steps = budget.steps;
        let Self { contents, implied, .. } = self;
        let mut lstat = |path: &ImagePath| {
            if let Some(node) = contents.change.tree.get(path) {
                return Ok(Step::from(node));
            }
            if implied.insert(path.clone()) {
                budget.path(path)?;
            }
            Ok(Step::Directory)
        };
        let resolved =
            Resolved::directory_at(known).follow_within::<Fault>(below, &mut steps, &mut lstat)?;
        budget.steps = steps;
        Ok(resolved.directory()?)
    }

    /// Refuses a link of the layer on the way to `dir` whose target the layer does not have: Docker
    /// and containers/storage unpack each layer by itself and fail there.
    fn check_links(&self, dir: &ImagePath, budget: &mut Budget) -> Result<(), Fault> {
        let Self { contents, implied, .. } = self;
        let tree = &contents.change.tree;
        let mut real = ImagePath::root();
        for name in dir.components() {
            let path = real.child(name)?;
            budget.step(&path)?;
            match tree.get(&path).map(|node| &node.kind) {
                None if !implied.contains(&path) => return Ok(()),
                Some(Kind::Symlink(_)) => {
                    let mut lstat = |at: &ImagePath| match tree.get(at) {
                        Some(node) => Ok(Step::from(node)),
                        None if implied.contains(at) => Ok(Step::Directory),
                        None => Err(Fault::DanglingLink(path.clone())),
                    };
                    let (link, mut steps) = (path.relative(), budget.steps);
                    let resolved =
                        Resolved::root().follow_within::<Fault>(link, &mut steps, &mut lstat)?;
                    budget.steps = steps;
                    real = resolved.directory()?;
                }
                _ => real = path,
            }
        }
        Ok(())
    }

    /// Whether `path` itself is a directory. No parent of a path in the tree is a link.
    fn is_directory(&self, path: &ImagePath) -> bool {
        match self.contents.change.tree.get(path) {
            Some(node) => node.is_directory(),
            None => path.is_root() || self.implied.contains(path),
        }
    }

    /// The node for `member`; `None` for a hard link to itself.
    fn node(
        &mut self,
        path: &ImagePath,
        member: &Member,
        budget: &mut Budget,
    ) -> Result<Option<Node>, Fault> {
        let archive = || Arc::clone(&self.archive);
        let kind = match member.kind {
            EntryType::Link => return self.linked(path, member, budget),
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink(symlink_target(&member.target)?),
            EntryType::Char => Kind::Special(Special::Character(member.device.0, member.device.1)),
            EntryType::Block => Kind::Special(Special::Block(member.device.0, member.device.1)),
            EntryType::Fifo => Kind::Special(Special::Fifo),
            _ => Kind::File(FileNode {
                len: member.size,
                content: match &member.regions {
                    None => Content::Member(archive(), member.content),
                    Some(regions) => Content::Sparse(archive(), Arc::clone(regions)),
                },
                shared: false,
                modified: member.mtime as u32,
            }),
        };
        let xattrs = member.capability.as_ref().map(|value| {
            Box::new(BTreeMap::from([(b"security.capability".to_vec(), value.clone())]))
        });
        let mtime = Timestamp::from_seconds(member.mtime).ok_or(Fault::Number("time"))?;
        let mtime = Mtime::At(mtime);
        let meta = Meta { mode: member.mode, uid: member.uid, gid: member.gid, mtime, xattrs };
        Ok(Some(Node { meta, kind }))
    }

    /// The node of a hard link's target. It is the same inode, so it has the attributes of the
    /// target and not those of the link.
    fn linked(
        &mut self,
        path: &ImagePath,
        member: &Member,
        budget: &mut Budget,
    ) -> Result<Option<Node>, Fault> {
        let missing = || Fault::Target(member.target.clone());
        let written = ImagePath::new(&member.target)?;
        let parent = self.resolve(&written.parent().ok_or_else(missing)?, budget)?;
        let target = parent.join(written.file_name())?;
        let node = self.contents.change.tree.get_mut(&target).ok_or_else(missing)?;
        match &mut node.kind {
            Kind::Directory => return Err(missing()),
            Kind::File(file) => file.shared = true,
            Kind::Symlink(_) | Kind::Special(_) => {}
        }
        Ok((target != *path).then(|| node.clone()))
    }

    /// Puts `node` at `path`, whose parents are directories. Like an engine, replaces a directory
    /// with everything in it, unless `node` is one too.
    fn insert(&mut self, path: ImagePath, node: Node, budget: &mut Budget) -> Result<(), Fault> {
        if !node.is_directory() && self.is_directory(&path) {
            self.remove_below(&path);
        }
        if !self.implied.remove(&path) {
            budget.path(&path)?;
        }
        let is_directory = node.is_directory();
        if let Some(old) = self.contents.change.tree.insert(path, node) {
            self.contents.replaced += 1;
            self.contents.replaced_files += usize::from(!(is_directory && old.is_directory()));
        }
        Ok(())
    }

    fn remove_below(&mut self, dir: &ImagePath) {
        let Self { contents, implied, .. } = self;
        let before = contents.change.tree.len();
        contents.change.tree.remove_below(dir);
        contents.replaced += before - contents.change.tree.len();
        // From the first possible path in `dir` on. A directory whose path is too long for one is
        // empty.
        let Ok(least) = dir.join(b"\x01") else { return };
        let within = implied.range(least..).take_while(|path| path.is_within(dir));
        for path in within.cloned().collect::<Vec<_>>() {
            implied.remove(&path);
        }
    }
}

impl From<ResolveError> for Fault {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::NotADirectory(path) => Self::NotADirectory(path),
            ResolveError::Missing => Self::Empty,
            ResolveError::Loop => Self::Loop,
            ResolveError::TooLong => Self::Path(PathError::TooLong),
            ResolveError::OutOfSteps => Self::TooMany("directories and links to follow"),
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
