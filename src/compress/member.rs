//! Single gzip members, each of which can be decompressed alone.

use std::io;

/// Makes gzip members. Each thread has its own.
pub struct MemberEncoder(libdeflater::Compressor);

impl std::fmt::Debug for MemberEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemberEncoder")
    }
}

impl MemberEncoder {
    /// An encoder with libdeflate's `level`, 1 to 12.
    pub fn new(level: u8) -> Self {
        let level = libdeflater::CompressionLvl::new(i32::from(level.clamp(1, 12)));
        Self(libdeflater::Compressor::new(level.unwrap_or_default()))
    }

    /// Appends `input` as one member to `out`. Returns the member's length.
    ///
    /// # Errors
    /// If the encoder fails, which it does for no input that fits in memory.
    pub fn append(&mut self, input: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
        let start = out.len();
        out.resize(start + self.0.gzip_compress_bound(input.len()), 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let len = self.0.gzip_compress(input, room).map_err(io::Error::other)?;
        out.truncate(start + len);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::digest::Digest;

    #[test]
    fn members_decompress_alone_and_together() {
        let mut encoder = MemberEncoder::new(5);
        let mut out = Vec::new();
        let first = encoder.append(b"one", &mut out).unwrap();
        let second = encoder.append(&[7; 5000], &mut out).unwrap();
        assert_eq!(out.len(), first + second);
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(&out[first..]).read_to_end(&mut back).unwrap();
        assert_eq!(back, [7; 5000]);
        back.clear();
        flate2::read::MultiGzDecoder::new(&out[..]).read_to_end(&mut back).unwrap();
        assert!(back.starts_with(b"one\x07") && back.len() == 5003);
    }

    /// As for all encoders, another version of libdeflate may give other bytes.
    #[test]
    fn the_bytes_are_those_of_this_format_version() {
        let data: Vec<u8> =
            (0..200_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8 & 63).collect();
        let digests = [1, 5, 12].map(|level| {
            let mut out = Vec::new();
            MemberEncoder::new(level).append(&data, &mut out).unwrap();
            assert_eq!(out[..4], [0x1f, 0x8b, 8, 0]);
            assert_eq!(out[4..8], [0; 4], "no time");
            Digest::of(out).hex()[..16].to_owned()
        });
        assert_eq!(digests, ["c043bd6c6fca1e18", "f48d6da4e5e16c94", "5c5e7c04ca001a26"]);
    }
}
