//! The codes of one alphabet, and lookups in them.

/// The longest code, in bits (RFC 1951, 3.2.7).
const MAX_CODE: usize = 15;

/// The result of a lookup. From the low end: 6 bits with the number of bits it covers, 8 bits with
/// that number less the last symbol's extra bits, [`Step::DISTANCE`], [`Step::RARE`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Step(pub(super) u16);

/// What comes after the bits of a step.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Follows {
    Literal,
    Distance,
    End,
}

impl Step {
    /// A distance follows.
    pub(super) const DISTANCE: u16 = 1 << 14;
    /// The end of the block, or nothing found.
    pub(super) const RARE: u16 = 1 << 15;
    /// Nothing found: the table does not reach.
    const NONE: Self = Self(Self::RARE);

    /// Codes of `code` bits together, at most 15, and `extra` bits after the last code, at most 13.
    fn new(code: u32, extra: u32, follows: Follows) -> Self {
        let mark = match follows {
            Follows::Literal => 0,
            Follows::Distance => Self::DISTANCE,
            Follows::End => Self::RARE,
        };
        Self(mark | (code << 6 | (code + extra)) as u16)
    }

    /// The number of bits of the codes, without extra bits.
    fn code(self) -> u32 {
        u32::from(self.0 >> 6 & 0xff)
    }

    /// The number of bits, with the extra bits.
    pub(super) fn bits(self) -> u32 {
        u32::from(self.0 & 0x3f)
    }

    pub(super) fn follows(self) -> Follows {
        match self.0 {
            step if step & Self::RARE != 0 => Follows::End,
            step if step & Self::DISTANCE != 0 => Follows::Distance,
            _ => Follows::Literal,
        }
    }
}

/// The extra bits of a literal or length symbol, and what follows it (RFC 1951, 3.2.5). `None` for
/// the two symbols that never occur.
pub(super) fn literal_kind(symbol: usize) -> Option<(u32, Follows)> {
    match symbol {
        0..=255 => Some((0, Follows::Literal)),
        256 => Some((0, Follows::End)),
        257..=264 | 285 => Some((0, Follows::Distance)),
        265..=284 => Some(((symbol as u32 - 261) / 4, Follows::Distance)),
        _ => None,
    }
}

/// The extra bits of a distance symbol.
pub(super) fn distance_kind(symbol: usize) -> Option<(u32, Follows)> {
    (symbol < 30).then(|| ((symbol as u32 / 2).saturating_sub(1), Follows::Literal))
}

/// The codes of one alphabet, with a table of `N` entries (a power of two).
pub(super) struct Codes<const N: usize> {
    /// By the next bits of the stream.
    fast: Box<[Step; N]>,
    /// The number of codes of each length, and the symbols in the order of their codes: for codes
    /// that are too long for `fast`.
    counts: [u16; MAX_CODE + 1],
    symbols: Vec<u16>,
    kind: fn(usize) -> Option<(u32, Follows)>,
}

impl<const N: usize> Codes<N> {
    pub(super) fn new(kind: fn(usize) -> Option<(u32, Follows)>) -> Self {
        let fast = Box::new([Step::NONE; N]);
        Self { fast, counts: [0; MAX_CODE + 1], symbols: Vec::new(), kind }
    }

    /// Sets the codes by the length for each symbol (RFC 1951, 3.2.2). `None` if there are too
    /// many.
    pub(super) fn set(&mut self, lens: &[u8]) -> Option<()> {
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

    /// Fills the table from the codes, length by length: the entries for codes of up to `len` bits
    /// are repeated for the next bit, and the codes with that bit are put in.
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
                if let Some((extra, follows)) = (self.kind)(usize::from(symbol)) {
                    self.fast[reversed % N] = Step::new(len, extra, follows);
                }
            }
        }
    }

    /// Makes one lookup cover all literals, and the length after them, that are complete in its
    /// bits.
    pub(super) fn chain(&mut self) {
        let single = *self.fast;
        // Codes may be one bit long, but more than three in so few bits are rare.
        for _ in 0..2 {
            for (index, entry) in self.fast.iter_mut().enumerate() {
                let next = single[(index >> entry.bits()) % N];
                let code = entry.bits() + next.code();
                let chained = Step::new(code, next.bits() - next.code(), next.follows());
                let fits = entry.follows() == Follows::Literal
                    && next != Step::NONE
                    && code <= N.trailing_zeros();
                *entry = if fits { chained } else { *entry };
            }
        }
    }

    /// The table's entry for the next bits.
    #[inline(always)]
    pub(super) fn step(&self, word: u64) -> Step {
        self.fast[word as usize % N]
    }

    /// As [`Codes::step`], for codes of any length.
    pub(super) fn any_step(&self, word: u64) -> Option<Step> {
        let step = self.step(word);
        if step != Step::NONE {
            return Some(step);
        }
        let (symbol, len) = self.symbol(word)?;
        let (extra, follows) = (self.kind)(symbol)?;
        Some(Step::new(len, extra, follows))
    }

    /// The next symbol and the length of its code, found length by length as in zlib's puff.
    pub(super) fn symbol(&self, word: u64) -> Option<(usize, u32)> {
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
