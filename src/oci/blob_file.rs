//! Where the bytes of a blob are.

use std::os::unix::fs::FileExt as _;

use super::ImageError;
use crate::{quantity, store::Extent};

/// Bytes of a document that are read: the limit of containers/image and of most registries.
pub(super) const MAX_DOCUMENT: u64 = 4 << 20;

/// Bytes of a regular file or member.
#[derive(Clone, Debug)]
pub(super) struct BlobFile {
    pub(super) extent: Extent,
    pub(super) len: u64,
}

impl BlobFile {
    /// The whole content as a document, which messages call `name`.
    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>, ImageError> {
        if self.len > MAX_DOCUMENT {
            let why = format!("larger than {}", quantity::bytes(MAX_DOCUMENT));
            return Err(ImageError::document(name, why));
        }
        let mut bytes = vec![0; self.len as usize];
        self.extent
            .file
            .read_exact_at(&mut bytes, self.extent.offset)
            .map_err(|source| ImageError::Unreadable { name: name.into(), source })?;
        Ok(bytes)
    }
}
