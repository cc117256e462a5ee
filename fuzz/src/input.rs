//! Structured input: small decisions that a fuzzer makes byte by byte.

/// Bytes that decide something. When they are used up, every decision is 0.
#[derive(Debug)]
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// Whether there is something left to decide with.
    pub fn has_more(&self) -> bool {
        !self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        byte
    }

    /// The next number, little-endian.
    pub fn number(&mut self, bytes: usize) -> u64 {
        (0..bytes).fold(0, |number, at| number | u64::from(self.byte()) << (8 * at))
    }

    /// One of `choices`.
    pub fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }

    /// A text, whose length in bytes comes first.
    pub fn text(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte()).min(self.0.len());
        let (text, rest) = self.0.split_at(len);
        self.0 = rest;
        text
    }

    /// A path of up to four names out of a few, so that paths meet each other.
    pub fn path(&mut self) -> Vec<u8> {
        const NAMES: [&[u8]; 16] = [
            b"a",
            b"b",
            b"c",
            b"d",
            b"lib",
            b"..",
            b".",
            b"",
            b".wh.a",
            b".wh..wh..opq",
            b".wh.",
            b"a-b",
            b"\xff",
            b"\n",
            b"lib64",
            b"x.so",
        ];
        let count = usize::from(self.byte()) % 5;
        let names: Vec<&[u8]> = (0..count).map(|_| self.choose(&NAMES)).collect();
        names.join(&b'/')
    }
}
