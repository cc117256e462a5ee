//! Writing one blob: in order, or as parts by several threads.

use std::{
    fs::File,
    io::{self, Write},
    num::NonZeroU64,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{Advice, FallocateFlags},
    io::{Errno, retry_on_intr},
};

use super::{
    Durability, Store, StoreError,
    blob::{Blob, Extent},
    io_error,
    part_writer::PartWriter,
    pending::Pending,
};
use crate::digest::{Digest, Digesting};

/// Bytes written before writeback of them is started.
const WRITEBACK_BATCH: u64 = 8 << 20;

/// Bytes from which [`BlobWriter::reserve`] does something.
const RESERVED: u64 = 1 << 20;

/// The type of ext4 in statfs(2).
const EXT4: rustix::fs::FsWord = 0xef53;

/// A blob that is being written. If it is dropped without [`BlobWriter::finish`], nothing refers to
/// what it wrote.
#[derive(Debug)]
pub struct BlobWriter {
    /// For messages.
    path: PathBuf,
    durability: Durability,
    writer: Digesting<OffsetWriter>,
    pub(super) extent: Extent,
    pending: Option<Pending>,
    /// Bytes whose writeback was started.
    writeback_started: u64,
}

impl BlobWriter {
    /// A blob that goes to `extent`; `pending` is its file where it has one of its own.
    pub(super) fn new(
        (path, durability): (&Path, Durability),
        extent: Extent,
        pending: Option<Pending>,
    ) -> Self {
        let file = Arc::clone(&extent.file);
        let writer = Digesting::new(OffsetWriter { file, offset: extent.offset });
        let path = path.to_owned();
        Self { path, durability, writer, extent, pending, writeback_started: 0 }
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.writer.write_all(bytes).map_err(io_error("write", &self.path))?;
        self.start_writeback(self.writer.written());
        Ok(())
    }

    /// Lets the system write the first `len` bytes to the disk while more are made, so that the
    /// fsync of [`Durability::Synced`] has little left to wait for. Call it when they are written.
    pub fn start_writeback(&mut self, len: u64) {
        if self.durability == Durability::Cached {
            return;
        }
        let more = NonZeroU64::new(len.saturating_sub(self.writeback_started));
        let Some(more) = more.filter(|more| more.get() >= WRITEBACK_BATCH) else { return };
        // POSIX_FADV_DONTNEED starts writeback of dirty pages and drops only clean ones. Where a
        // system ignores it, the fsync at the end takes longer.
        let from = self.extent.offset + self.writeback_started;
        let _ = rustix::fs::fadvise(&*self.extent.file, from, Some(more), Advice::DontNeed);
        self.writeback_started = len;
    }

    /// Lets the file system give the file all of its `size` bytes at once, where writing them is
    /// faster then. ext4 otherwise notes each block when it is written, a quarter of the work.
    ///
    /// # Errors
    /// If there is no room for them.
    pub fn reserve(&self, size: u64) -> Result<(), StoreError> {
        let Extent { file, offset } = &self.extent;
        let found = || retry_on_intr(|| rustix::fs::fstatfs(&**file));
        let is_ext4 = || found().is_ok_and(|found| found.f_type == EXT4);
        if size < RESERVED || !is_ext4() {
            return Ok(());
        }
        let flags = FallocateFlags::empty();
        match retry_on_intr(|| rustix::fs::fallocate(&**file, flags, *offset, size)) {
            Err(errno @ (Errno::NOSPC | Errno::DQUOT)) => {
                Err(io_error("write", &self.path)(errno.into()))
            }
            // Whatever else is wrong, writing will say, if it is.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// For threads that write parts of the blob at their offsets. [`BlobWriter::finish_written`]
    /// ends such a blob when all parts are written; [`BlobWriter::append`] must not be used.
    pub fn part_writer(&self) -> PartWriter {
        PartWriter::new(self.extent.clone(), self.path.clone())
    }

    /// The blob, complete and in its place in `store`, whose [`super::Space`] it was begun in. If
    /// the store already has a blob of the same digest, that one.
    ///
    /// # Errors
    /// If its header or its name cannot be written.
    pub fn finish(self, store: &mut Store) -> Result<Blob, StoreError> {
        let Self { writer, extent, pending, .. } = self;
        let (_, digest, size) = writer.finish();
        store.commit_blob((digest, size), extent, pending)
    }

    /// As [`BlobWriter::finish`], for `size` bytes that were written through
    /// [`BlobWriter::part_writer`] and have this `digest`.
    ///
    /// # Errors
    /// As [`BlobWriter::finish`].
    pub fn finish_written(
        self,
        store: &mut Store,
        digest: Digest,
        size: u64,
    ) -> Result<Blob, StoreError> {
        store.commit_blob((digest, size), self.extent, self.pending)
    }
}

/// Writes to a file from an offset on.
#[derive(Debug)]
struct OffsetWriter {
    file: Arc<File>,
    offset: u64,
}

impl Write for OffsetWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.file.write_at(buf, self.offset)?;
        self.offset += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_that_is_reserved_changes_no_byte() {
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..(2 << 20) + 7).map(|number: u32| (number >> 7) as u8).collect();
        let (begin, end) = bytes.split_at(1 << 20);
        let mut store = Store::directory(dir.path(), Durability::Cached).unwrap();
        let writer = store.begin().unwrap();
        writer.reserve(bytes.len() as u64).unwrap();
        let parts = writer.part_writer();
        parts.write_at(end, begin.len() as u64).unwrap();
        parts.write_at(begin, 0).unwrap();
        let digest = Digest::of(&bytes);
        writer.finish_written(&mut store, digest, bytes.len() as u64).unwrap();
        let path = dir.path().join("blobs/sha256").join(digest.hex());
        assert_eq!(fs_err::read(path).unwrap(), bytes);
    }
}
