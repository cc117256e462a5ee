//! Here-documents: the words `<<NAME` that announce them, and their bodies.

use super::lines::LineReader;
use super::source::Span;

/// A word that announces a here-document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Announced {
    pub name: String,
    /// Whether variables in the body are expanded: not if any part of the name was in quotes.
    pub expand: bool,
    /// `<<-`: whether tabs at the start of each line are removed.
    pub chomp: bool,
}

/// A `<<` with a malformed name: a quote is not closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadName;

/// Reads a word that announces a here-document: digits, which are ignored, `<<`, an optional `-`,
/// and a name without `<`. `None` for other words.
pub(super) fn announced(word: &str) -> Result<Option<Announced>, BadName> {
    let bare = word.trim_start_matches(|char: char| char.is_ascii_digit());
    let Some(rest) = bare.strip_prefix("<<").filter(|rest| !rest.contains('<')) else {
        return Ok(None);
    };
    let (chomp, quoted) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let (mut name, mut expand) = (String::new(), true);
    let mut chars = quoted.chars();
    while let Some(char) = chars.next() {
        match char {
            '\'' | '"' => {
                expand = false;
                let inner = chars.as_str();
                let (inner, after) = inner.split_once(char).ok_or(BadName)?;
                name.push_str(inner);
                chars = after.chars();
            }
            '\\' => name.extend(chars.next()),
            _ => name.push(char),
        }
    }
    Ok((!name.is_empty()).then_some(Announced { name, expand, chomp }))
}

/// The lines up to the one that is just the name, and their span. `None` if there is no such line;
/// all lines have been read then.
pub(super) fn body(reader: &mut LineReader<'_>, announced: &Announced) -> Option<(String, Span)> {
    let mut content = String::new();
    let start = reader.offset();
    while let Some((line, end)) = reader.physical() {
        let line = if announced.chomp { line.trim_start_matches('\t') } else { line };
        if line.trim_end_matches(['\r', '\n']) == announced.name {
            return Some((content, Span { start, end }));
        }
        content.push_str(line);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heredoc(name: &str, expand: bool, chomp: bool) -> Result<Option<Announced>, BadName> {
        Ok(Some(Announced { name: name.into(), expand, chomp }))
    }

    #[test]
    fn reads_names() {
        for word in ["", "EOF", "<<", "<<-", "<EOF", "<<<EOF", "<<a<b", "a<<EOF", "<<''"] {
            assert_eq!(announced(word), Ok(None), "{word}");
        }
        assert_eq!(announced("<<EOF"), heredoc("EOF", true, false));
        assert_eq!(announced("3<<-EOF"), heredoc("EOF", true, true));
        assert_eq!(announced("<<'E'OF"), heredoc("EOF", false, false));
        assert_eq!(announced("<<-\"EOF\""), heredoc("EOF", false, true));
        assert_eq!(announced("<<eo\\'f"), heredoc("eo'f", true, false));
        assert_eq!(announced("<<$EOF"), heredoc("$EOF", true, false));
        for word in ["<<'EOF", "<<\"EOF", "<<EOF'"] {
            assert_eq!(announced(word), Err(BadName), "{word}");
        }
    }

    #[test]
    fn takes_lines_up_to_the_name() {
        let take = |text: &str, word: &str| {
            let mut reader = LineReader::new(text);
            let body = body(&mut reader, &announced(word).unwrap().unwrap());
            (body.map(|(text, _)| text), reader.physical().map(|(line, _)| line.to_string()))
        };
        let rest = Some("after".to_string());
        assert_eq!(take("a\n EOF\nEOF\nafter", "<<EOF"), (Some("a\n EOF\n".into()), rest.clone()));
        assert_eq!(take("\t\ta\n\tEOF\nafter", "<<-EOF"), (Some("a\n".into()), rest.clone()));
        assert_eq!(take("a\r\nEOF\r\nafter", "<<EOF"), (Some("a\r\n".into()), rest));
        assert_eq!(take("a\nEOF x", "<<EOF"), (None, None));
        assert_eq!(take("EOF", "<<EOF"), (Some(String::new()), None));
    }
}
