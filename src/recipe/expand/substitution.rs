//! What follows a `$`: a name, or `${...}` with a modifier.

use super::{ExpandError, Lexer, MAX_DEPTH};
use crate::recipe::{budget::Exhausted, fault::FaultKind, pattern::Pattern};

#[derive(Clone, Copy)]
struct Modifier {
    char: char,
    /// Whether an empty value counts as not set.
    colon: bool,
    /// Offset of the `$`.
    start: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn dollar(&mut self) -> Result<String, ExpandError> {
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
}

fn too_large(at: usize) -> ExpandError {
    ExpandError { at, kind: FaultKind::TooLarge }
}
