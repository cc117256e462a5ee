//! Pieces of a layer's tar that are kept in the cache: everything but the contents of files, which
//! is its table of contents, and the contents that were read. Pure.

use std::{collections::BTreeMap, ops::Range};

use crate::tree::{Content, Tree};

/// Contents are kept in blocks of this size, so that a file which is read here and there does not
/// become many pieces.
const BLOCK: u64 = 4096;

/// Ranges of bytes that do not touch each other: end by start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// The whole of `len` bytes.
    pub(super) fn all(len: u64) -> Self {
        let mut all = Self::default();
        all.insert(0..len);
        all
    }

    /// Adds a range.
    pub(super) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        while let Some((&from, &to)) =
            self.0.range(..=end).next_back().filter(|(_, to)| **to >= start)
        {
            self.0.remove(&from);
            (start, end) = (start.min(from), end.max(to));
        }
        self.0.insert(start, end);
    }

    /// Whether all of `range` is in them.
    pub(super) fn contain(&self, range: &Range<u64>) -> bool {
        let before = self.0.range(..=range.start).next_back();
        range.is_empty() || before.is_some_and(|(_, end)| *end >= range.end)
    }

    /// In order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.0.iter().map(|(&start, &end)| start..end)
    }

    /// Their bytes.
    pub(super) fn len(&self) -> u64 {
        self.iter().map(|range| range.end - range.start).sum()
    }

    /// Those blocks of `0..limit` that `range` touches.
    pub(super) fn insert_blocks(&mut self, range: &Range<u64>, limit: u64) {
        let end = range.end.div_ceil(BLOCK).saturating_mul(BLOCK).min(limit);
        self.insert(range.start / BLOCK * BLOCK..end);
    }

    /// Everything in the tar at `within` but the contents of the files of `tree`, which lie in it.
    /// Ranges count from its start.
    pub(super) fn without_contents(tree: &Tree, within: &Range<u64>) -> Self {
        let begin = within.start;
        let mut contents = Self::default();
        for (_, node) in tree {
            match node.file().map(|file| (&file.content, file.len)) {
                Some((Content::Member(_, at), size)) => {
                    contents.insert(at - begin..at + size - begin);
                }
                Some((Content::Sparse(_, regions), _)) => {
                    for region in regions.iter() {
                        let at = region.at - begin;
                        contents.insert(at..at + region.len);
                    }
                }
                _ => {}
            }
        }
        let (mut rest, mut at) = (Self::default(), 0);
        for range in contents.iter() {
            rest.insert(at..range.start);
            at = range.end;
        }
        rest.insert(at..within.end - begin);
        rest
    }

    /// As it is stored: the number of ranges, then start and end of each.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let numbers = self.iter().flat_map(|range| [range.start, range.end]);
        [self.0.len() as u64].into_iter().chain(numbers).flat_map(u64::to_le_bytes).collect()
    }

    /// Reads what [`Ranges::to_bytes`] wrote; `None` unless the ranges are in order, apart, and end
    /// at `limit` at most.
    pub(super) fn parse(bytes: &[u8], limit: u64) -> Option<Self> {
        let number = |at: usize| {
            let bytes = bytes.get(at * 8..at * 8 + 8)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        let count = usize::try_from(number(0)?).ok()?;
        count.checked_mul(16)?.checked_add(8).filter(|len| *len == bytes.len())?;
        let (mut ranges, mut last) = (BTreeMap::new(), None);
        for at in 0..count {
            let (start, end) = (number(1 + 2 * at)?, number(2 + 2 * at)?);
            if start >= end || end > limit || last.is_some_and(|last| start <= last) {
                return None;
            }
            ranges.insert(start, end);
            last = Some(end);
        }
        Some(Self(ranges))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_joined_where_they_touch() {
        let mut ranges = Ranges::default();
        for range in [10..20, 30..40, 20..25, 5..6, 28..31, 7..7] {
            ranges.insert(range);
        }
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [5..6, 10..25, 28..40]);
        assert!(ranges.contain(&(10..25)) && ranges.contain(&(29..30)) && ranges.contain(&(8..8)));
        assert!(!ranges.contain(&(10..26)) && !ranges.contain(&(26..27)));
        assert_eq!(ranges.len(), 1 + 15 + 12);
        ranges.insert(0..100);
        assert_eq!(ranges, Ranges::all(100));
    }

    #[test]
    fn what_was_stored_is_read_and_nothing_else() {
        let mut ranges = Ranges::default();
        ranges.insert_blocks(&(5000..5001), 1 << 20);
        ranges.insert_blocks(&(9000..20_000), 16_500);
        let bytes = ranges.to_bytes();
        assert_eq!(Ranges::parse(&bytes, 16_500), Some(ranges));
        assert_eq!(Ranges::parse(&bytes, 16_499), None);
        assert_eq!(Ranges::parse(&bytes[..bytes.len() - 1], 16_500), None);
        let wrong = [2, 0, 8, 8, 9].map(u64::to_le_bytes).concat();
        assert_eq!(Ranges::parse(&wrong, 100), None);
    }
}
