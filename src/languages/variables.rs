//! The variables of shell scripts, and words that refer to them. Pure.
//!
//! A template is a word in which [`START`], a variable's name and [`END`] stand for the variable. A
//! default value stands between the name and [`END`], after [`DEFAULT`].

use std::collections::{BTreeMap, BTreeSet};

/// Begins a reference in a template.
const START: u8 = 0;
/// Begins the default value of a reference.
const DEFAULT: u8 = 1;
/// Ends a reference.
pub(super) const END: u8 = 2;

/// Variables of one script.
const MAX_VARIABLES: usize = 1000;
/// Values of one variable, and of one word.
const MAX_VALUES: usize = 8;
/// Bytes of a value.
const MAX_VALUE: usize = 1024;
/// Values that are looked at for one word. A reference inside a value has half of what is left, so
/// that a circle ends soon.
const MAX_REFERENCES: usize = 256;

/// The templates that are assigned to each variable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>);

impl Variables {
    /// The number of values.
    pub fn count(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// Sets the directory of the script, for words such as `$(dirname "$0")/x`.
    pub fn set_own_directory(&mut self, dir: &[u8]) {
        self.0.remove(&b"/"[..]);
        self.assign(b"/", dir);
    }

    /// Adds a value of `name`.
    pub(super) fn assign(&mut self, name: &[u8], template: &[u8]) {
        let known = self.0.contains_key(name);
        if template.len() > MAX_VALUE || (!known && self.0.len() >= MAX_VARIABLES) {
            return;
        }
        let values = self.0.entry(name.into()).or_default();
        if values.len() < MAX_VALUES {
            values.insert(template.into());
        }
    }

    /// The values that are known, as far as they are constant.
    pub fn values_of_all(&self) -> BTreeSet<Vec<u8>> {
        self.0.values().flatten().flat_map(|template| self.expand(template)).collect()
    }

    /// The words that `template` may become: none if it refers to a variable that has no constant
    /// value.
    pub(super) fn expand(&self, template: &[u8]) -> BTreeSet<Vec<u8>> {
        self.expand_at(template, &mut { MAX_REFERENCES })
    }

    fn expand_at(&self, template: &[u8], left: &mut usize) -> BTreeSet<Vec<u8>> {
        let mut words = BTreeSet::from([Vec::new()]);
        let mut rest = template;
        while !rest.is_empty() {
            let plain = memchr::memchr(START, rest).unwrap_or(rest.len());
            let (text, from) = rest.split_at(plain);
            words = words.into_iter().map(|word| [&word, text].concat()).collect();
            let Some((_, from)) = from.split_first() else { break };
            let end = memchr::memchr(END, from).unwrap_or(from.len());
            let reference = from.get(..end).unwrap_or_default();
            rest = from.get(end + 1..).unwrap_or_default();
            let values = self.values(reference, left);
            let joined = words.iter().flat_map(|word| {
                let join = move |value: &Vec<u8>| [&word[..], value].concat();
                values.iter().map(join)
            });
            words = joined.filter(|word| word.len() <= MAX_VALUE).take(MAX_VALUES).collect();
        }
        words
    }

    fn values(&self, reference: &[u8], left: &mut usize) -> BTreeSet<Vec<u8>> {
        let mut values = BTreeSet::new();
        let mut parts = reference.splitn(2, |&b| b == DEFAULT);
        let known = parts.next().and_then(|name| self.0.get(name)).into_iter().flatten();
        for template in known {
            let Some(rest) = left.checked_sub(1) else { break };
            *left = rest / 2;
            values.extend(self.expand_at(template, left));
            *left += rest - rest / 2;
        }
        values.extend(parts.next().map(<[u8]>::to_vec));
        values
    }
}

/// A reference to the directory of the script. No variable of a shell has this name.
pub(super) const OWN_DIRECTORY: &[u8] = b"\0/\x02";
/// Bytes between the parentheses of what stands for the script's directory.
const MAX_OWN_DIRECTORY: usize = 100;

/// The length of what follows a dollar sign, up to its last parenthesis or brace, if it stands for
/// the directory of the script: `$(dirname "$0")`, `$(cd "$(dirname "$0")" && pwd)`, `${0%/*}`.
pub(super) fn own_directory(after: &[u8]) -> Option<usize> {
    if after.starts_with(b"{0%/*}") {
        return Some(b"{0%/*}".len());
    }
    let inside = after.strip_prefix(b"(")?;
    let mut depth = 1;
    let end = inside.iter().take(MAX_OWN_DIRECTORY).position(|b| {
        depth += i32::from(*b == b'(') - i32::from(*b == b')');
        depth == 0
    })?;
    is_own_directory(inside.get(..end)?).then_some(end + 2)
}

/// As [`own_directory`], for what follows a backquote.
pub(super) fn own_directory_in_backquotes(after: &[u8]) -> Option<usize> {
    let end = after.iter().take(MAX_OWN_DIRECTORY).position(|b| *b == b'`')?;
    is_own_directory(after.get(..end)?).then_some(end + 1)
}

fn is_own_directory(command: &[u8]) -> bool {
    const FORMS: [&str; 6] = [
        "dirname$0",
        "dirname$(readlink-f$0)",
        "dirname$(realpath$0)",
        "cd$(dirname$0)&&pwd",
        "cd$(dirname$0);pwd",
        "cd`dirname$0`;pwd",
    ];
    let plain: String =
        command.iter().filter(|b| !b" \"\t".contains(b)).map(|b| char::from(*b)).collect();
    let plain = plain.replace("${BASH_SOURCE[0]}", "$0").replace("$BASH_SOURCE", "$0");
    let plain = plain.replace("${0}", "$0").replace("--$", "$").replace("pwd-P", "pwd");
    FORMS.contains(&&*plain.replace(">/dev/null2>&1", "").replace("cd-P", "cd"))
}

/// The name and the value if what follows a dollar sign assigns a plain default: `{NAME:=value}`.
pub(super) fn default_assignment(after: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = after.strip_prefix(b"{")?;
    let inside = inside.get(..memchr::memchr(b'}', inside)?)?;
    let (name, rest) = inside.split_at(name_length(inside));
    let value = rest.strip_prefix(b":").unwrap_or(rest).strip_prefix(b"=")?;
    let plain = value.iter().all(|b| b.is_ascii_alphanumeric() || b"._+-/".contains(b));
    (is_name(name) && plain && !value.is_empty()).then_some((name, value))
}

/// Whether `word` refers to a variable.
pub(super) fn is_template(word: &[u8]) -> bool {
    word.contains(&START)
}

/// The name and the value, a template, if `word` is an assignment.
pub(super) fn assignment(word: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b'=', word)?;
    let name = word.get(..at)?;
    is_name(name).then(|| (name, word.get(at + 1..).unwrap_or_default()))
}

/// The template of the parameter whose dollar sign precedes `after`, if it is a variable, maybe
/// with a plain default, and the rest.
pub(super) fn parameter(after: &[u8]) -> (Option<Vec<u8>>, &[u8]) {
    if let Some(braced) = after.strip_prefix(b"{") {
        let end = memchr::memchr(b'}', braced).unwrap_or(braced.len());
        let inside = braced.get(..end).unwrap_or_default();
        return (expansion(inside), braced.get(end + 1..).unwrap_or_default());
    }
    let (name, rest) = after.split_at(name_length(after));
    (is_name(name).then(|| [&[START], name, &[END]].concat()), rest)
}

/// `NAME`, `NAME:-default` and the like, as they stand between braces (POSIX shell, 2.6.2).
fn expansion(inside: &[u8]) -> Option<Vec<u8>> {
    let (name, rest) = inside.split_at(name_length(inside));
    if !is_name(name) {
        return None;
    }
    let operator = rest.strip_prefix(b":").unwrap_or(rest);
    match operator.split_first() {
        None if rest.is_empty() => Some([&[START], name, &[END]].concat()),
        Some((b'-' | b'=', default)) => {
            let default = default.strip_prefix(b"\"").unwrap_or(default);
            let default = default.strip_suffix(b"\"").unwrap_or(default);
            let plain = default.iter().all(|b| b.is_ascii_alphanumeric() || b" ._+-/".contains(b));
            match plain && !default.is_empty() {
                true => Some([&[START], name, &[DEFAULT], default, &[END]].concat()),
                false => Some([&[START], name, &[END]].concat()),
            }
        }
        Some((b'?', _)) => Some([&[START], name, &[END]].concat()),
        _ => None,
    }
}

fn name_length(text: &[u8]) -> usize {
    text.iter().position(|b| !b.is_ascii_alphanumeric() && *b != b'_').unwrap_or(text.len())
}

fn is_name(text: &[u8]) -> bool {
    text.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
        && name_length(text) == text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bounded() {
        let mut variables = Variables::default();
        for number in 0..100 {
            variables.assign(b"A", format!("a{number}").as_bytes());
        }
        variables.assign(b"B", b"\0A\x02\0A\x02\0A\x02");
        variables.assign(b"C", b"\0C\x02\0C\x02");
        assert_eq!(variables.expand(b"\0B\x02").len(), MAX_VALUES);
        assert!(variables.expand(b"\0C\x02").is_empty());
        assert!(variables.expand(b"x\0D\x02").is_empty());
    }

    #[test]
    fn parameters() {
        let check = |text: &str, wanted: Option<&[u8]>, rest: &str| {
            assert_eq!(parameter(text.as_bytes()), (wanted.map(<[u8]>::to_vec), rest.as_bytes()));
        };
        check("A/b", Some(b"\0A\x02"), "/b");
        check("{A}b", Some(b"\0A\x02"), "b");
        check("{A:-/bin/x} y", Some(b"\0A\x01/bin/x\x02"), " y");
        check("{A:-$B}", Some(b"\0A\x02"), "");
        check("{A%/*}x", None, "x");
        check("{#A}", None, "");
        check("1x", None, "");
        check("@ x", None, "@ x");
    }
}
