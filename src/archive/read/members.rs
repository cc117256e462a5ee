//! Reads the members of an archive, including their extension headers.
//!
//! Tar readers disagree on hundreds of odd archives, which makes it possible to show one thing to
//! one reader and unpack another with the next. So whatever POSIX leaves open, or two readers
//! interpret differently, is refused here.

use std::{ops::Range, os::unix::fs::FileExt as _};

use tar::{EntryType, Header};

use super::{
    Fault, Limits,
    fields::{check_sum, device, kind, number, short_name, size, until_nul},
    pax::{self, Records},
};
use crate::tree::Archive;

const BLOCK: u64 = 512;

/// Bytes read at once: the headers of small files are close together.
const WINDOW: usize = 16 << 10;

/// One member.
#[derive(Debug)]
pub(super) struct Member {
    /// Offset of its first header.
    pub(super) start: u64,
    /// Its name, as in the archive.
    pub(super) name: Vec<u8>,
    /// A link's target, as in the archive; empty for other members.
    pub(super) target: Vec<u8>,
    /// Regular, Link, Symlink, Char, Block, Directory or Fifo: those that a layer can hold.
    pub(super) kind: EntryType,
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Whole seconds.
    pub(super) mtime: i64,
    /// Device numbers.
    pub(super) device: (u32, u32),
    /// Offset and length of its content.
    pub(super) content: u64,
    pub(super) size: u64,
    /// Value of `security.capability`.
    pub(super) capability: Option<Vec<u8>>,
    /// The number of other extended attributes.
    pub(super) other_attributes: usize,
}

/// Reads members one after the other.
pub(super) struct Members<'a> {
    archive: &'a Archive,
    limits: Limits,
    /// The offset at which the archive ends.
    end: u64,
    at: u64,
    headers: u64,
    /// The name in the last header, without extension headers, for messages.
    name: Vec<u8>,
    window: Vec<u8>,
    window_at: u64,
}

/// The extension headers before a member.
#[derive(Default)]
struct Extensions {
    start: Option<u64>,
    pax: Option<Records>,
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
}

impl<'a> Members<'a> {
    /// The members in the bytes `range` of `archive`.
    pub(super) fn new(archive: &'a Archive, range: Range<u64>, limits: Limits) -> Self {
        Self {
            archive,
            limits,
            end: range.end,
            at: range.start,
            headers: 0,
            name: Vec::new(),
            window: Vec::new(),
            window_at: 0,
        }
    }

    /// The offset of the next header.
    pub(super) fn position(&self) -> u64 {
        self.at
    }

    /// The name in the header there, if it has been read.
    pub(super) fn name(self) -> Vec<u8> {
        self.name
    }

    /// The next member, or `None` after a well-formed end.
    pub(super) fn next(&mut self) -> Result<Option<Member>, Fault> {
        let mut extensions = Extensions::default();
        loop {
            let start = self.at;
            self.name.clear();
            let block = self.block(start)?;
            if block.iter().all(|&byte| byte == 0) {
                return if extensions.start.is_some() { Err(Fault::Dangling) } else { self.end() };
            }
            check_sum(&block)?;
            self.headers += 1;
            if self.headers > self.limits.headers {
                return Err(Fault::TooMany("headers"));
            }
            let header = Header::from_byte_slice(&block);
            self.name = short_name(header);
            if !self.extend(header, &mut extensions)? {
                return self.member(header, extensions).map(Some);
            }
            extensions.start.get_or_insert(start);
        }
    }

    /// Reads an extension header. Returns false if the header is not one.
    fn extend(&mut self, header: &Header, extensions: &mut Extensions) -> Result<bool, Fault> {
        let kind = header.entry_type();
        match kind {
            EntryType::XHeader => {
                let records = pax::parse(&self.body(header)?)?;
                set_once(&mut extensions.pax, records)?;
            }
            EntryType::XGlobalHeader => pax::parse(&self.body(header)?)?.check_global()?,
            EntryType::GNULongName => {
                set_once(&mut extensions.name, long_name(self.body(header)?)?)?;
            }
            EntryType::GNULongLink => {
                set_once(&mut extensions.target, long_name(self.body(header)?)?)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The content of an extension header.
    fn body(&mut self, header: &Header) -> Result<Vec<u8>, Fault> {
        let size = size(header)?;
        if size > self.limits.extension {
            return Err(Fault::TooMany("bytes in an extension header"));
        }
        let content = self.at + BLOCK;
        self.skip(content, size)?;
        // The limit keeps the size small.
        let mut body = vec![0; size as usize];
        self.archive.file.read_exact_at(&mut body, content).map_err(Fault::Read)?;
        Ok(body)
    }

    /// Moves to the header after content of `size` bytes at the offset `content`.
    fn skip(&mut self, content: u64, size: u64) -> Result<(), Fault> {
        let end =
            size.checked_next_multiple_of(BLOCK).and_then(|padded| content.checked_add(padded));
        self.at = end.filter(|end| *end <= self.end).ok_or(Fault::Truncated)?;
        Ok(())
    }

    fn member(&mut self, header: &Header, extensions: Extensions) -> Result<Member, Fault> {
        let Extensions { start, pax, name: long_name, target: long_target } = extensions;
        let pax = pax.unwrap_or_default();
        if long_name.is_some() && pax.path.is_some()
            || long_target.is_some() && pax.linkpath.is_some()
        {
            return Err(Fault::TwoNames);
        }
        let name = pax.path.or(long_name).unwrap_or_else(|| short_name(header));
        let kind = kind(header, &name)?;
        let old = header.as_old();
        let size = pax.size.map_or_else(|| size(header), Ok)?;
        if size > 0 && kind != EntryType::Regular {
            return Err(Fault::Size);
        }
        let is_link = matches!(kind, EntryType::Link | EntryType::Symlink);
        let target =
            pax.linkpath.or(long_target).unwrap_or_else(|| until_nul(&old.linkname).to_vec());
        let id = |field: &[u8]| {
            number(field).and_then(|id| u32::try_from(id).ok()).ok_or(Fault::Number("owner"))
        };
        let start = start.unwrap_or(self.at);
        let content = self.at + BLOCK;
        let member = Member {
            start,
            target: if is_link { target } else { Vec::new() },
            kind,
            // Some writers put the file's type above the permissions.
            mode: (number(&old.mode).ok_or(Fault::Number("mode"))? & 0o7777) as u16,
            uid: pax.uid.map_or_else(|| id(&old.uid), Ok)?,
            gid: pax.gid.map_or_else(|| id(&old.gid), Ok)?,
            mtime: pax.mtime.or_else(|| number(&old.mtime)).ok_or(Fault::Number("time"))?,
            device: if kind.is_character_special() || kind.is_block_special() {
                device(header)?
            } else {
                (0, 0)
            },
            content,
            size,
            capability: pax.capability,
            other_attributes: pax.other_attributes,
            name,
        };
        self.skip(content, size)?;
        Ok(member)
    }

    /// Checks what follows the first zero block: a second one may be missing, and everything must
    /// be zero.
    fn end(&mut self) -> Result<Option<Member>, Fault> {
        let mut at = self.at + BLOCK;
        let mut buffer = vec![0; WINDOW];
        while at < self.end {
            let len = (self.end - at).min(WINDOW as u64) as usize;
            let part = &mut buffer[..len];
            self.archive.file.read_exact_at(part, at).map_err(Fault::Read)?;
            if part.iter().any(|&byte| byte != 0) {
                return Err(Fault::AfterEnd);
            }
            at += len as u64;
        }
        Ok(None)
    }

    /// The block at the offset `at`.
    fn block(&mut self, at: u64) -> Result<[u8; BLOCK as usize], Fault> {
        if self.end.saturating_sub(at) < BLOCK {
            return Err(Fault::Truncated);
        }
        let inside = |window: &[u8], from: u64| {
            let from = usize::try_from(at.checked_sub(from)?).ok()?;
            window.get(from..)?.first_chunk().copied()
        };
        if let Some(block) = inside(&self.window, self.window_at) {
            return Ok(block);
        }
        self.window.resize((self.end - at).min(WINDOW as u64) as usize, 0);
        self.window_at = at;
        self.archive.file.read_exact_at(&mut self.window, at).map_err(Fault::Read)?;
        inside(&self.window, at).ok_or(Fault::Truncated)
    }
}

fn set_once<T>(slot: &mut Option<T>, value: T) -> Result<(), Fault> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Fault::TwoNames),
    }
}

/// A name that is the content of an extension header; one NUL at its end is removed.
fn long_name(mut body: Vec<u8>) -> Result<Vec<u8>, Fault> {
    if body.last() == Some(&0) {
        body.pop();
    }
    if body.contains(&0) { Err(Fault::Nul) } else { Ok(body) }
}
