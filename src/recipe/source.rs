//! Positions in a Buildfile, and excerpts that show them.

use std::fmt;

use crate::path::is_printable;

/// A range of bytes in the text of a [`Source`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Its first byte.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
}

/// Counted from 1; columns are characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

/// A Buildfile's name, as shown to the user, and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// How the file was named.
    pub name: String,
    /// The content of the file.
    pub text: String,
}

/// The most characters of a line that are shown: those around the fault.
const SHOWN: usize = 100;

impl Source {
    /// The line and column of a byte, or of the end of the text if `offset` is after it.
    pub fn position(&self, offset: usize) -> Position {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = 1 + before.bytes().filter(|&byte| byte == b'\n').count();
        Position { line, column: 1 + before[start..].chars().count() }
    }

    /// `name:line:column`, the line, and carets under the span: five lines without a final newline.
    pub fn excerpt(&self, span: Span) -> Excerpt<'_> {
        Excerpt { source: self, span }
    }

    /// The line that contains a byte, without its end, and its offset.
    fn line(&self, offset: usize) -> (&str, usize) {
        let offset = if self.text.is_char_boundary(offset) { offset } else { self.text.len() };
        let start = self.text[..offset].rfind('\n').map_or(0, |at| at + 1);
        let line = self.text[start..].split('\n').next().unwrap_or_default();
        (line.strip_suffix('\r').unwrap_or(line), start)
    }
}

/// A [`Span`] to show; see [`Source::excerpt`].
#[derive(Debug)]
pub struct Excerpt<'a> {
    source: &'a Source,
    span: Span,
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.source.position(self.span.start);
        let (text, start) = self.source.line(self.span.start);
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        let marked = self.span.end.saturating_sub(start).min(text.len());
        let marked =
            text.get(..marked).unwrap_or(text).chars().count().saturating_sub(column - 1).max(1);

        let skipped =
            if text.chars().count() > SHOWN { (column - 1).saturating_sub(SHOWN / 4) } else { 0 };
        let mut shown = String::from(if skipped > 0 { "…" } else { "" });
        let mut under = " ".repeat(shown.chars().count());
        for (at, char) in text.chars().enumerate().skip(skipped).take(SHOWN) {
            let wide = if char == '\t' { "    " } else { "" };
            match char {
                '\t' => shown.push_str(wide),
                _ if !is_printable(char) => shown.push(char::REPLACEMENT_CHARACTER),
                _ => shown.push(char),
            }
            let mark = if at + 1 < column { " " } else { "^" };
            if at + 1 < column + marked {
                under.push_str(&mark.repeat(wide.len().max(1)));
            }
        }
        if text.chars().count() > skipped + SHOWN {
            shown.push('…');
        }
        if !under.contains('^') {
            under.push('^');
        }
        let name = &self.source.name;
        write!(
            f,
            "{margin}--> {name}:{line}:{column}\n{margin} |\n{number} | {shown}\n\
            {margin} | {under}",
            shown = shown.trim_end()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str, start: usize, end: usize) -> String {
        Source { name: "Buildfile".into(), text: text.into() }
            .excerpt(Span { start, end })
            .to_string()
    }

    #[test]
    fn points_at_the_word() {
        assert_eq!(
            show("FROM scratch\n\tCOPPY é /\n", 14, 19),
            " --> Buildfile:2:2\n  |\n2 |     COPPY é /\n  |     ^^^^^"
        );
        assert_eq!(show("a é b", 5, 6), " --> Buildfile:1:5\n  |\n1 | a é b\n  |     ^");
    }

    #[test]
    fn points_behind_the_end_of_a_line_and_of_the_text() {
        assert_eq!(show("ENV\r\nx", 3, 3), " --> Buildfile:1:4\n  |\n1 | ENV\n  |    ^");
        assert_eq!(show("ENV", 99, 120), " --> Buildfile:1:4\n  |\n1 | ENV\n  |    ^");
        assert_eq!(show("", 0, 0), " --> Buildfile:1:1\n  |\n1 | \n  | ^");
    }

    #[test]
    fn a_span_over_lines_marks_the_first() {
        assert_eq!(show("ab \\\ncd", 1, 7), " --> Buildfile:1:2\n  |\n1 | ab \\\n  |  ^^^");
    }

    #[test]
    fn long_lines_are_cut_around_the_fault() {
        let text = "x".repeat(500) + "HERE" + &"y".repeat(500);
        let shown = show(&text, 500, 504);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[2], format!("1 | …{}HERE{}…", "x".repeat(25), "y".repeat(71)));
        assert_eq!(lines[3], format!("  | {}^^^^", " ".repeat(26)));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert!(show("a\x1b[31m\0b", 1, 2).contains("a\u{fffd}[31m\u{fffd}b"));
    }
}
