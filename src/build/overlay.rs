//! Where files really go in an image: through its links, never out of it.

use std::collections::BTreeSet;

use super::Cause;
use crate::{
    path::ImagePath,
    recipe::action::Dest,
    timestamp::Timestamp,
    tree::{Kind, Node, ResolveError, Tree, resolve::destination},
};

/// Files on their way into an image.
#[derive(Debug)]
pub(super) struct Overlay<'a> {
    stage: &'a Tree,
    changes: Tree,
    /// Directories of the image that a file has replaced.
    gone: BTreeSet<ImagePath>,
    /// Of directories that are made on the way.
    owner: (u32, u32),
    mtime: Timestamp,
    /// The last parent and where it really is: files come directory by directory.
    parent: Option<(ImagePath, ImagePath)>,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(stage: &'a Tree, owner: (u32, u32), mtime: Timestamp) -> Self {
        Self { stage, changes: Tree::new(), gone: BTreeSet::new(), owner, mtime, parent: None }
    }

    /// What changes, without parents that the image has.
    pub(super) fn finish(self) -> Tree {
        self.changes
    }

    fn get(&self, path: &ImagePath) -> Option<&Node> {
        let in_stage = || {
            let hidden =
                !self.gone.is_empty() && path.ancestors().any(|dir| self.gone.contains(&dir));
            self.stage.get(path).filter(|_| !hidden)
        };
        self.changes.get(path).or_else(in_stage)
    }

    fn real(&self, path: &ImagePath) -> Result<ImagePath, Cause> {
        let resolved = destination(path, |path| self.get(path));
        resolved
            .map(|resolved| resolved.path)
            .map_err(|why| Cause::Destination { path: path.clone(), why })
    }

    fn is_directory(&self, path: &ImagePath) -> bool {
        path.is_root() || self.get(path).is_some_and(Node::is_directory)
    }

    /// Where a file goes: below `dest` under `name` if that is a directory or `into` says so, or
    /// else to it.
    pub(super) fn file_target(
        &mut self,
        dest: &Dest,
        name: &[u8],
        into: bool,
    ) -> Result<ImagePath, Cause> {
        let real = self.real(&dest.path)?;
        if dest.is_dir || into || self.is_directory(&real) {
            let dir = self.directory(&dest.path)?;
            return dir.join(name).map_err(|_| Cause::TooLong(dest.path.clone()));
        }
        Ok(real)
    }

    /// The directory `path`, which is made with its parents where it is not there.
    pub(super) fn directory(&mut self, path: &ImagePath) -> Result<ImagePath, Cause> {
        self.parent = None;
        let real = self.real(path)?;
        self.make(&real)?;
        Ok(real)
    }

    /// As [`Overlay::directory`], but its own owner is `owner` if it is made here, and its parents'
    /// is root, as in Docker where a directory or a tarball is copied.
    pub(super) fn directory_as(
        &mut self,
        path: &ImagePath,
        owner: (u32, u32),
    ) -> Result<ImagePath, Cause> {
        let usual = std::mem::take(&mut self.owner);
        let made = self.real(path).map(|real| !real.is_root() && self.get(&real).is_none());
        let real = self.directory(path);
        self.owner = usual;
        let real = real?;
        if made? && let Some(node) = self.changes.get_mut(&real) {
            (node.meta.uid, node.meta.gid) = owner;
        }
        Ok(real)
    }

    /// Makes the real path `dir` and its parents where they are not there.
    fn make(&mut self, dir: &ImagePath) -> Result<(), Cause> {
        for path in dir.ancestors().chain([dir.clone()]).filter(|path| !path.is_root()) {
            match self.get(&path).map(|node| &node.kind) {
                Some(Kind::Directory) => {}
                Some(_) => {
                    let why = ResolveError::NotADirectory(path.clone());
                    return Err(Cause::Destination { path: dir.clone(), why });
                }
                None => {
                    let mut node = Node::directory(0o755);
                    (node.meta.uid, node.meta.gid) = self.owner;
                    node.meta.mtime = self.mtime;
                    self.changes.insert(path, node);
                }
            }
        }
        Ok(())
    }

    /// Puts `node` at `path`, whose parent is a real path.
    pub(super) fn put(&mut self, path: ImagePath, node: Node) -> Result<(), Cause> {
        if let Some(parent) = path.parent() {
            self.make(&parent)?;
        }
        let old_is_directory = self.is_directory(&path);
        if !node.is_directory() && old_is_directory && !path.is_root() {
            self.changes.remove_below(&path);
            self.gone.insert(path.clone());
        }
        self.changes.insert(path, node);
        Ok(())
    }

    /// Puts `node` at `path`, which is below the real path `root`: its parent may go through links
    /// there. Returns where it really is.
    pub(super) fn put_below(
        &mut self,
        root: &ImagePath,
        path: ImagePath,
        node: Node,
    ) -> Result<ImagePath, Cause> {
        let Some(parent) = path.parent().filter(|parent| parent != root) else {
            self.parent = None;
            self.put(path.clone(), node)?;
            return Ok(path);
        };
        let real = match &self.parent {
            Some((known, real)) if *known == parent => real.clone(),
            _ => {
                let real = self.real(&parent)?;
                self.parent = Some((parent, real.clone()));
                real
            }
        };
        let place = real.join(path.file_name()).map_err(|_| Cause::TooLong(path.clone()))?;
        self.put(place.clone(), node)?;
        Ok(place)
    }

    /// Puts all of `members` below the real path `root`, with their own owners.
    pub(super) fn merge(&mut self, root: &ImagePath, members: Tree) -> Result<(), Cause> {
        for (path, node) in members {
            let target = root.join(path.relative()).map_err(|_| Cause::TooLong(path.clone()))?;
            self.put_below(root, target, node)?;
        }
        Ok(())
    }
}
