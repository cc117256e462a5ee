//! The list of patterns in a `.dockerignore` file, with moby's matching.

use super::glob::{Glob, GlobError, clean};

/// Patterns in one list.
pub const MAX_RULES: usize = 10_000;

/// What a `.dockerignore` file says: patterns, of which those with `!` take back what earlier ones
/// left out. The default leaves out nothing.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    reinclude: bool,
    glob: Glob,
    /// The pattern by components, as far as each stands for exactly one; only of a rule that
    /// re-includes.
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    One(Glob),
    /// `**`, or a class that may mean a slash: from here on any depth is possible.
    Deep,
}

/// Why a text is no ignore list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreError {
    /// A pattern that cannot be read. `line` counts from 1.
    #[error("line {line}: the pattern `{}` cannot be read: {why}", super::escape(pattern))]
    Pattern {
        /// Where it stands; in a list of patterns, which one it is.
        line: usize,
        /// As it was written.
        pattern: Vec<u8>,
        /// What is wrong with it.
        why: GlobError,
    },
    /// A `!` with nothing behind it.
    #[error("line {line}: `!` has no pattern behind it")]
    Bare {
        /// As in [`IgnoreError::Pattern`].
        line: usize,
    },
    /// More than [`MAX_RULES`].
    #[error("it has more than {MAX_RULES} patterns")]
    TooMany,
}

/// What the rules say of one path, and what its children's verdicts need to know.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Whether the path is left out.
    pub excluded: bool,
    /// By rule: whether it matched the path or a directory above it. Empty above the top.
    matched: Vec<bool>,
}

impl Ignore {
    /// Reads the text of a `.dockerignore` file as moby's `ignorefile` does: `#` is a comment in
    /// the first column only, blanks around a line are dropped, paths are cleaned and a leading
    /// slash means nothing.
    ///
    /// # Errors
    /// [`IgnoreError`], at the first pattern at fault.
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

    /// The list of these patterns, as COPY's `--exclude` gives them: cleaned, but a leading slash
    /// is kept.
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

    /// Whether nothing is ever left out.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether `path`, relative to the context, is left out: the last rule that matches it or a
    /// directory above it decides. A trailing slash in a rule means nothing, so files and
    /// directories are alike.
    pub fn excludes(&self, path: &[u8]) -> bool {
        let ends = path.iter().enumerate().filter(|&(_, &byte)| byte == b'/').map(|(at, _)| at);
        let mut verdict = Verdict::default();
        for end in ends.chain([path.len()]) {
            verdict = self.verdict(&verdict, &path[..end]);
        }
        verdict.excluded
    }

    /// The verdict on `path`, given that on the directory that holds it (the default for the top),
    /// so that a walk asks each rule once a path.
    pub fn verdict(&self, parent: &Verdict, path: &[u8]) -> Verdict {
        let mut out = Verdict { excluded: false, matched: vec![false; self.rules.len()] };
        for (at, rule) in self.rules.iter().enumerate() {
            let above = parent.matched.get(at).copied().unwrap_or(false);
            // A rule that could change nothing is not asked, and so is not known to match what is
            // below either: the order in which moby works, which `a/b` before `!a` depends on.
            if above || (rule.reinclude == out.excluded && rule.glob.matches(path)) {
                out.matched[at] = true;
                out.excluded = !rule.reinclude;
            }
        }
        out
    }

    /// Whether a `!` rule could take back something below the directory `dir`, itself left out: if
    /// not, a walk need not enter it.
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
        self.rules.push(Rule { reinclude, glob, parts });
        Ok(())
    }
}

/// Whether `!` is in front, and the pattern without it.
fn negation(pattern: &[u8]) -> (bool, &[u8]) {
    match pattern.strip_prefix(b"!") {
        Some(rest) => (true, trim(rest)),
        None => (false, pattern),
    }
}

fn trim(bytes: &[u8]) -> &[u8] {
    // Go's TrimSpace takes the vertical tab too, which Rust's ASCII white space is without.
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
