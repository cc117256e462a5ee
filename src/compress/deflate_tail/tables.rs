//! The codes of a block, fixed or read from its start.

use super::{
    bits::Bits,
    codes::{Codes, Step, distance_kind, literal_kind},
};

/// Sizes of the lookup tables.
const LITERALS: usize = 1 << 11;
const DISTANCES: usize = 1 << 10;

/// Order of the code length codes (RFC 1951, 3.2.7).
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// The codes of a block: literals and lengths, and distances.
pub(super) struct Tables {
    pub(super) literal: Codes<LITERALS>,
    pub(super) distance: Codes<DISTANCES>,
}

impl Tables {
    pub(super) fn new() -> Self {
        Self { literal: Codes::new(literal_kind), distance: Codes::new(distance_kind) }
    }

    /// Literals, or a length and its distance: at most 20 bits, or 28. Whether a distance follows
    /// is hard to predict for the processor, so it is always looked up, and masked out if none
    /// follows.
    #[inline(always)]
    pub(super) fn step(&self, word: u64) -> Step {
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

    /// Sets the fixed codes (RFC 1951, 3.2.6).
    pub(super) fn set_fixed(&mut self) -> Option<()> {
        let mut literal = [8; 288];
        literal[144..256].fill(9);
        literal[256..280].fill(7);
        self.set(&literal, &[5; 30])
    }

    /// Reads the codes of a block (RFC 1951, 3.2.7).
    pub(super) fn read(&mut self, bits: &mut Bits, data: &[u8]) -> Option<()> {
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
