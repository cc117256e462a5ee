//! Blobs on disk, and files that appear whole or not at all.
//!
//! Bulk bytes are written once: if the output is one archive, blobs go straight into the archive's
//! temporary file as its members; otherwise each goes into a file of its own. Several blobs can be
//! written at the same time ([`Space`]). An archive has them in the order in which they are
//! finished.

mod blob;
pub mod cache;
mod listing;
mod part_writer;
mod pending;
mod space;
mod writer;

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{digest::Digest, uninterrupted::uninterrupted};

pub use blob::{Blob, Extent, Fetch, Place};
pub use listing::{list_directory, names};
pub use part_writer::PartWriter;
pub use pending::{PREFIX, Pending};
pub use space::{Position, Space};
pub use writer::BlobWriter;

/// Bytes of a tar block: an archive's members start at multiples of it.
const BLOCK: u64 = 512;

/// An error on a file that imgb writes.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// The action that failed, such as `write` or `create a file in`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The target is a directory.
    #[error("{} is a directory", .0.display())]
    Directory(PathBuf),
}

/// Whether a rename waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Content is on the disk before its name is, and the name is on the disk when the call
    /// returns.
    Synced,
    /// The system writes content when it likes; after a power failure the file may be empty.
    Cached,
}

/// Where blobs go.
#[derive(Debug)]
pub struct Store {
    space: Space,
    kind: StoreKind,
    /// Whether remote blobs stay where they are.
    is_scratch: bool,
    blobs: BTreeMap<Digest, Blob>,
}

#[derive(Debug)]
enum StoreKind {
    Archive { file: Arc<File>, end: u64, header: Header },
    Directory,
}

/// Makes the member header of a blob, from its digest and size.
pub type Header = fn(Digest, u64) -> [u8; BLOCK as usize];

impl Store {
    /// A store whose blobs become members of the archive that is being written to `pending`, one
    /// after the other from its offset `start`, a multiple of 512. `header` makes each member's
    /// header when the digest is known. `durability` is what `pending` will be committed with.
    pub fn archive(pending: &Pending, start: u64, header: Header, durability: Durability) -> Self {
        let file = Arc::clone(pending.file());
        let space = Space::archive(Arc::clone(&file), pending.target(), durability);
        let kind = StoreKind::Archive { file, end: start, header };
        Self { space, kind, is_scratch: false, blobs: BTreeMap::new() }
    }

    /// As [`Store::archive`], from the start of a temporary file that is no output itself: a blob
    /// that a registry has stays there until an output asks for it.
    pub fn scratch(pending: &Pending, header: Header) -> Self {
        let archive = Self::archive(pending, 0, header, Durability::Cached);
        Self { is_scratch: true, ..archive }
    }

    /// Whether a blob need not be copied here: then it has been noted.
    pub fn adopt(&mut self, blob: &Blob) -> bool {
        let adopts = self.is_scratch && blob.is_remote();
        if adopts {
            self.blobs.insert(blob.digest, blob.clone());
        }
        adopts
    }

    /// A store whose blobs become the files `blobs/sha256/HEX` below `path`, each when it is
    /// complete. [`Store::sync_names`] puts their names on the disk.
    ///
    /// # Errors
    /// If the directories cannot be created.
    pub fn directory(path: &Path, durability: Durability) -> Result<Self, StoreError> {
        let blobs = path.join("blobs/sha256");
        uninterrupted(|| fs_err::create_dir_all(&blobs)).map_err(io_error("create", &blobs))?;
        let space = Space::directory(path, durability);
        Ok(Self { space, kind: StoreKind::Directory, is_scratch: false, blobs: BTreeMap::new() })
    }

    /// Where blobs are written before the store has them.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Begins a blob.
    ///
    /// # Errors
    /// If no file can be created for it.
    pub fn begin(&self) -> Result<BlobWriter, StoreError> {
        self.space.begin(self.next_position())
    }

    /// Where the next blob is written at once.
    pub fn next_position(&self) -> Position {
        match self.kind {
            StoreKind::Archive { end, .. } => Position::At(end),
            StoreKind::Directory => Position::Own,
        }
    }

    /// Where each of the next blobs is written at once, if they have these sizes.
    pub fn positions(&self, sizes: impl IntoIterator<Item = u64>) -> Vec<Position> {
        let mut next = self.next_position();
        let mut positions = Vec::new();
        for size in sizes {
            positions.push(next);
            next = next.after(size);
        }
        positions
    }

    /// Stores `bytes`.
    ///
    /// # Errors
    /// As [`Store::begin`] and [`BlobWriter::finish`].
    pub fn put(&mut self, bytes: &[u8]) -> Result<Blob, StoreError> {
        let mut writer = self.begin()?;
        writer.append(bytes)?;
        writer.finish(self)
    }

    /// Adds a blob that is complete in another file. A directory store links to that file if it
    /// can; the second value says whether it did. Otherwise the bytes are copied.
    ///
    /// # Errors
    /// If the bytes cannot be copied.
    pub fn add_existing(&mut self, blob: &Blob) -> Result<(Blob, bool), StoreError> {
        if self.adopt(blob) {
            return Ok((blob.clone(), false));
        }
        let path = self.space.path();
        if matches!(self.kind, StoreKind::Directory) && !self.blobs.contains_key(&blob.digest) {
            let target = path.join("blobs/sha256").join(blob.digest.hex());
            // A link shows the owner and mode of the existing file, which may differ from those of
            // a file created now, by another umask or user.
            let fresh = Pending::create_in(path)?;
            let Extent { file, offset } = blob.place.open().map_err(io_error("read", &target))?;
            // A blob may be a member of an archive.
            let is_whole = offset == 0
                && uninterrupted(|| file.metadata()).is_ok_and(|it| it.len() == blob.size);
            if is_whole
                && same_owner_and_mode(fresh.file(), &file)
                && pending::link(&file, &target).is_ok()
            {
                pending::sync(&file, &target, self.durability())?;
                self.blobs.insert(blob.digest, blob.named(target));
                return Ok((blob.clone(), true));
            }
        }
        let writer = self.begin()?;
        blob.copy_to(&writer.extent.file, writer.extent.offset).map_err(io_error("write", path))?;
        Ok((writer.finish_written(self, blob.digest, blob.size)?, false))
    }

    /// The blob with this digest, if it was stored. Those of a directory are not open.
    pub fn get(&self, digest: Digest) -> Option<&Blob> {
        self.blobs.get(&digest)
    }

    /// With [`Durability::Synced`], puts the names of all blobs on the disk. Call it before
    /// anything that names the blobs is written.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn sync_names(&self) -> Result<(), StoreError> {
        match self.kind {
            StoreKind::Directory if self.durability() == Durability::Synced => {
                pending::sync_dir(&self.space.path().join("blobs/sha256"))
            }
            StoreKind::Directory | StoreKind::Archive { .. } => Ok(()),
        }
    }

    /// The offset in the archive after the last blob's member, where the next member is written.
    /// The file may be longer. 0 for a directory.
    pub fn end(&self) -> u64 {
        match self.kind {
            StoreKind::Archive { end, .. } => end,
            StoreKind::Directory => 0,
        }
    }

    /// The durability that files are committed with.
    pub fn durability(&self) -> Durability {
        self.space.durability()
    }

    /// Gives a written blob its header or its name. An archive gets it as its next member: bytes
    /// that are elsewhere are copied there. A blob of the same digest is not added again.
    fn commit_blob(
        &mut self,
        (digest, size): (Digest, u64),
        mut extent: Extent,
        pending: Option<Pending>,
    ) -> Result<Blob, StoreError> {
        if let Some(same) = self.blobs.get(&digest) {
            return Ok(same.clone());
        }
        let path = self.space.path();
        let known = match &mut self.kind {
            StoreKind::Archive { file, end, header } => {
                let offset = *end + BLOCK;
                if pending.is_some() || extent.offset != offset {
                    let written = Blob { digest, size, place: Place::Open(extent) };
                    written.copy_to(file, offset).map_err(io_error("write", path))?;
                    extent = Extent { file: Arc::clone(file), offset };
                }
                let padding = size.next_multiple_of(BLOCK) - size;
                let zeros = &[0; BLOCK as usize][..padding as usize];
                file.write_all_at(&header(digest, size), *end)
                    .and_then(|()| file.write_all_at(zeros, offset + size))
                    .map_err(io_error("write", path))?;
                *end = offset + size + padding;
                None
            }
            StoreKind::Directory => {
                let target = path.join("blobs/sha256").join(digest.hex());
                if let Some(pending) = pending {
                    pending.name(&target, self.space.durability())?;
                }
                Some(target)
            }
        };
        let blob = Blob { digest, size, place: Place::Open(extent) };
        let known = known.map_or_else(|| blob.clone(), |target| blob.named(target));
        self.blobs.insert(digest, known);
        Ok(blob)
    }
}

fn same_owner_and_mode(one: &File, other: &File) -> bool {
    let of = |file| {
        let stat = rustix::io::retry_on_intr(|| rustix::fs::fstat(file));
        stat.map(|stat| (stat.st_uid, stat.st_gid, stat.st_mode))
    };
    of(one).is_ok_and(|one| of(other) == Ok(one))
}

/// The error of `action` on `path`.
fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Io { action, path: path.to_owned(), source }
}
