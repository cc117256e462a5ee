//! The dynamic string table, read by offset.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use super::{Bytes, ObjectError, Stop};

/// Bytes of one string: an RPATH of a megabyte is absurd and yet no reason to fail.
const MAX_STRING: usize = 2 << 20;
/// Bytes of all strings that one object makes us hold: names may overlap, so that a small table can
/// spell many.
const MAX_STRINGS: usize = 8 << 20;

/// The table at a range of file offsets, and the strings taken out of it.
pub(super) struct Strings {
    start: u64,
    end: u64,
    taken: BTreeMap<u64, Arc<[u8]>>,
    bytes: usize,
}

impl Strings {
    /// The table of `size` bytes at `start`.
    pub(super) fn new(start: u64, size: u64) -> Self {
        Self { start, end: start.saturating_add(size), taken: BTreeMap::new(), bytes: 0 }
    }

    /// The file offsets of the table.
    pub(super) fn range(&self) -> Range<u64> {
        self.start..self.end
    }

    /// The string at `offset` in the table; `what` names the entry that refers to it.
    pub(super) fn get(
        &mut self,
        bytes: &mut Bytes<'_>,
        offset: u64,
        what: &'static str,
    ) -> Result<Arc<[u8]>, Stop> {
        if let Some(string) = self.taken.get(&offset) {
            return Ok(string.clone());
        }
        let at = self.start.checked_add(offset).filter(|&at| at < self.end);
        let at = at.ok_or(ObjectError::OutsideStrings(what))?;
        let string: Arc<[u8]> = bytes.string(at, self.end, MAX_STRING, what)?.into();
        self.bytes += string.len();
        if self.bytes > MAX_STRINGS {
            return Err(ObjectError::TooMany { what: "bytes of names", limit: MAX_STRINGS }.into());
        }
        self.taken.insert(offset, string.clone());
        Ok(string)
    }
}
