//! Limits on what the expansion of a file may cost, so that a small file cannot become a large one.

/// Bytes that one word may expand to.
pub(super) const MAX_WORD: usize = 1 << 20;

/// What one evaluation may still use.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: usize,
    steps: usize,
}

/// A [`Budget`] is used up.
#[derive(Debug)]
pub(super) struct Exhausted;

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: 32 * MAX_WORD, steps: 1 << 26 }
    }
}

impl Budget {
    /// Spends bytes of text.
    pub(super) fn spend_bytes(&mut self, count: usize) -> Result<(), Exhausted> {
        self.bytes = self.bytes.checked_sub(count).ok_or(Exhausted)?;
        Ok(())
    }

    /// Spends steps of pattern matching.
    pub(super) fn spend_steps(&mut self, count: usize) -> Result<(), Exhausted> {
        self.steps = self.steps.checked_sub(count).ok_or(Exhausted)?;
        Ok(())
    }
}
