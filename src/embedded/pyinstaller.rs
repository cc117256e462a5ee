//! The archive that PyInstaller appends to a program (`CArchive` in its `archive/writers.py`).

use super::{Member, Method, Place};

const MAGIC: &[u8] = b"MEI\x0c\x0b\x0a\x0b\x0e";
/// Magic number, four numbers and the name of Python's library.
const COOKIE_LEN: u64 = 88;
/// Bytes of an entry before its name.
const ENTRY_LEN: usize = 18;

/// Where the list of an archive's members is.
pub(super) struct List {
    pub(super) start: u64,
    pub(super) len: u64,
    /// Where the archive begins.
    archive: u64,
}

impl List {
    /// The list of the archive whose last record is in `tail`, which begins at `start` of the file.
    pub(super) fn find(tail: &[u8], start: u64) -> Option<Self> {
        let at = memchr::memmem::rfind(tail, MAGIC)?;
        let cookie = tail.get(at..)?;
        let (len, list, list_len) = (big(cookie, 8)?, big(cookie, 12)?, big(cookie, 16)?);
        let archive = (start + at as u64 + COOKIE_LEN).checked_sub(len)?;
        Some(Self { start: archive + list, len: list_len, archive })
    }

    /// The members in the bytes of the list.
    pub(super) fn members<'l>(&self, list: &'l [u8]) -> impl Iterator<Item = Member> + use<'l> {
        let archive = self.archive;
        let mut rest = list;
        std::iter::from_fn(move || {
            let len = usize::try_from(big(rest, 0)?).ok()?.max(ENTRY_LEN);
            let entry = rest.get(..len)?;
            rest = rest.get(len..)?;
            let name = entry.get(ENTRY_LEN..)?.split(|&b| b == 0).next()?;
            let method = if entry.get(16) == Some(&1) { Method::Zlib } else { Method::Stored };
            let place = Place::Data(archive + big(entry, 4)?);
            let (packed, len) = (big(entry, 8)?, big(entry, 12)?);
            Some(Member { name: name.to_vec(), len, place, packed, method })
        })
    }
}

/// The number of four bytes at `at`, the highest byte first.
fn big(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?).into())
}
