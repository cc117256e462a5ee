//! Reads the members of an archive, including their extension headers.
//!
//! Tar readers disagree on hundreds of odd archives, which makes it possible to show one thing to
//! one reader and unpack another with the next. So what two readers interpret differently is
//! refused here, and what they agree on is taken. docs/tarballs.md lists the exceptions. A layer is
//! read as engines do, with Go's archive/tar. Tarballs may also have what only GNU tar takes.

use std::{ops::Range, os::unix::fs::FileExt as _, sync::Arc};

use tar::{EntryType, Header};

use super::{
    Budget, Fault, Whiteouts,
    fields::{check_numbers, check_sum, device, kind, number, short_name, size, until_nul},
    pax::{self, Records},
    sparse::{self, Form},
};
use crate::{
    compress,
    tree::{Archive, Region},
};

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
    /// Offset of its content in the archive.
    pub(super) content: u64,
    /// Length of the file in bytes.
    pub(super) size: u64,
    /// Where the content of a sparse file belongs.
    pub(super) regions: Option<Arc<Vec<Region>>>,
    /// Value of `security.capability`.
    pub(super) capability: Option<Vec<u8>>,
    /// The number of other extended attributes.
    pub(super) other_attributes: usize,
}

/// Reads members one after the other.
pub(super) struct Members<'a> {
    archive: &'a Archive,
    /// Whether this is a layer.
    layer: bool,
    /// Where the archive starts and ends.
    range: Range<u64>,
    at: u64,
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
    pub(super) fn new(archive: &'a Archive, range: Range<u64>, whiteouts: Whiteouts) -> Self {
        Self {
            archive,
            layer: whiteouts == Whiteouts::Apply,
            at: range.start,
            range,
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
    pub(super) fn next(&mut self, budget: &mut Budget) -> Result<Option<Member>, Fault> {
        let mut extensions = Extensions::default();
        loop {
            let start = self.at;
            self.name.clear();
            let block = self.block(start)?.filter(|block| block.iter().any(|&byte| byte != 0));
            let Some(block) = block else {
                return if extensions.start.is_some() { Err(Fault::Dangling) } else { self.end() };
            };
            check_sum(&block)?;
            budget.header()?;
            let header = Header::from_byte_slice(&block);
            self.name = until_nul(&header.as_old().name).to_vec();
            self.name = short_name(header)?;
            check_numbers(header)?;
            match header.entry_type() {
                // Go drops the extension headers before it, GNU tar keeps them.
                EntryType::XGlobalHeader if extensions.start.is_some() => {
                    return Err(Fault::Dangling);
                }
                EntryType::XGlobalHeader => {
                    pax::parse(&self.body(header, budget)?, !self.layer)?.check_global()?;
                }
                EntryType::XHeader | EntryType::GNULongName | EntryType::GNULongLink => {
                    self.extend(header, &mut extensions, budget)?;
                    extensions.start.get_or_insert(start);
                }
                _ => return self.member(&block, extensions, budget).map(Some),
            }
        }
    }

    /// Reads an extension header. Of two of one kind the last counts, as in Go and GNU tar.
    fn extend(
        &mut self,
        header: &Header,
        extensions: &mut Extensions,
        budget: &Budget,
    ) -> Result<(), Fault> {
        let body = self.body(header, budget)?;
        match header.entry_type() {
            EntryType::XHeader => extensions.pax = Some(pax::parse(&body, !self.layer)?),
            EntryType::GNULongName => extensions.name = Some(long_name(body)?),
            _ => extensions.target = Some(long_name(body)?),
        }
        Ok(())
    }

    /// The content of an extension header.
    fn body(&mut self, header: &Header, budget: &Budget) -> Result<Vec<u8>, Fault> {
        let size = size(header)?;
        if size > budget.extension() {
            return Err(Fault::TooMany("bytes in an extension header"));
        }
        let content = self.at + BLOCK;
        self.skip(content, size)?;
        self.read(content, size as usize)
    }

    /// Reads `len` bytes at the offset `at`, which the caller has bounded.
    fn read(&self, at: u64, len: usize) -> Result<Vec<u8>, Fault> {
        let mut bytes = vec![0; len];
        self.archive.file.read_exact_at(&mut bytes, at).map_err(Fault::Read)?;
        Ok(bytes)
    }

    /// Moves to the header after content of `size` bytes at the offset `content`. The padding of
    /// the last member may be missing.
    fn skip(&mut self, content: u64, size: u64) -> Result<(), Fault> {
        let end = content.checked_add(size).filter(|end| *end <= self.range.end);
        let padded = end.ok_or(Fault::Truncated)?.saturating_add(size.wrapping_neg() % BLOCK);
        self.at = padded.min(self.range.end);
        Ok(())
    }

    fn member(
        &mut self,
        block: &[u8; BLOCK as usize],
        extensions: Extensions,
        budget: &mut Budget,
    ) -> Result<Member, Fault> {
        let header = Header::from_byte_slice(block);
        let Extensions { start, pax, name: long_name, target: long_target } = extensions;
        let pax = pax.unwrap_or_default();
        let form = pax.sparse.form();
        let name = one(pax.sparse.name.or(pax.path), long_name)?;
        let name = name.unwrap_or_else(|| self.name.clone());
        self.name.clone_from(&name);
        let form = form?;
        let target = one(pax.linkpath, long_target)?;
        let kind = kind(header, &name)?;
        let old = header.as_old();
        let id = |field: &[u8]| {
            number(field).and_then(|id| u32::try_from(id).ok()).ok_or(Fault::Number("owner"))
        };
        let mut member = Member {
            start: start.unwrap_or(self.at),
            target: match kind {
                EntryType::Link | EntryType::Symlink => {
                    target.unwrap_or_else(|| until_nul(&old.linkname).to_vec())
                }
                _ => Vec::new(),
            },
            kind,
            // Some writers put the file's type above the permissions.
            mode: (number(&old.mode).ok_or(Fault::Number("mode"))? & 0o7777) as u16,
            uid: pax.uid.map_or_else(|| id(&old.uid), Ok)?,
            gid: pax.gid.map_or_else(|| id(&old.gid), Ok)?,
            mtime: pax.mtime.or_else(|| number(&old.mtime)).ok_or(Fault::Number("time"))?,
            device: device(header, kind)?,
            content: self.at + BLOCK,
            size: pax.size.map_or_else(|| size(header), Ok)?,
            regions: None,
            capability: pax.capability,
            other_attributes: pax.other_attributes,
            name,
        };
        if form != Form::Plain && kind != EntryType::Regular {
            return Err(Fault::Map);
        }
        if kind == EntryType::GNUSparse {
            member.kind = EntryType::Regular;
            self.old_sparse(block, &mut member, budget)?;
        } else if kind == EntryType::Regular {
            self.pax_sparse(form, &mut member, budget)?;
        } else {
            // Only regular files have content. Some writers give other members a size all the
            // same. Readers disagree on a directory that only its name makes one.
            if old.linkflag[0] == 0 && member.size > 0 {
                return Err(Fault::Size);
            }
            member.size = 0;
            self.skip(member.content, 0)?;
        }
        Ok(member)
    }

    /// Reads the map of a member in GNU's own format, which goes on in blocks after the header.
    fn old_sparse(
        &mut self,
        header: &[u8; BLOCK as usize],
        member: &mut Member,
        budget: &mut Budget,
    ) -> Result<(), Fault> {
        let real = number(&header[483..495]).and_then(|size| u64::try_from(size).ok());
        let mut map = sparse::Map::new();
        let mut more = sparse::old_entries(header, false, &mut map)?;
        while more {
            budget.header()?;
            let block = self.block(member.content)?.ok_or(Fault::Truncated)?;
            more = sparse::old_entries(&block, true, &mut map)?;
            member.content += BLOCK;
        }
        self.skip(member.content, member.size)?;
        set_regions(&map, real.ok_or(Fault::Map)?, member, budget)
    }

    fn pax_sparse(
        &mut self,
        form: Form,
        member: &mut Member,
        budget: &mut Budget,
    ) -> Result<(), Fault> {
        self.skip(member.content, member.size)?;
        match form {
            Form::Plain => Ok(()),
            Form::Mapped(size, map) => set_regions(&map, size, member, budget),
            Form::MapInContent(size) => {
                let most = member.size.min(budget.extension());
                let mut len = most.min(WINDOW as u64);
                let (map, taken) = loop {
                    let front = self.read(member.content, len as usize)?;
                    match sparse::map_in_content(&front)? {
                        Some(found) => break found,
                        None if len == most => return Err(Fault::Map),
                        None => len = most.min(len * 4),
                    }
                };
                member.size = member.size.checked_sub(taken).ok_or(Fault::Map)?;
                member.content += taken;
                set_regions(&map, size, member, budget)
            }
        }
    }

    /// Checks what follows the last member. After a block of zeros, everything must be zero.
    fn end(&mut self) -> Result<Option<Member>, Fault> {
        let mut at = self.at;
        while at < self.range.end {
            let len = (self.range.end - at).min(WINDOW as u64);
            let part = self.read(at, len as usize)?;
            if let Some(data) = part.iter().position(|&byte| byte != 0) {
                let front = &part[data / BLOCK as usize * BLOCK as usize..];
                return Err(Fault::AfterEnd(compress::describe(front)));
            }
            at += len;
        }
        let zeros = self.range.end.saturating_sub(self.at);
        // Go reads two whole blocks.
        if self.layer && zeros < 2 * BLOCK && !zeros.is_multiple_of(BLOCK) {
            return Err(Fault::Truncated);
        }
        Ok(None)
    }

    /// The block at the offset `at`; `None` if the archive ends there, or in zeros.
    fn block(&mut self, at: u64) -> Result<Option<[u8; BLOCK as usize]>, Fault> {
        let left = self.range.end.saturating_sub(at);
        if left < BLOCK {
            // An empty layer changes nothing; an empty file is not a tarball.
            let is_empty = self.range.is_empty() && !self.layer;
            let is_data = self.read(at, left as usize)?.iter().any(|&byte| byte != 0);
            return if is_empty || is_data { Err(Fault::Truncated) } else { Ok(None) };
        }
        let inside = |window: &[u8], from: u64| {
            let from = usize::try_from(at.checked_sub(from)?).ok()?;
            window.get(from..)?.first_chunk().copied()
        };
        if let Some(block) = inside(&self.window, self.window_at) {
            return Ok(Some(block));
        }
        self.window.resize(left.min(WINDOW as u64) as usize, 0);
        self.window_at = at;
        self.archive.file.read_exact_at(&mut self.window, at).map_err(Fault::Read)?;
        inside(&self.window, at).ok_or(Fault::Truncated).map(Some)
    }
}

/// Makes `member` a sparse file of `real` bytes.
fn set_regions(
    map: &[(u64, u64)],
    real: u64,
    member: &mut Member,
    budget: &mut Budget,
) -> Result<(), Fault> {
    let regions = sparse::regions(map, real, member.content, member.size)?;
    budget.sparse_file(regions.len(), real - member.size)?;
    member.size = real;
    member.regions = Some(Arc::new(regions));
    Ok(())
}

/// The name from PAX records or from GNU's extension header: readers disagree on which counts.
fn one(pax: Option<Vec<u8>>, gnu: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, Fault> {
    match (pax, gnu) {
        (Some(pax), Some(gnu)) if pax != gnu => Err(Fault::TwoNames),
        (pax, gnu) => Ok(pax.or(gnu)),
    }
}

/// A name that is the content of an extension header; NULs at its end are removed.
fn long_name(mut body: Vec<u8>) -> Result<Vec<u8>, Fault> {
    body.truncate(body.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1));
    match &body[..] {
        [] => Err(Fault::Empty),
        name if name.contains(&0) => Err(Fault::Nul),
        _ => Ok(body),
    }
}
