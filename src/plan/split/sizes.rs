//! Classes of sizes, the hash of names, and how long names may be.

/// Bytes from which a component is large.
pub(super) const LARGE: u64 = 512 << 10;

/// Bytes of a name that are shown at most.
const MAX_NAME: usize = 255;

/// The beginning of `name`, at most [`MAX_NAME`] bytes.
pub(super) fn bounded(name: &str) -> &str {
    let end = (0..=MAX_NAME).rev().find(|end| name.is_char_boundary(*end)).unwrap_or_default();
    name.get(..end).unwrap_or(name)
}

/// The bits of a number: sizes of one class differ by less than a factor of two.
pub(super) fn class(number: u64) -> u32 {
    u64::BITS - number.leading_zeros()
}

/// A hash that stays the same for ever: FNV-1a with the last step of SplitMix64, which makes all
/// bits depend on all of the input.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// The last step of SplitMix64.
pub(super) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
