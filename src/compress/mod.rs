//! Codecs: decompressing streams of any format, and compressing in independent frames.
//!
//! A stream is cut into frames by *uncompressed offset*. Each frame is compressed without history,
//! and the concatenation is one valid stream. So its bytes depend only on the input, the level and
//! the encoder's version, not on the number of threads or the size of writes. With zstd these are
//! the frames of RFC 8878; with gzip each is a sequence of deflate blocks that ends on a byte.

mod decode;
mod deflate_tail;
mod encode;
mod member;
mod stream;

use std::{fmt, str::FromStr};

pub use decode::{Format, MAX_SNIFF, decoder, describe, layer_decoder};
pub use encode::{Checksum, Encoder, Trailer};
pub use member::MemberEncoder;
pub use stream::Stream;

/// The version of everything besides the files that an image's bytes depend on: the form of the
/// tar, the encoders and their versions, the frame lengths, the default levels, the documents.
/// docs/format.md lists them. Increment it when you change one of these: cached layers of other
/// versions are not used, and each image names its version.
pub const FORMAT: u32 = 5;

/// What a layer is compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// No compression.
    None,
    /// RFC 1952, one member. The level is libdeflate's, 1 to 12.
    Gzip(u8),
    /// RFC 8878. The level is 1 to 19: higher ones need a window that memory limits and other
    /// decoders refuse.
    Zstd(u8),
    /// Gzip whose files are members of their own and can be fetched one by one; the level is as for
    /// gzip. Only layers have this form.
    Estargz(u8),
}

/// A text that does not name a compression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is not a compression: none, gzip[:1-12], zstd[:1-19] or estargz[:1-12]",
    .0.escape_debug()
)]
pub struct CompressionError(pub String);

impl Compression {
    /// gzip at level 5: per core more than three times the speed of `gzip -6` or `pigz -6`, and 0.5
    /// to 0.8 % smaller. Level 6 is another 0.8 % smaller and takes a sixth more time.
    pub const GZIP: Self = Self::Gzip(5);
    /// zstd at level 3, the default of zstd itself.
    pub const ZSTD: Self = Self::Zstd(3);
    /// eStargz at the level of [`Compression::GZIP`].
    pub const ESTARGZ: Self = Self::Estargz(5);

    /// The length of each frame except the last, in bytes of input, for a stream of `size` bytes.
    /// Part of the output format: another value gives other bytes.
    ///
    /// Compared with frames of 4 MiB, gzip's output grows by 0.06 % with 2 MiB and 0.2 % with 1
    /// MiB; zstd's by 2 % and 5 %. A small stream is cut into smaller frames, so that all
    /// processors get some of it.
    pub fn frame_len(self, size: u64) -> usize {
        match self {
            Self::None => 1 << 19,
            Self::Gzip(_) if size < SMALL => 1 << 19,
            Self::Zstd(_) if size < SMALL => 1 << 20,
            // The most that a member has; they end where files begin.
            Self::Gzip(_) | Self::Zstd(_) | Self::Estargz(_) => 2 << 20,
        }
    }

    /// The number of frames that are faster compressed together than one by one. Does not change
    /// the bytes. Two for gzip, whose ends are found in two streams at once.
    pub fn frames_at_once(self) -> u64 {
        match self {
            Self::None | Self::Zstd(_) | Self::Estargz(_) => 1,
            Self::Gzip(_) => 2,
        }
    }
}

/// Streams with fewer bytes are cut into smaller frames.
const SMALL: u64 = 16 << 20;

/// gzip at its default level.
impl Default for Compression {
    fn default() -> Self {
        Self::GZIP
    }
}

/// As [`Compression::from_str`] reads it, always with the level.
impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Gzip(level) => write!(f, "gzip:{level}"),
            Self::Zstd(level) => write!(f, "zstd:{level}"),
            Self::Estargz(level) => write!(f, "estargz:{level}"),
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
        // `+6` and `06` parse as numbers, but are not levels.
        let level = level
            .map(|level| level.parse().ok().filter(|n: &u8| n.to_string() == level).unwrap_or(0));
        match (name, level) {
            ("none", None) => Ok(Self::None),
            ("gzip", None) => Ok(Self::GZIP),
            ("gzip", Some(level @ 1..=12)) => Ok(Self::Gzip(level)),
            ("zstd", None) => Ok(Self::ZSTD),
            ("zstd", Some(level @ 1..=19)) => Ok(Self::Zstd(level)),
            ("estargz", None) => Ok(Self::ESTARGZ),
            ("estargz", Some(level @ 1..=12)) => Ok(Self::Estargz(level)),
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
            ("estargz", Compression::Estargz(5)),
            ("estargz:9", Compression::Estargz(9)),
        ] {
            assert_eq!(text.parse(), Ok(wanted));
            assert_eq!(wanted.to_string().parse(), Ok(wanted));
        }
        for text in [
            "",
            "gzip:",
            "gzip:0",
            "gzip:13",
            "gzip:+6",
            "gzip:06",
            "zstd:20",
            "none:1",
            "xz",
            "GZIP",
            "estargz:0",
            "estargz:13",
        ] {
            assert_eq!(text.parse::<Compression>(), Err(CompressionError(text.into())));
        }
    }
}
