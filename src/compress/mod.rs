//! Codecs: what a stream is compressed with, opening it, and compressing in independent chunks.
//!
//! A stream is cut into chunks by *uncompressed offset*, each chunk is compressed without knowledge
//! of the others, and the joined result is one valid stream. So its bytes depend on nothing but the
//! input, the level and the encoder's version, whatever the number of threads or the size of
//! writes.

mod decode;
mod deflate_tail;
mod encode;

use std::{fmt, str::FromStr};

pub use decode::{Format, MAX_SNIFF, decoder};
pub use encode::{Checksum, Encoder, Trailer};

/// The version of what layers' bytes depend on besides their files: the tar's form, the encoders
/// and their versions, the chunks, the default levels. docs/format.md lists them. Whoever changes
/// one of these counts this up: cached layers of another version are not used, and each image names
/// its version.
pub const FORMAT: u32 = 2;

/// What a layer is compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952, one member. The level is libdeflate's, 1 to 12.
    Gzip(u8),
    /// RFC 8878, a frame for each piece. The level is 1 to 19: the higher ones want a window that
    /// memory limits and other decoders refuse.
    Zstd(u8),
}

/// Text that names no compression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no compression: none, gzip[:1-12] or zstd[:1-19]", .0.escape_debug())]
pub struct CompressionError(pub String);

impl Compression {
    /// gzip at level 5: over three times the speed of `gzip -6` or `pigz -6` a core, and 0.5 to 0.8
    /// % smaller. Level 6 is another 0.8 % smaller and takes a sixth more time.
    pub const GZIP: Self = Self::Gzip(5);
    /// zstd at level 3, zstd's own default.
    pub const ZSTD: Self = Self::Zstd(3);

    /// Bytes of input in each chunk but the last, of a stream of `size` bytes. Part of the output
    /// format: another value gives other bytes.
    ///
    /// Each chunk is compressed without history. Against one of 4 MiB, gzip loses 0.06 % of size
    /// with chunks of 2 MiB and 0.2 % with 1 MiB; zstd 2 % and 5 %. A small stream is cut smaller,
    /// so that all processors have some of it.
    pub fn frame_len(self, size: u64) -> usize {
        match self {
            Self::None => 1 << 19,
            Self::Gzip(_) if size < SMALL => 1 << 19,
            Self::Zstd(_) if size < SMALL => 1 << 20,
            Self::Gzip(_) | Self::Zstd(_) => 2 << 20,
        }
    }

    /// How many chunks are compressed faster together than one by one: ends are looked for in two
    /// gzip streams at once. This has no influence on the bytes.
    pub fn frames_at_once(self) -> u64 {
        match self {
            Self::None | Self::Zstd(_) => 1,
            Self::Gzip(_) => 2,
        }
    }
}

/// Streams with fewer bytes are cut into smaller chunks.
const SMALL: u64 = 16 << 20;

/// gzip at its default level.
impl Default for Compression {
    fn default() -> Self {
        Self::GZIP
    }
}

/// As [`Compression::from_str`] reads it, the level always said.
impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Gzip(level) => write!(f, "gzip:{level}"),
            Self::Zstd(level) => write!(f, "zstd:{level}"),
        }
    }
}

impl FromStr for Compression {
    type Err = CompressionError;

    fn from_str(text: &str) -> Result<Self, CompressionError> {
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level)),
            None => (text, None),
        };
        // `+6` and `06` parse as numbers and are no spelling of ours.
        let level = level
            .map(|level| level.parse().ok().filter(|n: &u8| n.to_string() == level).unwrap_or(0));
        match (name, level) {
            ("none", None) => Ok(Self::None),
            ("gzip", None) => Ok(Self::GZIP),
            ("gzip", Some(level @ 1..=12)) => Ok(Self::Gzip(level)),
            ("zstd", None) => Ok(Self::ZSTD),
            ("zstd", Some(level @ 1..=19)) => Ok(Self::Zstd(level)),
            _ => Err(CompressionError(text.chars().take(100).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints() {
        for (text, wanted) in [
            ("none", Compression::None),
            ("gzip", Compression::Gzip(5)),
            ("gzip:12", Compression::Gzip(12)),
            ("zstd", Compression::Zstd(3)),
            ("zstd:19", Compression::Zstd(19)),
        ] {
            assert_eq!(text.parse(), Ok(wanted));
            assert_eq!(wanted.to_string().parse(), Ok(wanted));
        }
        for text in [
            "", "gzip:", "gzip:0", "gzip:13", "gzip:+6", "gzip:06", "zstd:20", "none:1", "xz",
            "GZIP",
        ] {
            assert_eq!(text.parse::<Compression>(), Err(CompressionError(text.into())));
        }
    }
}
