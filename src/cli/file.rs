//! Reading small files that the user names.

use std::{
    io::{Read as _, StdinLock},
    path::Path,
};

use super::{failure::Failure, terminal::is_closed};
use crate::{
    error_kind::{ErrorKind, system_reason},
    uninterrupted,
};

/// The bytes of a regular file, at most one more than `limit`.
pub(super) fn read_regular(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let fault = |why: &str| {
        Failure::new(ErrorKind::Input, format!("cannot read `{}`: {why}", path.display()))
    };
    let io_fault = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => fault("no such file or directory"),
        _ => fault(&system_reason(&error)),
    };
    // Checked before it is opened, because opening a FIFO may block for ever.
    if !uninterrupted::metadata(path).map_err(io_fault)?.is_file() {
        return Err(fault("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    let file = fs_err::File::open(path).map_err(io_fault)?;
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(io_fault)?;
    Ok(bytes)
}

/// Stdin, to be read.
///
/// # Errors
/// If it is closed.
pub(super) fn open_stdin() -> Result<StdinLock<'static>, Failure> {
    let stdin = std::io::stdin();
    match is_closed(&stdin) {
        true => Err(Failure::new(ErrorKind::Input, "cannot read stdin: it is closed")),
        false => Ok(stdin.lock()),
    }
}

/// The bytes of stdin, at most one more than `limit`.
pub(super) fn read_stdin(limit: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    open_stdin()?
        .take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::new(ErrorKind::Input, format!("cannot read stdin: {error}")))?;
    Ok(bytes)
}
