//! Writing parts of one file from several threads.

use std::{os::unix::fs::FileExt as _, path::PathBuf};

use super::{StoreError, blob::Extent, io_error};

/// Writes parts of a blob or file, in any order and from any thread.
#[derive(Clone, Debug)]
pub struct PartWriter {
    extent: Extent,
    /// For messages.
    path: PathBuf,
}

impl PartWriter {
    pub(super) fn new(extent: Extent, path: PathBuf) -> Self {
        Self { extent, path }
    }

    /// Writes `bytes` at `offset` from the start of the blob.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), StoreError> {
        let at = self.extent.offset + offset;
        self.extent.file.write_all_at(bytes, at).map_err(io_error("write", &self.path))
    }

    /// Ends the file `len` bytes after the start of the blob.
    ///
    /// # Errors
    /// If the file cannot have that length.
    pub fn set_len(&self, len: u64) -> Result<(), StoreError> {
        self.extent.file.set_len(self.extent.offset + len).map_err(io_error("write", &self.path))
    }
}
