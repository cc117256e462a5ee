//! Bytes on disk that have been written and digested.

use std::{
    fmt,
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::io::Errno;

use crate::digest::Digest;

/// Bytes copied through memory at once.
const BUFFER: usize = 1 << 18;

/// Bytes that one copy_file_range(2) is asked for.
const MAX_KERNEL_COPY: usize = 1 << 30;

/// The bytes of a file from an offset on.
#[derive(Clone, Debug)]
pub struct Extent {
    /// Open for reading, and read only at offsets.
    pub file: Arc<File>,
    /// Offset of the first byte.
    pub offset: u64,
}

/// Bytes on disk and their digest.
#[derive(Clone, Debug)]
pub struct Blob {
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// The number of bytes.
    pub size: u64,
    /// Where the bytes are.
    pub place: Place,
}

/// Where a blob's bytes are.
#[derive(Clone, Debug)]
pub enum Place {
    /// In an open file.
    Open(Extent),
    /// In a file of their own, which is opened for each use: an image may have more layers than a
    /// process may have open files. It may be replaced: whoever reads it compares the digest.
    Named(Arc<Path>),
    /// In a registry. They are fetched, and verified, when somebody reads them.
    Remote(Fetch),
}

/// Fetches bytes into a file.
type FetchFn = dyn Fn() -> io::Result<Extent> + Send + Sync;

/// How remote bytes become those of a file. The second time, they are there.
#[derive(Clone)]
pub struct Fetch(Arc<FetchFn>);

impl Fetch {
    /// Bytes that `fetch` fetches.
    pub fn new(fetch: impl Fn() -> io::Result<Extent> + Send + Sync + 'static) -> Self {
        Self(Arc::new(fetch))
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetch").finish_non_exhaustive()
    }
}

impl Place {
    /// The bytes in an open file.
    ///
    /// # Errors
    /// If the file cannot be opened or the bytes cannot be fetched.
    pub fn open(&self) -> io::Result<Extent> {
        Ok(match self {
            Self::Open(extent) => extent.clone(),
            Self::Named(path) => Extent { file: Arc::new(File::open(path)?), offset: 0 },
            Self::Remote(fetch) => (fetch.0)()?,
        })
    }
}

impl Extent {
    /// Reads the first `len` bytes, in order.
    pub fn reader(&self, len: u64) -> impl io::Read + use<> {
        ExtentReader { extent: self.clone(), left: len }
    }
}

impl Blob {
    /// Whether the bytes are in a registry only.
    pub fn is_remote(&self) -> bool {
        matches!(self.place, Place::Remote(_))
    }

    /// The same bytes in the file at `path`.
    pub(super) fn named(&self, path: PathBuf) -> Self {
        Self { place: Place::Named(path.into()), ..self.clone() }
    }

    /// Reads the bytes, in order. The first read fails if their file cannot be opened.
    pub fn reader(&self) -> impl io::Read + use<> {
        BlobReader { blob: self.clone(), bytes: None }
    }

    /// Copies the bytes to `offset` in `to`, inside the kernel where the file systems allow it
    /// (copy_file_range(2)).
    ///
    /// # Errors
    /// If either file fails.
    pub fn copy_to(&self, to: &File, offset: u64) -> io::Result<()> {
        let from = self.place.open()?;
        let (mut from_at, mut to_at) = (from.offset, offset);
        let end = from_at + self.size;
        while from_at < end {
            let left = usize::try_from(end - from_at).unwrap_or(usize::MAX);
            let copied = rustix::fs::copy_file_range(
                &*from.file,
                Some(&mut from_at),
                to,
                Some(&mut to_at),
                left.min(MAX_KERNEL_COPY),
            );
            match copied {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(
                    Errno::XDEV
                    | Errno::INVAL
                    | Errno::NOSYS
                    | Errno::OPNOTSUPP
                    | Errno::BADF
                    | Errno::PERM,
                ) => return copy_through_memory(&from.file, from_at..end, to, to_at),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}

fn copy_through_memory(
    from: &File,
    range: Range<u64>,
    to: &File,
    mut to_at: u64,
) -> io::Result<()> {
    let mut from_at = range.start;
    let mut buffer = vec![0; BUFFER];
    while from_at < range.end {
        let len = (range.end - from_at).min(buffer.len() as u64) as usize;
        from.read_exact_at(&mut buffer[..len], from_at)?;
        to.write_all_at(&buffer[..len], to_at)?;
        from_at += len as u64;
        to_at += len as u64;
    }
    Ok(())
}

struct BlobReader {
    blob: Blob,
    /// The open file, from the first read on.
    bytes: Option<ExtentReader>,
}

impl io::Read for BlobReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = match &mut self.bytes {
            Some(bytes) => bytes,
            None => {
                let extent = self.blob.place.open()?;
                self.bytes.insert(ExtentReader { extent, left: self.blob.size })
            }
        };
        bytes.read(buf)
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
