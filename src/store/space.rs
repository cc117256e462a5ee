//! Where blobs are written before the store has them, several at the same time.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{BLOCK, BlobWriter, Durability, Pending, StoreError, blob::Extent};

/// The place where a [`super::Store`] lets blobs be written. Any thread may begin one.
#[derive(Clone, Debug)]
pub struct Space {
    /// The archive's temporary file; `None` for a directory.
    archive: Option<Arc<File>>,
    /// The archive or the directory.
    path: PathBuf,
    durability: Durability,
}

/// Where the bytes of a blob are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// In the archive, as a member whose header is at this offset. The store copies the bytes if it
    /// puts the member elsewhere.
    At(u64),
    /// In a file of its own. In a directory that file gets a name; an archive gets a copy.
    Own,
}

impl Position {
    /// The position of the blob after one of `size` bytes.
    pub(super) fn after(self, size: u64) -> Self {
        match self {
            Self::At(offset) => Self::At(offset + BLOCK + size.next_multiple_of(BLOCK)),
            Self::Own => Self::Own,
        }
    }
}

impl Space {
    pub(super) fn archive(file: Arc<File>, path: &Path, durability: Durability) -> Self {
        Self { archive: Some(file), path: path.to_owned(), durability }
    }

    pub(super) fn directory(path: &Path, durability: Durability) -> Self {
        Self { archive: None, path: path.to_owned(), durability }
    }

    /// Whether blobs become members of an archive, one after the other.
    pub fn is_archive(&self) -> bool {
        self.archive.is_some()
    }

    /// Begins a blob. No two may overlap, and none may overlap what is in the archive.
    ///
    /// # Errors
    /// If no file can be created for it.
    pub fn begin(&self, position: Position) -> Result<BlobWriter, StoreError> {
        let (extent, pending) = match (&self.archive, position) {
            (Some(file), Position::At(offset)) => {
                (Extent { file: Arc::clone(file), offset: offset + BLOCK }, None)
            }
            (archive, _) => {
                let dir = if archive.is_some() { self.path.parent() } else { Some(&*self.path) };
                let dir = dir.filter(|dir| !dir.as_os_str().is_empty());
                let pending = Pending::create_in(dir.unwrap_or(Path::new(".")))?;
                (Extent { file: Arc::clone(pending.file()), offset: 0 }, Some(pending))
            }
        };
        Ok(BlobWriter::new((&self.path, self.durability), extent, pending))
    }

    /// The archive or the directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn durability(&self) -> Durability {
        self.durability
    }
}
