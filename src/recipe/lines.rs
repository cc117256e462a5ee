//! Joins the lines of a text into logical lines, without comments and empty lines. The position of
//! each byte is kept.

use super::source::Span;

/// One instruction's line after joining.
#[derive(Debug)]
pub(super) struct LogicalLine {
    /// The joined text, without leading spaces and the last line's end.
    pub text: String,
    /// For each joined line its offset in `text` and in the source, in ascending order. The first
    /// is at 0 in `text`.
    offsets: Vec<(usize, usize)>,
    /// Whether there is an empty line between its lines, which Docker deprecates.
    pub has_empty_line: bool,
    /// Whether the text ends after a line that continues.
    pub cut_off: bool,
}

impl LogicalLine {
    /// The span in the source of a range of `text`.
    pub(super) fn span(&self, start: usize, end: usize) -> Span {
        let first = self.source_offset(start);
        let last = if end > start { self.source_offset(end - 1) + 1 } else { first };
        Span { start: first, end: last }
    }

    fn source_offset(&self, offset: usize) -> usize {
        let index = self.offsets.partition_point(|&(joined, _)| joined <= offset).saturating_sub(1);
        self.offsets.get(index).map_or(offset, |&(joined, source)| source + (offset - joined))
    }
}

/// Reads the lines of a text.
#[derive(Debug)]
pub(super) struct LineReader<'a> {
    text: &'a str,
    at: usize,
    /// The character that escapes others and continues lines.
    pub escape: char,
}

impl<'a> LineReader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let at = if text.starts_with('\u{feff}') { 3 } else { 0 };
        Self { text, at, escape: '\\' }
    }

    /// The offset of the next line.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// The next line with its end, and its offset.
    pub(super) fn physical(&mut self) -> Option<(&'a str, usize)> {
        let rest = &self.text[self.at..];
        let line = rest.split_inclusive('\n').next()?;
        let start = self.at;
        self.at += line.len();
        Some((line, start))
    }

    /// The next line that is neither empty nor a comment, joined with the lines that continue it.
    pub(super) fn logical(&mut self) -> Option<LogicalLine> {
        let mut out = LogicalLine {
            text: String::new(),
            offsets: Vec::new(),
            has_empty_line: false,
            cut_off: false,
        };
        let mut continued = false;
        while let Some((line, start)) = self.physical() {
            let line = line.trim_end_matches(['\r', '\n']);
            let bare = line.trim_start();
            let skipped = bare.is_empty() || bare.starts_with('#');
            if skipped {
                out.has_empty_line |= continued && bare.is_empty();
                continue;
            }
            // Only the first line loses its leading spaces: in later ones they separate words.
            let kept = if continued { line } else { bare };
            let (kept, goes_on) = match self.continuation(kept) {
                Some(kept) => (kept, true),
                None => (kept, false),
            };
            let indent = if continued { 0 } else { line.len() - bare.len() };
            out.offsets.push((out.text.len(), start + indent));
            out.text.push_str(kept);
            continued = true;
            if !goes_on {
                return Some(out);
            }
        }
        out.cut_off = continued;
        continued.then_some(out)
    }

    /// The line without its continuation mark, if it has one: an escape character at the end, or
    /// before spaces at the end, that is not itself escaped.
    fn continuation<'b>(&self, line: &'b str) -> Option<&'b str> {
        let kept = line.trim_end_matches([' ', '\t']).strip_suffix(self.escape)?;
        (!kept.ends_with(self.escape)).then_some(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(text: &str) -> Vec<String> {
        let mut reader = LineReader::new(text);
        std::iter::from_fn(|| reader.logical()).map(|line| line.text).collect()
    }

    #[test]
    fn joins_and_drops() {
        for (text, wanted) in [
            ("a\n\n # no\n  b\n", &["a", "b"][..]),
            ("a \\\n  b\\\nc", &["a   bc"]),
            ("a \\\n# comment\n\n b", &["a  b"]),
            ("a \\ \t\nb", &["a b"]),
            ("a \\\\\nb", &["a \\\\", "b"]),
            ("\\\na", &["a"]),
            ("a\r\nb \\\r\nc\r\n", &["a", "b c"]),
            ("\u{feff}a", &["a"]),
            ("a \\", &["a "]),
            ("", &[]),
            ("#", &[]),
        ] {
            assert_eq!(joined(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn keeps_the_position_of_each_byte() {
        let mut reader = LineReader::new("\u{feff}  ab \\\n# x\n cd\n");
        let line = reader.logical().unwrap();
        assert_eq!(line.text, "ab  cd");
        assert_eq!(line.span(0, 2), Span { start: 5, end: 7 });
        assert_eq!(line.span(4, 6), Span { start: 15, end: 17 });
        assert_eq!(line.span(1, 6), Span { start: 6, end: 17 });
        assert!(!line.has_empty_line && !line.cut_off);
    }

    #[test]
    fn reports_empty_lines_and_a_missing_end() {
        assert!(LineReader::new("a \\\n\nb").logical().unwrap().has_empty_line);
        assert!(LineReader::new("a \\\n").logical().unwrap().cut_off);
    }

    #[test]
    fn the_escape_character_is_chosen() {
        let mut reader = LineReader::new("a `\nb \\\nc");
        reader.escape = '`';
        assert_eq!(reader.logical().unwrap().text, "a b \\");
    }
}
