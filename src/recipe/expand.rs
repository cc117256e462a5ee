//! Expands the variables in a word, by the rules of BuildKit's shell lexer: in one pass, so that
//! the value of a variable is never expanded again.

use std::collections::BTreeMap;

use super::budget::{Budget, Exhausted, MAX_WORD};
use super::fault::FaultKind;
use super::pattern::Pattern;

/// How deep `${a:-${b:-...}}` may nest.
pub(super) const MAX_DEPTH: usize = 100;

/// The values of variables at one place in the file. The environment that imgb runs in is not part
/// of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// From ENV and the base image.
    pub env: BTreeMap<String, String>,
    /// From ARG and `--build-arg`. ENV overrides an ARG of the same name.
    pub args: BTreeMap<String, String>,
}

impl Scope {
    fn get(&self, name: &str) -> Option<&str> {
        self.env.get(name).or_else(|| self.args.get(name)).map(String::as_str)
    }

    /// The names of the variables that are set.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.env.keys().chain(self.args.keys()).map(String::as_str)
    }
}

/// How quotes and escapes in a text are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// A word of an instruction: quotes and the escape character are removed.
    Word {
        /// The file's escape character.
        escape: char,
    },
    /// The body of a here-document: quotes stay, a backslash escapes.
    Heredoc,
}

/// A word after expansion.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Expanded {
    /// The text.
    pub text: String,
    /// Variables that are neither set nor given a default, with their offsets in the word.
    pub unset: Vec<(usize, String)>,
}

/// Why a word cannot be expanded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ExpandError {
    /// Offset in the word.
    pub at: usize,
    /// What is wrong.
    pub kind: FaultKind,
}

/// Expands the variables of `word`.
pub(super) fn expand(
    word: &str,
    mode: Mode,
    scope: &Scope,
    budget: &mut Budget,
) -> Result<Expanded, ExpandError> {
    let mut lexer = Lexer::new(word, mode, Some(scope), budget);
    let text = lexer.run(None, false)?;
    Ok(Expanded { text, unset: lexer.unset })
}

/// Checks that `word` is well-formed, without knowing any variable.
pub(super) fn check(word: &str, mode: Mode) -> Result<(), ExpandError> {
    Lexer::new(word, mode, None, &mut Budget::default()).run(None, false).map(drop)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    mode: Mode,
    /// `None` in [`check`].
    scope: Option<&'a Scope>,
    budget: &'a mut Budget,
    depth: usize,
    /// Whether escape characters are kept, as patterns need them.
    raw_escapes: bool,
    unset: Vec<(usize, String)>,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str, mode: Mode, scope: Option<&'a Scope>, budget: &'a mut Budget) -> Self {
        Self { text, at: 0, mode, scope, budget, depth: 0, raw_escapes: false, unset: Vec::new() }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let char = self.peek()?;
        self.at += char.len_utf8();
        Some(char)
    }

    /// Consumes `wanted` if it comes next.
    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.next();
        }
        found
    }

    fn escape(&self) -> char {
        match self.mode {
            Mode::Word { escape } => escape,
            Mode::Heredoc => '\\',
        }
    }

    fn error<T>(&self, at: usize, kind: FaultKind) -> Result<T, ExpandError> {
        Err(ExpandError { at, kind })
    }

    /// Expands up to and including `stop`, or to the end.
    fn run(&mut self, stop: Option<char>, raw_escapes: bool) -> Result<String, ExpandError> {
        let outer = std::mem::replace(&mut self.raw_escapes, raw_escapes);
        let start = self.at;
        let mut out = String::new();
        let quotes = matches!(self.mode, Mode::Word { .. });
        loop {
            let Some(char) = self.peek() else {
                let kind = if stop == Some('/') { FaultKind::NoSlash } else { FaultKind::NoBrace };
                if stop.is_some() {
                    return self.error(start, kind);
                }
                break;
            };
            if stop == Some(char) {
                self.next();
                break;
            }
            match char {
                '\'' if quotes => self.single_quoted(&mut out)?,
                '"' if quotes => self.double_quoted(&mut out)?,
                '$' => {
                    let value = self.dollar()?;
                    self.append(&mut out, &value)?;
                }
                _ => {
                    self.next();
                    if char != self.escape() {
                        self.append_char(&mut out, char)?;
                        continue;
                    }
                    if self.raw_escapes {
                        self.append_char(&mut out, char)?;
                    }
                    if let Some(escaped) = self.next() {
                        self.append_char(&mut out, escaped)?;
                    }
                }
            }
        }
        self.raw_escapes = outer;
        Ok(out)
    }

    fn single_quoted(&mut self, out: &mut String) -> Result<(), ExpandError> {
        let start = self.at;
        self.next();
        let rest = &self.text[self.at..];
        match rest.split_once('\'') {
            Some((inner, _)) => {
                self.at += inner.len() + 1;
                self.append(out, inner)
            }
            None => self.error(start, FaultKind::Quote { quote: '\'' }),
        }
    }

    fn double_quoted(&mut self, out: &mut String) -> Result<(), ExpandError> {
        let start = self.at;
        self.next();
        loop {
            match self.peek() {
                None => return self.error(start, FaultKind::Quote { quote: '"' }),
                Some('"') => {
                    self.next();
                    return Ok(());
                }
                Some('$') => {
                    let value = self.dollar()?;
                    self.append(out, &value)?;
                }
                Some(char) => {
                    self.next();
                    let mut taken = char;
                    if char == self.escape() {
                        if self.raw_escapes {
                            self.append_char(out, char)?;
                        }
                        match self.peek() {
                            None => continue,
                            // Within quotes only these are escaped; before others the escape
                            // character is kept.
                            Some(next) if next == '"' || next == '$' || next == self.escape() => {
                                self.next();
                                taken = next;
                            }
                            Some(_) => {}
                        }
                    }
                    self.append_char(out, taken)?;
                }
            }
        }
    }

    fn dollar(&mut self) -> Result<String, ExpandError> {
        let start = self.at;
        self.next();
        if self.peek() != Some('{') {
            let name = self.name();
            return Ok(if name.is_empty() { "$".into() } else { self.value(&name, start) });
        }
        self.next();
        if self.depth == MAX_DEPTH {
            return self.error(start, FaultKind::TooDeep { max: MAX_DEPTH });
        }
        self.depth += 1;
        let out = self.braces(start).map_err(|error| match error.kind {
            // A missing end is reported at the opening brace.
            FaultKind::NoBrace | FaultKind::NoSlash => ExpandError { at: start, ..error },
            _ => error,
        });
        self.depth -= 1;
        out
    }

    /// What follows `${`.
    fn braces(&mut self, start: usize) -> Result<String, ExpandError> {
        match self.peek() {
            None => return self.error(start, FaultKind::NoBrace),
            Some('{' | '}' | ':') => return self.error(start, FaultKind::BadSubstitution),
            Some(_) => {}
        }
        let name = self.name();
        match self.next() {
            Some('}') => Ok(self.value(&name, start)),
            Some('/') => self.replaced(&name),
            Some(':') => match self.next() {
                Some(modifier) => {
                    self.modified(&name, Modifier { char: modifier, colon: true, start })
                }
                None => self.error(start, FaultKind::NoBrace),
            },
            Some(modifier) => {
                self.modified(&name, Modifier { char: modifier, colon: false, start })
            }
            None => self.error(start, FaultKind::NoBrace),
        }
    }

    fn modified(&mut self, name: &str, modifier: Modifier) -> Result<String, ExpandError> {
        let Modifier { char, colon, start } = modifier;
        if !matches!(char, '-' | '+' | '?' | '#' | '%') {
            let modifier = if colon { format!(":{char}") } else { char.to_string() };
            return self.error(start, FaultKind::Modifier { modifier });
        }
        let pattern = matches!(char, '#' | '%');
        let word = self.run(Some('}'), pattern)?;
        let value = self.get(name);
        let usable = value.filter(|value| !(colon && value.is_empty()));
        match char {
            '-' => Ok(usable.map_or(word, str::to_string)),
            '+' => Ok(if usable.is_some() { word } else { String::new() }),
            '?' => match (usable, self.scope) {
                (Some(value), _) => Ok(value.to_string()),
                (None, None) => Ok(String::new()),
                (None, Some(_)) => {
                    let missing = if value.is_some() { "is empty" } else { "is not set" };
                    let message = if word.is_empty() { missing.into() } else { word };
                    self.error(start, FaultKind::Required { name: name.into(), message })
                }
            },
            _ => {
                let longest = word.starts_with(char);
                let text = if longest { &word[1..] } else { &word };
                let Some(pattern) = Pattern::new(text) else {
                    return self.error(start, FaultKind::Pattern { pattern: text.into() });
                };
                let value = value.unwrap_or_default();
                let trim = if char == '#' { Pattern::trim_start } else { Pattern::trim_end };
                trim(&pattern, value, longest, self.budget).map_err(|Exhausted| too_large(start))
            }
        }
    }

    /// What follows `${name/`.
    fn replaced(&mut self, name: &str) -> Result<String, ExpandError> {
        let start = self.at;
        let all = self.take('/');
        let text = self.run(Some('/'), true)?;
        let with = self.run(Some('}'), true)?;
        let value = self.get(name).unwrap_or_default();
        let Some(pattern) = Pattern::new(&text) else {
            return self.error(start, FaultKind::Pattern { pattern: text });
        };
        pattern.replace(value, &with, all, self.budget).map_err(|Exhausted| too_large(start))
    }

    /// Consumes a name: letters, digits and `_`; or digits; or one of the shell's special
    /// parameters, which are never set.
    fn name(&mut self) -> String {
        let rest = &self.text[self.at..];
        let first = rest.chars().next();
        let len = match first {
            Some(char) if char.is_numeric() => rest.find(|char: char| !char.is_numeric()),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => Some(1),
            _ => rest.find(|char: char| !char.is_alphanumeric() && char != '_'),
        };
        let name = &rest[..len.unwrap_or(rest.len())];
        self.at += name.len();
        name.to_string()
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.scope?.get(name)
    }

    /// The value of a variable without a modifier; empty if it is not set.
    fn value(&mut self, name: &str, at: usize) -> String {
        let value = self.get(name);
        if value.is_none() && self.scope.is_some() {
            self.unset.push((at, name.to_string()));
        }
        value.unwrap_or_default().to_string()
    }

    fn append(&mut self, out: &mut String, text: &str) -> Result<(), ExpandError> {
        let fits =
            out.len() + text.len() <= MAX_WORD && self.budget.spend_bytes(text.len()).is_ok();
        if !fits {
            return self.error(self.at, FaultKind::TooLarge);
        }
        out.push_str(text);
        Ok(())
    }

    fn append_char(&mut self, out: &mut String, char: char) -> Result<(), ExpandError> {
        self.append(out, char.encode_utf8(&mut [0; 4]))
    }
}

#[derive(Clone, Copy)]
struct Modifier {
    char: char,
    /// Whether an empty value counts as not set.
    colon: bool,
    /// Offset of the `$`.
    start: usize,
}

fn too_large(at: usize) -> ExpandError {
    ExpandError { at, kind: FaultKind::TooLarge }
}

#[cfg(test)]
mod tests;
