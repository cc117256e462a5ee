//! Which packages list a path: an index over the lists of all packages.

use super::{PackageId, checksums::checksum};
use crate::path::ImagePath;

/// Bytes of paths that one database may have: Debian with 5,000 packages has 40 million.
pub const MAX_TEXT: usize = 128 << 20;
/// Paths that one database may have: Debian with 5,000 packages has half a million.
const MAX_LINES: usize = 8 << 20;
/// The longest path in bytes.
const MAX_PATH: usize = ImagePath::MAX;
/// Lines that are compared in one search. The paths of a hostile database may all have one hash.
const MAX_COMPARED: usize = 1 << 16;

/// The paths that one package lists, without leading slashes, as they are written. It is made apart
/// from the index, so that several threads can make lists.
#[derive(Debug, Default)]
pub struct Listing {
    text: Vec<u8>,
    lines: Vec<Line>,
    /// Whether it is made of checksums, which links, directories and configuration files lack.
    is_of_checksums: bool,
}

/// A path in a text.
#[derive(Clone, Copy, Debug)]
struct Line {
    start: u32,
    len: u16,
    /// 16 bits of the hash, which are the number of a bucket of the index.
    bucket: u16,
    /// Other bits of the hash.
    check: u32,
}

impl Listing {
    /// A list of absolute paths, one a line (`info/NAME.list` of dpkg).
    pub fn of_paths(text: Vec<u8>) -> Self {
        Self::new(text, |line| line.strip_prefix(b"/").filter(|path| *path != b"."))
    }

    /// A list of checksums with relative paths (`NAME.md5sums` of dpkg).
    pub fn of_checksums(text: Vec<u8>) -> Self {
        let list = Self::new(text, |line| checksum(line).map(|(_, path)| path));
        Self { is_of_checksums: true, ..list }
    }

    fn new(text: Vec<u8>, path: impl Fn(&[u8]) -> Option<&[u8]>) -> Self {
        let mut lines = Vec::new();
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &text).chain([text.len()]) {
            let line = text.get(start..end).unwrap_or_default();
            // The path ends where the line ends.
            lines.extend(path(line).and_then(|path| Line::new(path, end - path.len())));
            start = end + 1;
        }
        Self { text, lines, is_of_checksums: false }
    }

    /// Adds the configuration files of a package, if its list leaves them out.
    pub(super) fn with_conffiles(mut self, conffiles: &[ImagePath]) -> Self {
        if self.is_of_checksums {
            conffiles.iter().for_each(|path| self.push(&[path.relative()]));
        }
        self
    }

    /// Adds the path that `parts` make together. Short names in one long directory take many times
    /// the bytes that the database takes, so that a list that is too large gets no more.
    pub(super) fn push(&mut self, parts: &[&[u8]]) {
        let start = self.text.len();
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if len > MAX_PATH || start + len > MAX_TEXT {
            return;
        }
        parts.iter().for_each(|part| self.text.extend_from_slice(part));
        let path = self.text.get(start..).unwrap_or_default();
        self.lines.extend(Line::new(path, start));
    }

    /// Whether it is made of checksums, which links, directories and configuration files lack.
    pub(super) fn is_of_checksums(&self) -> bool {
        self.is_of_checksums
    }

    /// Its paths, without leading slashes.
    pub(super) fn paths(&self) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().map(|line| self.path(line))
    }

    /// The bytes that it takes of [`MAX_TEXT`].
    pub fn text_len(&self) -> usize {
        self.text.len()
    }

    fn path(&self, line: &Line) -> &[u8] {
        let start = line.start as usize;
        self.text.get(start..start + usize::from(line.len)).unwrap_or_default()
    }
}

impl Line {
    /// `path`, which is in the text at `start`.
    fn new(path: &[u8], start: usize) -> Option<Self> {
        let is_path = !path.is_empty() && path.len() <= MAX_PATH;
        let (bucket, check) = hash(path);
        let start = u32::try_from(start).ok().filter(|_| is_path)?;
        Some(Self { start, len: u16::try_from(path.len()).ok()?, bucket, check })
    }
}

/// A line of a package's list.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    package: u32,
    line: u32,
    /// That of the line, so that most lines of other paths need not be looked at.
    check: u32,
}

/// The lists of all packages.
#[derive(Debug, Default)]
pub(super) struct FileIndex {
    /// By the packages' numbers.
    lists: Vec<Listing>,
    /// The lines of all lists, those of one bucket after those of the bucket before.
    by_bucket: Vec<Entry>,
    /// Where each bucket begins in `by_bucket`, and where the last ends.
    buckets: Vec<u32>,
}

impl FileIndex {
    /// The lists of `count` packages.
    pub(super) fn new(count: usize, lists: impl IntoIterator<Item = (PackageId, Listing)>) -> Self {
        let mut index = Self::default();
        index.lists.resize_with(count, Listing::default);
        let (mut text, mut lines) = (0, 0);
        for (id, list) in lists {
            text += list.text.len();
            lines += list.lines.len();
            if text > MAX_TEXT || lines > MAX_LINES {
                break;
            }
            if let Some(place) = index.lists.get_mut(id.0 as usize) {
                *place = list;
            }
        }
        index.fill_buckets();
        index
    }

    /// Sorts the lines by their buckets: counts the lines of each, then puts each in its place.
    fn fill_buckets(&mut self) {
        let mut ends = vec![0u32; usize::from(u16::MAX) + 2];
        for line in self.lists.iter().flat_map(|list| &list.lines) {
            ends[usize::from(line.bucket) + 1] += 1;
        }
        let mut sum = 0;
        for end in &mut ends {
            sum += *end;
            *end = sum;
        }
        self.buckets.clone_from(&ends);
        self.by_bucket = vec![Entry::default(); sum as usize];
        for (package, list) in (0..).zip(&self.lists) {
            for (number, line) in (0..).zip(&list.lines) {
                let next = &mut ends[usize::from(line.bucket)];
                self.by_bucket[*next as usize] = Entry { package, line: number, check: line.check };
                *next += 1;
            }
        }
    }

    /// The packages that list `path`, which has no leading slash.
    pub(super) fn owners(&self, path: &[u8]) -> impl Iterator<Item = PackageId> {
        let (bucket, check) = hash(path);
        let at = |bucket: usize| self.buckets.get(bucket).map_or(0, |start| *start as usize);
        let range = at(bucket.into())..at(usize::from(bucket) + 1);
        let lines = self.by_bucket.get(range).unwrap_or_default().iter().take(MAX_COMPARED);
        let lists = move |entry: &Entry| {
            let list = self.lists.get(entry.package as usize)?;
            let line = list.lines.get(entry.line as usize)?;
            (list.path(line) == path).then_some(PackageId(entry.package))
        };
        lines.filter(move |entry| entry.check == check).filter_map(lists)
    }

    /// Whether no list leaves anything out: neither what checksums lack, nor directories of files.
    pub(super) fn are_whole(&self) -> bool {
        self.lists.iter().all(|list| !list.is_of_checksums && self.has_directories(list))
    }

    /// Whether lists have the directory of each path of `list`.
    fn has_directories(&self, list: &Listing) -> bool {
        let mut last: &[u8] = b"";
        list.paths().all(|path| {
            let slash = memchr::memrchr(b'/', path).unwrap_or(0);
            let dir = path.get(..slash).unwrap_or_default();
            let is_listed = dir.is_empty() || dir == last || self.owners(dir).next().is_some();
            last = dir;
            is_listed
        })
    }

    /// The paths that a package lists, without leading slashes.
    pub(super) fn of(&self, id: PackageId) -> impl Iterator<Item = &[u8]> {
        let list = self.lists.get(id.0 as usize).into_iter();
        list.flat_map(Listing::paths)
    }
}

/// 48 bits of a hash that takes eight bytes at a time, since a database has hundreds of thousands
/// of paths.
fn hash(path: &[u8]) -> (u16, u32) {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = path.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let mut hash = path.len() as u64;
    for word in words.iter().chain([&last]) {
        hash = (hash.rotate_left(23) ^ u64::from_le_bytes(*word)).wrapping_mul(FACTOR);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(FACTOR);
    ((hash >> 48) as u16, (hash >> 16) as u32)
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
