//! Unpacks a tree into a private directory, with one owner for all files.
//!
//! The directory is new and only its owner can enter it, so no other process interferes. Each file
//! is created relative to a descriptor of its parent directory, which the kernel resolves below the
//! root (openat2(2), `RESOLVE_IN_ROOT`), and never replaces another file. This is the kernel's
//! resolution and not `tree::resolve`: it acts on files, and cannot be misled by what it creates.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid},
    io::{Errno, retry_on_intr},
};

use super::interrupt::{Interrupt, Interrupted};
use crate::{
    path::ImagePath,
    source::content::{self, ContentError},
    timestamp::Mtime,
    tree::{Identity, Kind, Node, Special, Tree},
};

/// Bytes of a file that are copied before a signal is looked for.
const CHUNK: u64 = 16 << 20;

/// Why an image cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// A file cannot be written.
    #[error("cannot unpack `{path}`")]
    Write {
        /// In the image.
        path: ImagePath,
        /// The system's error.
        source: io::Error,
    },
    /// A file's content cannot be read.
    #[error("cannot unpack `{path}`")]
    Content {
        /// In the image.
        path: ImagePath,
        /// Why not.
        source: ContentError,
    },
    /// A signal came.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The directory for the files cannot be created.
    #[error("cannot create `{}`", path.display())]
    Root {
        /// On the host.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Writes the files of a tree.
struct Unpacker<'a> {
    root: OwnedFd,
    owner: Option<(Uid, Gid)>,
    interrupt: &'a Interrupt,
    /// The directory used last: most files have the same parent as the one before.
    last: Option<(ImagePath, OwnedFd)>,
    /// The first path of each file that has several names.
    shared: BTreeMap<Identity, &'a ImagePath>,
    devices: usize,
}

/// Unpacks `tree` into the new directory `root`. All files belong to `owner`, or to the caller if
/// it is `None`. Leaves out device files and set-user-ID bits. Returns notes about what it left
/// out. Stops if a signal comes.
///
/// # Errors
/// [`UnpackError`]
pub(super) fn unpack(
    tree: &Tree,
    root: &Path,
    owner: Option<(u32, u32)>,
    interrupt: &Interrupt,
) -> Result<Vec<String>, UnpackError> {
    let mut tree = tree.clone();
    tree.add_parents(|_| Node::directory(0o755));
    let fault = |source: io::Error| UnpackError::Root { path: root.to_owned(), source };
    retry_on_intr(|| rustix::fs::mkdir(root, Mode::from_raw_mode(0o755)))
        .map_err(|errno| fault(errno.into()))?;
    let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = retry_on_intr(|| rustix::fs::open(root, flags, Mode::empty()))
        .map_err(|errno| fault(errno.into()))?;
    let owner = owner.map(|(uid, gid)| (Uid::from_raw(uid), Gid::from_raw(gid)));
    if let Some((uid, gid)) = owner {
        retry_on_intr(|| rustix::fs::chown(root, Some(uid), Some(gid)))
            .map_err(|errno| fault(errno.into()))?;
    }
    let mut unpacker =
        Unpacker { root: fd, owner, interrupt, last: None, shared: BTreeMap::new(), devices: 0 };
    for (path, node) in &tree {
        interrupt.check()?;
        unpacker.put(path, node)?;
    }
    // Last and from the bottom up, so that a directory is complete when it becomes read-only and
    // gets its time.
    for (path, node) in tree.iter().collect::<Vec<_>>().into_iter().rev() {
        if node.is_directory() {
            unpacker.finish_directory(path, node)?;
        }
    }
    let left_out = (unpacker.devices > 0).then(|| {
        let count = unpacker.devices;
        format!("{count} device files of the image were left out: only root can create them")
    });
    Ok(left_out.into_iter().collect())
}

impl<'a> Unpacker<'a> {
    fn put(&mut self, path: &'a ImagePath, node: &'a Node) -> Result<(), UnpackError> {
        let write = |errno: Errno| UnpackError::Write { path: path.clone(), source: errno.into() };
        let (owner, name) = (self.owner, path.file_name());
        if let Kind::File(file) = &node.kind
            && file.shared
            && let Some(first) = self.shared.get(&file.content.identity()).copied()
        {
            let from = self.parent(first).map_err(write)?.try_clone_to_owned();
            let from = from.map_err(|source| UnpackError::Write { path: path.clone(), source })?;
            let to = self.parent(path).map_err(write)?;
            return retry_on_intr(|| {
                rustix::fs::linkat(&from, first.file_name(), to, name, AtFlags::empty())
            })
            .map_err(write);
        }
        let dir = self.parent(path).map_err(write)?;
        match &node.kind {
            // Its own mode is set at the end.
            Kind::Directory => {
                retry_on_intr(|| rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o700)))
                    .map_err(write)?;
            }
            Kind::Symlink(target) => {
                retry_on_intr(|| rustix::fs::symlinkat(&**target, dir, name)).map_err(write)?;
            }
            Kind::Special(Special::Fifo) => {
                let mode = mode(node.meta.mode);
                retry_on_intr(|| rustix::fs::mknodat(dir, name, FileType::Fifo, mode, 0))
                    .map_err(write)?;
            }
            Kind::Special(_) => {
                self.devices += 1;
                return Ok(());
            }
            Kind::File(file) => {
                let flags = OFlags::CREATE
                    | OFlags::EXCL
                    | OFlags::WRONLY
                    | OFlags::NOFOLLOW
                    | OFlags::CLOEXEC;
                let fd = retry_on_intr(|| {
                    rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o600))
                })
                .map_err(write)?;
                set_owner(&fd, owner).map_err(write)?;
                retry_on_intr(|| rustix::fs::fchmod(&fd, mode(node.meta.mode))).map_err(write)?;
                let content = |source| UnpackError::Content { path: path.clone(), source };
                let mut reader = content::open(&file.content, file.len).map_err(content)?;
                let mut out = File::from(fd);
                let write = |source| UnpackError::Write { path: path.clone(), source };
                while io::copy(&mut (&mut reader).take(CHUNK), &mut out).map_err(write)? > 0 {
                    self.interrupt.check()?;
                }
                set_time(&out, node).map_err(|errno| write(errno.into()))?;
                if file.shared {
                    self.shared.insert(file.content.identity(), path);
                }
                return Ok(());
            }
        }
        if let Some((uid, gid)) = owner {
            let dir = self.parent(path).map_err(write)?;
            retry_on_intr(|| {
                rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            })
            .map_err(write)?;
        }
        Ok(())
    }

    /// The directory that holds `path`. No parent of a path in a tree is a symbolic link.
    fn parent(&mut self, path: &ImagePath) -> Result<BorrowedFd<'_>, Errno> {
        let parent = path.parent().unwrap_or_else(ImagePath::root);
        if parent.is_root() {
            return Ok(self.root.as_fd());
        }
        let fd = match self.last.take() {
            Some((known, fd)) if known == parent => fd,
            _ => self.open(&parent)?,
        };
        Ok(self.last.insert((parent, fd)).1.as_fd())
    }

    fn open(&self, dir: &ImagePath) -> Result<OwnedFd, Errno> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve =
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
        retry_on_intr(|| {
            rustix::fs::openat2(&self.root, dir.as_relative_path(), flags, Mode::empty(), resolve)
        })
    }

    fn finish_directory(&self, path: &ImagePath, node: &Node) -> Result<(), UnpackError> {
        let finish = |fd: OwnedFd| {
            retry_on_intr(|| rustix::fs::fchmod(&fd, mode(node.meta.mode)))?;
            set_time(&fd, node)
        };
        self.open(path)
            .and_then(finish)
            .map_err(|errno| UnpackError::Write { path: path.clone(), source: errno.into() })
    }
}

/// Sets the time of an open file to that of its node.
fn set_time(file: impl AsFd, node: &Node) -> Result<(), Errno> {
    let Mtime::At(time) = node.meta.mtime else { return Ok(()) };
    let last_access = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    let last_modification = Timespec { tv_sec: time.seconds(), tv_nsec: 0 };
    retry_on_intr(|| rustix::fs::futimens(&file, &Timestamps { last_access, last_modification }))
}

/// The mode without set-user-ID and set-group-ID: no program in a run changes its user.
fn mode(bits: u16) -> Mode {
    Mode::from_raw_mode(u32::from(bits & 0o1777))
}

/// Changes the owner of an open file.
pub(super) fn set_owner(file: &OwnedFd, owner: Option<(Uid, Gid)>) -> Result<(), Errno> {
    owner.map_or(Ok(()), |(uid, gid)| {
        retry_on_intr(|| rustix::fs::fchown(file, Some(uid), Some(gid)))
    })
}
