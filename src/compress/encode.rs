//! Compressing in independent pieces, and the bytes around them.

use std::io::{self, Write};

use super::{Compression, inflate};

/// Header of the one gzip member (RFC 1952, 2.3.1): deflate, no flags, no time, no hint, no operating system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Bytes that deflate sees at once. Against 4 MiB, 1 MiB loses 0.1 % of size.
const CHUNK: usize = 1 << 20;

/// A last, empty deflate block with fixed codes. Pieces leave the last-block bit clear, so that no piece need
/// know whether it is the last and no bytes at all are a stream too.
const GZIP_LAST_BLOCK: [u8; 2] = [3, 0];

/// Compresses pieces. Each thread has its own.
pub struct Encoder(Kind);

enum Kind {
    None,
    Gzip { compressor: libdeflater::Compressor, rest: Vec<u8> },
    Zstd(zstd::bulk::Compressor<'static>),
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Kind::None => "Encoder(none)",
            Kind::Gzip { .. } => "Encoder(gzip)",
            Kind::Zstd(_) => "Encoder(zstd)",
        })
    }
}

/// What the trailer must know of a piece.
#[derive(Debug)]
pub struct Piece {
    crc: flate2::Crc,
}

impl Encoder {
    /// An encoder for the pieces of one or more streams.
    ///
    /// # Errors
    /// Where zstd's encoder cannot be made, for want of memory.
    pub fn new(compression: Compression) -> io::Result<Self> {
        Ok(Self(match compression {
            Compression::None => Kind::None,
            Compression::Gzip(level) => {
                let level =
                    libdeflater::CompressionLvl::new(i32::from(level.clamp(1, 12))).unwrap_or_default();
                Kind::Gzip { compressor: libdeflater::Compressor::new(level), rest: Vec::new() }
            }
            Compression::Zstd(level) => {
                Kind::Zstd(zstd::bulk::Compressor::new(i32::from(level.clamp(1, 19)))?)
            }
        }))
    }

    /// Puts the compressed form of `piece` into `out`, whose old content is lost.
    ///
    /// # Errors
    /// Where the encoder fails, which it does for no input that fits in memory.
    pub fn encode(&mut self, piece: &[u8], out: &mut Vec<u8>) -> io::Result<Piece> {
        out.clear();
        let mut crc = flate2::Crc::new();
        match &mut self.0 {
            Kind::None => out.extend_from_slice(piece),
            Kind::Gzip { compressor, rest } => {
                crc.update(piece);
                deflate(compressor, piece, out, rest)?;
            }
            Kind::Zstd(compressor) => {
                out.reserve(zstd::zstd_safe::compress_bound(piece.len()));
                compressor.compress_to_buffer(piece, out)?;
            }
        }
        Ok(Piece { crc })
    }
}

/// One piece as deflate blocks, none marked as the last, that end on a byte. Its halves are compressed
/// separately: of that comes the 1 MiB that [`Compression::piece_len`] speaks of.
fn deflate(
    compressor: &mut libdeflater::Compressor,
    piece: &[u8],
    out: &mut Vec<u8>,
    rest: &mut Vec<u8>,
) -> io::Result<()> {
    let (first, second) = piece.split_at(piece.len().min(CHUNK));
    for (chunk, out) in [(first, &mut *out), (second, &mut *rest)] {
        out.resize(compressor.deflate_compress_bound(chunk.len()), 0);
        let len = compressor.deflate_compress(chunk, out).map_err(io::Error::other)?;
        out.truncate(len);
        out.resize(len + inflate::PADDING, 0);
    }
    let (end, end_of_rest) = inflate::last_blocks(out, rest)
        .ok_or_else(|| io::Error::other("libdeflate wrote no valid blocks"))?;
    for (end, out) in [(end, &mut *out), (end_of_rest, &mut *rest)] {
        out.truncate(out.len() - inflate::PADDING);
        end.reopen(out);
    }
    if !second.is_empty() {
        out.extend_from_slice(rest);
    }
    Ok(())
}

/// Gathers the pieces of one stream, in order, for what comes after them.
#[derive(Debug)]
pub struct Trailer {
    compression: Compression,
    crc: flate2::Crc,
    empty: bool,
}

impl Trailer {
    /// For a stream without pieces.
    pub fn new(compression: Compression) -> Self {
        Self { compression, crc: flate2::Crc::new(), empty: true }
    }

    /// What comes before the first piece.
    pub fn header(&self) -> &'static [u8] {
        match self.compression {
            Compression::None | Compression::Zstd(_) => &[],
            Compression::Gzip(_) => &GZIP_HEADER,
        }
    }

    /// Takes the next piece into account.
    pub fn push(&mut self, piece: &Piece) {
        self.crc.combine(&piece.crc);
        self.empty = false;
    }

    /// What comes after the last piece.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self.compression {
            Compression::None => Ok(Vec::new()),
            Compression::Gzip(_) => {
                let mut out = GZIP_LAST_BLOCK.to_vec();
                out.extend_from_slice(&self.crc.sum().to_le_bytes());
                // ISIZE is the length modulo 2^32 (RFC 1952, 2.3.1), which is what `amount` gives.
                out.extend_from_slice(&self.crc.amount().to_le_bytes());
                Ok(out)
            }
            // No frame at all is no zstd stream to most readers.
            Compression::Zstd(_) if self.empty => {
                let mut out = Vec::new();
                Encoder::new(self.compression)?.encode(&[], &mut out)?;
                Ok(out)
            }
            Compression::Zstd(_) => Ok(Vec::new()),
        }
    }
}

/// Compresses what is written through it on the calling thread: the same bytes as pieces that were
/// compressed in parallel. [`Writer::finish`] must be called.
#[derive(Debug)]
pub struct Writer<W> {
    inner: W,
    encoder: Encoder,
    trailer: Trailer,
    piece: Vec<u8>,
    out: Vec<u8>,
    piece_len: usize,
}

impl<W: Write> Writer<W> {
    /// Begins a stream.
    ///
    /// # Errors
    /// As [`Encoder::new`], and where `inner` fails.
    pub fn new(compression: Compression, mut inner: W) -> io::Result<Self> {
        let trailer = Trailer::new(compression);
        inner.write_all(trailer.header())?;
        let piece_len = compression.piece_len();
        let piece = Vec::with_capacity(piece_len);
        Ok(Self { inner, encoder: Encoder::new(compression)?, trailer, piece, out: Vec::new(), piece_len })
    }

    /// Ends the stream and returns the writer below.
    ///
    /// # Errors
    /// Where `inner` or the encoder fails.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.piece.is_empty() {
            self.encode()?;
        }
        self.inner.write_all(&self.trailer.finish()?)?;
        Ok(self.inner)
    }

    fn encode(&mut self) -> io::Result<()> {
        let piece = self.encoder.encode(&self.piece, &mut self.out)?;
        self.trailer.push(&piece);
        self.piece.clear();
        self.inner.write_all(&self.out)
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.piece.len() == self.piece_len {
            self.encode()?;
        }
        let taken = &buf[..buf.len().min(self.piece_len - self.piece.len())];
        self.piece.extend_from_slice(taken);
        Ok(taken.len())
    }

    /// Flushes the writer below. A piece that is not full stays: cutting it here would make the bytes depend
    /// on when the caller flushes.
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::{compress, digest::Digest};

    const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip(1), Compression::GZIP, Compression::ZSTD, Compression::Zstd(9)];

    /// Two pieces and a bit of text-like bytes, without a random generator whose version could change.
    fn sample(len: usize) -> Vec<u8> {
        (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> (11 + i % 13)) as u8 & 63).collect()
    }

    fn write(compression: Compression, data: &[u8], step: usize) -> Vec<u8> {
        let mut writer = Writer::new(compression, Vec::new()).unwrap();
        for part in data.chunks(step) {
            writer.write_all(part).unwrap();
            writer.flush().unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn any_write_size_gives_the_same_stream_which_reads_back() {
        for compression in ALL {
            for len in [0, 1, 1000, 1 << 20, (1 << 20) + 1, 5 << 20] {
                let data = sample(len);
                let stream = write(compression, &data, len.max(1));
                assert!(stream == write(compression, &data, 65_521), "{compression} {len}");
                let mut back = Vec::new();
                let format = compress::Format::sniff(&stream);
                compress::decoder(format, &stream[..]).unwrap().read_to_end(&mut back).unwrap();
                assert!(back == data, "{compression} {len}");
            }
        }
    }

    /// libdeflater is pinned for this. A change here is a change of every layer's digest: it needs a new
    /// format version and a line in the change log.
    #[test]
    fn the_bytes_are_those_of_this_format_version() {
        let data = sample(3 << 20);
        let digest = |compression| Digest::of(write(compression, &data, 1 << 20)).hex()[..16].to_owned();
        let wanted = [
            "8e1879309c3984df",
            "5a9f5ada8db30db7",
            "2b9610e51ab8043a",
            "35449fee41bfba3b",
            "e458b0de27f732f4",
        ];
        assert_eq!((compress::FORMAT, ALL.map(digest)), (1, wanted.map(str::to_owned)));
    }

    /// `GzDecoder`, unlike `MultiGzDecoder`, stops after the first member, as Python's `zlib.decompress` does.
    #[test]
    fn gzip_is_one_member() {
        let data = sample(3 << 20);
        let mut back = Vec::new();
        let stream = write(Compression::GZIP, &data, 1 << 20);
        flate2::read::GzDecoder::new(&stream[..]).read_to_end(&mut back).unwrap();
        assert!(back == data);
        assert_eq!(stream[..10], GZIP_HEADER);
    }
}
