//! Text as it may be printed on a terminal.

use crate::path::is_printable;

/// `text` with what is not printable escaped, so that no name of a file can break a line, colour it
/// or give orders to a terminal.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match is_printable(char) {
            false => out.extend(char.to_string().bytes().map(|byte| format!("\\x{byte:02x}"))),
            true => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn control_characters_are_escaped() {
        let text = "a\x1b[1m\n\u{9b}é\u{202e}";
        assert_eq!(super::printable(text), "a\\x1b[1m\\x0a\\xc2\\x9bé\\xe2\\x80\\xae");
    }
}
