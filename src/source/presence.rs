//! Whether the host has a file: an error that does not say so is passed on.

use std::io;

/// What a system call found, or `None` if it says that there is no such file: ENOENT, ENOTDIR or
/// ENAMETOOLONG.
///
/// # Errors
/// Any other error: it does not say whether the file exists.
pub fn if_present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory | InvalidFilename) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
