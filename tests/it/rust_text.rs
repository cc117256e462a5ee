//! Rust source as the paths it names. No parser: comments, strings and unit tests are taken out,
//! and what is left is read as tokens, which is enough to see who names whom.

use std::{iter::Peekable, str::Chars};

/// A path as written, without `use` groups: `use std::{fs, io::Read}` gives `std::fs` and
/// `std::io::Read`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Its segments; a glob is the segment `*`.
    pub(crate) segments: Vec<String>,
    /// It calls a macro: `println!`.
    pub(crate) is_macro: bool,
    /// It is called and follows a dot.
    pub(crate) is_method: bool,
}

/// All paths in `code`, which comes from [`code_of`].
pub(crate) fn paths(code: &str) -> Vec<Named> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let before = at.checked_sub(1).map(|before| tokens[before].as_str());
        if is_name(&tokens[at]) && before != Some("::") {
            let mut segments = Vec::new();
            let end = path_tree(&tokens, at, &mut Vec::new(), &mut segments);
            let is_macro = tokens.get(end).is_some_and(|token| token == "!");
            let is_method =
                before == Some(".") && tokens.get(end).is_some_and(|token| token == "(");
            found.extend(segments.into_iter().map(|segments| Named {
                segments,
                is_macro,
                is_method,
            }));
            at = end.max(at + 1);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one path, or one group of them, at `at`; returns where it ends.
fn path_tree(
    tokens: &[String],
    mut at: usize,
    prefix: &mut Vec<String>,
    found: &mut Vec<Vec<String>>,
) -> usize {
    let depth = prefix.len();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") if !prefix.is_empty() => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    let end = path_tree(tokens, at, prefix, found);
                    at = end.max(at + 1);
                    if tokens.get(at).is_some_and(|token| token == "as") {
                        // The new name is no path.
                        at += 2;
                    }
                }
                prefix.truncate(depth);
                return at + 1;
            }
            Some(token) if is_name(token) || token == "*" && !prefix.is_empty() => {
                prefix.push(token.to_owned());
                at += 1;
            }
            _ => break,
        }
        let goes_on =
            tokens.get(at + 1).is_some_and(|next| is_name(next) || next == "{" || next == "*");
        if tokens.get(at).is_some_and(|token| token == "::") && goes_on {
            at += 1;
        } else {
            break;
        }
    }
    if prefix.len() > depth {
        found.push(prefix.clone());
    }
    prefix.truncate(depth);
    at
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn tokens(code: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        let mut token = c.to_string();
        if c.is_alphanumeric() || c == '_' {
            while let Some(more) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                token.push(more);
            }
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            token.push(':');
        }
        if !c.is_whitespace() {
            tokens.push(token);
        }
    }
    tokens
}

/// `text` without comments, and with nothing in its string and character literals. Lines stay where
/// they are.
pub(crate) fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '/' if chars.peek() == Some(&'/') => {
                skip(&mut chars, &mut code, |c, _| c == '\n');
                code.push('\n');
            }
            '/' if chars.peek() == Some(&'*') => {
                let mut depth = 1;
                skip(&mut chars, &mut code, |c, next| {
                    depth += match (c, next) {
                        ('/', Some('*')) => 1,
                        ('*', Some('/')) => -1,
                        _ => 0,
                    };
                    depth == 0
                });
                chars.next();
            }
            '"' => {
                let hashes = code.chars().rev().take_while(|c| *c == '#').count();
                let raw = code.trim_end_matches('#').ends_with('r')
                    && (hashes > 0 || ends_in_prefix(&code));
                code.push('"');
                if raw {
                    raw_string(&mut chars, &mut code, hashes);
                } else {
                    let mut escaped = false;
                    skip(&mut chars, &mut code, |c, _| {
                        let ends = c == '"' && !escaped;
                        escaped = c == '\\' && !escaped;
                        ends
                    });
                }
                code.push('"');
            }
            '\'' => {
                let next = chars.next();
                let is_char = next == Some('\\') || chars.peek() == Some(&'\'');
                if is_char {
                    if next == Some('\\') {
                        chars.next();
                    }
                    skip(&mut chars, &mut code, |c, _| c == '\'');
                } else {
                    // A lifetime.
                    code.extend(next);
                }
            }
            _ => code.push(c),
        }
    }
    code
}

/// Whether `code` ends in the `r` or `br` of a raw string, and not in a name that ends so.
fn ends_in_prefix(code: &str) -> bool {
    let name: String =
        code.chars().rev().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    name == "r" || name == "rb"
}

fn raw_string(chars: &mut Peekable<Chars<'_>>, code: &mut String, hashes: usize) {
    let mut seen = None;
    skip(chars, code, |c, _| {
        seen = match (c, seen) {
            ('"', _) => Some(0),
            ('#', Some(count)) => Some(count + 1),
            _ => None,
        };
        seen == Some(hashes)
    });
}

/// Drops characters up to and with the one that `ends`, but keeps their line breaks.
fn skip(
    chars: &mut Peekable<Chars<'_>>,
    code: &mut String,
    mut ends: impl FnMut(char, Option<char>) -> bool,
) {
    while let Some(c) = chars.next() {
        if ends(c, chars.peek().copied()) {
            return;
        }
        if c == '\n' {
            code.push('\n');
        }
    }
}

/// `code` without its `#[cfg(test)]` items, and the names of the modules among them that are files.
pub(crate) fn without_tests(code: &str) -> (String, Vec<String>) {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::new();
    let mut files = Vec::new();
    let mut rest = code;
    while let Some((before, after)) = rest.split_once(MARK) {
        kept.push_str(before);
        let mut depth = 0;
        let end = after.find(|c| {
            depth += match c {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            depth == 0 && matches!(c, '}' | ';')
        });
        let item = &after[..end.map_or(after.len(), |end| end + 1)];
        if let Some(name) =
            item.trim().strip_suffix(';').and_then(|item| item.trim().rsplit_once("mod "))
        {
            files.push(name.1.trim().to_owned());
        }
        rest = &after[item.len()..];
    }
    kept.push_str(rest);
    (kept, files)
}

fn check(text: &str, expected: &[&str]) {
    let (code, _) = without_tests(&code_of(text));
    let found: Vec<String> = paths(&code).iter().map(|path| path.segments.join("::")).collect();
    let expected: Vec<&str> = expected.to_vec();
    assert_eq!(found, expected, "of {text:?}");
}

#[test]
fn groups_are_unfolded() {
    check(
        "use crate::{path::{self, ImagePath}, tree::*, digest};",
        &["use", "crate::path::self", "crate::path::ImagePath", "crate::tree::*", "crate::digest"],
    );
    check(
        "use crate::{a::{B as C, D}, e as _};",
        &["use", "crate::a::B", "crate::a::D", "crate::e"],
    );
    check(
        "use std::{fs, io::{Read, Write}};",
        &["use", "std::fs", "std::io::Read", "std::io::Write"],
    );
}

#[test]
fn paths_in_the_middle_of_code_are_seen() {
    check("let x = crate::path::escape(b);", &["let", "x", "crate::path::escape", "b"]);
    check("#[error(\"{}\", crate::tree::X)] S", &["error", "crate::tree::X", "S"]);
    check("Vec::<crate::a::B>::new()", &["Vec", "crate::a::B"]);
}

#[test]
fn comments_strings_and_tests_are_not_code() {
    check("a // crate::b\n/* crate::c /* x */ y */ d", &["a", "d"]);
    check(
        r##"a("crate::b \" x", r#"crate::c " "#, r"\", '"', '\'', '{') z"##,
        &["a", "r", "r", "z"],
    );
    check("fn f<'a>(x: &'a str) {}", &["fn", "f", "a", "x", "a", "str"]);
    check("a; #[cfg(test)] mod tests { use crate::b; fn f() { '}'; } } c", &["a", "c"]);
    check("a; #[cfg(test)]\nmod tests; c", &["a", "c"]);
    check("a #[cfg(test)] use std::fs::{File, read}; c", &["a", "c"]);
    assert_eq!(without_tests("#[cfg(test)]\nmod deep;").1, ["deep"]);
}

#[test]
fn macros_and_methods_are_told_from_names() {
    let found = paths("println!(x.exists(y.field))");
    let flags: Vec<(bool, bool)> =
        found.iter().map(|path| (path.is_macro, path.is_method)).collect();
    assert_eq!(
        flags,
        [(true, false), (false, false), (false, true), (false, false), (false, false)]
    );
}
