//! The time of a file as a pure function of its content.
//!
//! Servers make validators of a file's time and length, so other content has to have another time;
//! equal content has an equal time, so that layers stay shared. Programs that keep a compiled form
//! next to its source use it only if it is not older, so that binary files, which compilers write,
//! come after all text files, which people write.

use super::Timestamp;

/// A file with a NUL byte among as many bytes at its start is binary, as for git.
const HEAD: u64 = 8000;

/// Text files have times in this many seconds from [`Timestamp::EARLIEST`] on, about 17 years;
/// binary files have them in as many seconds after that. All of them are in the past.
const RANGE: u32 = 1 << 29;

/// The time of content whose bytes are given piece by piece: [`Timestamp::EARLIEST`], plus 2^29
/// seconds for a binary file, plus the last 29 bits of the content's CRC-32 (that of gzip,
/// RFC 1952) in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct ContentTime {
    crc: u32,
    len: u64,
    is_binary: bool,
}

impl ContentTime {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let head = usize::try_from(HEAD.saturating_sub(self.len)).unwrap_or(usize::MAX);
        let head = bytes.get(..head).unwrap_or(bytes);
        self.is_binary = self.is_binary || memchr::memchr(0, head).is_some();
        let mut crc = libdeflater::Crc::with_initial(self.crc);
        crc.update(bytes);
        self.crc = crc.sum();
        self.len += bytes.len() as u64;
    }

    /// The time of a file with the bytes so far (docs/format.md, "Times").
    pub fn finish(self) -> Timestamp {
        let offset = self.crc % RANGE + if self.is_binary { RANGE } else { 0 };
        Timestamp(Timestamp::EARLIEST.0 + i64::from(offset))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The time of content in pieces of `len` bytes.
    fn in_pieces(content: &[u8], len: usize) -> i64 {
        let mut time = ContentTime::default();
        content.chunks(len).for_each(|piece| time.update(piece));
        time.finish().seconds()
    }

    #[test]
    fn the_times_of_this_format() {
        let time = |content: &[u8]| in_pieces(content, 9000);
        assert_eq!(time(b""), 315_619_200);
        // CRC-32, with the check value of its catalogue entry: 0xcbf43926.
        assert_eq!(time(b"123456789"), 315_619_200 + 0x0bf4_3926);
        assert_eq!(time(b"\0"), 315_619_200 + (1 << 29) + (0xd202_ef8d % (1 << 29)));
        assert_eq!(in_pieces(&[b'x'; 8000], 7), in_pieces(&[b'x'; 8000], 8000));
        let mut text = vec![b'x'; 8001];
        text[8000] = 0;
        assert!(time(&text) < 315_619_200 + (1 << 29), "no NUL among the first 8000 bytes");
        text[7999] = 0;
        assert!(time(&text) >= 315_619_200 + (1 << 29));
    }

    proptest! {
        /// Never before 1980, in any time zone, and never in the future; pieces do not matter.
        #[test]
        fn times_are_in_range(content: Vec<u8>, len in 1..99_usize) {
            let time = in_pieces(&content, len);
            prop_assert_eq!(time, in_pieces(&content, usize::MAX));
            prop_assert!(315_532_800 + 86_400 <= time);
            prop_assert!(time < 315_619_200 + (1 << 30));
            let is_binary = content.contains(&0);
            prop_assert_eq!(is_binary, time >= 315_619_200 + (1 << 29));
        }

        #[test]
        fn another_byte_is_another_time(
            mut content in proptest::collection::vec(1..=255_u8, 1..200),
            at: prop::sample::Index,
            new in 1..=255_u8,
        ) {
            let old = in_pieces(&content, usize::MAX);
            let byte = at.get_mut(&mut content);
            let is_change = *byte != new;
            *byte = new;
            prop_assert_eq!(is_change, in_pieces(&content, usize::MAX) != old);
        }
    }
}
