//! Calls of the standard library that a signal may interrupt (EINTR, signal(7)) and that it does
//! not repeat itself: everything that names a file, on network file systems and FUSE.

use std::{
    fs::Metadata,
    io,
    path::{Path, PathBuf},
};

/// Repeats `call` as long as a signal interrupts it.
///
/// # Errors
/// Any other error of `call`.
pub fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// What `path` leads to. The error names the path.
///
/// # Errors
/// The system's (stat(2)).
pub fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    uninterrupted(|| fs_err::metadata(path.as_ref()))
}

/// What is at `path`, which is not followed if it is a link. The error names the path.
///
/// # Errors
/// The system's (lstat(2)).
pub fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    uninterrupted(|| fs_err::symlink_metadata(path.as_ref()))
}

/// The path without links that `path` leads to. The error names the path.
///
/// # Errors
/// The system's (realpath(3)).
pub fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    uninterrupted(|| fs_err::canonicalize(path.as_ref()))
}

/// The target of the link at `path`. The error names the path.
///
/// # Errors
/// The system's (readlink(2)).
pub fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    uninterrupted(|| fs_err::read_link(path.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_interrupted_call_is_repeated() {
        let mut calls = 0;
        let third = uninterrupted(|| {
            calls += 1;
            if calls < 3 { Err(io::ErrorKind::Interrupted.into()) } else { Ok(calls) }
        });
        assert_eq!(third.unwrap(), 3);
        let denied = uninterrupted(|| Err::<(), _>(io::ErrorKind::PermissionDenied.into()));
        assert_eq!(denied.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        let error = metadata("/no/such/file").unwrap_err();
        assert!(error.to_string().contains("/no/such/file"), "{error}");
    }
}
