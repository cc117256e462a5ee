//! Which packages list a path: an index over the lists of all packages.

use std::hash::{DefaultHasher, Hasher as _};

use super::{PackageId, checksums::checksum};

/// Bytes of paths that one database may have.
const MAX_TEXT: usize = 512 << 20;
/// Paths that one database may have: as many as there are numbers in [`LINE`].
const MAX_LINES: usize = LINE as usize;
/// The bits of a key that are the number of a line; the others are those of its hash.
const LINE: u64 = (1 << 24) - 1;
/// The longest path in bytes.
const MAX_PATH: usize = crate::path::ImagePath::MAX;

/// The paths that one package lists, without leading slashes, as they are written. It is made apart
/// from the index, so that several threads can make lists.
#[derive(Debug, Default)]
pub struct Listing {
    text: Vec<u8>,
    lines: Vec<Line>,
    hashes: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    start: u32,
    len: u16,
}

impl Listing {
    /// A list of absolute paths, one a line (`info/NAME.list` of dpkg).
    pub fn of_paths(text: Vec<u8>) -> Self {
        Self::new(text, |line| line.strip_prefix(b"/").filter(|path| *path != b"."))
    }

    /// A list of checksums with relative paths (`NAME.md5sums` of dpkg).
    pub fn of_checksums(text: Vec<u8>) -> Self {
        Self::new(text, |line| checksum(line).map(|(_, path)| path))
    }

    fn new(text: Vec<u8>, path: impl Fn(&[u8]) -> Option<&[u8]>) -> Self {
        let mut listing = Self::default();
        let mut start = 0;
        while let Some(rest) = text.get(start..).filter(|rest| !rest.is_empty()) {
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = rest.get(..end).unwrap_or_default();
            if let Some(path) = path(line) {
                // The path ends where the line ends.
                listing.note(path, start + end - path.len());
            }
            start += end + 1;
        }
        Self { text, ..listing }
    }

    /// Notes that `path` is in the text at `start`.
    fn note(&mut self, path: &[u8], start: usize) {
        let (Ok(start), Ok(len)) = (u32::try_from(start), u16::try_from(path.len())) else {
            return;
        };
        if path.is_empty() || path.len() > MAX_PATH {
            return;
        }
        self.lines.push(Line { start, len });
        self.hashes.push(hash(path));
    }
}

/// The lists of all packages.
#[derive(Debug, Default)]
pub(super) struct FileIndex {
    text: Vec<u8>,
    /// The paths and the packages that list them; those of one package follow each other.
    lines: Vec<(Line, PackageId)>,
    /// For each line its hash and its number, in order: paths are looked up by their hashes.
    keys: Vec<u64>,
    /// The first line of each package, and the number of all lines.
    starts: Vec<u32>,
}

impl FileIndex {
    /// The lists of `count` packages, in the packages' order.
    pub(super) fn new(count: usize, lists: impl IntoIterator<Item = (PackageId, Listing)>) -> Self {
        let mut index = Self::default();
        for (id, list) in lists {
            let base = index.text.len();
            if base + list.text.len() > MAX_TEXT || index.lines.len() + list.lines.len() > MAX_LINES
            {
                continue;
            }
            index.text.extend_from_slice(&list.text);
            while index.starts.len() <= id.0 as usize {
                index.starts.push(index.lines.len() as u32);
            }
            for (line, hash) in list.lines.into_iter().zip(list.hashes) {
                index.keys.push((hash & !LINE) | index.lines.len() as u64);
                let start = line.start + base as u32;
                index.lines.push((Line { start, ..line }, id));
            }
        }
        while index.starts.len() <= count {
            index.starts.push(index.lines.len() as u32);
        }
        index.keys.sort_unstable();
        index
    }

    fn path(&self, line: Line) -> &[u8] {
        let start = line.start as usize;
        self.text.get(start..start + usize::from(line.len)).unwrap_or_default()
    }

    /// The packages that list `path`, which has no leading slash.
    pub(super) fn owners(&self, path: &[u8]) -> impl Iterator<Item = PackageId> {
        let hash = hash(path) & !LINE;
        let first = self.keys.partition_point(|key| *key < hash);
        let from = self.keys.get(first..).unwrap_or_default();
        let same = from.iter().take_while(move |key| **key & !LINE == hash);
        let lines = same.filter_map(|key| self.lines.get((key & LINE) as usize));
        lines.filter(move |(line, _)| self.path(*line) == path).map(|(_, id)| *id)
    }

    /// The paths that a package lists, without leading slashes.
    pub(super) fn of(&self, id: PackageId) -> impl Iterator<Item = &[u8]> {
        let at = |id: usize| self.starts.get(id).map_or(0, |start| *start as usize);
        let range = at(id.0 as usize)..at(id.0 as usize + 1);
        let lines = self.lines.get(range).unwrap_or_default();
        lines.iter().map(|(line, _)| self.path(*line))
    }
}

/// SipHash, whose collisions are hard to find: a hostile list cannot make lookups slow.
fn hash(path: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(path);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_path_that_is_listed() {
        let lists: Vec<_> = (0..50)
            .map(|id| {
                let own = (0..id).map(|file| format!("/usr/{id}/{file}\n")).collect::<String>();
                (PackageId(id), Listing::of_paths(format!("/.\n/usr\n{own}").into()))
            })
            .collect();
        let index = FileIndex::new(51, lists);
        assert_eq!(index.owners(b"usr").count(), 50);
        assert_eq!(index.of(PackageId(7)).count(), 8);
        assert_eq!(index.of(PackageId(50)).count(), 0);
        for id in 0..50 {
            for path in index.of(PackageId(id)).filter(|path| *path != b"usr") {
                assert_eq!(index.owners(path).collect::<Vec<_>>(), [PackageId(id)]);
            }
        }
        assert_eq!(index.owners(b"usr/50/0").count(), 0);
    }
}
