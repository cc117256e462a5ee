//! Writes a tree as tar, any range of it at a time.
//!
//! Where each member starts follows from the paths and sizes alone. So several threads can make
//! different ranges of one archive, and its length is known before any file is read.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    ops::Range,
};

use super::header::{self, BLOCK, HeaderError};
use crate::{
    path::ImagePath,
    tree::{FileNode, Identity, Kind, Meta, Node, Tree},
};

/// Two zero blocks end an archive. It is not padded to 10 KiB, as tar(1) does for tapes.
const END: u64 = 2 * BLOCK as u64;

/// An archive of more than an exabyte would come from a sparse file; no disk can hold it.
const MAX_SIZE: u64 = 1 << 60;

/// The offset of each member in a tree's archive. Members come in the tree's order, a directory
/// before its entries. Names of one inode with the same metadata are hard links to the first of
/// them.
#[derive(Debug)]
pub struct TarLayout<'a> {
    members: Vec<Member<'a>>,
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

/// Asks for a file's bytes from `offset` on, as many as the buffer takes.
#[derive(Debug)]
pub struct ContentRequest<'a> {
    /// The file's path in the image.
    pub path: &'a ImagePath,
    /// The file.
    pub file: &'a FileNode,
    /// In bytes, from the start of the file.
    pub offset: u64,
}

impl<'a> TarLayout<'a> {
    /// The layout of the archive of `tree`, which must hold the parents of its paths.
    ///
    /// # Errors
    /// [`HeaderError`] for a node that no tar can hold.
    pub fn new(tree: &'a Tree) -> Result<Self, HeaderError> {
        let mut first_names: BTreeMap<Identity, (&ImagePath, &Meta)> = BTreeMap::new();
        let mut members = Vec::with_capacity(tree.len());
        let mut start = 0;
        for (path, node) in tree {
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
        Ok(Self { members, size: start + END })
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
    /// is asked for.
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
        for member in self.members.iter().skip(first).take_while(|member| member.start < part.end) {
            let end_of_content = member.content + member.content_len();
            if let Some((skipped, to)) = slice(out, &part, member.start..member.content) {
                scratch.clear();
                // Cannot fail: `new` has made every header once.
                let _ = header::append(&mut scratch, member.path, member.node, member.link);
                to.copy_from_slice(&scratch[skipped as usize..skipped as usize + to.len()]);
            }
            if let (Some((offset, to)), Kind::File(file)) =
                (slice(out, &part, member.content..end_of_content), &member.node.kind)
            {
                read(ContentRequest { path: member.path, file, offset }, to)?;
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
        let number = self.members.binary_search_by(|member| member.path.cmp(path)).ok()?;
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

    /// Calls `write` with each run of headers and its offset. The bytes between that are neither
    /// headers nor content are zero.
    ///
    /// # Errors
    /// The first error of `write`.
    pub fn headers<E>(&self, mut write: impl FnMut(u64, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut members = self.members.iter().peekable();
        let mut headers = Vec::new();
        while let Some(first) = members.next() {
            headers.clear();
            // Cannot fail: `new` has made every header once.
            let _ = header::append(&mut headers, first.path, first.node, first.link);
            let mut end = first.end();
            while let Some(next) = members
                .next_if(|next| end == first.start + headers.len() as u64 && next.start == end)
            {
                let _ = header::append(&mut headers, next.path, next.node, next.link);
                end = next.end();
            }
            write(first.start, &headers)?;
        }
        Ok(())
    }
}

impl Member<'_> {
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
