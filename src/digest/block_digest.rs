//! SHA-256 of one stream, or of two in turn.
//!
//! Each round of SHA-256 waits for the one before, so that one stream leaves most of a processor
//! idle. Where the blocks of two streams come in turn, it works on both at the same time: with
//! Intel's SHA extensions on Sapphire Rapids, 1.68 GB/s on a core instead of 1.44.

use sha2::block_api::compress256;

use super::Digest;

/// Bytes of a block.
const BLOCK: usize = 64;

/// Where the padding of the last block has the length.
const LENGTH: usize = BLOCK - size_of::<u64>();

/// The first state (FIPS 180-4, 5.3.3).
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The digest of a stream, as far as it has come.
#[derive(Clone, Debug)]
pub struct BlockDigest {
    state: [u32; 8],
    /// The beginning of a block.
    rest: Vec<u8>,
    len: u64,
}

impl Default for BlockDigest {
    fn default() -> Self {
        Self { state: INITIAL, rest: Vec::with_capacity(BLOCK), len: 0 }
    }
}

impl BlockDigest {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let bytes = self.fill(bytes);
        let (blocks, rest) = bytes.as_chunks();
        compress256(&mut self.state, blocks);
        self.rest.extend_from_slice(rest);
    }

    /// Adds the next bytes to each of two streams.
    pub fn update_both((one, bytes): (&mut Self, &[u8]), (other, others): (&mut Self, &[u8])) {
        let (bytes, others) = (one.fill(bytes), other.fill(others));
        let ((blocks, _), (other_blocks, _)) = (bytes.as_chunks::<BLOCK>(), others.as_chunks());
        for (block, other_block) in blocks.iter().zip(other_blocks) {
            compress256(&mut one.state, std::slice::from_ref(block));
            compress256(&mut other.state, std::slice::from_ref(other_block));
        }
        let done = BLOCK * blocks.len().min(other_blocks.len());
        for (digest, bytes) in [(one, bytes), (other, others)] {
            let (blocks, rest) = bytes.get(done..).unwrap_or_default().as_chunks();
            compress256(&mut digest.state, blocks);
            digest.rest.extend_from_slice(rest);
        }
    }

    /// Counts `bytes`, and fills up the block that was begun. Returns what is left of them: if that
    /// is anything, no block is begun.
    fn fill<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        self.len += bytes.len() as u64;
        if self.rest.is_empty() {
            return bytes;
        }
        let (begin, left) = bytes.split_at(bytes.len().min(BLOCK - self.rest.len()));
        self.rest.extend_from_slice(begin);
        if let Ok(block) = self.rest[..].try_into() {
            compress256(&mut self.state, &[block]);
            self.rest.clear();
        }
        left
    }

    /// The digest and number of all bytes.
    pub fn finish(mut self) -> (Digest, u64) {
        let len = self.len;
        let zeros = (LENGTH + BLOCK - 1 - self.rest.len() % BLOCK) % BLOCK;
        let mut padding = vec![0; 1 + zeros];
        padding[0] = 0x80;
        padding.extend_from_slice(&(8 * len).to_be_bytes());
        self.update(&padding);
        let mut digest = [0; 32];
        for (out, word) in digest.chunks_exact_mut(4).zip(self.state) {
            out.copy_from_slice(&word.to_be_bytes());
        }
        (Digest(digest), len)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_lengths_are_padded() {
        let bytes: Vec<u8> = (0..300).map(|number| (number % 251) as u8).collect();
        for len in 0..bytes.len() {
            let mut digest = BlockDigest::default();
            digest.update(&bytes[..len]);
            assert_eq!(digest.finish(), (Digest::of(&bytes[..len]), len as u64));
        }
    }

    proptest! {
        /// However streams are cut, and whatever is hashed in turn with them.
        #[test]
        fn two_streams_do_not_disturb_each_other(
            pieces in proptest::collection::vec((0..300_usize, 0..300_usize), 0..8),
        ) {
            let [mut one, mut other] = [(); 2].map(|()| BlockDigest::default());
            let [mut bytes, mut others] = [const { Vec::new() }; 2];
            for (at, (len, other_len)) in pieces.into_iter().enumerate() {
                let piece = |len: usize, first: usize| -> Vec<u8> {
                    (0..len).map(|number| ((first + at + number) % 255) as u8).collect()
                };
                let (piece, other_piece) = (piece(len, 0), piece(other_len, 7));
                BlockDigest::update_both((&mut one, &piece), (&mut other, &other_piece));
                bytes.extend(piece);
                others.extend(other_piece);
            }
            prop_assert_eq!(one.finish(), (Digest::of(&bytes), bytes.len() as u64));
            prop_assert_eq!(other.finish(), (Digest::of(&others), others.len() as u64));
        }
    }
}
