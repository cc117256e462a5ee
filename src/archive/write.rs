//! Writes a tree as tar, any range of it at a time.
//!
//! Where each member starts follows from the paths and sizes alone. So several threads can make
//! different ranges of one archive, and its length is known before any file is read.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    ops::Range,
    sync::atomic::{AtomicU32, Ordering},
};

use super::header::{self, BLOCK, END, HeaderError};
use crate::{
    path::ImagePath,
    timestamp::{ContentTime, Mtime, Timestamp},
    tree::{FileNode, Identity, Kind, Meta, Node, Tree},
};

/// An archive of more than an exabyte would come from a sparse file; no disk can hold it.
const MAX_SIZE: u64 = 1 << 60;

/// Bytes that are read at once to compute a time. They fit into a processor's cache.
const PIECE: u64 = 1 << 19;

/// The offset of each member in a tree's archive. Members come in the tree's order, unless another
/// is asked for, a directory before its entries. Names of one inode with the same metadata are hard
/// links to the first of them.
#[derive(Debug)]
pub struct TarLayout<'a> {
    members: Vec<Member<'a>>,
    /// The numbers of the members by path; empty where that is their order.
    by_path: Vec<usize>,
    /// The time of each member's content in seconds, once it is known; 0 until then.
    times: Vec<AtomicU32>,
    size: u64,
}

/// One member, with the offsets of its first header and of its content.
#[derive(Clone, Copy, Debug)]
struct Member<'a> {
    start: u64,
    content: u64,
    path: &'a ImagePath,
    node: &'a Node,
    link: Option<&'a ImagePath>,
}

/// A member of an archive.
#[derive(Debug)]
pub struct FilledEntry<'a> {
    /// Its path in the image.
    pub path: &'a ImagePath,
    /// Its node.
    pub node: &'a Node,
    /// The path that it is a hard link to.
    pub link: Option<&'a ImagePath>,
    /// Where its content is in the archive; empty without content.
    pub content: Range<u64>,
    /// The time in its header.
    pub time: Timestamp,
}

/// Asks for a file's bytes from `offset` on, as many as the buffer takes.
#[derive(Debug)]
pub struct ContentRequest<'a> {
    /// The file's path in the image.
    pub path: &'a ImagePath,
    /// The file.
    pub file: &'a FileNode,
    /// In bytes, from the start of the file.
    pub offset: u64,
    /// Whether they are needed only to compute the file's time: they will be asked for again.
    pub for_time: bool,
}

impl<'a> TarLayout<'a> {
    /// The layout of the archive of `tree`, which must hold the parents of its paths.
    ///
    /// # Errors
    /// [`HeaderError`] for a node that no tar can hold.
    pub fn new(tree: &'a Tree) -> Result<Self, HeaderError> {
        Self::of_nodes(tree)
    }

    /// The layout of the archive that has `nodes` in this order: each path once, directories before
    /// what is in them.
    ///
    /// # Errors
    /// As [`TarLayout::new`].
    pub fn of_nodes(
        nodes: impl IntoIterator<Item = (&'a ImagePath, &'a Node)>,
    ) -> Result<Self, HeaderError> {
        let mut first_names: BTreeMap<Identity, (&ImagePath, &Meta)> = BTreeMap::new();
        let nodes = nodes.into_iter();
        let mut members = Vec::with_capacity(nodes.size_hint().0);
        let mut start = 0;
        for (path, node) in nodes {
            let mut link = None;
            if let Some(file) = node.file().filter(|file| file.shared) {
                let (first, meta) =
                    *first_names.entry(file.content.identity()).or_insert((path, &node.meta));
                link = (first != path && *meta == node.meta).then_some(first);
            }
            let content = start + header::len(path, node, link)?;
            let member = Member { start, content, path, node, link };
            start = content
                .checked_add(member.content_len())
                .filter(|end| *end <= MAX_SIZE)
                .map(padded)
                .ok_or_else(|| HeaderError::Large(path.clone()))?;
            members.push(member);
        }
        let times = members.iter().map(|_| AtomicU32::new(0)).collect();
        let mut by_path = Vec::new();
        if !members.is_sorted_by_key(|member: &Member<'_>| member.path) {
            by_path = (0..members.len()).collect();
            by_path.sort_by_key(|&number| members.get(number).map(|member| member.path));
        }
        Ok(Self { members, by_path, times, size: start + END })
    }

    /// Bytes of the whole archive.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The number of members.
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// The number of members that end at or before the offset `at`.
    pub fn members_before(&self, at: u64) -> usize {
        self.members.partition_point(|member| member.end() <= at)
    }

    /// The members in order: path, node, and for a hard link the path it links to.
    pub fn entries(
        &self,
    ) -> impl Iterator<Item = (&'a ImagePath, &'a Node, Option<&'a ImagePath>)> {
        self.members.iter().map(|member| (member.path, member.node, member.link))
    }

    /// Fills `out` with the archive's bytes from `at` on. `read` fills a buffer with the content it
    /// is asked for: that of `out`, and for the time of a file what is beyond `out`.
    ///
    /// # Errors
    /// The first error of `read`.
    pub fn fill<E>(
        &self,
        at: u64,
        out: &mut [u8],
        mut read: impl FnMut(ContentRequest<'_>, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let part = at..at + out.len() as u64;
        let mut scratch = Vec::new();
        let first = self.members.partition_point(|member| member.end() <= at);
        let members = self.members.iter().enumerate().skip(first);
        for (number, member) in members.take_while(|(_, member)| member.start < part.end) {
            let end_of_content = member.content + member.content_len();
            // Before the header, which needs the time of the content.
            let mut known: &[u8] = &[];
            if let (Some((offset, to)), Kind::File(file)) =
                (slice(out, &part, member.content..end_of_content), &member.node.kind)
            {
                let path = member.path;
                read(ContentRequest { path, file, offset, for_time: false }, to)?;
                known = if offset == 0 { to } else { &[] };
            }
            if part.start < member.content {
                let time = self.time(number, known, &mut read)?;
                scratch.clear();
                // Cannot fail: `new` has made every header once.
                let _ = member.append_header(&mut scratch, time);
            }
            if let Some((skipped, to)) = slice(out, &part, member.start..member.content) {
                to.copy_from_slice(&scratch[skipped as usize..skipped as usize + to.len()]);
            }
            if let Some((_, to)) = slice(out, &part, end_of_content..member.end()) {
                to.fill(0);
            }
        }
        if let Some((_, to)) = slice(out, &part, self.size - END..self.size) {
            to.fill(0);
        }
        Ok(())
    }

    /// The time in the header of a member. `known` is the start of its content; `read` reads the
    /// rest, unless the time is known.
    fn time<E>(
        &self,
        number: usize,
        known: &[u8],
        read: &mut impl FnMut(ContentRequest<'_>, &mut [u8]) -> Result<(), E>,
    ) -> Result<Timestamp, E> {
        let Some(mut member) = self.members.get(number) else { return Ok(Timestamp::EARLIEST) };
        if let Mtime::At(time) = member.node.meta.mtime {
            return Ok(time);
        }
        let mut number = number;
        if let Some(link) = member.link
            && let Ok(first) = self.number_of(link)
        {
            (number, member) = (first, &self.members[first]);
        }
        let Some(file) = member.node.file() else { return Ok(Timestamp::EARLIEST) };
        let cell = &self.times[number];
        if let Some(time) = time_in(cell) {
            return Ok(time);
        }
        let mut time = ContentTime::default();
        time.update(known);
        let mut offset = known.len() as u64;
        let mut buffer = vec![0; file.len.saturating_sub(offset).min(PIECE) as usize];
        while offset < file.len {
            let piece = &mut buffer[..(file.len - offset).min(PIECE) as usize];
            read(ContentRequest { path: member.path, file, offset, for_time: true }, piece)?;
            time.update(piece);
            offset += piece.len() as u64;
        }
        let time = time.finish();
        self.set_time(number, time);
        Ok(time)
    }

    /// The members whose time depends on content of their own: number and file.
    pub fn timed_by_content(&self) -> impl Iterator<Item = (usize, &'a FileNode)> + use<'a, '_> {
        self.members.iter().enumerate().filter_map(|(number, member)| {
            let file = member.node.file().filter(|_| member.link.is_none())?;
            (member.node.meta.mtime == Mtime::OfContent).then_some((number, file))
        })
    }

    /// The time of a member's content, if it is known.
    pub fn known_time(&self, number: usize) -> Option<Timestamp> {
        self.times.get(number).and_then(time_in)
    }

    /// Sets the time of a member's content, which is then not computed.
    pub fn set_time(&self, number: usize, time: Timestamp) {
        if let Some(cell) = self.times.get(number) {
            cell.store(u32::try_from(time.seconds()).unwrap_or_default(), Ordering::Relaxed);
        }
    }

    /// Takes the times of content that are known to `other`.
    pub fn take_times(&self, other: &TarLayout<'_>) {
        for (member, cell) in other.members.iter().zip(&other.times) {
            if let Some(time) = time_in(cell)
                && let Some(file) = member.node.file()
                && let Some((number, _)) = self.content_start(member.path, file)
            {
                self.set_time(number, time);
            }
        }
    }

    /// Writes the whole archive to `writer`. `read` fills a buffer with the content it is asked
    /// for.
    ///
    /// # Errors
    /// The first error of `read` or of `writer`.
    pub fn write<E: From<io::Error>>(
        &self,
        mut writer: impl Write,
        mut read: impl FnMut(ContentRequest<'_>, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut buffer = vec![0; 1 << 20];
        let mut at = 0;
        while at < self.size {
            let part = &mut buffer[..(self.size - at).min(1 << 20) as usize];
            self.fill(at, part, &mut read)?;
            writer.write_all(part)?;
            at += part.len() as u64;
        }
        Ok(())
    }

    /// Whether `other` has the same members at the same offsets. Does not compare content.
    pub fn is_same(&self, other: &TarLayout<'_>) -> bool {
        let same = |(one, other): (&Member<'_>, &Member<'_>)| {
            (one.start, one.path, one.node, one.link)
                == (other.start, other.path, other.node, other.link)
        };
        self.size == other.size
            && self.members.len() == other.members.len()
            && self.members.iter().zip(&other.members).all(same)
    }

    /// The number of the member at `path` and the offset of its content, if that is the content of
    /// `file`.
    pub fn content_start(&self, path: &ImagePath, file: &FileNode) -> Option<(usize, u64)> {
        let number = self.number_of(path).ok()?;
        let member = self.members.get(number).filter(|member| member.link.is_none())?;
        let own = member.node.file()?;
        (own.len == file.len && own.content.identity() == file.content.identity())
            .then_some((number, member.content))
    }

    /// The members with content of their own: number, offset of the content, and the file.
    pub fn contents(&self) -> impl Iterator<Item = (usize, u64, &'a FileNode)> {
        self.members.iter().enumerate().filter_map(|(number, member)| {
            let file = member.node.file().filter(|_| member.link.is_none())?;
            Some((number, member.content, file))
        })
    }

    /// Where those contents are that overlap `range`, in order; none is empty.
    pub fn contents_in(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let Range { start, end } = range;
        let first = self.members.partition_point(|member| member.end() <= start);
        let members = self.members.iter().skip(first);
        members
            .take_while(move |member| member.start < end)
            .map(|member| member.content..member.content + member.content_len())
            .filter(move |content| {
                !content.is_empty() && content.start < end && content.end > start
            })
    }

    /// The members in order, with what is known of them after the whole archive was filled.
    pub fn filled_entries(&self) -> impl Iterator<Item = FilledEntry<'a>> {
        self.members.iter().enumerate().map(|(number, member)| {
            let first = member.link.and_then(|link| self.number_of(link).ok()).unwrap_or(number);
            let time = match member.node.meta.mtime {
                Mtime::At(time) => time,
                Mtime::OfContent => {
                    self.times.get(first).and_then(time_in).unwrap_or(Timestamp::EARLIEST)
                }
            };
            let content = member.content..member.content + member.content_len();
            FilledEntry { path: member.path, node: member.node, link: member.link, content, time }
        })
    }

    fn number_of(&self, path: &ImagePath) -> Result<usize, usize> {
        if self.by_path.is_empty() {
            return self.members.binary_search_by(|member| member.path.cmp(path));
        }
        let at = self.by_path.binary_search_by(|&number| {
            self.members.get(number).map(|member| member.path).cmp(&Some(path))
        })?;
        self.by_path.get(at).copied().ok_or(at)
    }

    /// Calls `write` with each run of headers and its offset. The bytes between that are neither
    /// headers nor content are zero. `read` is as in [`TarLayout::fill`].
    ///
    /// # Errors
    /// The first error of `read` or `write`.
    pub fn headers<E>(
        &self,
        mut read: impl FnMut(ContentRequest<'_>, &mut [u8]) -> Result<(), E>,
        mut write: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut members = self.members.iter().enumerate().peekable();
        let mut headers = Vec::new();
        while let Some((number, first)) = members.next() {
            headers.clear();
            // Cannot fail: `new` has made every header once.
            let _ = first.append_header(&mut headers, self.time(number, &[], &mut read)?);
            let mut end = first.end();
            while let Some((number, next)) = members
                .next_if(|(_, next)| end == first.start + headers.len() as u64 && next.start == end)
            {
                let _ = next.append_header(&mut headers, self.time(number, &[], &mut read)?);
                end = next.end();
            }
            write(first.start, &headers)?;
        }
        Ok(())
    }
}

/// The time in `cell`, if it is known.
fn time_in(cell: &AtomicU32) -> Option<Timestamp> {
    let seconds = cell.load(Ordering::Relaxed);
    Timestamp::from_seconds(seconds.into()).filter(|_| seconds != 0)
}

impl Member<'_> {
    fn append_header(&self, out: &mut Vec<u8>, time: Timestamp) -> Result<(), HeaderError> {
        header::append(out, self.path, self.node, self.link, time)
    }

    fn content_len(&self) -> u64 {
        self.node.file().filter(|_| self.link.is_none()).map_or(0, |file| file.len)
    }

    fn end(&self) -> u64 {
        self.content + padded(self.content_len())
    }
}

/// `len` rounded up to whole blocks.
fn padded(len: u64) -> u64 {
    len.next_multiple_of(BLOCK as u64)
}

/// The slice of `out` that holds bytes of `range`, and how many bytes of the range precede it.
/// `out` holds the bytes `part` of the archive. `None` where they do not overlap.
fn slice<'o>(
    out: &'o mut [u8],
    part: &Range<u64>,
    range: Range<u64>,
) -> Option<(u64, &'o mut [u8])> {
    let (start, end) = (part.start.max(range.start), part.end.min(range.end));
    let slice =
        out.get_mut((start - part.start) as usize..end.checked_sub(part.start)? as usize)?;
    (!slice.is_empty()).then_some((start - range.start, slice))
}
