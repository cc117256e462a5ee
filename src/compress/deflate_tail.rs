//! Finds the last block of deflate streams, without producing their output.
//!
//! libdeflate marks the last block of whatever it compresses. To concatenate streams, as zlib's
//! gzjoin does, that mark must go and the end must be padded to a byte; only decoding tells where
//! they are. Since there is no output to write, one table lookup can cover several literals. Each
//! lookup waits for the one before it, so walking two streams at once takes little longer than one.
//!
//! The input comes from our own encoder, yet nothing here trusts it: the walk ends whatever the
//! bytes are.

mod bits;
mod codes;
mod tables;

use bits::Bits;
use codes::{Follows, Step};
use tables::Tables;

/// Bytes that must follow a stream in its slice, whatever they hold: bits are fetched 64 at a time.
pub(super) const PADDING: usize = 16;

/// The position of the last block of a deflate stream, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastBlock {
    /// The bit that marks it as the last.
    mark: usize,
    /// The bit after the stream.
    end: usize,
}

impl LastBlock {
    /// Appends the stream, which has its [`PADDING`] after it, to `out` such that more blocks can
    /// follow: without the mark, and padded to a byte with an empty stored block (RFC 1951, 3.2.4).
    pub(super) fn append_open(self, stream: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(stream.get(..self.end.div_ceil(8)).unwrap_or_default());
        if let Some(byte) = out.get_mut(start + self.mark / 8) {
            *byte &= !(1 << (self.mark % 8));
        }
        let free = (8 - self.end % 8) % 8;
        if free == 0 {
            return;
        }
        if free < 3 {
            out.push(0);
        }
        out.extend_from_slice(&[0, 0, 0xff, 0xff]);
    }
}

/// Finds the last block of a deflate stream. The slice is the stream and its [`PADDING`]. `None` if
/// it is not a deflate stream or ends elsewhere.
pub(super) fn last_block(stream: &[u8]) -> Option<LastBlock> {
    Walk::new(stream)?.finish()
}

/// As [`last_block`], of two streams at once. `None` if that fails for either.
pub(super) fn last_blocks(one: &[u8], other: &[u8]) -> Option<(LastBlock, LastBlock)> {
    let (mut one, mut other) = (Walk::new(one)?, Walk::new(other)?);
    walk_both(&mut one, &mut other)?;
    Some((one.finish()?, other.finish()?))
}

/// A walk through one stream. It stops only inside blocks that have codes, and at the end.
struct Walk<'a> {
    data: &'a [u8],
    bits: Bits,
    tables: Tables,
    /// The bit at which the current block begins, and whether the block is the last.
    mark: usize,
    last: bool,
    finished: bool,
}

impl<'a> Walk<'a> {
    fn new(data: &'a [u8]) -> Option<Self> {
        let mut walk = Self {
            data,
            bits: Bits::at(0),
            tables: Tables::new(),
            mark: 0,
            last: false,
            finished: false,
        };
        walk.next_block()?;
        Some(walk)
    }

    /// Goes to the codes of the next block that has any, or to the end.
    fn next_block(&mut self) -> Option<()> {
        while !self.last {
            self.bits = self.bits.refilled(self.data)?;
            self.mark = self.bits.position();
            self.last = self.bits.take(1) == 1;
            match self.bits.take(2) {
                0 => self.skip_stored()?,
                1 => return self.tables.set_fixed(),
                2 => return self.tables.read(&mut self.bits, self.data),
                _ => return None,
            }
        }
        self.finished = true;
        Some(())
    }

    fn skip_stored(&mut self) -> Option<()> {
        let start = self.bits.position().div_ceil(8);
        let &[a, b, c, d] = self.data.get(start..)?.first_chunk()?;
        let len = u16::from_le_bytes([a, b]);
        self.bits = Bits::at(start + 4 + usize::from(len));
        (len == !u16::from_le_bytes([c, d])).then_some(())
    }

    /// One step, including what the fast path leaves out: the start of the next block, and codes
    /// that are longer than the tables cover.
    #[cold]
    fn step(&mut self) -> Option<()> {
        self.bits = self.bits.refilled(self.data)?;
        let step = self.tables.literal.any_step(self.bits.word)?;
        self.bits = self.bits.skipped(step.bits());
        match step.follows() {
            Follows::Literal => Some(()),
            Follows::Distance => {
                let step = self.tables.distance.any_step(self.bits.word)?;
                self.bits = self.bits.skipped(step.bits());
                Some(())
            }
            Follows::End => self.next_block(),
        }
    }

    /// The last block, if the stream ends with it.
    fn finish(mut self) -> Option<LastBlock> {
        let mut bits = self.bits;
        while !self.finished {
            bits = bits.refilled(self.data)?;
            let step = self.tables.step(bits.word);
            if step.0 & Step::RARE == 0 {
                bits = bits.skipped(step.bits());
                continue;
            }
            self.bits = bits;
            self.step()?;
            bits = self.bits;
        }
        let end = self.bits.position();
        (end.div_ceil(8) + PADDING == self.data.len()).then_some(LastBlock { mark: self.mark, end })
    }
}

/// Walks both streams until one of them ends.
fn walk_both(one: &mut Walk<'_>, other: &mut Walk<'_>) -> Option<()> {
    // Local values stay in registers; those behind a reference do not.
    let (mut a, mut b) = (one.bits, other.bits);
    while !one.finished && !other.finished {
        a = a.refilled(one.data)?;
        b = b.refilled(other.data)?;
        let (step, other_step) = (one.tables.step(a.word), other.tables.step(b.word));
        if (step.0 | other_step.0) & Step::RARE == 0 {
            a = a.skipped(step.bits());
            b = b.skipped(other_step.bits());
            continue;
        }
        (one.bits, other.bits) = (a, b);
        one.step()?;
        other.step()?;
        (a, b) = (one.bits, other.bits);
    }
    Some(())
}

#[cfg(test)]
mod tests;
