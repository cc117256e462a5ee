//! Removes a directory that a program has filled: however deep, with any modes, and with a fixed
//! number of open files.
//!
//! A path into a deep directory is longer than the kernel allows, and a descriptor for each level
//! would be too many. So directories move up: the entries of each one are removed or renamed into
//! the top directory, which makes every path two names long.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd as _, OwnedFd},
    path::Path,
    time::Duration,
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags},
    io::{Errno, retry_on_intr},
};

/// What new names in the top directory begin with. No stage uses such names.
const PREFIX: &str = "moved-";

/// How often the removal fails until it is given up: what a signal interrupts, or a file that a
/// network file system still holds, can be removed a moment later.
const TRIES: u32 = 3;

/// The time between two tries, unless a signal ended the first.
const PAUSE: Duration = Duration::from_millis(20);

/// Removes `dir` and everything in it. No other process may use it any more.
///
/// # Errors
/// The system's. What could be removed is gone then.
pub(super) fn remove(dir: &Path) -> io::Result<()> {
    let mut failures = 0;
    let mut again = |errno: Errno| {
        failures += 1;
        if failures == TRIES {
            return Err(errno);
        }
        if errno != Errno::INTR {
            std::thread::sleep(PAUSE);
        }
        Ok(())
    };
    let top = loop {
        match open(CWD, dir) {
            Ok(top) => break top,
            Err(errno) => again(errno)?,
        }
    };
    let mut removal = Removal { top, moved: 0, failed: None };
    loop {
        // Names that a pass adds to the directory that it lists may not be listed in that pass.
        let done = match (removal.pass(), removal.failed.take()) {
            (Ok(true), None) => continue,
            (Ok(false), None) => retry_on_intr(|| rustix::fs::rmdir(dir)),
            (Err(errno), _) | (Ok(_), Some(errno)) => Err(errno),
        };
        match done {
            Ok(()) => return Ok(()),
            Err(errno) => again(errno)?,
        }
    }
}

struct Removal {
    top: OwnedFd,
    /// The number of directories moved so far.
    moved: u64,
    /// The first error.
    failed: Option<Errno>,
}

impl Removal {
    /// Removes all entries of the top directory; tells whether there were any.
    fn pass(&mut self) -> Result<bool, Errno> {
        let mut has_entries = false;
        for (name, is_dir) in entries(&self.top)? {
            has_entries = true;
            let done = match is_dir {
                true => self.dissolve(&name),
                false => remove_entry(&self.top, &name, AtFlags::empty()),
            };
            if let Err(errno) = done {
                self.failed.get_or_insert(errno);
            }
        }
        Ok(has_entries)
    }

    /// Removes a directory in the top directory, and moves directories in it there.
    fn dissolve(&mut self, name: &CStr) -> Result<(), Errno> {
        unlock(&self.top, name)?;
        let dir = open(&self.top, name)?;
        loop {
            let inner = entries(&dir)?;
            if inner.is_empty() {
                break;
            }
            for (name, is_dir) in inner {
                if !is_dir {
                    remove_entry(&dir, &name, AtFlags::empty())?;
                    continue;
                }
                unlock(&dir, &name)?;
                let new = format!("{PREFIX}{}", self.moved);
                self.moved += 1;
                retry_on_intr(|| rustix::fs::renameat(&dir, &*name, &self.top, &new))?;
            }
        }
        remove_entry(&self.top, name, AtFlags::REMOVEDIR)
    }
}

fn remove_entry(dir: &OwnedFd, name: &CStr, flags: AtFlags) -> Result<(), Errno> {
    retry_on_intr(|| rustix::fs::unlinkat(dir, name, flags))
}

/// Gives all rights to a directory, which the program may have taken away. Where root removes what
/// another user owns, processes of that user may put a link in its place: it is not followed.
fn unlock(dir: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = retry_on_intr(|| rustix::fs::openat(dir, name, flags, Mode::empty()))?;
    // fchmod(2) takes no O_PATH descriptor.
    let path = format!("/proc/self/fd/{}", found.as_raw_fd());
    retry_on_intr(|| rustix::fs::chmod(&path, Mode::RWXU))
}

/// Entries that are listed at once: a directory may have millions.
const BATCH: usize = 10_000;

/// The next entries of a directory, and whether each is a directory. None are left if it is empty.
fn entries(dir: &OwnedFd) -> Result<Vec<(Box<CStr>, bool)>, Errno> {
    let mut out = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let is_dir = match entry.file_type() {
            FileType::Unknown => {
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                let stat = retry_on_intr(|| rustix::fs::statat(dir, name, flags))?;
                FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            }
            kind => kind == FileType::Directory,
        };
        out.push((name.into(), is_dir));
        if out.len() == BATCH {
            break;
        }
    }
    Ok(out)
}

fn open(
    dir: impl std::os::fd::AsFd,
    name: impl rustix::path::Arg + Copy,
) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    retry_on_intr(|| rustix::fs::openat(&dir, name, flags, Mode::empty()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_link_in_place_of_a_directory_is_not_followed() {
        let parent = tempfile::tempdir().unwrap();
        let victim = parent.path().join("victim");
        fs_err::create_dir(&victim).unwrap();
        rustix::fs::chmod(&victim, Mode::from_raw_mode(0o755)).unwrap();
        rustix::fs::symlink("victim", parent.path().join("link")).unwrap();
        let top = open(CWD, parent.path()).unwrap();
        let mut removal = Removal { top, moved: 0, failed: None };
        assert_eq!(removal.dissolve(c"link"), Err(Errno::NOTDIR));
        let mode = fs_err::metadata(&victim).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }

    #[test]
    fn what_cannot_be_removed_is_tried_again_a_moment_later() {
        let parent = tempfile::tempdir().unwrap();
        let start = std::time::Instant::now();
        assert!(remove(&parent.path().join("missing")).is_err());
        assert!(start.elapsed() >= PAUSE * (TRIES - 1));
    }

    #[test]
    fn removes_directories_that_no_path_reaches() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("dir");
        fs_err::create_dir(&dir).unwrap();
        // 3,000 levels with names of 200 bytes, each without rights.
        let mut at = open(CWD, &dir).unwrap();
        let name = "d".repeat(200);
        for _ in 0..3000 {
            rustix::fs::mkdirat(&at, &name, Mode::RWXU).unwrap();
            let next = open(&at, &name).unwrap();
            drop(rustix::fs::openat(&at, "file", OFlags::CREATE, Mode::empty()).unwrap());
            rustix::fs::fchmod(&at, Mode::empty()).unwrap();
            at = next;
        }
        rustix::fs::chmod(&dir, Mode::RWXU).unwrap();
        remove(&dir).unwrap();
        assert!(!dir.exists());
    }
}
