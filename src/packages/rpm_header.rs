//! The header of an installed package in rpm's database: an index of tags and their data
//! (<https://rpm-software-management.github.io/rpm/manual/format_v4.html>).

/// What a package's header says, by the numbers of its tags.
#[derive(Debug)]
pub(super) struct RpmHeader<'a> {
    index: &'a [u8],
    data: &'a [u8],
}

/// Types of data.
const CHAR: u32 = 1;
const INT32: u32 = 4;
const STRING: u32 = 6;
const STRING_ARRAY: u32 = 8;
const I18N_STRING: u32 = 9;

impl<'a> RpmHeader<'a> {
    /// The header in `blob`: the number of tags, the size of the data, both.
    pub(super) fn new(blob: &'a [u8]) -> Option<Self> {
        let (tags, size) = (number(blob, 0)?, number(blob, 4)?);
        let (index, data) = blob.get(8..)?.split_at_checked(tags.checked_mul(16)?)?;
        Some(Self { index, data: data.get(..size)? })
    }

    /// The type, the data from its beginning on, and the number of values of `tag`.
    fn entry(&self, tag: u32) -> Option<(u32, &'a [u8], usize)> {
        let number = |entry: &[u8], at| number(entry, at).and_then(|n| u32::try_from(n).ok());
        let entry = self.index.chunks_exact(16).find(|entry| number(entry, 0) == Some(tag))?;
        let start = usize::try_from(number(entry, 8)?).ok()?;
        let count = usize::try_from(number(entry, 12)?).ok()?;
        Some((number(entry, 4)?, self.data.get(start..)?, count))
    }

    /// The strings of `tag`.
    pub(super) fn strings(&self, tag: u32) -> impl Iterator<Item = &'a [u8]> {
        let entry = self.entry(tag);
        let entry = entry.filter(|(kind, ..)| matches!(*kind, STRING | STRING_ARRAY | I18N_STRING));
        let (_, data, count) = entry.unwrap_or((STRING, b"", 0));
        // What is after the last NUL is not a string.
        let end = memchr::memrchr(0, data).map_or(0, |end| end + 1);
        let data = data.get(..end).unwrap_or_default();
        data.split(|&b| b == 0).take(count.min(data.len()))
    }

    /// The only string of `tag`; empty if there is none.
    pub(super) fn string(&self, tag: u32) -> Box<str> {
        let string = self.strings(tag).next().unwrap_or_default();
        String::from_utf8_lossy(string).into()
    }

    /// The numbers of `tag`.
    pub(super) fn numbers(&self, tag: u32) -> impl Iterator<Item = usize> {
        let entry = self.entry(tag).filter(|(kind, ..)| *kind == INT32);
        let (_, data, count) = entry.unwrap_or((INT32, b"", 0));
        data.chunks_exact(4).take(count).filter_map(|bytes| number(bytes, 0))
    }

    /// The bytes of `tag`.
    pub(super) fn bytes(&self, tag: u32) -> &'a [u8] {
        let entry = self.entry(tag).filter(|(kind, ..)| *kind == CHAR);
        entry.and_then(|(_, data, count)| data.get(..count)).unwrap_or_default()
    }
}

/// The big-endian number of four bytes at `at`.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(bytes)).ok()
}
