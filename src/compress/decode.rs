//! Detecting a stream's compression, and decompressing it.

use std::io::{self, BufReader, Read};

/// The compression of a stream, detected from its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// None of the others.
    Plain,
    /// RFC 1952.
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz, not its predecessor lzma.
    Xz,
    /// RFC 8878.
    Zstd,
}

/// The number of bytes that [`Format::sniff`] needs.
pub const MAX_SNIFF: usize = 6;

/// The largest window that a zstd stream may ask for, as a power of two: 128 MiB, the default of
/// zstd itself.
const ZSTD_WINDOW_LOG: u32 = 27;

/// The memory that an xz stream may ask for, in KiB. `xz -9` needs 65 MiB.
const XZ_MEMORY: u32 = 200 << 10;

impl Format {
    /// The format of a stream that starts with `start` ([`MAX_SNIFF`] bytes, or less if it is
    /// shorter).
    pub fn sniff(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            // A skippable frame may come first.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }
}

/// Decompresses all gzip members, bzip2 and xz streams, or zstd frames in `reader`, to its end.
/// Reading fails if the stream is damaged or cut short, if anything else follows it, or if it asks
/// for more than 200 MiB of memory.
///
/// # Errors
/// If there is not enough memory for zstd's decoder.
pub fn decoder<'a>(format: Format, reader: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let reader = BufReader::with_capacity(128 << 10, reader);
    Ok(match format {
        Format::Plain => Box::new(reader),
        Format::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        Format::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(reader)),
        Format::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(reader, true, XZ_MEMORY)),
        Format::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(reader)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn read(stream: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        decoder(Format::sniff(stream), stream)?.read_to_end(&mut out)?;
        Ok(out)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(text).unwrap();
        writer.finish().unwrap()
    }

    fn bzip2(text: &[u8]) -> Vec<u8> {
        let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        writer.write_all(text).unwrap();
        writer.finish().unwrap()
    }

    /// The smallest xz stream (The .xz File Format 1.2.1): one block, one uncompressed LZMA2 chunk,
    /// CRC32.
    fn xz(text: &[u8]) -> Vec<u8> {
        fn sealed(mut part: Vec<u8>) -> Vec<u8> {
            part.resize(part.len().next_multiple_of(4), 0);
            let crc = libdeflater::crc32(&part);
            [part, crc.to_le_bytes().to_vec()].concat()
        }
        assert!(text.len() < 64, "lengths are written as one byte");
        let mut block = sealed(vec![2, 0, 0x21, 1, 0]);
        if !text.is_empty() {
            block.extend([1, 0, text.len() as u8 - 1]);
            block.extend(text);
        }
        block.push(0);
        let index = sealed(vec![0, 1, block.len() as u8 + 4, text.len() as u8]);
        block.resize(block.len().next_multiple_of(4), 0);
        let footer = [index.len() as u8 / 4 - 1, 0, 0, 0, 0, 1];
        [
            b"\xfd7zXZ\0\x00\x01",
            &libdeflater::crc32(&[0, 1]).to_le_bytes()[..],
            &block,
            &libdeflater::crc32(text).to_le_bytes(),
            &index,
            &libdeflater::crc32(&footer).to_le_bytes(),
            &footer,
            b"YZ",
        ]
        .concat()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        zstd::encode_all(text, 1).unwrap()
    }

    type Encode = fn(&[u8]) -> Vec<u8>;

    const ENCODERS: [(Format, Encode); 4] =
        [(Format::Gzip, gzip), (Format::Bzip2, bzip2), (Format::Xz, xz), (Format::Zstd, zstd)];

    #[test]
    fn reads_all_parts_to_the_end() {
        for (format, encode) in ENCODERS {
            let stream = [encode(b"one, "), encode(b""), encode(b"two")].concat();
            assert_eq!(Format::sniff(&stream), format);
            assert_eq!(read(&stream).unwrap(), b"one, two", "{format:?}");
        }
        assert_eq!(read(b"plain").unwrap(), b"plain");
        assert_eq!(read(b"").unwrap(), b"");
    }

    #[test]
    fn refuses_what_is_cut_short_or_followed_by_something_else() {
        for (format, encode) in ENCODERS {
            let stream = encode(b"some text that is longer than a header");
            for end in 7..stream.len() {
                assert!(
                    read(&stream[..end]).is_err(),
                    "{format:?} cut at {end} of {}",
                    stream.len()
                );
            }
            assert!(
                read(&[&stream[..], b"garbage, of some length"].concat()).is_err(),
                "{format:?}"
            );
        }
    }

    #[test]
    fn refuses_windows_over_the_limit() {
        // RFC 8878, 3.1.1.1: descriptor 0 (no single segment, no size), window descriptor: exponent
        // 21 and 31 over 1 KiB, then one raw last block of one byte.
        let frame = |window: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, window, 0x09, 0, 0, b'x'];
        assert_eq!(read(&frame(10 << 3)).unwrap(), b"x");
        assert!(read(&frame(18 << 3)).is_err());
        assert!(read(&frame(31 << 3)).is_err());
    }
}
