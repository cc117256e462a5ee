//! Detecting a stream's compression, and decompressing it.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Read},
    mem,
};

use zstd::{
    stream::raw::{self, InBuffer, Operation as _, OutBuffer},
    zstd_safe::DParameter,
};

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

/// Bytes of NULs that may follow a compressed stream.
const MAX_PADDING: usize = 64 << 20;

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

/// As messages call it.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        })
    }
}

/// What bytes are that start with `start`, for messages about bytes where none belong.
pub fn describe(start: &[u8]) -> &'static str {
    let is_text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    match Format::sniff(start) {
        Format::Gzip => "a gzip stream",
        Format::Bzip2 => "a bzip2 stream",
        Format::Xz => "an xz stream",
        Format::Zstd => "a zstd stream",
        Format::Plain if start.get(257..262) == Some(b"ustar") => "another tar archive",
        Format::Plain if start.iter().take(64).all(|&byte| byte == 0) => "NUL bytes",
        Format::Plain if start.iter().take(64).all(is_text) => "text",
        Format::Plain => "binary data",
    }
}

/// Decompresses all gzip members, bzip2 and xz streams, or zstd frames in `reader`, to its end.
/// NUL bytes may follow, as tapes and pipes add them; those after zstd frames are refused, since no
/// other reader of zstd takes them. Reading fails if the stream is damaged or cut short, if
/// anything else follows it, or if it asks for more than 200 MiB of memory.
///
/// # Errors
/// If there is not enough memory for zstd's decoder.
pub fn decoder<'a>(format: Format, reader: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    open(format, reader, format != Format::Zstd)
}

/// As [`decoder`], but takes NUL bytes after xz streams only: Go's decoders of gzip and bzip2, with
/// which most engines read layers, refuse them.
///
/// # Errors
/// If there is not enough memory for zstd's decoder.
pub fn layer_decoder<'a>(format: Format, reader: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    open(format, reader, format == Format::Xz)
}

fn open<'a>(
    format: Format,
    reader: impl Read + 'a,
    takes_nuls: bool,
) -> io::Result<Box<dyn Read + 'a>> {
    let reader = BufReader::with_capacity(128 << 10, reader);
    if format == Format::Plain {
        return Ok(Box::new(reader));
    }
    let input = Input { front: Vec::new(), at: 0, reader };
    Ok(Box::new(Streams { format, takes_nuls, stream: Stream::open(format, input)? }))
}

/// Compressed bytes whose start can be looked at before it is read.
struct Input<R> {
    /// Bytes that have been looked at, and how many of them have been read.
    front: Vec<u8>,
    at: usize,
    reader: R,
}

impl<R: BufRead> Input<R> {
    /// The next `len` bytes, or all that are left.
    fn peek(&mut self, len: usize) -> io::Result<&[u8]> {
        self.front.drain(..self.at);
        self.at = 0;
        let missing = len.saturating_sub(self.front.len()) as u64;
        (&mut self.reader).take(missing).read_to_end(&mut self.front)?;
        Ok(&self.front)
    }

    /// Reads what follows the last stream: nothing, or NULs if it `takes_nuls`. Returns 0, as at
    /// the end.
    fn padding(&mut self, format: Format, takes_nuls: bool) -> io::Result<usize> {
        const LOOK: usize = 512;
        for _ in 0..MAX_PADDING / LOOK {
            let next = self.peek(LOOK)?;
            let zeros = next.iter().take_while(|&&byte| byte == 0).count();
            if next.is_empty() {
                return Ok(0);
            }
            if zeros < next.len() || !takes_nuls {
                let what = describe(if zeros < next.len() { &next[zeros..] } else { next });
                let text = format!("{what} after the end of the {format} stream");
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            self.at = zeros;
        }
        let text = format!("more than {MAX_PADDING} NUL bytes after the end of the stream");
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    }
}

impl<R: BufRead> BufRead for Input<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.front.get(self.at..) {
            Some([]) | None => self.reader.fill_buf(),
            Some(front) => Ok(front),
        }
    }

    fn consume(&mut self, len: usize) {
        if self.at < self.front.len() {
            self.at += len;
        } else {
            self.reader.consume(len);
        }
    }
}

impl<R: BufRead> Read for Input<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.fill_buf()?.read(buf)?;
        self.consume(len);
        Ok(len)
    }
}

/// Streams of one format, one after the other.
struct Streams<R: BufRead> {
    format: Format,
    /// Whether NULs may follow the last one.
    takes_nuls: bool,
    stream: Stream<R>,
}

/// One stream, or the end of the last.
enum Stream<R: BufRead> {
    Gzip(Box<flate2::bufread::GzDecoder<Input<R>>>),
    Bzip2(bzip2::bufread::BzDecoder<Input<R>>),
    Xz(Box<lzma_rust2::XzReader<Input<R>>>),
    Zstd(ZstdFrame<R>),
    End,
}

impl<R: BufRead> Stream<R> {
    fn open(format: Format, input: Input<R>) -> io::Result<Self> {
        Ok(match format {
            Format::Plain => Self::End,
            Format::Gzip => Self::Gzip(Box::new(flate2::bufread::GzDecoder::new(input))),
            Format::Bzip2 => Self::Bzip2(bzip2::bufread::BzDecoder::new(input)),
            Format::Xz => {
                Self::Xz(Box::new(lzma_rust2::XzReader::new_mem_limit(input, false, XZ_MEMORY)))
            }
            Format::Zstd => {
                let mut decoder = raw::Decoder::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))?;
                Self::Zstd(ZstdFrame { input, decoder, is_open: true })
            }
        })
    }

    /// The next of several streams.
    fn next(self, format: Format, takes_nuls: bool) -> io::Result<Self> {
        let (mut input, decoder) = match self {
            Self::Gzip(stream) => (stream.into_inner(), None),
            Self::Bzip2(stream) => (stream.into_inner(), None),
            Self::Xz(stream) => (stream.into_inner(), None),
            Self::Zstd(frame) => (frame.input, Some(frame.decoder)),
            Self::End => return Ok(Self::End),
        };
        if Format::sniff(input.peek(MAX_SNIFF)?) != format {
            input.padding(format, takes_nuls)?;
            return Ok(Self::End);
        }
        match decoder {
            // Layers have a frame for every file or two, and each decoder would need a window.
            Some(decoder) => Ok(Self::Zstd(ZstdFrame { input, decoder, is_open: true })),
            None => Self::open(format, input),
        }
    }
}

impl<R: BufRead> Read for Streams<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while !buf.is_empty() {
            let len = match &mut self.stream {
                Stream::Gzip(stream) => stream.read(buf),
                Stream::Bzip2(stream) => stream.read(buf),
                Stream::Xz(stream) => stream.read(buf),
                Stream::Zstd(frame) => frame.read(buf),
                Stream::End => break,
            }?;
            if len > 0 {
                return Ok(len);
            }
            let ended = mem::replace(&mut self.stream, Stream::End);
            self.stream = ended.next(self.format, self.takes_nuls)?;
        }
        Ok(0)
    }
}

/// One frame of zstd. Another may follow, which the same decoder can read.
struct ZstdFrame<R> {
    input: Input<R>,
    decoder: raw::Decoder<'static>,
    /// Whether the end of the frame has not been reached.
    is_open: bool,
}

impl<R: BufRead> Read for ZstdFrame<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut out = OutBuffer::around(buf);
        while self.is_open && out.pos() == 0 {
            let bytes = self.input.fill_buf()?;
            let at_end = bytes.is_empty();
            let mut input = InBuffer::around(bytes);
            self.is_open = self.decoder.run(&mut input, &mut out)? > 0;
            let taken = input.pos();
            self.input.consume(taken);
            if at_end && self.is_open && out.pos() == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "incomplete frame"));
            }
        }
        Ok(out.pos())
    }
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
            for (garbage, what) in [
                (&b"garbage, of some length"[..], "text"),
                (b"\0\0\0garbage, of some length", "text"),
                (b"\x1f\x8b and so on", "a gzip stream"),
                (b"\x80\xff", "binary data"),
            ] {
                if format == Format::Gzip && what.starts_with("a gzip") {
                    continue;
                }
                let error = read(&[&stream[..], garbage].concat()).unwrap_err();
                let wanted = format!("{what} after the end of the {format} stream");
                assert_eq!(error.to_string(), wanted);
            }
        }
    }

    #[test]
    fn zeros_may_follow_streams_except_of_zstd() {
        for (format, encode) in ENCODERS {
            for zeros in [1, 4, 512, 10_000] {
                let padded = read(&[encode(b"text"), vec![0; zeros]].concat());
                match format {
                    Format::Zstd => assert_eq!(
                        padded.unwrap_err().to_string(),
                        "NUL bytes after the end of the zstd stream"
                    ),
                    _ => assert_eq!(padded.unwrap(), b"text", "{format}, {zeros}"),
                }
                let stream = [encode(b"text"), vec![0; zeros]].concat();
                let layer = layer_decoder(format, &stream[..]).unwrap();
                let layer = io::read_to_string(layer);
                assert_eq!(layer.is_ok(), format == Format::Xz, "{format}, {zeros}");
            }
        }
        // A stream after them is another matter, as for gzip(1).
        let again = [gzip(b"one"), vec![0; 512], gzip(b"two")].concat();
        let error = read(&again).unwrap_err();
        assert_eq!(error.to_string(), "a gzip stream after the end of the gzip stream");
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
