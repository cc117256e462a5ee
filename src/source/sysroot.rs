//! Where files come from that neither the inputs nor a layer has: a directory of the host, or the
//! files of an image.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{HostRoot, content};
use crate::{
    elf::{Absence, Answer, LookupError, ReadFailure},
    path::ImagePath,
    tree::{FileNode, Node, Resolved, Step, Tree, Xattrs},
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
    /// Whether these are the files of this machine, as its programs see them.
    pub fn is_machine(&self) -> bool {
        matches!(self, Self::Directory(root) if root.root() == Path::new("/"))
    }

    /// The node at a path whose parent is a real path, with the sysroot's own metadata; `None` for
    /// a file that no tree can hold.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn node(&self, path: &ImagePath) -> Result<Answer<Option<Node>>, ReadFailure> {
        match self {
            Self::Directory(root) => root.node(path),
            Self::Tree(tree) => Ok(match tree.get(path) {
                Some(node) => Ok(Some(node.clone())),
                None => tree.step(path).map(|_| Some(Node::directory(0o755))).map_err(Into::into),
            }),
        }
    }

    /// Whether what `path` leads to is on a file system whose files the kernel makes
    /// ([`HostRoot::is_of_kernel`]).
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn is_of_kernel(&self, path: &[u8]) -> Result<bool, ReadFailure> {
        match self {
            Self::Directory(root) => root.is_of_kernel(path),
            Self::Tree(_) => Ok(false),
        }
    }

    /// Where `path` leads, every link followed inside the sysroot.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn resolve(&self, path: &[u8]) -> Result<Answer<Resolved>, ReadFailure> {
        match self {
            Self::Directory(root) => root.resolve(path),
            Self::Tree(tree) => {
                let mut step =
                    |path: &ImagePath| -> Result<Step, LookupError> { Ok(tree.step(path)?) };
                LookupError::split(Resolved::root().follow(path, &mut step))
            }
        }
    }

    /// The node that `path` leads to; `None` for a file that no tree can hold.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn find(&self, path: &[u8]) -> Result<Answer<Option<Node>>, ReadFailure> {
        match self.resolve(path)? {
            Ok(resolved) => self.node(&resolved.path),
            Err(absence) => Ok(Err(absence)),
        }
    }

    /// The names in the directory at a real path, sorted bytewise.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn list(&self, path: &ImagePath) -> Result<Answer<Vec<Vec<u8>>>, ReadFailure> {
        match self {
            Self::Directory(root) => root.list(path),
            Self::Tree(tree) => Ok(Ok(tree.names(path).into_iter().map(<[u8]>::to_vec).collect())),
        }
    }

    /// The file capabilities of the regular file `node` at a real path.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn capability(&self, path: &ImagePath, node: &Node) -> Result<Xattrs, ReadFailure> {
        match self {
            Self::Directory(root) => root.capability(path),
            Self::Tree(_) => Ok(node.meta.xattrs.clone()),
        }
    }

    /// The first `limit` bytes of the regular file that `path` leads to, as text; empty if there is
    /// no such file.
    ///
    /// # Errors
    /// [`ReadFailure`], also for a file that this user may not read.
    pub(super) fn text(&self, path: &ImagePath, limit: usize) -> Result<String, ReadFailure> {
        let bytes = match self.find(path.as_bytes())? {
            Ok(Some(node)) => match node.file() {
                Some(file) => self.head(path, file, limit)?,
                None => Vec::new(),
            },
            Ok(None) | Err(Absence::Missing | Absence::Loop) => Vec::new(),
            Err(absence) => return Err(self.failure(path, absence)),
        };
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn head(
        &self,
        path: &ImagePath,
        file: &FileNode,
        limit: usize,
    ) -> Result<Vec<u8>, ReadFailure> {
        content::head(file, limit)?.map_err(|absence| self.failure(path, absence))
    }

    /// The failure that a file which is there cannot be looked at.
    pub(super) fn failure(&self, path: &ImagePath, absence: Absence) -> ReadFailure {
        let source = io::Error::other(absence.to_string());
        ReadFailure { path: self.shown(path), source }
    }

    /// A path as messages show it: that on the host, or that in the image.
    fn shown(&self, path: &ImagePath) -> PathBuf {
        match self {
            Self::Directory(root) => root.host_path(path),
            Self::Tree(_) => path.to_string().into(),
        }
    }
}
