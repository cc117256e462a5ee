//! The entries of directories. The standard library panics if a directory cannot be closed.

use std::{
    ffi::{CString, OsString},
    io,
    os::unix::ffi::OsStringExt as _,
    path::Path,
};

use rustix::{
    fd::AsFd,
    fs::{Mode, OFlags, RawDir},
    io::{Errno, retry_on_intr},
};

/// Bytes of directory entries that are read at once.
const ENTRIES: usize = 1 << 15;

/// The names in a directory, sorted bytewise, without `.` and `..`.
///
/// # Errors
/// If it cannot be opened or read.
pub fn list_directory(path: &Path) -> io::Result<Vec<OsString>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?;
    Ok(names(dir)?.into_iter().map(|name| OsString::from_vec(name.into_bytes())).collect())
}

/// The names in an open directory, sorted bytewise, without `.` and `..`.
///
/// # Errors
/// If it cannot be read.
pub fn names(dir: impl AsFd) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    let mut buffer = Vec::with_capacity(ENTRIES);
    let mut entries = RawDir::new(dir, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Err(Errno::INTR) => continue,
            entry => entry?,
        };
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}
