//! SHA-256 of one stream, or of two in turn.
//!
//! Each round of SHA-256 waits for the one before, so that one stream leaves most of a processor
//! idle. Where the blocks of two streams come in turn, it works on both at the same time: with
//! Intel's SHA extensions on Sapphire Rapids, 1.68 GB/s on a core instead of 1.44.

use std::{fmt, slice};

use ring::digest::{Context, SHA256};
use sha2::{
    Digest as _, Sha256,
    digest::{
        array::Array,
        block_api::{CoreProxy as _, UpdateCore as _},
    },
};

use super::Digest;

/// The digest of a stream, as far as it has come.
#[derive(Clone)]
pub struct StreamDigest {
    hash: Hash,
    /// Its bytes so far.
    pub(super) len: u64,
}

#[derive(Clone)]
enum Hash {
    /// For processors with instructions for SHA-256; gives out its blocks.
    Blocks(Sha256),
    /// For all others, on which it is twice as fast: it uses their vectors.
    Vectors(Box<Context>),
}

impl Hash {
    fn blocks() -> Self {
        Self::Blocks(Sha256::new())
    }

    fn vectors() -> Self {
        Self::Vectors(Box::new(Context::new(&SHA256)))
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Blocks(hash) => hash.update(bytes),
            Self::Vectors(hash) => hash.update(bytes),
        }
    }
}

/// Whether the processor has instructions for SHA-256.
fn has_instructions() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("sha");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("sha2");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    false
}

impl Default for StreamDigest {
    fn default() -> Self {
        let hash = if has_instructions() { Hash::blocks() } else { Hash::vectors() };
        Self { hash, len: 0 }
    }
}

impl fmt::Debug for StreamDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamDigest").field("len", &self.len).finish_non_exhaustive()
    }
}

impl StreamDigest {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        self.hash.update(bytes);
    }

    /// Adds the next bytes to each of two streams.
    pub fn update_both((one, bytes): (&mut Self, &[u8]), (other, others): (&mut Self, &[u8])) {
        let (mut bytes, mut others) = (bytes, others);
        one.len += bytes.len() as u64;
        other.len += others.len() as u64;
        if let (Hash::Blocks(one), Hash::Blocks(other)) = (&mut one.hash, &mut other.hash) {
            (bytes, others) = update_in_turn((one, bytes), (other, others));
        }
        one.hash.update(bytes);
        other.hash.update(others);
    }

    /// The digest and number of all bytes.
    pub fn finish(self) -> (Digest, u64) {
        let mut digest = [0; 32];
        match self.hash {
            Hash::Blocks(hash) => digest = hash.finalize().into(),
            Hash::Vectors(hash) => digest.copy_from_slice(hash.finish().as_ref()),
        }
        (Digest(digest), self.len)
    }
}

/// Adds as many whole blocks to both streams as both have. Returns the bytes that are left.
fn update_in_turn<'b, 'o>(
    (one, bytes): (&mut Sha256, &'b [u8]),
    (other, others): (&mut Sha256, &'o [u8]),
) -> (&'b [u8], &'o [u8]) {
    let (mut core, begun) = std::mem::take(one).decompose();
    let (mut other_core, other_begun) = std::mem::take(other).decompose();
    let is_between_blocks = begun.get_pos() == 0 && other_begun.get_pos() == 0;
    let mut done = 0;
    if is_between_blocks {
        let ((blocks, _), (other_blocks, _)) =
            (Array::slice_as_chunks(bytes), Array::slice_as_chunks(others));
        for (block, other_block) in blocks.iter().zip(other_blocks) {
            core.update_blocks(slice::from_ref(block));
            other_core.update_blocks(slice::from_ref(other_block));
            done += block.len();
        }
    }
    *one = Sha256::compose(core, begun);
    *other = Sha256::compose(other_core, other_begun);
    (bytes.get(done..).unwrap_or_default(), others.get(done..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One that is empty, of each kind, whatever processor this is.
    fn of_each_kind() -> [StreamDigest; 2] {
        [Hash::blocks(), Hash::vectors()].map(|hash| StreamDigest { hash, len: 0 })
    }

    #[test]
    fn both_kinds_compute_the_same() {
        let bytes: Vec<u8> = (0..300).map(|number| (number % 251) as u8).collect();
        for len in 0..bytes.len() {
            let [blocks, vectors] = of_each_kind().map(|mut digest| {
                digest.update(&bytes[..len / 2]);
                digest.update(&bytes[len / 2..len]);
                digest.finish()
            });
            assert_eq!(blocks, vectors);
            assert_eq!(blocks, (Digest::of(&bytes[..len]), len as u64));
        }
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of("abc").to_string(), abc);
    }

    proptest! {
        /// However streams are cut, and whatever is hashed in turn with them.
        #[test]
        fn two_streams_do_not_disturb_each_other(
            pieces in proptest::collection::vec((0..300_usize, 0..300_usize), 0..8),
            is_aligned: bool,
            kinds in (0..2_usize, 0..2_usize),
        ) {
            let mut one = of_each_kind()[kinds.0].clone();
            let mut other = of_each_kind()[kinds.1].clone();
            let [mut bytes, mut others] = [const { Vec::new() }; 2];
            for (at, (len, other_len)) in pieces.into_iter().enumerate() {
                let piece = |len: usize, first: usize| -> Vec<u8> {
                    let len = if is_aligned { len / 64 * 64 } else { len };
                    (0..len).map(|number| ((first + at + number) % 255) as u8).collect()
                };
                let (piece, other_piece) = (piece(len, 0), piece(other_len, 7));
                StreamDigest::update_both((&mut one, &piece), (&mut other, &other_piece));
                bytes.extend(piece);
                others.extend(other_piece);
            }
            prop_assert_eq!(one.finish(), (Digest::of(&bytes), bytes.len() as u64));
            prop_assert_eq!(other.finish(), (Digest::of(&others), others.len() as u64));
        }
    }
}
