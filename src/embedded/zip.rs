//! ZIP archives (APPNOTE.TXT), also after other bytes: offsets then count from the archive's start
//! or from the file's.

use std::io;

use super::{Member, Method, Place, bytes, little};
use crate::elf::ReadAt;

const END: &[u8] = b"PK\x05\x06";
const END_LEN: usize = 22;
const LOCATOR: &[u8] = b"PK\x06\x07";
const LOCATOR_LEN: usize = 20;
const END_64: &[u8] = b"PK\x06\x06";
const END_64_LEN: u64 = 56;
const ENTRY: &[u8] = b"PK\x01\x02";
const ENTRY_LEN: usize = 46;
const LOCAL: &[u8] = b"PK\x03\x04";
const LOCAL_LEN: u64 = 30;

/// The central directory of an archive.
pub(super) struct Directory {
    /// Where it is in the file.
    pub(super) start: u64,
    /// Its size in bytes.
    pub(super) len: u64,
    /// What has to be added to its offsets.
    shift: u64,
}

impl Directory {
    /// The directory of the archive whose end is in `tail`, which begins at `start` of the file.
    pub(super) fn find(tail: &[u8], start: u64, read_at: ReadAt<'_>) -> io::Result<Option<Self>> {
        let ends = memchr::memmem::rfind_iter(tail, END);
        for at in ends {
            let Some(end) = tail.get(at..at + END_LEN) else { continue };
            let (len, offset) = (little::<4>(end, 12), little::<4>(end, 16));
            let (Some(mut len), Some(mut offset)) = (len, offset) else { continue };
            let mut at_end = start + at as u64;
            let locator = at.checked_sub(LOCATOR_LEN).and_then(|at| tail.get(at..));
            if locator.is_some_and(|locator| locator.starts_with(LOCATOR)) {
                let Some(record_at) = at_end.checked_sub(LOCATOR_LEN as u64 + END_64_LEN) else {
                    continue;
                };
                let record = bytes(record_at, END_64_LEN, read_at)?;
                if let (true, Some(len_64), Some(offset_64)) =
                    (record.starts_with(END_64), little::<8>(&record, 40), little::<8>(&record, 48))
                {
                    (len, offset, at_end) = (len_64, offset_64, record_at);
                }
            }
            let place = at_end.checked_sub(len);
            let shift = place.and_then(|place| place.checked_sub(offset));
            if let (Some(start), Some(shift)) = (place, shift) {
                return Ok(Some(Self { start, len, shift }));
            }
        }
        Ok(None)
    }

    /// The members in the bytes of the directory. Encrypted ones, and those that are compressed in
    /// another way, are left out.
    pub(super) fn members<'l>(&self, list: &'l [u8]) -> impl Iterator<Item = Member> + use<'l> {
        let shift = self.shift;
        let mut rest = list;
        let entries = std::iter::from_fn(move || {
            let entry = rest.strip_prefix(ENTRY).map(|_| rest)?;
            let name_len = little::<2>(entry, 28)? as usize;
            let more = little::<2>(entry, 30)? + little::<2>(entry, 32)?;
            let name = entry.get(ENTRY_LEN..ENTRY_LEN + name_len)?;
            rest = entry.get(ENTRY_LEN + name_len + more as usize..)?;
            Some((entry, name))
        });
        entries.filter_map(move |(entry, name)| {
            let method = match (little::<2>(entry, 10)?, little::<2>(entry, 8)? & 1) {
                (0, 0) => Method::Stored,
                (8, 0) => Method::Deflate,
                _ => return None,
            };
            let place = Place::LocalHeader(little::<4>(entry, 42)?.checked_add(shift)?);
            let (packed, len) = (little::<4>(entry, 20)?, little::<4>(entry, 24)?);
            Some(Member { name: name.to_vec(), len, place, packed, method })
        })
    }
}

/// Where the bytes of the member are whose local header is at `at`.
pub(super) fn data(at: u64, read_at: ReadAt<'_>) -> io::Result<Option<u64>> {
    let header = bytes(at, LOCAL_LEN, read_at)?;
    let lengths = (little::<2>(&header, 26), little::<2>(&header, 28));
    let (true, (Some(name), Some(extra))) = (header.starts_with(LOCAL), lengths) else {
        return Ok(None);
    };
    Ok(Some(at.saturating_add(LOCAL_LEN + name + extra)))
}
