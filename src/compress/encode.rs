//! Compressing in independent frames, and the bytes around them.

use std::io;

use super::{Compression, deflate_tail};

/// Header of the one gzip member (RFC 1952, 2.3.1): deflate, no flags, no time, no hint, no
/// operating system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// A last, empty deflate block with fixed codes. All other blocks leave the last-block bit clear,
/// so no frame needs to know whether it is the last, and a stream without frames is valid too.
const GZIP_LAST_BLOCK: [u8; 2] = [3, 0];

/// Compresses frames, one or several at a time. Each thread has its own.
pub struct Encoder(Kind);

enum Kind {
    None,
    Gzip(Deflate),
    Zstd(zstd::bulk::Compressor<'static>),
}

/// libdeflate, and its output buffers for two frames.
struct Deflate {
    compressor: libdeflater::Compressor,
    frame_len: usize,
    one: Vec<u8>,
    other: Vec<u8>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Kind::None => "Encoder(none)",
            Kind::Gzip(_) => "Encoder(gzip)",
            Kind::Zstd(_) => "Encoder(zstd)",
        })
    }
}

/// What [`Trailer`] needs to know of the bytes that one call compressed.
#[derive(Debug)]
pub struct Checksum {
    crc: flate2::Crc,
}

impl Encoder {
    /// An encoder for streams that are cut into frames of `frame_len` bytes.
    ///
    /// # Errors
    /// If there is not enough memory for zstd's encoder.
    pub fn new(compression: Compression, frame_len: usize) -> io::Result<Self> {
        Ok(Self(match compression {
            Compression::None => Kind::None,
            Compression::Gzip(level) | Compression::Estargz(level) => {
                let level = libdeflater::CompressionLvl::new(i32::from(level.clamp(1, 12)))
                    .unwrap_or_default();
                let compressor = libdeflater::Compressor::new(level);
                Kind::Gzip(Deflate { compressor, frame_len, one: Vec::new(), other: Vec::new() })
            }
            Compression::Zstd(level) => {
                Kind::Zstd(zstd::bulk::Compressor::new(i32::from(level.clamp(1, 19)))?)
            }
        }))
    }

    /// Compresses `input` into `out`, whose old content is lost. `input` starts where a frame
    /// starts and has at most [`Compression::frames_at_once`] frames; only the stream's last frame
    /// may be shorter than the others.
    ///
    /// # Errors
    /// If the encoder fails, which it does for no input that fits in memory.
    pub fn encode(&mut self, input: &[u8], out: &mut Vec<u8>) -> io::Result<Checksum> {
        out.clear();
        let mut crc = flate2::Crc::new();
        match &mut self.0 {
            Kind::None => out.extend_from_slice(input),
            Kind::Gzip(deflate) => {
                crc.update(input);
                deflate.encode(input, out)?;
            }
            Kind::Zstd(compressor) => {
                out.reserve(zstd::zstd_safe::compress_bound(input.len()));
                compressor.compress_to_buffer(input, out)?;
            }
        }
        Ok(Checksum { crc })
    }
}

impl Deflate {
    /// Appends one frame or two as deflate blocks that end on a byte, none of them marked as the
    /// last.
    fn encode(&mut self, input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let invalid = || io::Error::other("libdeflate wrote no valid blocks");
        let (first, second) = input.split_at(input.len().min(self.frame_len));
        let one = deflate(&mut self.compressor, first, &mut self.one)?;
        if second.is_empty() {
            deflate_tail::last_block(one).ok_or_else(invalid)?.append_open(one, out);
            return Ok(());
        }
        let other = deflate(&mut self.compressor, second, &mut self.other)?;
        let (end, other_end) = deflate_tail::last_blocks(one, other).ok_or_else(invalid)?;
        end.append_open(one, out);
        other_end.append_open(other, out);
        Ok(())
    }
}

/// Compresses a frame to a deflate stream, followed by the padding that [`deflate_tail`] needs. The
/// buffer is never shortened: growing it again would cost as much as writing it.
fn deflate<'b>(
    compressor: &mut libdeflater::Compressor,
    frame: &[u8],
    buffer: &'b mut Vec<u8>,
) -> io::Result<&'b [u8]> {
    let bound = compressor.deflate_compress_bound(frame.len()) + deflate_tail::PADDING;
    if buffer.len() < bound {
        buffer.resize(bound, 0);
    }
    let room = buffer.len() - deflate_tail::PADDING;
    let len = compressor.deflate_compress(frame, &mut buffer[..room]).map_err(io::Error::other)?;
    buffer.get(..len + deflate_tail::PADDING).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The bytes before and after the frames of one stream. It is told of them in order.
#[derive(Debug)]
pub struct Trailer {
    compression: Compression,
    crc: flate2::Crc,
    empty: bool,
}

impl Trailer {
    /// For a stream that has no frames yet.
    pub fn new(compression: Compression) -> Self {
        Self { compression, crc: flate2::Crc::new(), empty: true }
    }

    /// The bytes before the first frame.
    pub fn header(&self) -> &'static [u8] {
        match self.compression {
            Compression::None | Compression::Zstd(_) => &[],
            Compression::Gzip(_) | Compression::Estargz(_) => &GZIP_HEADER,
        }
    }

    /// Takes the next bytes of the stream into account.
    pub fn push(&mut self, checksum: &Checksum) {
        self.crc.combine(&checksum.crc);
        self.empty = false;
    }

    /// The bytes after the last frame.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self.compression {
            Compression::None => Ok(Vec::new()),
            Compression::Gzip(_) | Compression::Estargz(_) => {
                let mut out = GZIP_LAST_BLOCK.to_vec();
                out.extend_from_slice(&self.crc.sum().to_le_bytes());
                // ISIZE is the length modulo 2^32 (RFC 1952, 2.3.1), which is what `amount` gives.
                out.extend_from_slice(&self.crc.amount().to_le_bytes());
                Ok(out)
            }
            // Most readers take no frames at all for an error.
            Compression::Zstd(_) if self.empty => {
                let mut out = Vec::new();
                Encoder::new(self.compression, 1)?.encode(&[], &mut out)?;
                Ok(out)
            }
            Compression::Zstd(_) => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::{compress, digest::Digest};

    const ALL: [Compression; 5] = [
        Compression::None,
        Compression::Gzip(1),
        Compression::GZIP,
        Compression::ZSTD,
        Compression::Zstd(9),
    ];

    /// Text-like bytes, without a random generator whose version could change.
    fn sample(len: usize) -> Vec<u8> {
        (0..len as u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> (11 + i % 13)) as u8 & 63)
            .collect()
    }

    /// Compresses `data`, `frames` frames at a time, as part of a stream of `size` bytes.
    fn write(compression: Compression, data: &[u8], size: u64, frames: u64) -> Vec<u8> {
        let frame_len = compression.frame_len(size);
        let mut encoder = Encoder::new(compression, frame_len).unwrap();
        let mut trailer = Trailer::new(compression);
        let (mut stream, mut out) = (trailer.header().to_vec(), Vec::new());
        for part in data.chunks(frame_len * frames as usize) {
            trailer.push(&encoder.encode(part, &mut out).unwrap());
            stream.extend_from_slice(&out);
        }
        stream.extend(trailer.finish().unwrap());
        stream
    }

    #[test]
    fn any_number_of_frames_at_once_gives_the_same_stream_which_reads_back() {
        for compression in ALL {
            for len in [0, 1, 1000, 1 << 19, (1 << 20) + 1, 5 << 20] {
                let data = sample(len);
                let stream = write(compression, &data, len as u64, 1);
                let at_once = compression.frames_at_once();
                assert!(
                    stream == write(compression, &data, len as u64, at_once),
                    "{compression} {len}"
                );
                let mut back = Vec::new();
                let format = compress::Format::sniff(&stream);
                compress::decoder(format, &stream[..]).unwrap().read_to_end(&mut back).unwrap();
                assert!(back == data, "{compression} {len}");
            }
        }
    }

    /// libdeflater is pinned for this. A change here is a change of every layer's digest: it needs
    /// a new format version and a line in the change log.
    #[test]
    fn the_bytes_are_those_of_this_format_version() {
        let data = sample(3 << 20);
        // As a part of a small stream, and of a large one.
        let digest = |compression| {
            let both = [3 << 20, 1 << 30].map(|size| write(compression, &data, size, 1));
            Digest::of(both.concat()).hex()[..16].to_owned()
        };
        let wanted = [
            "036b0b2f8c7fea2b",
            "c0385d2cce3bd1e6",
            "1d7b13305ec26857",
            "a88c05a16ae16c96",
            "21a96f86319772a9",
        ];
        assert_eq!((compress::FORMAT, ALL.map(digest)), (5, wanted.map(str::to_owned)));
    }

    /// `GzDecoder`, unlike `MultiGzDecoder`, stops after the first member, as Python's
    /// `zlib.decompress` does.
    #[test]
    fn gzip_is_one_member() {
        let data = sample(3 << 20);
        let mut back = Vec::new();
        let stream = write(Compression::GZIP, &data, 1 << 30, 2);
        flate2::read::GzDecoder::new(&stream[..]).read_to_end(&mut back).unwrap();
        assert!(back == data);
        assert_eq!(stream[..10], GZIP_HEADER);
    }
}
