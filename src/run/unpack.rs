//! A tree → files in a private directory, all of one owner, nothing outside it ever touched.
//!
//! The directory is new and only its owner can enter it, so nobody races. Each file is made
//! relative to its parent's descriptor, which is opened beneath the root without following any
//! link, and never over another.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid},
    io::Errno,
};

use crate::{
    path::ImagePath,
    source::content::{self, ContentError},
    tree::{Identity, Kind, Node, Special, Tree},
};

/// Why the copy cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The system refused.
    #[error("cannot unpack `{path}`")]
    Write {
        /// In the image.
        path: ImagePath,
        /// Why not.
        source: io::Error,
    },
    /// The content cannot be read.
    #[error("cannot unpack `{path}`")]
    Content {
        /// In the image.
        path: ImagePath,
        /// Why not.
        source: ContentError,
    },
    /// The copy's own directory.
    #[error("cannot make `{}`", path.display())]
    Root {
        /// On the host.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The copy on its way.
struct Copy<'a> {
    root: OwnedFd,
    owner: Option<(Uid, Gid)>,
    /// The directory that was used last: most files have the same parent as the one before.
    last: Option<(ImagePath, OwnedFd)>,
    /// Where each content of several names is.
    shared: BTreeMap<Identity, &'a ImagePath>,
    devices: usize,
}

/// Unpacks `tree` into the new directory `root`, all of it owned by `owner` or else the caller.
/// Devices are left out, set-user-ID bits too. Returns what was left out, as sentences.
///
/// # Errors
/// [`UnpackError`]
pub(super) fn unpack(
    tree: &Tree,
    root: &Path,
    owner: Option<(u32, u32)>,
) -> Result<Vec<String>, UnpackError> {
    let mut tree = tree.clone();
    tree.add_parents(|_| Node::directory(0o755));
    let fault = |source: io::Error| UnpackError::Root { path: root.to_owned(), source };
    rustix::fs::mkdir(root, Mode::from_raw_mode(0o755)).map_err(|errno| fault(errno.into()))?;
    let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(root, flags, Mode::empty()).map_err(|errno| fault(errno.into()))?;
    let owner = owner.map(|(uid, gid)| (Uid::from_raw(uid), Gid::from_raw(gid)));
    if let Some((uid, gid)) = owner {
        rustix::fs::chown(root, Some(uid), Some(gid)).map_err(|errno| fault(errno.into()))?;
    }
    let mut copy = Copy { root: fd, owner, last: None, shared: BTreeMap::new(), devices: 0 };
    for (path, node) in &tree {
        copy.put(path, node)?;
    }
    // Last and from below, so that no directory is closed before it is full.
    for (path, node) in tree.iter().collect::<Vec<_>>().into_iter().rev() {
        if node.is_directory() {
            copy.close(path, node.meta.mode)?;
        }
    }
    let left_out = (copy.devices > 0).then(|| {
        format!("{} device files of the image were left out: only root can make them", copy.devices)
    });
    Ok(left_out.into_iter().collect())
}

impl<'a> Copy<'a> {
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
            return rustix::fs::linkat(from, first.file_name(), to, name, AtFlags::empty())
                .map_err(write);
        }
        let dir = self.parent(path).map_err(write)?;
        match &node.kind {
            // Closed for others until the end; the copy's directory is private in any case.
            Kind::Directory => {
                rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o700)).map_err(write)?;
            }
            Kind::Symlink(target) => rustix::fs::symlinkat(&**target, dir, name).map_err(write)?,
            Kind::Special(Special::Fifo) => {
                let mode = mode(node.meta.mode);
                rustix::fs::mknodat(dir, name, FileType::Fifo, mode, 0).map_err(write)?;
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
                let fd = rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o600))
                    .map_err(write)?;
                give(&fd, owner).map_err(write)?;
                rustix::fs::fchmod(&fd, mode(node.meta.mode)).map_err(write)?;
                let content = |source| UnpackError::Content { path: path.clone(), source };
                let mut reader = content::open(&file.content, file.len).map_err(content)?;
                let mut out = File::from(fd);
                io::copy(&mut reader, &mut out)
                    .map_err(|source| UnpackError::Write { path: path.clone(), source })?;
                if file.shared {
                    self.shared.insert(file.content.identity(), path);
                }
                return Ok(());
            }
        }
        if let Some((uid, gid)) = owner {
            let dir = self.parent(path).map_err(write)?;
            rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(write)?;
        }
        Ok(())
    }

    /// The directory that holds `path`. Nothing in the copy leads out of it, and no parent in a
    /// tree is a link.
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
        rustix::fs::openat2(&self.root, dir.as_relative_path(), flags, Mode::empty(), resolve)
    }

    fn close(&self, path: &ImagePath, bits: u16) -> Result<(), UnpackError> {
        let done = self.open(path).and_then(|fd| rustix::fs::fchmod(fd, mode(bits)));
        done.map_err(|errno| UnpackError::Write { path: path.clone(), source: errno.into() })
    }
}

/// Permission bits without set-user-ID and set-group-ID: nothing in a run changes its user.
fn mode(bits: u16) -> Mode {
    Mode::from_raw_mode(u32::from(bits & 0o1777))
}

/// What an engine puts into every container: the files that say where it is, the working directory,
/// the places for its mounts. Each only where the image has nothing of the name.
pub(super) fn engine_files(
    root: &Path,
    workdir: &OsStr,
    owner: Option<(u32, u32)>,
) -> Result<(), UnpackError> {
    let fault = |errno: Errno| UnpackError::Root { path: root.to_owned(), source: errno.into() };
    let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(root, flags, Mode::empty()).map_err(fault)?;
    let owner = owner.map(|(uid, gid)| (Uid::from_raw(uid), Gid::from_raw(gid)));
    let image_path = |path: &[u8]| ImagePath::new(path).unwrap_or_else(|_| ImagePath::root());
    let workdir = image_path(workdir.as_bytes());
    for dir in ["/proc", "/dev", "/etc", "/tmp"]
        .map(|dir| image_path(dir.as_bytes()))
        .iter()
        .chain([&workdir])
    {
        make_directory(&fd, dir, owner).map_err(fault)?;
    }
    for (name, text) in [
        ("etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.0.1\timgb\n"),
        ("etc/hostname", "imgb\n"),
        ("etc/resolv.conf", ""),
    ] {
        let new =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // One that is there is the image's own.
        let Ok(file) = rustix::fs::openat2(&fd, name, new, Mode::from_raw_mode(0o644), INSIDE)
        else {
            continue;
        };
        give(&file, owner)
            .and_then(|()| rustix::io::write(&file, text.as_bytes()))
            .map_err(fault)?;
    }
    Ok(())
}

/// Links lead where they would lead in the container.
const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// Makes `dir` and its parents, where nothing stands in the way: an engine would say so later.
fn make_directory(root: &OwnedFd, dir: &ImagePath, owner: Option<(Uid, Gid)>) -> Result<(), Errno> {
    let way = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let open = |path: &ImagePath| rustix::fs::openat2(root, at(path), way, Mode::empty(), INSIDE);
    for part in dir.ancestors().skip(1).chain([dir.clone()]).filter(|part| !part.is_root()) {
        if open(&part).is_ok() {
            continue;
        }
        let parent = open(&part.parent().unwrap_or_else(ImagePath::root))?;
        if rustix::fs::mkdirat(&parent, part.file_name(), Mode::from_raw_mode(0o755)).is_err() {
            return Ok(());
        }
        let made =
            rustix::fs::openat(&parent, part.file_name(), way | OFlags::NOFOLLOW, Mode::empty())?;
        let bits = if part.as_bytes() == b"/tmp" { 0o1777 } else { 0o755 };
        rustix::fs::fchmod(&made, Mode::from_raw_mode(bits))?;
        give(&made, owner)?;
    }
    Ok(())
}

fn at(path: &ImagePath) -> &Path {
    if path.is_root() { Path::new(".") } else { path.as_relative_path() }
}

fn give(file: &OwnedFd, owner: Option<(Uid, Gid)>) -> Result<(), Errno> {
    owner.map_or(Ok(()), |(uid, gid)| rustix::fs::fchown(file, Some(uid), Some(gid)))
}

/// Opens every directory below `dir` for its owner, so that it can be removed. No program runs any
/// more.
pub(super) fn make_removable(dir: &Path) {
    // The walk lists a directory after it has been handed out, so that its mode is set by then.
    for entry in walkdir::WalkDir::new(dir).follow_links(false).into_iter().filter_map(Result::ok) {
        if entry.file_type().is_dir() {
            let way = OFlags::DIRECTORY | OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            // fchmod(2) refuses descriptors without access, and there may be none to be had.
            let _ = rustix::fs::open(entry.path(), way, Mode::empty())
                .and_then(|_| rustix::fs::chmod(entry.path(), Mode::from_raw_mode(0o700)));
        }
    }
}
