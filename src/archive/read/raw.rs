//! The members of an archive as they are written: every field of their headers, for comparisons.

use std::{collections::BTreeMap, ops::Range, os::unix::fs::FileExt as _};

use tar::{EntryType, Header};

use super::{
    Fault,
    fields::{short_name, size, until_nul},
    pax,
};
use crate::tree::Archive;

const BLOCK: u64 = 512;

/// Bytes of an extension header that are read at most; [`super::read`] refuses longer ones.
const MAX_EXTENSION: u64 = 1 << 20;

/// The fields of a header (ustar): their names and where they are. The checksum follows from them.
pub const FIELDS: [(&str, Range<usize>); 15] = [
    ("name", 0..100),
    ("mode", 100..108),
    ("uid", 108..116),
    ("gid", 116..124),
    ("size", 124..136),
    ("mtime", 136..148),
    ("type", 156..157),
    ("link name", 157..257),
    ("magic", 257..265),
    ("user name", 265..297),
    ("group name", 297..329),
    ("major number", 329..337),
    ("minor number", 337..345),
    ("prefix", 345..500),
    ("rest", 500..512),
];

/// A member with its extension headers.
#[derive(Clone, Debug)]
pub struct RawMember {
    /// Its whole name. A global header is called `pax_global_header`.
    pub name: Vec<u8>,
    /// The offset of its first header from the start of the archive, in bytes.
    pub offset: u64,
    /// Its header.
    pub header: [u8; BLOCK as usize],
    /// The extension headers before it: their types, in order.
    pub extensions: Vec<u8>,
    /// Its PAX records, and `GNU long name` and `GNU long link name`.
    pub records: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The offsets of its content from the start of the archive, with the map of a sparse file.
    pub content: Range<u64>,
}

/// The members in the bytes `range` of `archive`, which [`super::read_range`] has accepted, and the
/// offset where the zeros after the last one begin.
///
/// # Errors
/// [`Fault`] if the archive cannot be read, or has been changed.
pub fn members(archive: &Archive, range: &Range<u64>) -> Result<(Vec<RawMember>, u64), Fault> {
    let (mut members, mut at) = (Vec::new(), 0);
    let end = range.end - range.start;
    let read = |at: u64, out: &mut [u8]| {
        archive.file.read_exact_at(out, range.start + at).map_err(Fault::Read)
    };
    let mut pending: Option<RawMember> = None;
    while at + BLOCK <= end {
        let mut header = [0; BLOCK as usize];
        read(at, &mut header)?;
        if header.iter().all(|&byte| byte == 0) {
            break;
        }
        let parsed = Header::from_byte_slice(&header);
        let mut member = pending.take().unwrap_or_else(|| RawMember {
            name: Vec::new(),
            offset: at,
            header,
            extensions: Vec::new(),
            records: BTreeMap::new(),
            content: 0..0,
        });
        let (kind, mut len) = (parsed.entry_type(), size(parsed)?);
        let start = at + BLOCK;
        let is_extension = matches!(
            kind,
            EntryType::XHeader
                | EntryType::XGlobalHeader
                | EntryType::GNULongName
                | EntryType::GNULongLink
        );
        if is_extension {
            if len > MAX_EXTENSION {
                return Err(Fault::TooMany("bytes in an extension header"));
            }
            let mut body = vec![0; len as usize];
            read(start, &mut body)?;
            member.extensions.push(kind.as_byte());
            extend(&mut member.records, kind, body);
        } else {
            len = content_len(&member.records, parsed, len);
        }
        let data = sparse_blocks(&header, start, end, read)?;
        member.content = start..data.saturating_add(len).min(end);
        at = data.saturating_add(len).saturating_add(len.wrapping_neg() % BLOCK);
        if is_extension && kind != EntryType::XGlobalHeader {
            pending = Some(member);
            continue;
        }
        member.header = header;
        member.name = match kind {
            EntryType::XGlobalHeader => b"pax_global_header".to_vec(),
            _ => name(&member.records, parsed)?,
        };
        members.push(member);
    }
    Ok((members, at.min(end)))
}

/// Adds the records of an extension header.
fn extend(records: &mut BTreeMap<Vec<u8>, Vec<u8>>, kind: EntryType, body: Vec<u8>) {
    match kind {
        EntryType::GNULongName => drop(records.insert(b"GNU long name".to_vec(), body)),
        EntryType::GNULongLink => drop(records.insert(b"GNU long link name".to_vec(), body)),
        _ => {
            let mut rest = &body[..];
            while let Some((key, value, after)) = pax::record(rest) {
                records.insert(key.to_vec(), value.to_vec());
                rest = after;
            }
        }
    }
}

/// The bytes of content that follow a header.
fn content_len(records: &BTreeMap<Vec<u8>, Vec<u8>>, header: &Header, len: u64) -> u64 {
    // Links, directories and devices have none, whatever their size says.
    if matches!(header.as_old().linkflag[0], b'1'..=b'6') {
        return 0;
    }
    let said = records.get(&b"size"[..]).and_then(|value| std::str::from_utf8(value).ok());
    said.and_then(|size| size.parse().ok()).unwrap_or(len)
}

fn name(records: &BTreeMap<Vec<u8>, Vec<u8>>, header: &Header) -> Result<Vec<u8>, Fault> {
    let long = ["GNU.sparse.name", "path", "GNU long name"];
    let long = long.iter().find_map(|key| records.get(key.as_bytes()));
    long.map_or_else(|| short_name(header), |name| Ok(until_nul(name).to_vec()))
}

/// Where the content starts after the blocks that continue the map of a sparse file in GNU's own
/// format.
fn sparse_blocks(
    header: &[u8; BLOCK as usize],
    start: u64,
    end: u64,
    read: impl Fn(u64, &mut [u8]) -> Result<(), Fault>,
) -> Result<u64, Fault> {
    let (mut at, mut more) = (start, header[156] == b'S' && header[482] != 0);
    while more && at + BLOCK <= end {
        let mut block = [0; BLOCK as usize];
        read(at, &mut block)?;
        more = block[504] != 0;
        at += BLOCK;
    }
    Ok(at)
}
