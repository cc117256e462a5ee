//! The last bytes of a layer, which say where the table of contents is: an empty gzip member whose
//! extra field (RFC 1952, 2.3.1.1) has an offset.

/// Bytes of the footer.
pub(super) const LEN: usize = 51;

/// What is before the offset: a header with extra field and without operating system, the length of
/// the field, the name of the subfield, and its length.
const FRONT: [u8; 16] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 26, 0, b'S', b'G', 22, 0];
/// What is after it: the rest of the subfield, an empty stored block that is the last, and the
/// checksum and length of nothing.
const BACK: [u8; 19] =
    [b'S', b'T', b'A', b'R', b'G', b'Z', 1, 0, 0, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0];

/// The footer of a layer whose table of contents is at `offset`.
pub(super) fn of(offset: u64) -> Vec<u8> {
    [&FRONT[..], format!("{offset:016x}").as_bytes(), &BACK].concat()
}

/// The offset in a footer.
pub(super) fn parse(footer: &[u8]) -> Option<u64> {
    let digits = footer.strip_prefix(&FRONT)?.strip_suffix(&BACK)?;
    let is_whole = digits.len() == 16;
    let text = std::str::from_utf8(digits).ok().filter(|_| is_whole)?;
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn it_is_an_empty_member_with_an_offset() {
        let footer = of(0x0123_4567_89ab);
        assert_eq!(footer.len(), LEN);
        assert_eq!(parse(&footer), Some(0x0123_4567_89ab));
        assert_eq!(parse(&footer[1..]), None);
        let mut decoder = flate2::read::GzDecoder::new(&footer[..]);
        let mut out = Vec::new();
        decoder.read_to_end(&mut out).unwrap();
        assert!(out.is_empty());
        let extra = decoder.header().unwrap().extra().unwrap();
        assert_eq!(extra, b"SG\x16\x0000000123456789abSTARGZ");
    }
}
