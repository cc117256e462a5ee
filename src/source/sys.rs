//! The system calls by which files of the host are found. Each is repeated after EINTR.

use std::os::fd::OwnedFd;

use rustix::{
    fd::AsFd,
    fs::{AtFlags, Mode, OFlags},
    io::{Errno, retry_on_intr},
    path::Arg,
};

use super::stat::HostStat;

/// Opens a directory to list it; a link in its place is refused (ENOTDIR).
pub(super) fn open_directory(dir: impl AsFd, path: impl Arg + Copy) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    retry_on_intr(|| rustix::fs::openat(&dir, path, flags, Mode::empty()))
}

/// Opens a file to read it, so that nothing it has been swapped for can do harm: no link is
/// followed (ELOOP), and a FIFO or device does not block.
pub(super) fn open_file(dir: impl AsFd, path: impl Arg + Copy) -> Result<OwnedFd, Errno> {
    let flags =
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    retry_on_intr(|| rustix::fs::openat(&dir, path, flags, Mode::empty()))
}

/// Opens a directory as a starting point for other paths; links are followed.
pub(super) fn open_path(path: impl Arg + Copy) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))
}

/// What stands at `path`, which is not followed if it is a link.
pub(super) fn lstat(dir: impl AsFd, path: impl Arg + Copy) -> Result<HostStat, Errno> {
    let stat = retry_on_intr(|| rustix::fs::statat(&dir, path, AtFlags::SYMLINK_NOFOLLOW))?;
    Ok(HostStat::of(&stat))
}

/// What an open file is.
pub(super) fn fstat(file: impl AsFd) -> Result<HostStat, Errno> {
    Ok(HostStat::of(&retry_on_intr(|| rustix::fs::fstat(&file))?))
}

/// The type of the file system that holds `path`, which is not followed if it is a link
/// (statfs(2), `f_type`).
pub(super) fn file_system(dir: impl AsFd, path: impl Arg + Copy) -> Result<u32, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = retry_on_intr(|| rustix::fs::openat(&dir, path, flags, Mode::empty()))?;
    let found = retry_on_intr(|| rustix::fs::fstatfs(&file))?;
    // All types have 32 bits; the field's own width depends on the architecture.
    Ok(found.f_type as u32)
}

/// The target of a link.
pub(super) fn read_link(dir: impl AsFd, path: impl Arg + Copy) -> Result<Vec<u8>, Errno> {
    let target = retry_on_intr(|| rustix::fs::readlinkat(&dir, path, Vec::new()))?;
    Ok(target.into_bytes())
}

#[cfg(test)]
mod tests {
    use rustix::fs::CWD;

    use super::*;

    #[test]
    fn a_file_swapped_for_a_link_or_fifo_is_neither_followed_nor_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let [link, fifo, linked_dir] = ["link", "fifo", "dir"].map(|name| dir.path().join(name));
        fs_err::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        fs_err::os::unix::fs::symlink("/etc", &linked_dir).unwrap();
        rustix::fs::mknodat(CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(open_file(CWD, &link).unwrap_err(), Errno::LOOP);
        assert_eq!(open_directory(CWD, &linked_dir).unwrap_err(), Errno::NOTDIR);
        open_file(CWD, &fifo).unwrap();
    }
}
