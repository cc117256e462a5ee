//! Decompresses archives into temporary files, so that they can be read at offsets.

use std::{
    cell::Cell,
    fs::File,
    io::{self, Read, Seek as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use crate::{
    compress::{self, Format, MAX_SNIFF},
    error_kind::ErrorKind,
    tree::{Archive, Region},
    uninterrupted::uninterrupted,
};

/// Limits on the size of an archive after decompression, and on what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Uncompressed bytes.
    pub bytes: u64,
    /// Uncompressed bytes per compressed byte. Zeros reach 1,000 in gzip, 7,000 in xz, 33,000 in
    /// zstd and 1,300,000 in bzip2; files in images reach 10.
    pub ratio: u64,
    /// Uncompressed bytes up to which the ratio does not apply.
    pub ratio_from: u64,
    /// Whether only what engines take may follow a compressed stream.
    pub as_layer: bool,
}

impl Limits {
    /// 64 GiB, and a ratio of 2,000 from 1 GiB on.
    pub const DEFAULT: Self =
        Self { bytes: 64 << 30, ratio: 2000, ratio_from: 1 << 30, as_layer: false };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why an archive cannot be decompressed.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The input cannot be read.
    #[error("cannot read {name}")]
    Read {
        /// What the user called it.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// The compressed stream is damaged, cut short or followed by something else.
    #[error("{name}: damaged {format} stream")]
    Damaged {
        /// What the user called it.
        name: String,
        /// Its compression.
        format: Format,
        /// What the decoder says.
        source: io::Error,
    },
    /// The archive is larger than [`Limits`] allow.
    #[error("{name}: more than {limit} bytes when uncompressed")]
    Large {
        /// What the user called it.
        name: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The temporary file cannot be written.
    #[error("cannot write a temporary file in {}", dir.display())]
    Write {
        /// The directory.
        dir: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl SpoolError {
    /// What the error means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Read { .. } => ErrorKind::Input,
            Self::Write { .. } => ErrorKind::Local,
            Self::Damaged { .. } | Self::Large { .. } => ErrorKind::Refused,
        }
    }
}

/// Opens the archive in `file`, which the user called `name`. An uncompressed regular file is used
/// as it is; others are decompressed into a nameless file in `dir`.
///
/// # Errors
/// [`SpoolError`]
pub fn open(name: &str, mut file: File, dir: &Path, limits: Limits) -> Result<Archive, SpoolError> {
    let read = |source| SpoolError::Read { name: name.to_owned(), source };
    if uninterrupted(|| file.metadata()).map_err(read)?.is_file() {
        let mut start = [0; MAX_SNIFF];
        let len = uninterrupted(|| file.read_at(&mut start, 0)).map_err(read)?;
        if Format::sniff(&start[..len]) == Format::Plain {
            return Ok(Archive::new(name, file));
        }
        file.rewind().map_err(read)?;
    }
    spool(name, file, dir, limits)
}

/// Decompresses `reader` into a nameless file in `dir`.
///
/// # Errors
/// [`SpoolError`]
pub fn spool(
    name: &str,
    reader: impl Read,
    dir: &Path,
    limits: Limits,
) -> Result<Archive, SpoolError> {
    let write = |source| SpoolError::Write { dir: dir.to_owned(), source };
    let file = tempfile::tempfile_in(dir).map_err(write)?;
    let mut out = SparseWriter::new(&file, 0);
    unpack(name, reader, (&mut out, dir), limits)?;
    out.finish().map_err(write)?;
    Ok(Archive::new(name, file))
}

/// Decompresses `reader` into `out`, a file in the directory given with it.
///
/// # Errors
/// [`SpoolError`]
pub fn unpack(
    name: &str,
    mut reader: impl Read,
    (mut out, dir): (impl io::Write, &Path),
    limits: Limits,
) -> Result<(), SpoolError> {
    let mut start = Vec::new();
    (&mut reader)
        .take(MAX_SNIFF as u64)
        .read_to_end(&mut start)
        .map_err(|source| SpoolError::Read { name: name.to_owned(), source })?;
    let format = Format::sniff(&start);
    let (taken, failed) = (Cell::new(0), Cell::new(false));
    let input = DecoderInput { inner: start.chain(reader), taken: &taken, failed: &failed };
    let fault = |source| match failed.get() || format == Format::Plain {
        true => SpoolError::Read { name: name.to_owned(), source },
        false => SpoolError::Damaged { name: name.to_owned(), format, source },
    };

    let decoder = match limits.as_layer {
        true => compress::layer_decoder(format, input),
        false => compress::decoder(format, input),
    };
    let mut decoder = decoder.map_err(fault)?;
    let mut buffer = vec![0; 256 << 10];
    let mut written = 0;
    loop {
        let len = match decoder.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => len,
            Err(retry) if retry.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(fault(source)),
        };
        written += len as u64;
        let by_ratio = limits.ratio.saturating_mul(taken.get()).max(limits.ratio_from);
        let limit = limits.bytes.min(by_ratio);
        if written > limit {
            return Err(SpoolError::Large { name: name.to_owned(), limit });
        }
        out.write_all(&buffer[..len])
            .map_err(|source| SpoolError::Write { dir: dir.to_owned(), source })?;
    }
    Ok(())
}

/// Copies a sparse file, whose data is in `regions` of `archive`, into a nameless file in `dir`.
/// Its holes take no space there.
///
/// # Errors
/// [`SpoolError`]
pub fn expand(
    archive: &Archive,
    regions: &[Region],
    len: u64,
    dir: &Path,
) -> Result<File, SpoolError> {
    let read = |source| SpoolError::Read { name: archive.name.clone(), source };
    let write = |source| SpoolError::Write { dir: dir.to_owned(), source };
    let file = tempfile::tempfile_in(dir).map_err(write)?;
    file.set_len(len).map_err(write)?;
    let mut buffer = vec![0; 256 << 10];
    for region in regions {
        let mut done = 0;
        while done < region.len {
            let part = &mut buffer[..(region.len - done).min(256 << 10) as usize];
            archive.read_exact_at(part, region.at + done).map_err(read)?;
            file.write_all_at(part, region.start + done).map_err(write)?;
            done += part.len() as u64;
        }
    }
    Ok(file)
}

/// Writes to the end of a file. Zeros take no space there.
#[derive(Debug)]
pub struct SparseWriter<'a> {
    file: &'a File,
    at: u64,
}

impl<'a> SparseWriter<'a> {
    /// Writes to `file`, which is `at` bytes long.
    pub fn new(file: &'a File, at: u64) -> Self {
        Self { file, at }
    }

    /// Sets the length of the file, which may end with zeros.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn finish(self) -> io::Result<()> {
        self.file.set_len(self.at)
    }
}

impl io::Write for SparseWriter<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.iter().any(|&byte| byte != 0) {
            self.file.write_all_at(buf, self.at)?;
        }
        self.at += buf.len() as u64;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Counts the bytes that a decoder reads, and records whether reading them failed.
struct DecoderInput<'a, R> {
    inner: R,
    taken: &'a Cell<u64>,
    failed: &'a Cell<bool>,
}

impl<R: Read> Read for DecoderInput<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let result = self.inner.read(buf);
        match &result {
            Ok(len) => self.taken.set(self.taken.get() + *len as u64),
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.failed.set(true),
        }
        result
    }
}
