//! Constant data → the paths, words and names of libraries in it that rules ask for. Pure.

use std::collections::{BTreeMap, BTreeSet};

use memchr::memmem;

use crate::rules::Wanted;

/// The longest string that is found across the border of two windows, in bytes.
pub(super) const MAX_STRING: usize = 512;
/// Strings of each kind that are kept for one object.
const MAX_HITS: usize = 4096;

/// What to look for.
#[derive(Debug)]
pub(super) struct Scanner<'t> {
    /// Whole paths, by their first four bytes.
    literals: BTreeMap<[u8; 4], Vec<&'t [u8]>>,
    /// Prefixes, one of which a path must have.
    prefixes: Vec<&'t [u8]>,
    words: Vec<(&'t str, memmem::Finder<'t>)>,
    library: memmem::Finder<'static>,
}

/// What was found in an object.
#[derive(Debug, Default)]
pub(super) struct Hits<'t> {
    /// Paths that rules name without a star.
    pub(super) literals: BTreeSet<&'t [u8]>,
    /// Strings that are whole paths.
    pub(super) paths: BTreeSet<Box<[u8]>>,
    /// Words.
    pub(super) words: BTreeSet<&'t str>,
    /// Strings that have the form of a library's name.
    pub(super) libraries: BTreeSet<Box<[u8]>>,
}

/// What to look for in an object besides paths.
#[derive(Clone, Copy, Debug)]
pub(super) struct Depth {
    /// Words.
    pub(super) words: bool,
    /// Names of libraries.
    pub(super) libraries: bool,
}

impl<'t> Scanner<'t> {
    pub(super) fn new(wanted: &Wanted<'t>) -> Self {
        let mut literals: BTreeMap<[u8; 4], Vec<&[u8]>> = BTreeMap::new();
        for &literal in &wanted.literals {
            if let Some(front) = literal.first_chunk() {
                literals.entry(*front).or_default().push(literal);
            }
        }
        let literal_part = |pattern: &&'t [u8]| {
            let end = pattern.iter().position(|&b| b == b'*').unwrap_or(pattern.len());
            pattern.get(..end).unwrap_or_default()
        };
        let words = wanted.words.iter().map(|&word| (word, memmem::Finder::new(word))).collect();
        Self {
            literals,
            prefixes: wanted.patterns.iter().map(literal_part).collect(),
            words,
            library: memmem::Finder::new(".so"),
        }
    }

    /// Looks through `window`. A string that begins in its last [`MAX_STRING`] bytes may be cut, so
    /// that windows must overlap by this many bytes.
    pub(super) fn scan(&self, window: &[u8], depth: Depth, hits: &mut Hits<'t>) {
        for slash in memchr::memchr_iter(b'/', window) {
            let rest = window.get(slash..).unwrap_or_default();
            if let Some(literals) = rest.first_chunk().and_then(|front| self.literals.get(front)) {
                hits.literals.extend(literals.iter().filter(|literal| rest.starts_with(literal)));
            }
            let starts = slash.checked_sub(1).and_then(|before| window.get(before)) == Some(&0);
            if starts
                && hits.paths.len() < MAX_HITS
                && let Some(path) = whole_string(rest)
                && self.prefixes.iter().any(|prefix| path.starts_with(prefix))
            {
                hits.paths.insert(path.into());
            }
        }
        if depth.words {
            let found = self.words.iter().filter(|(_, finder)| finder.find(window).is_some());
            hits.words.extend(found.map(|(word, _)| word));
        }
        if depth.libraries {
            for at in self.library.find_iter(window) {
                if hits.libraries.len() < MAX_HITS
                    && let Some(name) = library_around(window, at)
                {
                    hits.libraries.insert(name.into());
                }
            }
        }
    }
}

/// The string at the start of `rest`, if it is terminated and has the form of a path.
fn whole_string(rest: &[u8]) -> Option<&[u8]> {
    let front = rest.get(..MAX_STRING.min(rest.len()))?;
    let string = front.get(..memchr::memchr(0, front)?)?;
    let plain =
        string.iter().all(|&b| b.is_ascii_graphic() && !b"%*?:;<>|\"'`$()[]{}\\,=".contains(&b));
    (plain && string.len() > 3 && string.iter().skip(1).any(u8::is_ascii_alphanumeric))
        .then_some(string)
}

/// The string with `.so` at `at`, if the whole of it has the form of a library's name.
fn library_around(window: &[u8], at: usize) -> Option<&[u8]> {
    let in_name = |b: &u8| b.is_ascii_alphanumeric() || b"._+-".contains(b);
    let before = window.get(..at)?.iter().rev().take_while(|&b| in_name(b)).count();
    let start = at.checked_sub(before)?;
    if before == 0 || start.checked_sub(1).and_then(|i| window.get(i)) != Some(&0) {
        return None;
    }
    let rest = window.get(start..)?;
    let name = rest.get(..rest.iter().take(MAX_STRING).position(|b| !in_name(b))?)?;
    let after = name.get(before + 3..)?;
    let versioned = after.is_empty()
        || (after.starts_with(b".") && after.iter().all(|b| b.is_ascii_digit() || *b == b'.'));
    (versioned && rest.get(name.len()) == Some(&0)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_strings_and_nothing_else() {
        let wanted = Wanted {
            literals: [&b"/etc/ssl/cert.pem"[..], b"/etc/hosts"].into(),
            patterns: [&b"/usr/share/**"[..], b"/opt/*.so"].into(),
            words: ["net.(*Resolver)", "absent"].into(),
            ..Wanted::default()
        };
        let data = b"x/usr/share/no\0/usr/share/misc/magic\0/usr/share/%s\0/usr/share/a \
            b\0/opt/x.so\0/srv/x\0\
            glued/etc/ssl/cert.pem/etc/hosts\0net.(*Resolver).lookup\0libx.so\0liby.so.2\0lib%s.so\0a/libz.so\0\
            libv.so.2a\0.so\0libw.sox\0/usr/share/cut";
        let scanner = Scanner::new(&wanted);
        let mut hits = Hits::default();
        scanner.scan(data, Depth { words: true, libraries: true }, &mut hits);
        let text = |set: &BTreeSet<Box<[u8]>>| {
            set.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(text(&hits.paths), ["/opt/x.so", "/usr/share/misc/magic"]);
        assert_eq!(text(&hits.libraries), ["libx.so", "liby.so.2"]);
        assert_eq!(hits.words, ["net.(*Resolver)"].into());
        assert_eq!(hits.literals.len(), 2);
        let mut shallow = Hits::default();
        scanner.scan(data, Depth { words: false, libraries: false }, &mut shallow);
        assert!(
            shallow.words.is_empty() && shallow.libraries.is_empty() && shallow.paths == hits.paths
        );
    }
}
