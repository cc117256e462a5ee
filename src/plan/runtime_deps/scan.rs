//! Constant data → the paths, words and names of libraries in it that rules ask for. Pure.

use std::collections::{BTreeMap, BTreeSet};

use memchr::memmem;

use crate::{
    languages::shell,
    ownership::{Startable, Startables, is_command},
    rules::Wanted,
};

/// The longest string that is found across the border of two windows, in bytes.
pub(super) const MAX_STRING: usize = 512;
/// Strings of each kind that are kept for one object.
const MAX_HITS: usize = 4096;
/// Bytes of a list of names.
const MAX_LIST: usize = 40;
/// Bytes before the format of a name, with the dash.
const MIN_FRONT: usize = 3;
/// Command lines that are kept for one object.
const MAX_LINES: usize = 200;

/// What to look for.
#[derive(Debug)]
pub(super) struct Scanner<'t> {
    /// What has a slash in it, by the four bytes from the first slash on.
    at_slash: BTreeMap<u32, Vec<Needle<'t>>>,
    /// Prefixes. A whole path must have one of them.
    prefixes: Vec<&'t [u8]>,
    /// Words without a slash.
    words: Vec<(&'t str, memmem::Finder<'t>)>,
    library: memmem::Finder<'static>,
}

/// A text that has a slash in it.
#[derive(Debug)]
struct Needle<'t> {
    before_slash: &'t [u8],
    from_slash: &'t [u8],
    kind: NeedleKind<'t>,
}

#[derive(Debug)]
enum NeedleKind<'t> {
    Literal(&'t [u8]),
    Word(&'t str),
}

/// What was found in an object.
#[derive(Debug, Default)]
pub(super) struct Hits<'t> {
    /// Paths that rules name without a star.
    pub(super) literals: BTreeSet<&'t [u8]>,
    /// Strings that are whole paths.
    pub(super) paths: BTreeSet<Box<[u8]>>,
    /// Paths in lists with colons between them.
    pub(super) listed: BTreeSet<Box<[u8]>>,
    /// Words.
    pub(super) words: BTreeSet<&'t str>,
    /// Strings that have the form of a library's name.
    pub(super) libraries: BTreeSet<Box<[u8]>>,
    /// Strings that have the form of a command line.
    pub(super) command_lines: BTreeSet<Box<[u8]>>,
}

impl<'t> Scanner<'t> {
    pub(super) fn new(wanted: &Wanted<'t>) -> Self {
        let mut at_slash: BTreeMap<u32, Vec<Needle<'_>>> = BTreeMap::new();
        let literals = wanted.literals.iter().map(|text| (*text, NeedleKind::Literal(text)));
        let words = wanted.words.iter().map(|word| (word.as_bytes(), NeedleKind::Word(word)));
        let mut slashless = Vec::new();
        for (text, kind) in literals.chain(words) {
            let slash = memchr::memchr(b'/', text).unwrap_or(text.len());
            let (before_slash, from_slash) = text.split_at(slash);
            match (key(from_slash), kind) {
                (Some(key), kind) => {
                    let needle = Needle { before_slash, from_slash, kind };
                    at_slash.entry(key).or_default().push(needle);
                }
                (None, NeedleKind::Word(word)) => slashless.push((word, memmem::Finder::new(word))),
                (None, NeedleKind::Literal(_)) => {}
            }
        }
        let literal_part = |pattern: &&'t [u8]| {
            let end = pattern.iter().position(|&b| b == b'*').unwrap_or(pattern.len());
            pattern.get(..end).unwrap_or_default()
        };
        Self {
            at_slash,
            prefixes: wanted.patterns.iter().map(literal_part).collect(),
            words: slashless,
            library: memmem::Finder::new(".so"),
        }
    }

    /// Looks through `window`, for words only if `words`. A string that begins in its last
    /// [`MAX_STRING`] bytes may be cut, so that windows must overlap by this many bytes.
    pub(super) fn scan(&self, window: &[u8], words: bool, hits: &mut Hits<'t>) {
        for slash in memchr::memchr_iter(b'/', window) {
            let (before, rest) = window.split_at(slash);
            if let Some(needles) = key(rest).and_then(|key| self.at_slash.get(&key)) {
                let found = needles.iter().filter(|needle| {
                    rest.starts_with(needle.from_slash) && before.ends_with(needle.before_slash)
                });
                for needle in found {
                    match needle.kind {
                        NeedleKind::Literal(literal) => drop(hits.literals.insert(literal)),
                        NeedleKind::Word(word) if words => drop(hits.words.insert(word)),
                        NeedleKind::Word(_) => {}
                    }
                }
            }
            if before.last() == Some(&0)
                && hits.paths.len() < MAX_HITS
                && let Some(path) = whole_string(rest)
                && self.prefixes.iter().any(|prefix| path.starts_with(prefix))
            {
                hits.paths.insert(path.into());
            }
            if hits.listed.len() < MAX_HITS
                && let Some(path) = listed(before, rest)
            {
                hits.listed.insert(path.into());
            }
        }
        if words {
            let new = self.words.iter().filter(|(word, _)| !hits.words.contains(word));
            let found = new.filter(|(_, finder)| finder.find(window).is_some());
            hits.words.extend(found.map(|(word, _)| *word).collect::<Vec<_>>());
        }
        for at in self.library.find_iter(window) {
            if hits.libraries.len() < MAX_HITS
                && let Some(name) = library_around(window, at)
            {
                hits.libraries.insert(name.into());
            }
        }
    }
}

/// Adds the strings in `window` that have the form of a command line; of a program (`own`) also
/// those that may be prose.
pub(super) fn command_lines(window: &[u8], own: bool, lines: &mut BTreeSet<Box<[u8]>>) {
    let is_line =
        |text: &[u8]| shell::is_command_line(text) || (own && shell::is_formatted_line(text));
    for string in window.split(|&b| b == 0).filter(|string| is_line(string)) {
        if lines.len() < MAX_LINES {
            lines.insert(string.into());
        }
    }
}

/// Adds the names of programs in `window` that `startable` has: whole strings, the words of short
/// ones where it says that these are enough (`ssh : rsh`), and the commands of the program's own
/// package whose names a string completes (`oggz-%s`).
pub(super) fn programs(window: &[u8], startable: &Startables, found: &mut BTreeSet<Box<[u8]>>) {
    for string in window.split(|&b| b == 0).filter(|string| !string.is_empty()) {
        if startable.contains_key(string) {
            found.insert(string.into());
        } else if let Some((front, end)) = completed(string) {
            let is_meant = |name: &[u8], one: &Startable| {
                let rest = name.strip_prefix(front).and_then(|rest| rest.strip_suffix(end));
                rest.is_some_and(|rest| !rest.is_empty())
                    && !one.is_asked_for
                    && is_command(&one.path)
            };
            let meant = startable.iter().filter(|(name, one)| is_meant(name, one));
            found.extend(meant.map(|(name, _)| name.clone()));
        } else if string.len() <= MAX_LIST {
            let words = string.split(|b| b" :,;|".contains(b));
            let is_enough = |word: &&[u8]| startable.get(*word).is_some_and(|one| one.is_asked_for);
            found.extend(words.filter(is_enough).map(Box::from));
        }
    }
}

/// What stands before and after the only format of a name: `oggz-%s`.
fn completed(string: &[u8]) -> Option<(&[u8], &[u8])> {
    const FORMAT: &[u8] = b"%s";
    let at = memmem::find(string, FORMAT)?;
    let (front, end) = (string.get(..at)?, string.get(at + FORMAT.len()..)?);
    let is_name =
        |text: &[u8]| text.iter().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(b));
    let is_enough = front.len() >= MIN_FRONT && front.ends_with(b"-");
    (is_enough && is_name(front) && is_name(end)).then_some((front, end))
}

/// The first four bytes.
fn key(text: &[u8]) -> Option<u32> {
    text.first_chunk().map(|front| u32::from_ne_bytes(*front))
}

/// The bytes that a path in constant data has: no blanks, and no signs of formats, patterns, lists
/// or commands.
const IN_PATH: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        table[byte as usize] = true;
        byte += 1;
    }
    let signs = b"%*?:;<>|\"'`$()[]{}\\,=";
    let mut at = 0;
    while at < signs.len() {
        table[signs[at] as usize] = false;
        at += 1;
    }
    table
};

/// The string at the start of `rest`, if it is terminated and has the form of a path.
fn whole_string(rest: &[u8]) -> Option<&[u8]> {
    let front = rest.get(..MAX_STRING.min(rest.len()))?;
    path(front.get(..memchr::memchr(0, front)?)?)
}

/// The path at the start of `rest`, if a colon stands before or after it.
fn listed<'w>(before: &[u8], rest: &'w [u8]) -> Option<&'w [u8]> {
    let starts_list = match before.last()? {
        0 => true,
        b':' => false,
        _ => return None,
    };
    let front = rest.get(..MAX_STRING.min(rest.len()))?;
    let end = memchr::memchr2(0, b':', front)?;
    let is_list = !starts_list || front.get(end) == Some(&b':');
    // `https://…`
    let is_url = front.get(1) == Some(&b'/');
    path(front.get(..end)?).filter(|_| is_list && !is_url)
}

/// `string`, if it has the form of a path.
fn path(string: &[u8]) -> Option<&[u8]> {
    let plain = string.iter().all(|&b| IN_PATH[usize::from(b)]);
    (plain && string.len() > 3 && string.iter().skip(1).any(u8::is_ascii_alphanumeric))
        .then_some(string)
}

/// The string with `.so` at `at`, if the whole of it has the form of a library's name. `libx.so.`
/// may stand before the sign of a format: `libx.so.%d`.
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
    let end = rest.get(name.len());
    let is_format = end == Some(&b'%') && after == b".";
    (versioned && (end == Some(&0) || is_format)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_strings_and_nothing_else() {
        let wanted = Wanted {
            literals: [&b"/etc/ssl/cert.pem"[..], b"/etc/hosts"].into(),
            patterns: [&b"/usr/share/**"[..], b"/opt/*.so"].into(),
            words: ["net.(*Resolver)", "absent", "os/user.Current", "/run/"].into(),
            ..Wanted::default()
        };
        let data = b"x/usr/share/no\0/usr/share/misc/magic\0/usr/share/%s\0/usr/share/a \
            b\0/opt/x.so\0/srv/x\0\
            glued/etc/ssl/cert.pem/etc/hosts\0net.(*Resolver).lookup\0xos/user.Current\0\
            s/user.Current\0/var/run/x\0\
            libx.so\0liby.so.2\0lib%s.so\0a/libz.so\0\
            /usr/share/l1:/usr/share/l2:%s:/usr/share/l3\0https://usr/share/u\0x/usr/share/m:\0\
            libv.so.2a\0libf.so.%d\0libg.so%d\0.so\0libw.sox\0/usr/share/cut";
        let scanner = Scanner::new(&wanted);
        let mut hits = Hits::default();
        scanner.scan(data, true, &mut hits);
        let text = |set: &BTreeSet<Box<[u8]>>| {
            set.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(text(&hits.paths), ["/opt/x.so", "/usr/share/misc/magic"]);
        assert_eq!(text(&hits.listed), ["/usr/share/l1", "/usr/share/l2", "/usr/share/l3"]);
        assert_eq!(text(&hits.libraries), ["libf.so.", "libx.so", "liby.so.2"]);
        assert_eq!(hits.words, ["net.(*Resolver)", "os/user.Current", "/run/"].into());
        assert_eq!(hits.literals.len(), 2);
        let mut shallow = Hits::default();
        scanner.scan(data, false, &mut shallow);
        assert!(shallow.words.is_empty() && shallow.paths == hits.paths);
    }

    #[test]
    fn names_that_a_format_completes() {
        let one = |path: &str, is_asked_for: bool| {
            let path = crate::path::ImagePath::new(path).unwrap();
            (path.file_name().into(), Startable { path, is_asked_for })
        };
        let startable = Startables::from([
            one("/usr/bin/ogg-info", false),
            one("/usr/bin/ogg-dump", false),
            one("/usr/bin/ogg-", false),
            one("/usr/bin/ogg-other", true),
            one("/usr/lib/ogg/ogg-helper", false),
            one("/usr/bin/oggz", false),
        ]);
        let found = |data: &[u8]| {
            let mut found = BTreeSet::new();
            programs(data, &startable, &mut found);
            let names: Vec<_> = found.iter().map(|name| String::from_utf8_lossy(name)).collect();
            names.join(" ")
        };
        assert_eq!(found(b"x\0ogg-%s\0"), "ogg-dump ogg-info");
        assert_eq!(found(b"ogg-%s.c\0%s\0o%s\0ogg%s\0ogg-%s %s\0 ogg-%s\0ogg-%d\0"), "");
    }
}
