//! Bytes of constants or of a script → the names in them that could be those of files.

use std::{collections::BTreeSet, ops::Bound};

use crate::path::shared_dirs;

/// The shortest name of a file, in bytes, that counts without a slash next to it.
const MIN_FILE_NAME: usize = 5;
/// The shortest part of a name, in bytes, that counts behind the path of its directory.
const MIN_FRONT: usize = 3;
/// Bytes of a constant that a compiler keeps in one piece when a program copies it: a longer path
/// is cut there, and the rest is in the code.
const PIECE: usize = 16;
/// Endings of compressed files.
const COMPRESSED: [&[u8]; 4] = [b".gz", b".xz", b".bz2", b".zst"];
/// Bytes of a path that is looked for.
const MAX_PATH: usize = 512;

/// What to look for.
#[derive(Debug, Default)]
pub struct Names {
    /// Names of directories and files.
    names: BTreeSet<Box<[u8]>>,
    /// Paths of directories.
    directories: BTreeSet<Box<[u8]>>,
    /// The front of each of those that is longer than [`PIECE`].
    pieces: BTreeSet<[u8; PIECE]>,
}

/// The names that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mentions {
    names: BTreeSet<Box<[u8]>>,
    directories: BTreeSet<Box<[u8]>>,
    /// Longer paths that end in one of these directories: of a file, or what is completed to one.
    fronts: BTreeSet<Box<[u8]>>,
    pieces: BTreeSet<[u8; PIECE]>,
    /// They are from a text in which an ordinary word is more often one of prose than the name of a
    /// directory.
    is_prose: bool,
}

impl Names {
    /// Those of files.
    pub fn of_files<'n>(files: impl IntoIterator<Item = &'n Vec<u8>>) -> Self {
        let mut names = Self::default();
        files.into_iter().for_each(|name| names.add_file(name));
        names
    }

    /// Adds the name of a file.
    pub(super) fn add_file(&mut self, name: &[u8]) {
        self.names.insert(name.into());
    }

    /// Adds a directory by its path and, unless it is that of many programs, by its name.
    pub(super) fn add_directory(&mut self, path: &[u8], name: &[u8]) {
        self.directories.insert(path.into());
        if !is_shared(name) {
            self.names.insert(name.into());
            self.pieces.extend(piece(path, name));
        }
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.directories.is_empty()
    }

    /// Adds to `mentions` what is in `bytes`: whole paths of directories, names next to a slash,
    /// and names of files with a dot in them.
    pub fn scan(&self, bytes: &[u8], mentions: &mut Mentions) {
        let mut known = 0;
        for at in memchr::memchr2_iter(b'/', b'.', bytes) {
            if bytes.get(at) == Some(&b'/') {
                self.at_slash(bytes, at, mentions);
            } else if at >= known {
                let start = at - run_before(bytes, at);
                known = at + run_after(bytes, at);
                let name = bytes.get(start..known).unwrap_or_default();
                if name.len() >= MIN_FILE_NAME {
                    self.note(name, mentions);
                }
            }
        }
    }

    fn at_slash(&self, bytes: &[u8], at: usize, mentions: &mut Mentions) {
        if is_in_url(bytes, at) {
            return;
        }
        let after = bytes.get(at + 1..at + 1 + run_after(bytes, at + 1));
        self.note(after.unwrap_or_default(), mentions);
        let before = run_before(bytes, at);
        let previous = (at - before).checked_sub(1).and_then(|at| bytes.get(at));
        if before > 0 {
            // What another slash precedes was noted there.
            if previous != Some(&b'/') {
                self.note(bytes.get(at - before..at).unwrap_or_default(), mentions);
            }
        } else if previous != Some(&b'/') {
            let path = bytes.get(at..).unwrap_or_default();
            let is_end = |b: &u8| *b != b'/' && !in_name(*b);
            let end = path.iter().take(MAX_PATH).position(is_end).unwrap_or(path.len());
            let path = path.get(..end).unwrap_or_default();
            let trimmed = path.strip_suffix(b"/").unwrap_or(path);
            if let Some(dir) = self.directory_of(trimmed) {
                mentions.directories.insert(dir.into());
                let name = path.get(dir.len() + 1..).unwrap_or_default();
                if name.len() >= MIN_FRONT && !name.contains(&b'/') {
                    mentions.fronts.insert(path.into());
                }
            } else if let Some(front) = path.first_chunk()
                && self.pieces.contains(front)
            {
                mentions.pieces.insert(*front);
            }
        }
    }

    /// The deepest known directory that the path `path` is, or is in.
    fn directory_of<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        let ends = memchr::memrchr_iter(b'/', path).filter(|end| *end > 0);
        let mut dirs = [path.len()].into_iter().chain(ends).filter_map(|end| path.get(..end));
        dirs.find(|dir| self.directories.contains(*dir))
    }

    /// Notes `name`. A library that reads compressed files may open `x` where it names `x.gz`.
    fn note(&self, name: &[u8], mentions: &mut Mentions) {
        let plain = COMPRESSED.iter().find_map(|ending| name.strip_suffix(*ending));
        for name in plain.into_iter().chain([name]) {
            if !name.is_empty() && self.names.contains(name) {
                mentions.names.insert(name.into());
            }
        }
    }
}

impl Mentions {
    /// Those of a text, to be found in it, in which an ordinary word does not stand for a directory
    /// of another package.
    pub fn of_prose() -> Self {
        Self { is_prose: true, ..Self::default() }
    }

    /// Whether `mention` may be a word of prose, and no path.
    pub(super) fn is_word(&self, mention: &[u8]) -> bool {
        self.is_prose && mention.iter().all(u8::is_ascii_lowercase)
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.directories.is_empty() && self.pieces.is_empty()
    }

    /// The names of files and directories.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.names.iter().map(|name| &**name)
    }

    /// What mentions the directory `path`.
    pub(super) fn of_directory(&self, path: &[u8], name: &[u8]) -> Option<Box<[u8]>> {
        if self.directories.contains(path) {
            return Some(path.into());
        }
        if is_shared(name) {
            return None;
        }
        let by_piece = || piece(path, name).filter(|piece| self.pieces.contains(piece));
        self.names.get(name).cloned().or_else(|| by_piece().map(Box::from))
    }

    /// What mentions a file, by its name or with the first part of its path.
    pub(super) fn of_file(&self, path: &[u8], name: &[u8]) -> Option<Box<[u8]>> {
        let by_name = self.names.get(name).filter(|name| name.len() >= MIN_FILE_NAME);
        by_name.map(|name| &**name).or_else(|| self.front_of(path)).map(Box::from)
    }

    /// The longest path that `path` begins with and that ends in the same directory.
    fn front_of(&self, path: &[u8]) -> Option<&[u8]> {
        let dir_len = memchr::memrchr(b'/', path)?;
        let dir = path.get(..=dir_len)?;
        let between = (Bound::Included(dir), Bound::Included(path));
        let fronts = self.fronts.range::<[u8], _>(between).rev();
        let mut near = fronts.map(|front| &**front).take_while(|front| front.starts_with(dir));
        near.find(|front| path.starts_with(front))
    }
}

/// The front of `path`, if it is cut after some bytes of `name`, the last part, so that it says
/// which directory is meant.
fn piece(path: &[u8], name: &[u8]) -> Option<[u8; PIECE]> {
    let front: &[u8; PIECE] = path.first_chunk()?;
    let of_name = PIECE.checked_sub(path.len().checked_sub(name.len())?)?;
    (path.len() > PIECE && of_name >= 3).then_some(*front)
}

/// Whether the slash at `at` is in a URL: what that names is elsewhere.
fn is_in_url(bytes: &[u8], at: usize) -> bool {
    let before = bytes.get(at.saturating_sub(MAX_PATH)..at).unwrap_or_default();
    let is_part = |b: &&u8| in_name(**b) || **b == b'/';
    let len = before.iter().rev().take_while(is_part).count();
    let is_host = bytes.get(at - len..).is_some_and(|path| path.starts_with(b"//"));
    is_host && before.get(..before.len() - len).is_some_and(|front| front.ends_with(b":"))
}

/// Whether a name can have this byte.
fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'+' | b'-' | b'@' | b'~')
}

/// How many bytes of a name end before `at`.
fn run_before(bytes: &[u8], at: usize) -> usize {
    bytes.get(..at).unwrap_or_default().iter().rev().take_while(|b| in_name(**b)).count()
}

/// How many bytes of a name begin at `at`.
fn run_after(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..).unwrap_or_default().iter().take_while(|b| in_name(**b)).count()
}

/// Whether a mention of the name alone says nothing.
fn is_shared(name: &[u8]) -> bool {
    name.len() < 2 || shared_dirs::is_common(name)
}
