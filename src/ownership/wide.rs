//! Constants of wide characters (`wchar_t`, UTF-16) → the same names in bytes. Pure.

/// Bytes of one name or path.
const MAX_TEXT: usize = 512;
/// Bytes of a character: of `char16_t` and Qt's strings, and of `wchar_t`.
const WIDTHS: [usize; 2] = [2, 4];

/// Calls `look` with each name or path in `bytes` that is written in little-endian characters of
/// two or four bytes and that has a slash or a dot in it.
pub fn each_name(bytes: &[u8], mut look: impl FnMut(&[u8])) {
    let mut text = Vec::new();
    for width in WIDTHS {
        let mut known = 0;
        for at in memchr::memchr2_iter(b'/', b'.', bytes) {
            if at < known || character(bytes, at, width).is_none() {
                continue;
            }
            let mut start = at;
            // Each byte belongs to one text only: the time is linear.
            while let Some(before) = start.checked_sub(width)
                && before >= known
                && at - before < MAX_TEXT * width
                && character(bytes, before, width).is_some()
            {
                start = before;
            }
            text.clear();
            let mut end = start;
            while let Some(byte) = character(bytes, end, width).filter(|_| text.len() < MAX_TEXT) {
                text.push(byte);
                end += width;
            }
            known = end;
            if text.len() > 1 {
                look(&text);
            }
        }
    }
}

/// The character at `at`, if it is one that names and paths have.
fn character(bytes: &[u8], at: usize, width: usize) -> Option<u8> {
    let (byte, zeros) = bytes.get(at..at.checked_add(width)?)?.split_first()?;
    let is_in_path = byte.is_ascii_alphanumeric() || b"/._+-@~%:".contains(byte);
    (is_in_path && zeros.iter().all(|zero| *zero == 0)).then_some(*byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], wanted: &[&str]) {
        let mut found = Vec::new();
        each_name(bytes, |name| found.push(String::from_utf8_lossy(name).into_owned()));
        assert_eq!(found, wanted);
    }

    #[test]
    fn names_in_characters_of_two_and_four_bytes() {
        let two = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        let four =
            |text: &str| text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect::<Vec<_>>();
        let odd = [&b"x"[..], &four("Parser.frame\0%s/x y"), &two("no\0a/b.c\0"), b"."].concat();
        check(&odd, &["a/b.c", "Parser.frame", "%s/x"]);
        check(b"plain.text\0/usr/share\0\0.\0\0\0", &[]);
        check(&four("cut.off")[..25], &["cut.of"]);
    }

    #[test]
    fn a_long_run_is_looked_at_once() {
        let (mut calls, mut total) = (0, 0);
        each_name(&b"/\0".repeat(10 * MAX_TEXT), |name| {
            calls += 1;
            total += name.len();
        });
        assert_eq!((calls, total), (10, 10 * MAX_TEXT));
    }
}
