//! Strings as strace(1) writes them, with escapes.

/// `text` with all escapes replaced by their bytes.
pub(super) fn unescaped(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    while let Some((&byte, rest)) = text.split_first() {
        let (byte, len) = if byte == b'\\' { escaped(rest)? } else { (byte, 0) };
        out.push(byte);
        text = &rest[len..];
    }
    Some(out)
}

/// The content of the string literal at the start of `text`, and the rest.
pub(super) fn quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let text = text.strip_prefix(b"\"")?;
    let (mut out, mut at) = (Vec::new(), 0);
    loop {
        match *text.get(at)? {
            b'"' => return Some((out, &text[at + 1..])),
            b'\\' => {
                let (byte, len) = escaped(&text[at + 1..])?;
                out.push(byte);
                at += 1 + len;
            }
            byte => {
                out.push(byte);
                at += 1;
            }
        }
    }
}

/// The byte that an escape stands for, and the length of the escape after its backslash.
fn escaped(text: &[u8]) -> Option<(u8, usize)> {
    let number =
        |digits: &[u8], radix| u8::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok();
    Some(match *text.first()? {
        b'n' => (b'\n', 1),
        b't' => (b'\t', 1),
        b'r' => (b'\r', 1),
        b'v' => (0x0b, 1),
        b'f' => (0x0c, 1),
        b'x' => (number(text.get(1..3)?, 16)?, 3),
        b'0'..=b'7' => {
            let len = text.iter().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
            (number(&text[..len], 8)?, len)
        }
        byte => (byte, 1),
    })
}
