//! Files that are complete before anything else is published, and get their names after it.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{OutputError, stream::is_stream, write_file};
use crate::store::{Durability, Pending};

/// A file that is on the disk and gets its name by [`Staged::publish`]. Drop removes it.
#[derive(Debug)]
pub struct Staged(Place);

#[derive(Debug)]
enum Place {
    File(Pending),
    /// A device or pipe gets the bytes at once.
    Stream(PathBuf, Vec<u8>),
}

impl Staged {
    /// Writes `bytes`, which are to be in the file at `path`.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn new(path: &Path, bytes: &[u8]) -> Result<Self, OutputError> {
        if is_stream(path) {
            return Ok(Self(Place::Stream(path.to_owned(), bytes.to_vec())));
        }
        let io = |source: io::Error| {
            let (action, path) = ("write", path.to_owned());
            OutputError::Io { action, path, source }
        };
        let pending = Pending::create(path)?;
        let mut file = &**pending.file();
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io)?;
        Ok(Self(Place::File(pending)))
    }

    /// Puts the file in place.
    ///
    /// # Errors
    /// If it cannot get its name, or a stream cannot be written.
    pub fn publish(self) -> Result<(), OutputError> {
        match self.0 {
            Place::File(pending) => Ok(pending.commit(Durability::Synced)?),
            Place::Stream(path, bytes) => write_file(&path, &bytes),
        }
    }
}

/// Fails if no file can be created at `path`, before work is done for it.
///
/// # Errors
/// If `path` is a directory, or its directory cannot be written.
pub fn check_place(path: &Path) -> Result<(), OutputError> {
    if !is_stream(path) {
        Pending::create(path)?;
    }
    Ok(())
}
