//! Files that appear whole or not at all.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags},
    io::{Errno, retry_on_intr},
};
use tempfile::TempPath;

use super::{Durability, StoreError, blob::Extent, io_error, part_writer::PartWriter};

/// Prefix of the names of temporary files.
pub const PREFIX: &str = ".imgb-";

/// A file that has not appeared yet. It has no name (open(2), `O_TMPFILE`), so nothing is left of
/// it however this process ends. Where the file system or a missing /proc does not allow that, it
/// has a temporary name in the same directory and is removed when dropped.
#[derive(Debug)]
pub struct Pending {
    file: Arc<File>,
    temp: Option<TempPath>,
    target: PathBuf,
}

impl Pending {
    /// Begins a file that [`Pending::commit`] puts at `target`. A symbolic link there will be
    /// replaced, not followed.
    ///
    /// # Errors
    /// If `target` is a directory, and where no file can be created in its directory.
    pub fn create(target: &Path) -> Result<Self, StoreError> {
        if target.is_dir() && !target.is_symlink() {
            return Err(StoreError::Directory(target.to_owned()));
        }
        let named = |error| match error {
            StoreError::Io { source, .. } => {
                StoreError::Io { action: "create", path: target.to_owned(), source }
            }
            error => error,
        };
        Ok(Self { target: target.to_owned(), ..Self::create_in(parent(target)).map_err(named)? })
    }

    /// A file in `dir` that never gets a name there.
    ///
    /// # Errors
    /// If no file can be created in `dir`.
    pub fn temporary(dir: &Path) -> Result<Self, StoreError> {
        Ok(Self { target: dir.join("temporary file"), ..Self::create_in(dir)? })
    }

    /// A file in `dir` whose target is given later.
    pub(super) fn create_in(dir: &Path) -> Result<Self, StoreError> {
        if let Some(file) = nameless(dir) {
            return Ok(Self { file: Arc::new(file), temp: None, target: dir.to_owned() });
        }
        // The umask applies to the mode, as for any file that a program creates.
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o666);
        let open = |path: &Path| retry_on_intr(|| rustix::fs::open(path, flags, mode));
        let (file, temp) = temporary(dir, open).map_err(io_error("create a file in", dir))?;
        let file = File::from(file);
        Ok(Self { file: Arc::new(file), temp: Some(temp), target: dir.to_owned() })
    }

    /// The file, open for reading and writing.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// For threads that write parts of the file at their offsets.
    pub fn part_writer(&self) -> PartWriter {
        let extent = Extent { file: Arc::clone(&self.file), offset: 0 };
        PartWriter::new(extent, self.target.clone())
    }

    /// Where the file will be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Puts the file in place.
    ///
    /// # Errors
    /// If the disk refuses the content, or the directory the name: the target is unchanged then.
    /// Also where the name does not reach the disk: the new file is in place, but may be gone after
    /// a power failure.
    pub fn commit(self, durability: Durability) -> Result<(), StoreError> {
        let target = self.target.clone();
        self.name(&target, durability)?;
        match durability {
            Durability::Synced => sync_dir(parent(&target)),
            Durability::Cached => Ok(()),
        }
    }

    /// As [`Pending::commit`], to another target and without syncing the target's directory.
    pub(super) fn name(self, target: &Path, durability: Durability) -> Result<(), StoreError> {
        if durability == Durability::Synced {
            self.file.sync_all().map_err(io_error("write", target))?;
        }
        let dir = parent(target);
        let temp = match self.temp {
            Some(temp) => temp,
            // Where there is nothing to replace, no temporary name is needed, which a killed
            // process would leave behind.
            None => match link_as(&self.file, target) {
                Err(Errno::EXIST) => {
                    give_name(&self.file, dir).map_err(io_error("create", target))?
                }
                linked => return linked.map_err(|errno| io_error("create", target)(errno.into())),
            },
        };
        rename(temp, target).map_err(io_error("create", target))
    }
}

pub(super) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error("write", dir))
}

/// Syncs a file that got its name by [`link`], as [`Pending::name`] syncs one before it is named.
pub(super) fn sync(file: &File, target: &Path, durability: Durability) -> Result<(), StoreError> {
    if durability == Durability::Synced {
        file.sync_all().map_err(io_error("write", target))?;
    }
    Ok(())
}

fn parent(target: &Path) -> &Path {
    target.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file in `dir` without a name, if the system can give it one later.
fn nameless(dir: &Path) -> Option<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let open = || rustix::fs::open(dir, flags, Mode::from_raw_mode(0o666));
    let file = File::from(retry_on_intr(open).ok()?);
    retry_on_intr(|| rustix::fs::readlink(proc_path(&file), Vec::new())).ok()?;
    Some(file)
}

/// Gives a nameless file a temporary name in `dir`: linkat(2) cannot replace a target, only a
/// rename can.
fn give_name(file: &File, dir: &Path) -> io::Result<TempPath> {
    Ok(temporary(dir, |path| link_as(file, path))?.1)
}

/// Makes `path`, which must not exist, a name of an open file.
fn link_as(file: &File, path: &Path) -> Result<(), Errno> {
    let from = proc_path(file);
    retry_on_intr(|| rustix::fs::linkat(CWD, &from, CWD, path, AtFlags::SYMLINK_FOLLOW))
}

/// Puts a temporary file in place; it is removed if that fails.
fn rename(temp: TempPath, target: &Path) -> io::Result<()> {
    retry_on_intr(|| rustix::fs::rename(&*temp, target))?;
    temp.keep().map(drop).map_err(|error| error.error)
}

/// Calls `make` with temporary names in `dir` until one is free. An error is the system's own: the
/// one of `tempfile` names the temporary file, which tells users nothing, and leaves out the cause.
fn temporary<T>(dir: &Path, make: impl Fn(&Path) -> Result<T, Errno>) -> io::Result<(T, TempPath)> {
    let mut last = None;
    let made = tempfile::Builder::new()
        .prefix(PREFIX)
        .make_in(dir, |path| Ok(make(path).inspect_err(|&error| last = Some(error))?));
    made.map(tempfile::NamedTempFile::into_parts).map_err(|error| last.map_or(error, Into::into))
}

/// Makes `target` another name of an open file, replacing what is there.
pub(super) fn link(file: &File, target: &Path) -> io::Result<()> {
    let own = retry_on_intr(|| rustix::fs::fstat(file))?;
    let is_there = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino) == (own.st_dev, own.st_ino);
    if retry_on_intr(|| rustix::fs::lstat(target)).is_ok_and(is_there) {
        return Ok(());
    }
    let temp = give_name(file, parent(target))?;
    let name = temp.to_path_buf();
    rename(temp, target)?;
    // If another process linked the target meanwhile, both are names of one file and rename(2) does
    // nothing, so the temporary name is still there.
    let _ = fs_err::remove_file(name);
    Ok(())
}

/// A path by which linkat(2) reaches an open file without privileges (open(2), `O_TMPFILE`).
fn proc_path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error's kind would not be enough: `EIO` has none of its own.
    #[test]
    fn errors_are_the_systems_own() {
        let dir = tempfile::tempdir().unwrap();
        let (file, missing) = (File::open("/dev/null").unwrap(), dir.path().join("missing"));
        assert_eq!(give_name(&file, &missing).unwrap_err().raw_os_error(), Some(2));
        let Err(StoreError::Io { source, .. }) = Pending::create_in(&missing) else { panic!() };
        assert_eq!(source.raw_os_error(), Some(2));
    }
}
