//! Where files come from that no layer has.

use crate::{
    elf::{Answer, ReadFailure},
    path::ImagePath,
    source::HostRoot,
    tree::{Node, Tree, Xattrs},
};

/// A tree of files that programs and libraries are looked up in.
#[derive(Clone, Copy, Debug)]
pub enum Sysroot<'a> {
    /// A directory of the host.
    Directory(&'a HostRoot),
    /// The files of an image or of a root file system's archive.
    Tree(&'a Tree),
}

impl<'a> From<&'a HostRoot> for Sysroot<'a> {
    fn from(root: &'a HostRoot) -> Self {
        Self::Directory(root)
    }
}

impl<'a> From<&'a Tree> for Sysroot<'a> {
    fn from(tree: &'a Tree) -> Self {
        Self::Tree(tree)
    }
}

impl Sysroot<'_> {
    /// The node at a path whose parent is a real path, with the sysroot's own metadata; `None` for
    /// a file that no tree can hold.
    pub(super) fn node(&self, path: &ImagePath) -> Result<Answer<Option<Node>>, ReadFailure> {
        match self {
            Self::Directory(root) => root.node(path),
            Self::Tree(tree) => Ok(match tree.get(path) {
                Some(node) => Ok(Some(node.clone())),
                None => tree.step(path).map(|_| Some(Node::directory(0o755))).map_err(Into::into),
            }),
        }
    }

    /// The names in the directory at a real path, sorted bytewise.
    pub(super) fn list(&self, path: &ImagePath) -> Result<Answer<Vec<Vec<u8>>>, ReadFailure> {
        match self {
            Self::Directory(root) => root.list(path),
            Self::Tree(tree) => Ok(Ok(tree.names(path).into_iter().map(<[u8]>::to_vec).collect())),
        }
    }

    /// The file capabilities of the regular file `node` at a real path.
    pub(super) fn capability(&self, path: &ImagePath, node: &Node) -> Result<Xattrs, ReadFailure> {
        match self {
            Self::Directory(root) => root.capability(path),
            Self::Tree(_) => Ok(node.meta.xattrs.clone()),
        }
    }
}
