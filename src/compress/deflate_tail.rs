//! Finding the last block of deflate streams, without writing out what they hold.
//!
//! libdeflate marks the last block of whatever it compresses. To put streams one behind the other,
//! as zlib's gzjoin does, that mark must go and the end must be brought to a byte, and only
//! decoding tells where they are. Since nothing is written, several literals go by in one table
//! lookup. Each lookup has to wait for the one before, so that two streams resolved at once take
//! little longer than one.
//!
//! The input is our own encoder's, yet nothing here trusts it: whatever the bytes, the walk ends.

/// Entries of the tables that one lookup of a literal or length, or of a distance, goes to.
const LITERALS: usize = 1 << 11;
const DISTANCES: usize = 1 << 10;

/// Bytes that must follow a stream in its slice, whatever they are, so that bits are fetched 64 at
/// a time.
pub(super) const PADDING: usize = 16;
/// Longest code (RFC 1951, 3.2.7).
const MAX_CODE: usize = 15;

/// Order of the code length codes (RFC 1951, 3.2.7).
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Where the last block of a deflate stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastBlock {
    /// The bit that marks it as the last.
    mark: usize,
    /// The bit after the stream.
    end: usize,
}

impl LastBlock {
    /// Appends the stream, with its [`PADDING`], to `out` so that more blocks are possible behind
    /// it: without the mark, its end brought to a byte with an empty stored block (RFC 1951,
    /// 3.2.4).
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

/// The last block of a stream, which must end with it and has [`PADDING`] behind it. `None` if it
/// is no deflate stream.
pub(super) fn last_block(stream: &[u8]) -> Option<LastBlock> {
    Walk::new(stream)?.finish()
}

/// The last blocks of two streams, each of which must end with it. Each slice has [`PADDING`]
/// behind the stream. `None` if either is no deflate stream.
pub(super) fn last_blocks(one: &[u8], other: &[u8]) -> Option<(LastBlock, LastBlock)> {
    let (mut one, mut other) = (Walk::new(one)?, Walk::new(other)?);
    walk_both(&mut one, &mut other)?;
    Some((one.finish()?, other.finish()?))
}

/// Bits of a stream, from the low end of each byte on.
#[derive(Clone, Copy)]
struct Bits {
    /// The next bits.
    word: u64,
    /// How many of them count.
    count: u32,
    /// The next byte that is not among those that count.
    next: usize,
}

impl Bits {
    /// The bits from byte `next` on.
    fn at(next: usize) -> Self {
        Self { word: 0, count: 0, next }
    }

    /// The same with at least 56 that count; `None` past the end of `data`.
    #[inline(always)]
    fn refilled(self, data: &[u8]) -> Option<Self> {
        let more = u64::from_le_bytes(*data.get(self.next..)?.first_chunk()?);
        Some(Self {
            word: self.word | more << (self.count & 63),
            count: self.count | 56,
            next: self.next + ((63 - self.count as usize) >> 3),
        })
    }

    #[inline(always)]
    fn skipped(self, bits: u32) -> Self {
        Self { word: self.word >> bits, count: self.count - bits, next: self.next }
    }

    fn take(&mut self, bits: u32) -> usize {
        let value = self.word & ((1 << bits) - 1);
        *self = self.skipped(bits);
        value as usize
    }

    /// How many bits come before.
    fn position(self) -> usize {
        self.next * 8 - self.count as usize
    }
}

/// A walk through one stream, which stops within blocks of codes.
struct Walk<'a> {
    data: &'a [u8],
    bits: Bits,
    tables: Tables,
    /// Where the block begins, and whether it is the last.
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

    /// To the codes of the next block that has any, or to the end.
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

    /// One step, and what it needs: another block behind the end of one, codes that the tables do
    /// not reach.
    #[cold]
    fn step(&mut self) -> Option<()> {
        self.bits = self.bits.refilled(self.data)?;
        let step = self.tables.literal.any_step(self.bits.word)?;
        self.bits = self.bits.skipped(step.bits());
        match step.then() {
            Then::Literal => Some(()),
            Then::Distance => {
                let step = self.tables.distance.any_step(self.bits.word)?;
                self.bits = self.bits.skipped(step.bits());
                Some(())
            }
            Then::End => self.next_block(),
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
    // Values of their own stay in registers, which those behind a reference do not.
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

/// What a lookup found. From the low end: 6 bits that say how many bits it covers, 8 bits that say
/// how many of them without the last symbol's extra bits, [`Step::DISTANCE`], [`Step::RARE`].
#[derive(Clone, Copy, PartialEq, Eq)]
struct Step(u16);

/// What follows the bits of a step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Literal,
    Distance,
    End,
}

impl Step {
    /// A distance follows.
    const DISTANCE: u16 = 1 << 14;
    /// The end of the block, or nothing found.
    const RARE: u16 = 1 << 15;
    /// Nothing found: the table does not reach.
    const NONE: Self = Self(Self::RARE);

    /// Codes of `code` bits together, 15 at most, with `extra` bits behind the last, 13 at most.
    fn new(code: u32, extra: u32, then: Then) -> Self {
        let then = match then {
            Then::Literal => 0,
            Then::Distance => Self::DISTANCE,
            Then::End => Self::RARE,
        };
        Self(then | (code << 6 | (code + extra)) as u16)
    }

    /// Bits of the codes alone.
    fn code(self) -> u32 {
        u32::from(self.0 >> 6 & 0xff)
    }

    /// Bits with the extra bits.
    fn bits(self) -> u32 {
        u32::from(self.0 & 0x3f)
    }

    fn then(self) -> Then {
        match self.0 {
            step if step & Self::RARE != 0 => Then::End,
            step if step & Self::DISTANCE != 0 => Then::Distance,
            _ => Then::Literal,
        }
    }
}

/// Extra bits and successor of a literal or length symbol; `None` for the two that never occur.
fn literal_kind(symbol: usize) -> Option<(u32, Then)> {
    match symbol {
        0..=255 => Some((0, Then::Literal)),
        256 => Some((0, Then::End)),
        257..=264 | 285 => Some((0, Then::Distance)),
        265..=284 => Some(((symbol as u32 - 261) / 4, Then::Distance)),
        _ => None,
    }
}

/// Extra bits of a distance symbol.
fn distance_kind(symbol: usize) -> Option<(u32, Then)> {
    (symbol < 30).then(|| ((symbol as u32 / 2).saturating_sub(1), Then::Literal))
}

/// The codes of one alphabet, with a table of `N` entries.
struct Codes<const N: usize> {
    /// By the next bits of the stream.
    fast: Box<[Step; N]>,
    /// Number of codes of each length, and the symbols in order of code, for what `fast` does not
    /// reach.
    counts: [u16; MAX_CODE + 1],
    symbols: Vec<u16>,
    kind: fn(usize) -> Option<(u32, Then)>,
}

impl<const N: usize> Codes<N> {
    fn new(kind: fn(usize) -> Option<(u32, Then)>) -> Self {
        let fast = Box::new([Step::NONE; N]);
        Self { fast, counts: [0; MAX_CODE + 1], symbols: Vec::new(), kind }
    }

    /// Takes the codes with these lengths by symbol (RFC 1951, 3.2.2). `None` if there are too
    /// many.
    fn set(&mut self, lens: &[u8]) -> Option<()> {
        self.counts = [0; MAX_CODE + 1];
        for &len in lens {
            self.counts[usize::from(len)] += 1;
        }
        self.counts[0] = 0;
        let mut end = 0;
        let mut next_index = [0usize; MAX_CODE + 2];
        for len in 1..=MAX_CODE {
            end = end * 2 + u32::from(self.counts[len]);
            if end > 1 << len {
                return None;
            }
            next_index[len + 1] = next_index[len] + usize::from(self.counts[len]);
        }
        self.symbols.clear();
        self.symbols.resize(next_index[MAX_CODE + 1], 0);
        for (symbol, &len) in lens.iter().enumerate().filter(|&(_, &len)| len > 0) {
            let index = &mut next_index[usize::from(len)];
            self.symbols[*index] = symbol as u16;
            *index += 1;
        }
        self.fill();
        Some(())
    }

    /// Makes the table out of the codes, length by length: what it holds for the codes of up to
    /// `len` bits is repeated for the next bit, and the codes with that bit put in.
    fn fill(&mut self) {
        self.fast[0] = Step::NONE;
        let (mut code, mut symbols, mut filled) = (0u32, self.symbols.iter(), 1);
        for len in 1..=N.trailing_zeros() {
            self.fast.copy_within(..filled, filled);
            filled *= 2;
            code <<= 1;
            for &symbol in symbols.by_ref().take(usize::from(self.counts[len as usize])) {
                let reversed = (code.reverse_bits() >> (32 - len)) as usize;
                code += 1;
                if let Some((extra, then)) = (self.kind)(usize::from(symbol)) {
                    self.fast[reversed % N] = Step::new(len, extra, then);
                }
            }
        }
    }

    /// Lets one lookup cover all the literals, and the length behind them, that its bits hold
    /// whole.
    fn chain(&mut self) {
        let single = *self.fast;
        // A literal's code has a bit at least, but three in a row in so few bits are rare.
        for _ in 0..2 {
            for (index, entry) in self.fast.iter_mut().enumerate() {
                let next = single[(index >> entry.bits()) % N];
                let code = entry.bits() + next.code();
                let chained = Step::new(code, next.bits() - next.code(), next.then());
                let fits = entry.then() == Then::Literal
                    && next != Step::NONE
                    && code <= N.trailing_zeros();
                *entry = if fits { chained } else { *entry };
            }
        }
    }

    #[inline(always)]
    fn step(&self, word: u64) -> Step {
        self.fast[word as usize % N]
    }

    fn any_step(&self, word: u64) -> Option<Step> {
        let step = self.step(word);
        if step != Step::NONE {
            return Some(step);
        }
        let (symbol, len) = self.symbol(word)?;
        let (extra, then) = (self.kind)(symbol)?;
        Some(Step::new(len, extra, then))
    }

    /// The next symbol and the length of its code, length by length as zlib's puff does it.
    fn symbol(&self, word: u64) -> Option<(usize, u32)> {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for len in 1..=MAX_CODE {
            code |= (word >> (len - 1) & 1) as usize;
            let count = usize::from(self.counts[len]);
            if code < first + count {
                return Some((usize::from(*self.symbols.get(index + code - first)?), len as u32));
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        None
    }
}

/// The two alphabets of a block.
struct Tables {
    literal: Codes<LITERALS>,
    distance: Codes<DISTANCES>,
}

impl Tables {
    fn new() -> Self {
        Self { literal: Codes::new(literal_kind), distance: Codes::new(distance_kind) }
    }

    /// Literals, or a length and its distance: 20 bits for the one and 28 for the other at most.
    /// Whether a distance follows is hard to predict, so that it is looked up in any case and
    /// masked out.
    #[inline(always)]
    fn step(&self, word: u64) -> Step {
        let literal = self.literal.step(word);
        let distance = self.distance.step(word >> literal.bits());
        let mask = 0u16.wrapping_sub(u16::from(literal.0 & Step::DISTANCE != 0));
        let distance = distance.0 & mask;
        Step((literal.0 | distance) & Step::RARE | ((literal.0 & 0x3f) + (distance & 0x3f)))
    }

    fn set(&mut self, literal: &[u8], distance: &[u8]) -> Option<()> {
        self.literal.set(literal)?;
        self.literal.chain();
        self.distance.set(distance)
    }

    /// RFC 1951, 3.2.6.
    fn set_fixed(&mut self) -> Option<()> {
        let mut literal = [8; 288];
        literal[144..256].fill(9);
        literal[256..280].fill(7);
        self.set(&literal, &[5; 30])
    }

    /// RFC 1951, 3.2.7.
    fn read(&mut self, bits: &mut Bits, data: &[u8]) -> Option<()> {
        *bits = bits.refilled(data)?;
        let literals = bits.take(5) + 257;
        let distances = bits.take(5) + 1;
        let code_lens = bits.take(4) + 4;
        let mut lens = [0; ORDER.len()];
        for &at in ORDER.iter().take(code_lens) {
            *bits = bits.refilled(data)?;
            lens[at] = bits.take(3) as u8;
        }
        let mut codes = Codes::<1>::new(|_| None);
        codes.set(&lens)?;

        let mut lens = [0; 288 + 32];
        let lens = lens.get_mut(..literals + distances)?;
        let mut at = 0;
        while at < lens.len() {
            *bits = bits.refilled(data)?;
            let (symbol, len) = codes.symbol(bits.word)?;
            *bits = bits.skipped(len);
            let (value, times) = match symbol {
                0..=15 => (symbol as u8, 1),
                16 => (*lens.get(at.checked_sub(1)?)?, 3 + bits.take(2)),
                17 => (0, 3 + bits.take(3)),
                _ => (0, 11 + bits.take(7)),
            };
            lens.get_mut(at..at + times)?.fill(value);
            at += times;
        }
        let (literal, distance) = lens.split_at(literals);
        self.set(literal, distance)
    }
}

#[cfg(test)]
mod tests;
