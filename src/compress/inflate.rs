//! Finding the last block of a deflate stream, without writing out what it holds.
//!
//! libdeflate marks the last block of whatever it compresses. To put streams one behind the other, as
//! zlib's gzjoin does, that mark must go and the end must be brought to a byte, and only decoding tells where
//! they are. Since nothing is written, several literals go by in one table lookup.
//!
//! The input is our own encoder's, yet nothing here trusts it: whatever the bytes, the walk ends.

/// Bits that one lookup of a literal or length, or of a distance, sees.
const FAST_LITERAL: u32 = 12;
const FAST_DISTANCE: u32 = 10;

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
    /// Makes more blocks possible behind the stream: takes the mark away and brings the end to a byte with an
    /// empty stored block (RFC 1951, 3.2.4).
    pub(super) fn reopen(self, stream: &mut Vec<u8>) {
        if let Some(byte) = stream.get_mut(self.mark / 8) {
            *byte &= !(1 << (self.mark % 8));
        }
        let free = (8 - self.end % 8) % 8;
        if free == 0 {
            return;
        }
        if free < 3 {
            stream.push(0);
        }
        stream.extend_from_slice(&[0, 0, 0xff, 0xff]);
    }
}

/// The last block of `stream`, which must end with it. `None` if it is no deflate stream.
pub(super) fn last_block(stream: &[u8]) -> Option<LastBlock> {
    let mut bits = Bits { data: stream, next: 0, word: 0, count: 0 };
    let mut tables = Tables::new();
    loop {
        bits.refill()?;
        let mark = bits.position();
        let last = bits.take(1) == 1;
        match bits.take(2) {
            0 => skip_stored(&mut bits)?,
            1 => {
                tables.set_fixed()?;
                skip_codes(&mut bits, &tables)?;
            }
            2 => {
                tables.read(&mut bits)?;
                skip_codes(&mut bits, &tables)?;
            }
            _ => return None,
        }
        if last {
            let end = bits.position();
            return (end.div_ceil(8) == stream.len()).then_some(LastBlock { mark, end });
        }
    }
}

/// Bits from the low end of each byte on.
struct Bits<'a> {
    data: &'a [u8],
    next: usize,
    word: u64,
    count: u32,
}

impl Bits<'_> {
    /// At least 56 bits; zeros past the end, as many as one block header may look ahead.
    fn refill(&mut self) -> Option<()> {
        if let Some(word) = self.data.get(self.next..).and_then(|rest| rest.first_chunk()) {
            self.word |= u64::from_le_bytes(*word) << self.count;
            self.next += (63 - self.count as usize) >> 3;
            self.count |= 56;
            return Some(());
        }
        while self.count < 56 {
            self.word |= u64::from(self.data.get(self.next).copied().unwrap_or(0)) << self.count;
            self.next += 1;
            self.count += 8;
        }
        (self.next <= self.data.len() + 8).then_some(())
    }

    fn position(&self) -> usize {
        self.next * 8 - self.count as usize
    }

    fn skip(&mut self, bits: u32) {
        self.word >>= bits;
        self.count -= bits;
    }

    fn take(&mut self, bits: u32) -> usize {
        let value = self.word & ((1 << bits) - 1);
        self.skip(bits);
        value as usize
    }
}

fn skip_stored(bits: &mut Bits<'_>) -> Option<()> {
    let start = bits.position().div_ceil(8);
    let &[a, b, c, d] = bits.data.get(start..)?.first_chunk()?;
    let len = u16::from_le_bytes([a, b]);
    if len != !u16::from_le_bytes([c, d]) {
        return None;
    }
    let next = start + 4 + usize::from(len);
    *bits = Bits { data: bits.data, next, word: 0, count: 0 };
    (next <= bits.data.len()).then_some(())
}

/// Codes up to the end of the block.
fn skip_codes(bits: &mut Bits<'_>, tables: &Tables) -> Option<()> {
    loop {
        bits.refill()?;
        // 48 bits at most from here to the next refill: 15 + 5 for a length, 15 + 13 for a distance.
        let step = tables.literal.step(bits.word)?;
        bits.skip(step.bits());
        match step.then() {
            Then::Literal => {}
            Then::Distance => {
                let step = tables.distance.step(bits.word)?;
                bits.skip(step.bits());
            }
            Then::End => return Some(()),
        }
    }
}

/// What a lookup found: how many bits it covers and what comes next. Zero where the table does not reach.
#[derive(Clone, Copy, Default)]
struct Step(u32);

/// What follows the bits of a step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Literal,
    Distance,
    End,
}

impl Step {
    /// A code of `code` bits with `extra` bits behind it.
    fn new(code: u32, extra: u32, then: Then) -> Self {
        Self((then as u32) << 16 | code << 8 | (code + extra))
    }

    fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Bits of the code alone.
    fn code(self) -> u32 {
        self.0 >> 8 & 0xff
    }

    /// Bits with the extra bits.
    fn bits(self) -> u32 {
        self.0 & 0xff
    }

    fn then(self) -> Then {
        match self.0 >> 16 {
            0 => Then::Literal,
            1 => Then::Distance,
            _ => Then::End,
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

/// The codes of one alphabet.
struct Codes {
    /// By the next bits of the stream.
    fast: Vec<Step>,
    /// Number of codes of each length, and the symbols in order of code, for what `fast` does not reach.
    counts: [u16; MAX_CODE + 1],
    symbols: Vec<u16>,
    kind: fn(usize) -> Option<(u32, Then)>,
}

impl Codes {
    fn new(fast_bits: u32, kind: fn(usize) -> Option<(u32, Then)>) -> Self {
        Self {
            fast: vec![Step::default(); 1 << fast_bits],
            counts: [0; MAX_CODE + 1],
            symbols: Vec::new(),
            kind,
        }
    }

    /// Takes the codes with these lengths by symbol (RFC 1951, 3.2.2). `None` if there are too many.
    fn set(&mut self, lens: &[u8]) -> Option<()> {
        self.counts = [0; MAX_CODE + 1];
        for &len in lens {
            self.counts[usize::from(len)] += 1;
        }
        self.counts[0] = 0;
        let mut next_code = [0u32; MAX_CODE + 2];
        let mut next_index = [0usize; MAX_CODE + 2];
        for len in 1..=MAX_CODE {
            let end = next_code[len] + u32::from(self.counts[len]);
            if end > 1 << len {
                return None;
            }
            next_code[len + 1] = end << 1;
            next_index[len + 1] = next_index[len] + usize::from(self.counts[len]);
        }
        self.symbols.clear();
        self.symbols.resize(next_index[MAX_CODE + 1], 0);
        self.fast.fill(Step::default());
        for (symbol, &len) in lens.iter().enumerate().filter(|&(_, &len)| len > 0) {
            let len = usize::from(len);
            self.symbols[next_index[len]] = symbol as u16;
            next_index[len] += 1;
            let code = next_code[len];
            next_code[len] += 1;
            let reversed = (code.reverse_bits() >> (32 - len)) as usize;
            if let Some((extra, then)) = (self.kind)(symbol).filter(|_| 1 << len <= self.fast.len()) {
                let step = Step::new(len as u32, extra, then);
                self.fast.iter_mut().skip(reversed).step_by(1 << len).for_each(|entry| *entry = step);
            }
        }
        Some(())
    }

    /// Lets one lookup cover all the literals, and the length behind them, that its bits hold whole.
    fn chain(&mut self) {
        let fast_bits = self.fast.len().trailing_zeros();
        let single = self.fast.clone();
        for (index, entry) in self.fast.iter_mut().enumerate() {
            let mut step = *entry;
            while !step.is_none() && step.then() == Then::Literal {
                let next = single[index >> step.bits()];
                if next.is_none() || step.bits() + next.code() > fast_bits {
                    break;
                }
                let code = step.bits() + next.code();
                step = Step::new(code, next.bits() - next.code(), next.then());
            }
            *entry = step;
        }
    }

    fn step(&self, word: u64) -> Option<Step> {
        let step = self.fast[word as usize & (self.fast.len() - 1)];
        if step.is_none() { self.slow_step(word) } else { Some(step) }
    }

    #[cold]
    fn slow_step(&self, word: u64) -> Option<Step> {
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
    literal: Codes,
    distance: Codes,
}

impl Tables {
    fn new() -> Self {
        Self {
            literal: Codes::new(FAST_LITERAL, literal_kind),
            distance: Codes::new(FAST_DISTANCE, distance_kind),
        }
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
    fn read(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        bits.refill()?;
        let literals = bits.take(5) + 257;
        let distances = bits.take(5) + 1;
        let code_lens = bits.take(4) + 4;
        let mut lens = [0; ORDER.len()];
        for &at in ORDER.iter().take(code_lens) {
            bits.refill()?;
            lens[at] = bits.take(3) as u8;
        }
        let mut codes = Codes::new(0, |_| None);
        codes.set(&lens)?;

        let mut lens = [0; 288 + 32];
        let lens = lens.get_mut(..literals + distances)?;
        let mut at = 0;
        while at < lens.len() {
            bits.refill()?;
            let (symbol, len) = codes.symbol(bits.word)?;
            bits.skip(len);
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
