//! Writes the files of an instruction into a new layer over a stage, through the stage's links.

use super::Cause;
use crate::{
    path::ImagePath,
    plan::Overlay,
    recipe::action::Dest,
    timestamp::Mtime,
    tree::{Kind, Node, ResolveError, Tree},
};

/// The layer that an instruction makes.
#[derive(Debug)]
pub(super) struct LayerWriter<'a> {
    overlay: Overlay<'a>,
    /// The owner of directories that are made on the way.
    owner: (u32, u32),
    mtime: Mtime,
}

impl<'a> LayerWriter<'a> {
    pub(super) fn new(stage: &'a Tree, owner: (u32, u32), mtime: Mtime) -> Self {
        Self { overlay: Overlay::new(stage), owner, mtime }
    }

    /// What changes, without parents that the image has.
    pub(super) fn finish(self) -> Tree {
        self.overlay.into_changes()
    }

    fn real(&self, path: &ImagePath) -> Result<ImagePath, Cause> {
        self.overlay.resolve(path).map_err(|why| Cause::Destination { path: path.clone(), why })
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
        if dest.is_dir || into || self.overlay.is_directory(&real) {
            let dir = self.directory(&dest.path)?;
            return dir.join(name).map_err(|_| Cause::TooLong(dest.path.clone()));
        }
        Ok(real)
    }

    /// The real path of the directory `path`. It and its parents are made if they do not exist.
    pub(super) fn directory(&mut self, path: &ImagePath) -> Result<ImagePath, Cause> {
        self.overlay.forget_parent();
        let real = self.real(path)?;
        self.make(&real)?;
        Ok(real)
    }

    /// As [`LayerWriter::directory`], but if the directory is made, its owner is `owner` and its
    /// parents' is root, as in Docker when a directory or a tarball is copied.
    pub(super) fn directory_as(
        &mut self,
        path: &ImagePath,
        owner: (u32, u32),
    ) -> Result<ImagePath, Cause> {
        let usual = std::mem::take(&mut self.owner);
        let made = self.real(path).map(|real| !real.is_root() && self.overlay.get(&real).is_none());
        let real = self.directory(path);
        self.owner = usual;
        let real = real?;
        if made? && let Some(node) = self.overlay.changed_mut(&real) {
            (node.meta.uid, node.meta.gid) = owner;
        }
        Ok(real)
    }

    /// Makes the real path `dir` and its parents if they do not exist.
    fn make(&mut self, dir: &ImagePath) -> Result<(), Cause> {
        for path in dir.ancestors().chain([dir.clone()]).filter(|path| !path.is_root()) {
            match self.overlay.get(&path).map(|node| &node.kind) {
                Some(Kind::Directory) => {}
                Some(_) => {
                    let why = ResolveError::NotADirectory(path.clone());
                    return Err(Cause::Destination { path: dir.clone(), why });
                }
                None => {
                    let mut node = Node::directory(0o755);
                    (node.meta.uid, node.meta.gid) = self.owner;
                    node.meta.mtime = self.mtime;
                    self.overlay.put(path, node);
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
        self.overlay.put(path, node);
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
        if path.parent().is_none_or(|parent| parent == *root) {
            self.overlay.forget_parent();
            self.put(path.clone(), node)?;
            return Ok(path);
        }
        let place = self.overlay.place(&path).map_err(|why| match why {
            ResolveError::TooLong => Cause::TooLong(path.clone()),
            why => {
                let path = path.parent().unwrap_or_else(ImagePath::root);
                Cause::Destination { path, why }
            }
        })?;
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
