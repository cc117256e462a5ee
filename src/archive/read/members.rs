//! The members of an archive as their headers describe them, extension headers already taken in.
//!
//! Readers of tar disagree on hundreds of odd archives, and what one reader lists and another
//! unpacks is a way to hide things. So whatever POSIX leaves open, or two readers take differently,
//! is refused here.

use std::{ops::Range, os::unix::fs::FileExt as _};

use tar::{EntryType, Header};

use super::{
    Fault, Limits,
    pax::{self, Records},
};
use crate::tree::Archive;

const BLOCK: u64 = 512;

/// Bytes read at once: the headers of small files lie close together.
const WINDOW: usize = 16 << 10;

/// One member.
#[derive(Debug)]
pub(super) struct Member {
    /// Offset of its first header.
    pub(super) start: u64,
    /// Its name as written.
    pub(super) name: Vec<u8>,
    /// A link's target as written; empty for others.
    pub(super) target: Vec<u8>,
    /// One of those that a layer can hold: regular, link, symlink, character, block, directory,
    /// FIFO.
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
    /// How many other extended attributes it has.
    pub(super) other_attributes: usize,
}

/// Reads members one behind the other.
pub(super) struct Members<'a> {
    archive: &'a Archive,
    limits: Limits,
    /// Where the archive ends.
    end: u64,
    at: u64,
    headers: u64,
    /// Name of the last header, without extensions, for messages.
    name: Vec<u8>,
    window: Vec<u8>,
    window_at: u64,
}

/// Extension headers that wait for their member.
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

    /// Offset of the next header: where a fault is.
    pub(super) fn position(&self) -> u64 {
        self.at
    }

    /// What the header there is called, as far as it has been read.
    pub(super) fn name(self) -> Vec<u8> {
        self.name
    }

    /// The next member, or `None` behind a well-formed end.
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

    /// Takes an extension header in; false if it is none.
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

    /// What an extension header holds.
    fn body(&mut self, header: &Header) -> Result<Vec<u8>, Fault> {
        let size = size(header)?;
        if size > self.limits.extension {
            return Err(Fault::TooMany("bytes in an extension header"));
        }
        let content = self.at + BLOCK;
        self.skip(content, size)?;
        // The limit keeps this small.
        let mut body = vec![0; size as usize];
        self.archive.file.read_exact_at(&mut body, content).map_err(Fault::Read)?;
        Ok(body)
    }

    /// Goes behind content of `size` bytes at `content`.
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
            // Above the permissions some writers put the file's type.
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

    /// Behind the first zero block. A second one may be missing; all that follows must be zero too.
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

    /// The block at `at`.
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

/// The sum of the header's bytes with blanks for the sum itself; old writers added signed bytes.
fn check_sum(block: &[u8; BLOCK as usize]) -> Result<(), Fault> {
    let old = Header::from_byte_slice(block).as_old();
    let blanks = old.cksum.len() as i64 * i64::from(b' ');
    let rest = || block[..148].iter().chain(&block[156..]);
    let unsigned = blanks + rest().map(|&byte| i64::from(byte)).sum::<i64>();
    let signed = blanks + rest().map(|&byte| i64::from(byte as i8)).sum::<i64>();
    match number(&old.cksum) {
        Some(sum) if sum == unsigned || sum == signed => Ok(()),
        _ => Err(Fault::Checksum),
    }
}

/// A numeric field: octal digits between blanks and ended by blanks or NULs, or base 256 where the
/// first bit is set. An empty field is 0. `None` for all else and for what does not fit.
fn number(field: &[u8]) -> Option<i64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // Two's complement of the bits behind the first.
        let sign = if first & 0x40 != 0 { -1 } else { 0 };
        let high = sign << 7 | i128::from(first & 0x7f);
        let value = rest.iter().try_fold(high, |value, &byte| {
            value.checked_mul(256).map(|value| value | i128::from(byte))
        })?;
        return i64::try_from(value).ok();
    }
    let start = field.iter().position(|&byte| byte != b' ').unwrap_or(field.len());
    let digits = &field[start..];
    let len = digits.iter().position(|byte| matches!(byte, b' ' | 0)).unwrap_or(digits.len());
    let (digits, end) = digits.split_at(len);
    if end.iter().any(|byte| !matches!(byte, b' ' | 0)) {
        return None;
    }
    digits.iter().try_fold(0i64, |value, &byte| match byte {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    })
}

fn size(header: &Header) -> Result<u64, Fault> {
    number(&header.as_old().size)
        .and_then(|size| u64::try_from(size).ok())
        .ok_or(Fault::Number("size"))
}

fn device(header: &Header) -> Result<(u32, u32), Fault> {
    let Some((major, minor)) = header
        .as_ustar()
        .map(|header| (header.dev_major, header.dev_minor))
        .or_else(|| header.as_gnu().map(|header| (header.dev_major, header.dev_minor)))
    else {
        return Err(Fault::Number("device"));
    };
    let number = |field: &[u8]| {
        number(field).and_then(|n| u32::try_from(n).ok()).ok_or(Fault::Number("device"))
    };
    Ok((number(&major)?, number(&minor)?))
}

/// What kind of member it is, if a layer can hold it.
fn kind(header: &Header, name: &[u8]) -> Result<EntryType, Fault> {
    Ok(match header.as_old().linkflag[0] {
        // Before POSIX, a slash behind the name made a directory.
        0 if name.ends_with(b"/") => EntryType::Directory,
        // 7 asked for contiguous blocks.
        0 | b'0' | b'7' => EntryType::Regular,
        b'1' => EntryType::Link,
        b'2' => EntryType::Symlink,
        b'3' => EntryType::Char,
        b'4' => EntryType::Block,
        b'5' => EntryType::Directory,
        b'6' => EntryType::Fifo,
        b'S' => return Err(Fault::Sparse),
        other => return Err(Fault::Type(other)),
    })
}

/// The name in the header itself, with the prefix that ustar has.
fn short_name(header: &Header) -> Vec<u8> {
    let name = until_nul(&header.as_old().name);
    let Some(ustar) = header.as_ustar() else { return name.to_vec() };
    // star puts times into the end of the prefix and says so at the end of the block.
    let field = if header.as_bytes().ends_with(b"tar\0") {
        &ustar.prefix[..131]
    } else {
        &ustar.prefix[..]
    };
    match until_nul(field) {
        [] => name.to_vec(),
        prefix => [prefix, b"/", name].concat(),
    }
}

/// A name in an extension header of its own, which one NUL ends.
fn long_name(mut body: Vec<u8>) -> Result<Vec<u8>, Fault> {
    if body.last() == Some(&0) {
        body.pop();
    }
    if body.contains(&0) { Err(Fault::Nul) } else { Ok(body) }
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (field, wanted) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"644     ", Some(0o644)),
            (b"\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"77777777777\0", Some(0o77_777_777_777)),
            (b"0000648\0", None),
            (b"-1\0", None),
            (b"1\x001\0", None),
            (b"0x1\0", None),
            (b"\x80\0\0\0\0\0\0\x01", Some(1)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
        ] {
            assert_eq!(number(field), wanted, "{field:?}");
        }
    }
}
