//! Expands the variables in a word, by the rules of BuildKit's shell lexer: in one pass, so that
//! the value of a variable is never expanded again.

mod substitution;

use std::collections::BTreeMap;

use super::budget::{Budget, MAX_WORD};
use super::fault::FaultKind;

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

#[cfg(test)]
mod tests;
