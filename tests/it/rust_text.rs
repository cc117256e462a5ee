//! The paths that Rust source names. This is not a parser: it removes comments, strings and unit
//! tests and reads the rest as tokens, which is enough to see who names whom.

use std::{iter::Peekable, str::Chars};

/// A path as written, without `use` groups: `use std::{fs, io::Read}` gives `std::fs` and
/// `std::io::Read`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Its segments; a glob is the segment `*`.
    pub(crate) segments: Vec<String>,
    /// It calls a macro: `println!`.
    pub(crate) is_macro: bool,
    /// It is called: `f(x)`.
    pub(crate) is_call: bool,
    /// It follows a dot: a method or a field.
    pub(crate) follows_dot: bool,
}

impl Named {
    pub(crate) fn is_method(&self) -> bool {
        self.is_call && self.follows_dot
    }
}

/// What a `use` binds in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Import {
    /// The path it names; a glob ends in the segment `*`.
    pub(crate) segments: Vec<String>,
    /// The name that the file gives it: its last segment, or the one after `as`.
    pub(crate) name: String,
    /// It is a `pub use` of any visibility.
    pub(crate) is_reexport: bool,
}

/// Splits `code`, which comes from [`code_of`], into its `use` declarations and the rest.
pub(crate) fn imports(code: &str) -> (Vec<Import>, String) {
    let tokens = tokens(code);
    let mut imports = Vec::new();
    let mut rest = String::new();
    let mut at = 0;
    while at < tokens.len() {
        // `impl Trait + use<'a>` is not a declaration.
        let declares = tokens[at] == "use" && tokens.get(at + 1).is_some_and(|next| next != "<");
        if declares {
            let is_reexport = rest.trim_end().ends_with("pub") || rest.trim_end().ends_with(')');
            let end = at + tokens[at..].iter().take_while(|token| *token != ";").count();
            import_tree(&tokens[at + 1..end], &mut Vec::new(), is_reexport, &mut imports);
            at = end + 1;
        } else {
            rest.push_str(&tokens[at]);
            rest.push(' ');
            at += 1;
        }
    }
    (imports, rest)
}

/// Reads the paths of `tokens`, separated by commas, each of which continues `prefix`.
fn import_tree(
    tokens: &[String],
    prefix: &mut Vec<String>,
    is_reexport: bool,
    found: &mut Vec<Import>,
) {
    let depth = prefix.len();
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].as_str() {
            "::" => at += 1,
            "," => {
                prefix.truncate(depth);
                at += 1;
            }
            "{" => {
                let mut open = 0;
                let inner = tokens[at..].iter().take_while(|token| {
                    open += match token.as_str() {
                        "{" => 1,
                        "}" => -1,
                        _ => 0,
                    };
                    open > 0
                });
                let end = at + inner.count();
                import_tree(&tokens[at + 1..end], prefix, is_reexport, found);
                at = end + 1;
            }
            segment => {
                prefix.push(segment.to_owned());
                at += 1;
                let next = tokens.get(at).map(String::as_str);
                if next != Some("::") {
                    if segment == "self" && prefix.len() > 1 {
                        prefix.pop();
                    }
                    let segments = prefix.clone();
                    let mut name = segments.last().cloned().unwrap_or_default();
                    if next == Some("as") {
                        name.clone_from(&tokens[at + 1]);
                        at += 2;
                    }
                    found.push(Import { segments, name, is_reexport });
                }
            }
        }
    }
    prefix.truncate(depth);
}

/// The names that `code` defines outside of every brace: types, functions, constants, macros.
pub(crate) fn definitions(code: &str) -> Vec<String> {
    const KEYWORDS: [&str; 8] =
        ["struct", "enum", "union", "trait", "type", "fn", "const", "static"];
    let tokens = tokens(code);
    let mut names = Vec::new();
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            word if depth == 0 && KEYWORDS.contains(&word) => {
                let name = tokens.get(at + 1).filter(|name| is_name(name));
                names.extend(name.filter(|name| !KEYWORDS.contains(&name.as_str())).cloned());
            }
            "macro_rules" if depth == 0 => names.extend(tokens.get(at + 2).cloned()),
            _ => {}
        }
    }
    names
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
            let is_call = tokens.get(end).is_some_and(|token| token == "(");
            let follows_dot = before == Some(".");
            found.extend(segments.into_iter().map(|segments| Named {
                segments,
                is_macro,
                is_call,
                follows_dot,
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
                        // The new name is not a path.
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

/// `text` without comments, and with empty string and character literals. Line numbers do not
/// change.
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

/// Whether `code` ends in the `r` or `br` of a raw string, and not in a longer name.
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

/// Skips characters up to and including the one that `ends`, but keeps line breaks.
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
        found.iter().map(|path| (path.is_macro, path.is_method())).collect();
    assert_eq!(
        flags,
        [(true, false), (false, false), (false, true), (false, false), (false, false)]
    );
}

#[test]
fn uses_are_read_with_their_names_and_reach() {
    let (imports, rest) =
        imports("use crate::{a::{self, B as C}, d::*}; pub(crate) use e::f; x::y(z)");
    let seen: Vec<(String, &str, bool)> = imports
        .iter()
        .map(|import| (import.segments.join("::"), import.name.as_str(), import.is_reexport))
        .collect();
    assert_eq!(
        seen,
        [
            ("crate::a".to_owned(), "a", false),
            ("crate::a::B".to_owned(), "C", false),
            ("crate::d::*".to_owned(), "*", false),
            ("e::f".to_owned(), "f", true),
        ]
    );
    assert_eq!(rest.split_whitespace().collect::<String>(), "pub(crate)x::y(z)");
    assert_eq!(
        definitions(
            "pub const fn f() { struct No; } impl X { fn no() {} } static S: u8 = 0; enum E {}"
        ),
        ["f", "S", "E"]
    );
}
