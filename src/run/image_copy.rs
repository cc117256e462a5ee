//! Adds files to the unpacked image while its program runs.
//!
//! The program may rename, replace and remove everything in the copy meanwhile. The kernel resolves
//! each path below the copy's root (openat2(2), `RESOLVE_IN_ROOT`), a file is written outside of
//! the copy and then linked into it, and of what stands there only a placeholder is opened for
//! writing that nothing has changed since it was added: a file keeps the inode that the program has
//! seen in a listing or by stat(2), since cp(1) and others compare it with what they open.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::{AsRawFd as _, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid},
    io::{Errno, retry_on_intr},
};

use super::{engine_files::create_dir_all, unpack::set_owner};
use crate::{
    path::ImagePath,
    source::content,
    tree::{FileNode, Node},
};

const IN_ROOT: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// The name of a file that is being written.
const STAGED: &str = "served";

/// What tells a file from every other, and from itself after a change: device, inode, and the time
/// of its last change, which no program can set.
pub(super) type FileKey = (u64, u64, i64, u64);

/// The unpacked image.
pub(super) struct ImageCopy {
    root: OwnedFd,
    /// A directory of the same file system, which the program cannot reach.
    staging: OwnedFd,
    owner: Option<(Uid, Gid)>,
}

impl ImageCopy {
    /// The copy in `root`, whose files belong to `owner` or else to the caller. Files are written
    /// in `staging` first.
    pub(super) fn open(
        root: &Path,
        staging: &Path,
        owner: Option<(u32, u32)>,
    ) -> Result<Self, Errno> {
        let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |dir| retry_on_intr(|| rustix::fs::open(dir, flags, Mode::empty()));
        let owner = owner.map(|(uid, gid)| (Uid::from_raw(uid), Gid::from_raw(gid)));
        Ok(Self { root: open(root)?, staging: open(staging)?, owner })
    }

    /// Half of the bytes and files that its disk has left, at most `bytes` and `files`.
    pub(super) fn room(&self, bytes: u64, files: u64) -> (u64, u64) {
        let Ok(stat) = retry_on_intr(|| rustix::fs::fstatvfs(&self.staging)) else {
            return (bytes, files);
        };
        let inodes = if stat.f_files == 0 { files } else { stat.f_favail / 2 };
        (bytes.min(stat.f_bavail.saturating_mul(stat.f_frsize) / 2), files.min(inodes))
    }

    /// What `path` leads to; `None` where it leads nowhere.
    pub(super) fn find(&self, path: &[u8]) -> Option<FileKey> {
        let file = self.open_path(path).ok()?;
        Some(key(&retry_on_intr(|| rustix::fs::fstat(&file)).ok()?))
    }

    fn open_path(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        retry_on_intr(|| rustix::fs::openat2(&self.root, path, flags, Mode::empty(), IN_ROOT))
    }

    /// Whether something stands at `path` itself.
    pub(super) fn has(&self, path: &ImagePath) -> bool {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = path.as_relative_path();
        retry_on_intr(|| rustix::fs::openat2(&self.root, path, flags, Mode::empty(), IN_ROOT))
            .is_ok()
    }

    /// What stands at `path` itself, whose parent exists.
    fn find_at(&self, path: &ImagePath) -> Result<FileKey, Errno> {
        let parent = self.parent(path)?;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(key(&retry_on_intr(|| rustix::fs::statat(&parent, path.file_name(), flags))?))
    }

    /// Adds an empty directory, and the directories above it.
    pub(super) fn add_directory(&self, path: &ImagePath) -> Result<(), Errno> {
        create_dir_all(&self.root, path, self.owner)
    }

    /// Adds a symbolic link.
    pub(super) fn add_link(&self, path: &ImagePath, target: &[u8]) -> Result<(), Errno> {
        let parent = self.parent(path)?;
        retry_on_intr(|| rustix::fs::symlinkat(target, &parent, path.file_name()))?;
        let Some((uid, gid)) = self.owner else { return Ok(()) };
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        retry_on_intr(|| {
            rustix::fs::chownat(&parent, path.file_name(), Some(uid), Some(gid), flags)
        })
    }

    /// Adds a file with its content.
    pub(super) fn add_file(
        &self,
        path: &ImagePath,
        (node, file): (&Node, &FileNode),
    ) -> io::Result<()> {
        let mut out = File::from(self.stage(node)?);
        copy_content(file, &mut out)?;
        self.publish(path)
    }

    /// Writes the content of `file` into the placeholder of `key`, to which `path` leads.
    pub(super) fn fill(&self, path: &[u8], file: &FileNode, key: FileKey) -> io::Result<()> {
        let there = self.open_path(path)?;
        let stat = retry_on_intr(|| rustix::fs::fstat(&there))?;
        let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !is_regular || self::key(&stat) != key {
            return Err(io::Error::other("the program has changed it"));
        }
        // The same file, whatever has the path by now.
        let again = format!("/proc/self/fd/{}", there.as_raw_fd());
        let mode = Mode::from_raw_mode(stat.st_mode);
        if !mode.contains(Mode::WUSR) {
            retry_on_intr(|| rustix::fs::chmod(&*again, mode | Mode::WUSR))?;
        }
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let out = retry_on_intr(|| rustix::fs::open(&*again, flags, Mode::empty()))?;
        let mut out = File::from(out);
        let done = copy_content(file, &mut out);
        retry_on_intr(|| rustix::fs::fchmod(&out, mode))?;
        retry_on_intr(|| rustix::fs::futimens(&out, &times(&stat)))?;
        done
    }

    /// Adds a file of the length and mode of `file` that has no content yet.
    pub(super) fn add_placeholder(
        &self,
        path: &ImagePath,
        (node, file): (&Node, &FileNode),
    ) -> io::Result<FileKey> {
        let staged = self.stage(node)?;
        retry_on_intr(|| rustix::fs::ftruncate(&staged, file.len))?;
        self.publish(path)?;
        Ok(self.find_at(path)?)
    }

    /// Creates the file that is to be written.
    fn stage(&self, node: &Node) -> Result<OwnedFd, Errno> {
        match retry_on_intr(|| rustix::fs::unlinkat(&self.staging, STAGED, AtFlags::empty())) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
        let new =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = retry_on_intr(|| {
            rustix::fs::openat(&self.staging, STAGED, new, Mode::from_raw_mode(0o600))
        })?;
        set_owner(&file, self.owner)?;
        // No program in a run changes its user.
        retry_on_intr(|| {
            rustix::fs::fchmod(&file, Mode::from_raw_mode(u32::from(node.meta.mode & 0o777)))
        })?;
        Ok(file)
    }

    /// Moves the written file to `path`.
    fn publish(&self, path: &ImagePath) -> io::Result<()> {
        let parent = self.parent(path)?;
        let none = AtFlags::empty();
        retry_on_intr(|| {
            rustix::fs::linkat(&self.staging, STAGED, &parent, path.file_name(), none)
        })?;
        retry_on_intr(|| rustix::fs::unlinkat(&self.staging, STAGED, none))?;
        Ok(())
    }

    /// The directory that holds `path`, made if it does not exist.
    fn parent(&self, path: &ImagePath) -> Result<OwnedFd, Errno> {
        let parent = path.parent().unwrap_or_else(ImagePath::root);
        self.add_directory(&parent)?;
        let dir = if parent.is_root() { Path::new(".") } else { parent.as_relative_path() };
        let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
        retry_on_intr(|| rustix::fs::openat2(&self.root, dir, flags, Mode::empty(), IN_ROOT))
    }
}

fn copy_content(file: &FileNode, out: &mut File) -> io::Result<()> {
    let mut reader = content::open(&file.content, file.len).map_err(io::Error::other)?;
    io::copy(&mut (&mut reader).take(file.len), out).map(drop)
}

fn times(stat: &rustix::fs::Stat) -> Timestamps {
    let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec as _),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec as _),
    }
}

fn key(stat: &rustix::fs::Stat) -> FileKey {
    (stat.st_dev, stat.st_ino, stat.st_ctime, stat.st_ctime_nsec)
}
