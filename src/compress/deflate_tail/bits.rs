//! Reading bits (RFC 1951, 3.1.1).

/// A position in a stream of bits, which start at the low end of each byte.
#[derive(Clone, Copy)]
pub(super) struct Bits {
    /// The next bits.
    pub(super) word: u64,
    /// How many of them are valid.
    count: u32,
    /// The next byte after the valid bits.
    next: usize,
}

impl Bits {
    /// The position at the start of byte `next`.
    pub(super) fn at(next: usize) -> Self {
        Self { word: 0, count: 0, next }
    }

    /// The same position with at least 56 valid bits; `None` past the end of `data`.
    #[inline(always)]
    pub(super) fn refilled(self, data: &[u8]) -> Option<Self> {
        let more = u64::from_le_bytes(*data.get(self.next..)?.first_chunk()?);
        Some(Self {
            word: self.word | more << (self.count & 63),
            count: self.count | 56,
            next: self.next + ((63 - self.count as usize) >> 3),
        })
    }

    #[inline(always)]
    pub(super) fn skipped(self, bits: u32) -> Self {
        Self { word: self.word >> bits, count: self.count - bits, next: self.next }
    }

    pub(super) fn take(&mut self, bits: u32) -> usize {
        let value = self.word & ((1 << bits) - 1);
        *self = self.skipped(bits);
        value as usize
    }

    /// The number of bits before this position.
    pub(super) fn position(self) -> usize {
        self.next * 8 - self.count as usize
    }
}
