//! Splits a logical line into words, each with its span.

use std::borrow::Cow;

use super::Word;
use super::lines::LogicalLine;

/// Part of a logical line.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineRest<'a> {
    pub line: &'a LogicalLine,
    pub start: usize,
    pub end: usize,
}

/// Spaces between words. Other white space of Unicode is part of a word.
fn is_blank(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\r' | '\x0b' | '\x0c')
}

impl<'a> LineRest<'a> {
    /// The whole line, without spaces around it.
    pub(super) fn whole(line: &'a LogicalLine) -> Self {
        let text = line.text.trim();
        let start = line.text.len() - line.text.trim_start().len();
        Self { line, start, end: start + text.len() }
    }

    pub(super) fn text(&self) -> &'a str {
        &self.line.text[self.start..self.end]
    }

    /// All of it as one word.
    pub(super) fn word(&self) -> Word {
        self.sub(0, self.end - self.start)
    }

    /// The first word, and the rest.
    pub(super) fn split_first(&self) -> (Word, Self) {
        let len = self.text().find(is_blank).unwrap_or(self.text().len());
        (self.sub(0, len), Self { start: self.start + len, ..*self }.trimmed())
    }

    /// The words between spaces. Quotes have no meaning.
    pub(super) fn words(&self) -> Vec<Word> {
        let mut out = Vec::new();
        let mut rest = self.trimmed();
        while rest.start < rest.end {
            let (word, after) = rest.split_first();
            out.push(word);
            rest = after;
        }
        out
    }

    /// The words between spaces outside quotes. Quotes and escapes stay in the words, except an
    /// escape character at the very end, which escapes nothing.
    pub(super) fn quoted_words(&self, escape: char) -> Vec<Word> {
        let text = self.text();
        let (mut out, mut start, mut quote) = (Vec::new(), None, None);
        let mut chars = text.char_indices();
        while let Some((at, char)) = chars.next() {
            if start.is_none() && !char.is_whitespace() {
                start = Some(at);
            }
            match (quote, char) {
                (None, _) if char.is_whitespace() => {
                    out.extend(start.take().map(|start| self.sub(start, at)));
                }
                (None, '\'' | '"') => quote = Some(char),
                (Some(open), _) if char == open => quote = None,
                _ if char == escape && quote != Some('\'') && chars.next().is_none() => {
                    out.extend(start.filter(|&start| start < at).map(|start| self.sub(start, at)));
                    return out;
                }
                _ => {}
            }
        }
        out.extend(start.map(|start| self.sub(start, text.len())));
        out
    }

    /// The words that start with `--`, without quotes and backslashes, up to the first that does
    /// not or is just `--`; and the rest.
    pub(super) fn flags(&self) -> (Vec<Word>, Self) {
        let mut flags = Vec::new();
        let mut rest = self.trimmed();
        while rest.text().starts_with("--") {
            let (flag, len) = unquoted(rest.text());
            let word = Word { text: flag, ..rest.sub(0, len) };
            rest = Self { start: rest.start + len, ..rest }.trimmed();
            if word.text == "--" {
                break;
            }
            flags.push(word);
        }
        (flags, rest)
    }

    /// A part of it as a word.
    pub(super) fn sub(&self, from: usize, to: usize) -> Word {
        let span = self.line.span(self.start + from, self.start + to);
        Word { text: self.text()[from..to].to_string(), span }
    }

    fn trimmed(&self) -> Self {
        let text = self.text();
        let start = self.start + (text.len() - text.trim_start_matches(is_blank).len());
        Self { start, end: start + text.trim_matches(is_blank).len(), ..*self }
    }
}

/// The first word without its quotes and backslashes, and its length with them.
fn unquoted(text: &str) -> (String, usize) {
    let (mut out, mut quote) = (String::new(), None);
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match (quote, char) {
            (None, _) if char.is_whitespace() => return (out, at),
            (None, '\'' | '"') => quote = Some(char),
            (Some(open), _) if char == open => quote = None,
            (_, '\\') => out.extend(chars.next().map(|(_, escaped)| escaped)),
            _ => out.push(char),
        }
    }
    (out, text.len())
}

/// A text read as a JSON array.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Json {
    /// An array of strings.
    Strings(Vec<String>),
    /// An array that contains other values too.
    Others,
    /// Not an array.
    No,
}

/// Reads a JSON array as Docker does: another text is not an error, and whatever follows the array
/// is ignored (Go's `json.Decoder` stops at its end).
pub(super) fn json(text: &str) -> Json {
    if !text.trim_start().starts_with('[') {
        return Json::No;
    }
    let text = whole_surrogates(text);
    let first = serde_json::Deserializer::from_str(&text).into_iter().next();
    let Some(Ok(serde_json::Value::Array(values))) = first else { return Json::No };
    let strings = values.into_iter().map(|value| match value {
        serde_json::Value::String(string) => Some(string),
        _ => None,
    });
    strings.collect::<Option<Vec<_>>>().map_or(Json::Others, Json::Strings)
}

/// The text with U+FFFD in place of each unpaired surrogate `\uD8xx`, as Go reads it.
fn whole_surrogates(text: &str) -> Cow<'_, str> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut out = String::new();
    let (mut at, mut kept) = (0, 0);
    while let Some(found) = text.get(at..).and_then(|rest| rest.find('\\')) {
        at += found;
        match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => at += 12,
            Some(0xd800..=0xdfff) => {
                out.push_str(&text[kept..at]);
                out.push_str("\\ufffd");
                at += 6;
                kept = at;
            }
            // An escaped character does not start another escape.
            _ => at += 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
        }
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[kept..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::super::lines::LineReader;
    use super::*;

    fn texts(words: Vec<Word>) -> Vec<String> {
        words.into_iter().map(|word| word.text).collect()
    }

    fn with<T>(text: &str, then: impl FnOnce(LineRest<'_>) -> T) -> T {
        then(LineRest::whole(&LineReader::new(text).logical().unwrap()))
    }

    #[test]
    fn splits_at_blanks() {
        assert_eq!(
            texts(with("a  \"b c\"\t\u{a0}d ", |rest| rest.words())),
            ["a", "\"b", "c\"", "\u{a0}d"]
        );
    }

    #[test]
    fn splits_outside_quotes() {
        for (text, wanted) in [
            ("a=b c", &["a=b", "c"][..]),
            ("a=\"b c\" d", &["a=\"b c\"", "d"]),
            ("a='b \\' c", &["a='b \\'", "c"]),
            ("a=b\\ c d\\\"", &["a=b\\ c", "d\\\""]),
            ("a=\"\\\" b\"", &["a=\"\\\" b\""]),
            ("a=\"b c", &["a=\"b c"]),
            ("''", &["''"]),
        ] {
            assert_eq!(texts(with(text, |rest| rest.quoted_words('\\'))), wanted, "{text}");
        }
        assert_eq!(texts(with("a` b `", |rest| rest.quoted_words('`'))), ["a` b"]);
    }

    #[test]
    fn takes_flags_off() {
        let (flags, rest) = with("--a=\"b c\" --d\\ e -- f --g", |rest| {
            let (flags, rest) = rest.flags();
            (texts(flags), rest.text().to_string())
        });
        assert_eq!((flags, rest.as_str()), (vec!["--a=b c".into(), "--d e".into()], "f --g"));
        assert_eq!(with("-a --b", |rest| rest.flags().0.len()), 0);
    }

    #[test]
    fn reads_json() {
        let strings =
            |list: &[&str]| Json::Strings(list.iter().map(|text| text.to_string()).collect());
        assert_eq!(json(" [ \"a\", \"b\\n\" ] "), strings(&["a", "b\n"]));
        assert_eq!(json("[]"), strings(&[]));
        assert_eq!(json("[\"a\"] b"), strings(&["a"]));
        assert_eq!(
            json(r#"["\ud83d", "\udE00x", "\uD83D\uDE00", "\\ud83d"]"#),
            strings(&["\u{fffd}", "\u{fffd}x", "\u{1f600}", "\\ud83d"])
        );
        assert_eq!(json("[\"a\", 1]"), Json::Others);
        for text in ["", "a", "['a']", "[\"a\"", "[\"a\",]", "\"a\""] {
            assert_eq!(json(text), Json::No, "{text}");
        }
        assert_eq!(json(&"[".repeat(200_000)), Json::No);
    }
}
