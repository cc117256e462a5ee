//! What container engines add to the files of every image: files that describe the container, the
//! working directory, and mount points.

use std::{
    ffi::OsStr,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::Path,
};

use rustix::{
    fs::{Gid, Mode, OFlags, ResolveFlags, Uid},
    io::{Errno, retry_on_intr},
};

use super::unpack::{UnpackError, set_owner};
use crate::path::ImagePath;

/// Directories that must exist in the root file system.
const DIRECTORIES: [&str; 4] = ["/proc", "/dev", "/etc", "/tmp"];

/// Files and their content.
const FILES: [(&str, &str); 3] = [
    ("etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.0.1\timgb\n"),
    ("etc/hostname", "imgb\n"),
    ("etc/resolv.conf", ""),
];

/// Those of [`DIRECTORIES`] without which nothing runs.
const MOUNT_POINTS: [&[u8]; 2] = [b"/proc", b"/dev"];

/// The kernel resolves symbolic links as it would in the container.
const IN_ROOT: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// Adds them to the unpacked image in `root`, with the owner `owner` or else the caller. Leaves
/// alone what the image itself has.
///
/// # Errors
/// [`UnpackError::Root`]
pub(super) fn add(
    root: &Path,
    workdir: &OsStr,
    owner: Option<(u32, u32)>,
) -> Result<(), UnpackError> {
    let failed = |errno: Errno| UnpackError::Root { path: root.to_owned(), source: errno.into() };
    let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = retry_on_intr(|| rustix::fs::open(root, flags, Mode::empty())).map_err(failed)?;
    let owner = owner.map(|(uid, gid)| (Uid::from_raw(uid), Gid::from_raw(gid)));
    let directories = DIRECTORIES.iter().map(|dir| dir.as_bytes()).chain([workdir.as_bytes()]);
    for dir in directories {
        let dir = ImagePath::new(dir).unwrap_or_else(|_| ImagePath::root());
        match create_dir_all(&fd, &dir, owner) {
            // The image's own directory may be closed to this user.
            Err(Errno::ACCESS) if !MOUNT_POINTS.contains(&dir.as_bytes()) => {}
            done => done.map_err(failed)?,
        }
    }
    for (name, text) in FILES {
        let new =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(file) = retry_on_intr(|| {
            rustix::fs::openat2(&fd, name, new, Mode::from_raw_mode(0o644), IN_ROOT)
        }) else {
            continue;
        };
        set_owner(&file, owner)
            .and_then(|()| retry_on_intr(|| rustix::io::write(&file, text.as_bytes())))
            .map_err(failed)?;
    }
    Ok(())
}

/// Creates `dir` and its parents. Stops without an error where something else is in the way: the
/// program's start will fail there.
pub(super) fn create_dir_all(
    root: &OwnedFd,
    dir: &ImagePath,
    owner: Option<(Uid, Gid)>,
) -> Result<(), Errno> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let open = |path: &ImagePath| {
        let path = if path.is_root() { Path::new(".") } else { path.as_relative_path() };
        retry_on_intr(|| rustix::fs::openat2(root, path, flags, Mode::empty(), IN_ROOT))
    };
    for part in dir.ancestors().skip(1).chain([dir.clone()]).filter(|part| !part.is_root()) {
        if open(&part).is_ok() {
            continue;
        }
        let parent = open(&part.parent().unwrap_or_else(ImagePath::root))?;
        let mode = Mode::from_raw_mode(0o755);
        match retry_on_intr(|| rustix::fs::mkdirat(&parent, part.file_name(), mode)) {
            Err(Errno::EXIST | Errno::LOOP | Errno::NOTDIR) => return Ok(()),
            made => made?,
        }
        let flags = flags | OFlags::NOFOLLOW;
        let made =
            retry_on_intr(|| rustix::fs::openat(&parent, part.file_name(), flags, Mode::empty()))?;
        let bits = if part.as_bytes() == b"/tmp" { 0o1777 } else { 0o755 };
        retry_on_intr(|| rustix::fs::fchmod(&made, Mode::from_raw_mode(bits)))?;
        set_owner(&made, owner)?;
    }
    Ok(())
}
