//! Blobs on disk, and files that appear whole or not at all.
//!
//! Bulk bytes are written once: where the output is one archive, blobs go straight into the
//! archive's temporary file as its members; otherwise each into a file of its own.

pub mod cache;
mod pending;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write},
    num::NonZeroU64,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::digest::{Digest, Digesting};

pub use pending::Pending;

/// Members of an archive start on these.
const BLOCK: u64 = 512;

/// How many bytes are gathered before the disk is asked to take them.
const WRITEBACK_BATCH: u64 = 8 << 20;

/// What went wrong with a file of ours.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// What was tried: `write`, `create a file in`.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The target is a directory.
    #[error("{} is a directory", .0.display())]
    Directory(PathBuf),
}

/// Bytes of a file from an offset on.
#[derive(Clone, Debug)]
pub struct Extent {
    /// Open for reading; read with positioned reads only.
    pub file: Arc<File>,
    /// Where they start.
    pub offset: u64,
}

impl Extent {
    /// The first `len` bytes, in order.
    pub fn reader(&self, len: u64) -> impl io::Read + use<> {
        ExtentReader { extent: self.clone(), left: len }
    }
}

/// Bytes on disk and their digest.
#[derive(Clone, Debug)]
pub struct Blob {
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// Where they are.
    pub extent: Extent,
}

/// Whether a rename waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The content is on the disk before its name is, and the name when the call returns.
    Synced,
    /// The system writes it when it likes; after a power cut the file may be empty.
    Cached,
}

/// Where blobs go.
#[derive(Debug)]
pub struct Store {
    kind: StoreKind,
    durability: Durability,
    blobs: BTreeMap<Digest, Blob>,
}

#[derive(Debug)]
enum StoreKind {
    Archive { file: Arc<File>, path: PathBuf, end: u64, header: Header },
    Directory { path: PathBuf },
}

/// Makes the member header of a blob.
pub type Header = fn(Digest, u64) -> [u8; BLOCK as usize];

impl Store {
    /// Blobs become members of the archive that is being written to `pending`, one behind the other
    /// from its offset `start`, a multiple of 512. `header` makes the header of each when its
    /// digest is known. `durability` is what `pending` will be committed with.
    pub fn archive(pending: &Pending, start: u64, header: Header, durability: Durability) -> Self {
        let kind = StoreKind::Archive {
            file: Arc::clone(pending.file()),
            path: pending.target().to_owned(),
            end: start,
            header,
        };
        Self { kind, durability, blobs: BTreeMap::new() }
    }

    /// Blobs become the files `blobs/sha256/HEX` below `path`, each when it is complete;
    /// [`Store::sync_names`] puts their names on the disk.
    ///
    /// # Errors
    /// Where the directories cannot be made.
    pub fn directory(path: &Path, durability: Durability) -> Result<Self, StoreError> {
        let blobs = path.join("blobs/sha256");
        fs_err::create_dir_all(&blobs).map_err(error("create", &blobs))?;
        Ok(Self {
            kind: StoreKind::Directory { path: path.to_owned() },
            durability,
            blobs: BTreeMap::new(),
        })
    }

    /// Begins a blob.
    ///
    /// # Errors
    /// Where no file can be made for it.
    pub fn begin(&mut self) -> Result<BlobWriter<'_>, StoreError> {
        let (extent, pending) = match &self.kind {
            StoreKind::Archive { file, end, .. } => {
                (Extent { file: Arc::clone(file), offset: end + BLOCK }, None)
            }
            StoreKind::Directory { path } => {
                let pending = Pending::create_in(path)?;
                (Extent { file: Arc::clone(pending.file()), offset: 0 }, Some(pending))
            }
        };
        let writer =
            Digesting::new(OffsetWriter { file: Arc::clone(&extent.file), offset: extent.offset });
        Ok(BlobWriter { store: self, writer, extent, pending, writeback_started: 0 })
    }

    /// Stores `bytes`.
    ///
    /// # Errors
    /// As [`Store::begin`] and [`BlobWriter::finish`].
    pub fn put(&mut self, bytes: &[u8]) -> Result<Blob, StoreError> {
        let mut writer = self.begin()?;
        writer.append(bytes)?;
        Ok(writer.finish()?.0)
    }

    /// Puts a blob that is complete elsewhere here: a directory gets another name of its file where
    /// that can be, which the second value tells.
    ///
    /// # Errors
    /// Where it cannot be copied.
    pub fn adopt(&mut self, blob: &Blob) -> Result<(Blob, bool), StoreError> {
        if let StoreKind::Directory { path } = &self.kind
            && !self.blobs.contains_key(&blob.digest)
        {
            let target = path.join("blobs/sha256").join(blob.digest.hex());
            // The file that this process would make: another umask or user would show in the other
            // name.
            let fresh = Pending::create_in(path)?;
            if same_owner_and_mode(fresh.file(), &blob.extent.file)
                && pending::link(&blob.extent.file, &target).is_ok()
            {
                pending::sync(&blob.extent.file, &target, self.durability)?;
                self.blobs.insert(blob.digest, blob.clone());
                return Ok((blob.clone(), true));
            }
        }
        let path = self.path().to_owned();
        let writer = self.begin()?;
        blob.copy_to(&writer.extent.file, writer.extent.offset).map_err(error("write", &path))?;
        Ok((writer.finish_written(blob.digest, blob.size)?.0, false))
    }

    /// Sees that the names of all blobs are on the disk, if that is wanted, before anything names
    /// them.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub fn sync_names(&self) -> Result<(), StoreError> {
        match &self.kind {
            StoreKind::Directory { path } if self.durability == Durability::Synced => {
                pending::sync_dir(&path.join("blobs/sha256"))
            }
            StoreKind::Directory { .. } | StoreKind::Archive { .. } => Ok(()),
        }
    }

    /// Where the last blob's member ends in an archive, and the file too unless a blob was left
    /// unfinished: what follows in the archive is to be written there. 0 for a directory.
    pub fn end(&self) -> u64 {
        match self.kind {
            StoreKind::Archive { end, .. } => end,
            StoreKind::Directory { .. } => 0,
        }
    }

    /// What files are committed with.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    fn path(&self) -> &Path {
        match &self.kind {
            StoreKind::Archive { path, .. } | StoreKind::Directory { path } => path,
        }
    }
}

/// A blob being written. Dropped without [`BlobWriter::finish`] it leaves nothing that anyone
/// reads.
#[derive(Debug)]
pub struct BlobWriter<'a> {
    store: &'a mut Store,
    writer: Digesting<OffsetWriter>,
    extent: Extent,
    pending: Option<Pending>,
    /// Bytes that the disk was asked to take.
    writeback_started: u64,
}

impl<'a> BlobWriter<'a> {
    /// Appends `bytes`.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.writer.write_all(bytes).map_err(error("write", self.store.path()))?;
        self.start_writeback(self.writer.written());
        Ok(())
    }

    /// Says that the first `len` bytes are written. The disk begins to take them while more are
    /// made, so that [`Durability::Synced`] has little left to wait for.
    pub fn start_writeback(&mut self, len: u64) {
        if self.store.durability == Durability::Cached {
            return;
        }
        let Some(more) = NonZeroU64::new(len.saturating_sub(self.writeback_started))
            .filter(|more| more.get() >= WRITEBACK_BATCH)
        else {
            return;
        };
        // Of the advice that these bytes are not needed again nothing comes but that they are
        // written: the pages stay in memory as long as they are not. A system that does not listen
        // waits at the end.
        let from = self.extent.offset + self.writeback_started;
        let _ =
            rustix::fs::fadvise(&*self.extent.file, from, Some(more), rustix::fs::Advice::DontNeed);
        self.writeback_started = len;
    }

    /// For threads that write parts of the blob at their places. When all are written,
    /// [`BlobWriter::finish_written`] ends it, and nobody calls [`BlobWriter::append`].
    pub fn parts(&self) -> PartWriter {
        PartWriter { extent: self.extent.clone(), path: self.store.path().to_owned() }
    }

    /// The blob, complete and in its place, and the store. Where that holds one of the same digest,
    /// that one.
    ///
    /// # Errors
    /// Where it cannot be given its header or its name.
    pub fn finish(self) -> Result<(Blob, &'a mut Store), StoreError> {
        let Self { store, writer, extent, pending, .. } = self;
        let (_, digest, size) = writer.finish();
        Ok((store.place(Blob { digest, size, extent }, pending)?, store))
    }

    /// As [`BlobWriter::finish`], of `size` bytes that [`BlobWriter::parts`] has written and that
    /// have this `digest`.
    ///
    /// # Errors
    /// As [`BlobWriter::finish`].
    pub fn finish_written(
        self,
        digest: Digest,
        size: u64,
    ) -> Result<(Blob, &'a mut Store), StoreError> {
        let Self { store, extent, pending, .. } = self;
        Ok((store.place(Blob { digest, size, extent }, pending)?, store))
    }
}

/// Writes parts of a blob in any order.
#[derive(Clone, Debug)]
pub struct PartWriter {
    extent: Extent,
    path: PathBuf,
}

impl PartWriter {
    /// Writes `bytes` at `offset` in the blob.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), StoreError> {
        self.extent
            .file
            .write_all_at(bytes, self.extent.offset + offset)
            .map_err(error("write", &self.path))
    }

    /// Ends the file `len` bytes behind the start of the blob.
    ///
    /// # Errors
    /// Where that cannot be.
    pub fn set_len(&self, len: u64) -> Result<(), StoreError> {
        self.extent.file.set_len(self.extent.offset + len).map_err(error("write", &self.path))
    }
}

impl Store {
    fn place(&mut self, blob: Blob, pending: Option<Pending>) -> Result<Blob, StoreError> {
        if let Some(same) = self.blobs.get(&blob.digest) {
            // Each member of an archive has its own name, so that a second blob of one digest has
            // no place.
            if let StoreKind::Archive { file, path, end, .. } = &self.kind {
                file.set_len(*end).map_err(error("write", path))?;
            }
            return Ok(same.clone());
        }
        match &mut self.kind {
            StoreKind::Archive { file, path, end, header } => {
                let padding = blob.size.next_multiple_of(BLOCK) - blob.size;
                file.write_all_at(&header(blob.digest, blob.size), *end)
                    .and_then(|()| {
                        let zeros = [0; BLOCK as usize];
                        file.write_all_at(
                            &zeros[..padding as usize],
                            blob.extent.offset + blob.size,
                        )
                    })
                    .map_err(error("write", path))?;
                *end = blob.extent.offset + blob.size + padding;
            }
            StoreKind::Directory { path } => {
                let target = path.join("blobs/sha256").join(blob.digest.hex());
                if let Some(pending) = pending {
                    pending.name(&target, self.durability)?;
                }
            }
        }
        self.blobs.insert(blob.digest, blob.clone());
        Ok(blob)
    }
}

/// Whether two files have the same owner and mode.
fn same_owner_and_mode(one: &File, other: &File) -> bool {
    let of = |file| rustix::fs::fstat(file).map(|stat| (stat.st_uid, stat.st_gid, stat.st_mode));
    of(one).is_ok_and(|one| of(other) == Ok(one))
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

impl Blob {
    /// Copies the bytes to `to` at `offset`, inside the kernel where it can.
    ///
    /// # Errors
    /// Where either file fails.
    pub fn copy_to(&self, to: &File, offset: u64) -> io::Result<()> {
        let (mut from_at, mut to_at) = (self.extent.offset, offset);
        let end = from_at + self.size;
        while from_at < end {
            let len = usize::try_from(end - from_at).unwrap_or(usize::MAX).min(1 << 30);
            let copied = rustix::fs::copy_file_range(
                &*self.extent.file,
                Some(&mut from_at),
                to,
                Some(&mut to_at),
                len,
            );
            match copied {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(
                    rustix::io::Errno::XDEV
                    | rustix::io::Errno::INVAL
                    | rustix::io::Errno::NOSYS
                    | rustix::io::Errno::OPNOTSUPP
                    | rustix::io::Errno::BADF
                    | rustix::io::Errno::PERM,
                ) => return self.copy_through_memory(from_at, to, to_at),
                Err(fault) => return Err(fault.into()),
            }
        }
        Ok(())
    }

    fn copy_through_memory(&self, mut from_at: u64, to: &File, mut to_at: u64) -> io::Result<()> {
        let end = self.extent.offset + self.size;
        let mut buffer = vec![0; 1 << 18];
        while from_at < end {
            let len = (end - from_at).min(buffer.len() as u64) as usize;
            self.extent.file.read_exact_at(&mut buffer[..len], from_at)?;
            to.write_all_at(&buffer[..len], to_at)?;
            from_at += len as u64;
            to_at += len as u64;
        }
        Ok(())
    }

    /// The bytes, in order.
    pub fn reader(&self) -> impl io::Read + use<> {
        self.extent.reader(self.size)
    }
}

struct ExtentReader {
    extent: Extent,
    left: u64,
}

impl io::Read for ExtentReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let read = self.extent.file.read_at(&mut buf[..len], self.extent.offset)?;
        if read == 0 && len > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.extent.offset += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

fn error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Io { action, path: path.to_owned(), source }
}
