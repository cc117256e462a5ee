//! The list of patterns in a `.dockerignore` file, with moby's matching.

use super::glob::{Glob, GlobError, clean};

/// The most patterns in one list.
pub const MAX_RULES: usize = 10_000;

/// The patterns of a `.dockerignore` file. Those with `!` re-include what earlier ones excluded.
/// The default excludes nothing.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    /// The file that the list was read from.
    name: String,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    /// Its line, or its number in a list of patterns; counted from 1.
    line: usize,
    pattern: Box<[u8]>,
    reinclude: bool,
    glob: Glob,
    /// The components of the pattern, as far as each matches exactly one; only for rules that
    /// re-include.
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    One(Glob),
    /// `**`, or a class that may match a slash: from here on any depth is possible.
    Deep,
}

/// Why a text is not an ignore list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreError {
    /// A malformed pattern.
    #[error("line {line}: the pattern `{}` cannot be read: {why}", super::escape(pattern))]
    Pattern {
        /// Its line, or its number in a list of patterns; counted from 1.
        line: usize,
        /// As it was written.
        pattern: Vec<u8>,
        /// What is wrong with it.
        why: GlobError,
    },
    /// A `!` without a pattern.
    #[error("line {line}: `!` has no pattern after it")]
    Bare {
        /// As in [`IgnoreError::Pattern`].
        line: usize,
    },
    /// More than [`MAX_RULES`].
    #[error("it has more than {MAX_RULES} patterns")]
    TooMany,
}

/// The result of the rules for one path, and what the results for its children need.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Whether the path is excluded.
    pub excluded: bool,
    /// For each rule, whether it matched the path or a directory above it. Empty above the top.
    matched: Vec<bool>,
}

impl Ignore {
    /// Reads the text of a `.dockerignore` file as moby's `ignorefile` does: `#` starts a
    /// comment only in the first column, spaces around a line are dropped, paths are cleaned, and a
    /// leading slash has no meaning.
    ///
    /// # Errors
    /// [`IgnoreError`] for the first wrong pattern.
    pub fn parse(text: &[u8]) -> Result<Self, IgnoreError> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut ignore = Self::default();
        for (line, written) in (1..).zip(text.split(|&byte| byte == b'\n')) {
            if written.starts_with(b"#") {
                continue;
            }
            let (reinclude, pattern) = negation(trim(written));
            let clean = clean(pattern);
            let rooted = clean.strip_prefix(b"/").filter(|rest| !rest.is_empty()).unwrap_or(&clean);
            ignore.push(line, reinclude, rooted)?;
        }
        Ok(ignore)
    }

    /// The same list, read from the file `name`.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// The list of the patterns of COPY's `--exclude`: cleaned, except that a leading slash is
    /// kept.
    ///
    /// # Errors
    /// As [`Ignore::parse`]; the line is the pattern's number.
    pub fn new(patterns: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<Self, IgnoreError> {
        let mut ignore = Self::default();
        for (number, pattern) in (1..).zip(patterns) {
            let (reinclude, pattern) = negation(trim(pattern.as_ref()));
            ignore.push(number, reinclude, &clean(pattern))?;
        }
        Ok(ignore)
    }

    /// Whether nothing is ever excluded.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether `path`, relative to the context, is excluded: the last rule that matches it or a
    /// directory above it decides. A trailing slash in a rule has no meaning, so rules match files
    /// and directories alike.
    pub fn excludes(&self, path: &[u8]) -> bool {
        self.verdict_on(path).excluded
    }

    /// Line, file and pattern of the rule that excludes `path`, as text.
    pub fn reason(&self, path: &[u8]) -> Option<String> {
        let verdict = self.verdict_on(path);
        let last = verdict.matched.iter().rposition(|&matched| matched);
        let rule = self.rules.get(last.filter(|_| verdict.excluded)?)?;
        Some(format!("line {} of {} (`{}`)", rule.line, self.name, super::escape(&rule.pattern)))
    }

    fn verdict_on(&self, path: &[u8]) -> Verdict {
        let ends = path.iter().enumerate().filter(|&(_, &byte)| byte == b'/').map(|(at, _)| at);
        let mut verdict = Verdict::default();
        for end in ends.chain([path.len()]) {
            verdict = self.verdict(&verdict, &path[..end]);
        }
        verdict
    }

    /// The verdict on `path`, given that on its directory (the default for the top), so that a walk
    /// evaluates each rule once per path.
    pub fn verdict(&self, parent: &Verdict, path: &[u8]) -> Verdict {
        let mut out = Verdict { excluded: false, matched: vec![false; self.rules.len()] };
        for (at, rule) in self.rules.iter().enumerate() {
            let above = parent.matched.get(at).copied().unwrap_or(false);
            // A rule that would change nothing is not evaluated, and so not known to match what is
            // below either. That is how moby works, and `a/b` before `!a` depends on it.
            if above || (rule.reinclude == out.excluded && rule.glob.matches(path)) {
                out.matched[at] = true;
                out.excluded = !rule.reinclude;
            }
        }
        out
    }

    /// Whether a `!` rule could re-include something below the excluded directory `dir`. If not, a
    /// walk need not enter it.
    pub fn may_reinclude_below(&self, dir: &[u8]) -> bool {
        self.rules.iter().filter(|rule| rule.reinclude).any(|rule| {
            let mut parts = rule.parts.iter();
            for name in dir.split(|&byte| byte == b'/') {
                match parts.next() {
                    Some(Part::Deep) => return true,
                    Some(Part::One(glob)) if glob.matches(name) => {}
                    _ => return false,
                }
            }
            parts.next().is_some()
        })
    }

    fn push(&mut self, line: usize, reinclude: bool, pattern: &[u8]) -> Result<(), IgnoreError> {
        if pattern.is_empty() {
            return if reinclude { Err(IgnoreError::Bare { line }) } else { Ok(()) };
        }
        if self.rules.len() == MAX_RULES {
            return Err(IgnoreError::TooMany);
        }
        let fault = |why| IgnoreError::Pattern { line, pattern: pattern.to_vec(), why };
        let glob = Glob::new(pattern).map_err(fault)?;
        let parts = if reinclude { parts(pattern) } else { Vec::new() };
        self.rules.push(Rule { line, pattern: pattern.into(), reinclude, glob, parts });
        Ok(())
    }
}

/// Whether a pattern starts with `!`, and the pattern without it.
fn negation(pattern: &[u8]) -> (bool, &[u8]) {
    match pattern.strip_prefix(b"!") {
        Some(rest) => (true, trim(rest)),
        None => (false, pattern),
    }
}

fn trim(bytes: &[u8]) -> &[u8] {
    // Go's TrimSpace also removes the vertical tab, which is not ASCII white space in Rust.
    let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let from = bytes.iter().position(|byte| !blank(byte)).unwrap_or(bytes.len());
    let to = bytes.iter().rposition(|byte| !blank(byte)).map_or(from, |at| at + 1);
    &bytes[from..to]
}

fn parts(pattern: &[u8]) -> Vec<Part> {
    let mut out = Vec::new();
    for part in pattern.split(|&byte| byte == b'/') {
        let deep = part.contains(&b'[') || part.windows(2).any(|two| two == b"**");
        match Glob::plain(part) {
            Ok(glob) if !deep => out.push(Part::One(glob)),
            _ => {
                out.push(Part::Deep);
                break;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests;
