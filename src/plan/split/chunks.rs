//! Content-defined boundaries over paths that no package has.

use super::sizes::{class, hash};

/// Bytes between two boundaries, in the mean.
const TARGET_BITS: u32 = 23;

/// Whether a file begins a new run of paths. Its own path and the class of its size decide, so that
/// a file that comes or goes moves no other boundary. The larger a file, the more likely it is one.
pub(super) fn is_boundary(path: &[u8], len: u64) -> bool {
    let size = if len == 0 { 0 } else { 1 << (class(len) - 1) };
    hash(path) >> (u64::BITS - TARGET_BITS) < size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_have_the_wanted_size() {
        for len in [100_u64, 3000, 70_000, 900_000] {
            let count = (2 << 30) / len;
            let cut = |at: &u64| is_boundary(format!("/app/{at}.txt").as_bytes(), len);
            let runs = (0..count).filter(cut).count() as u64;
            let mean = ((2 << 30) / runs) >> 20;
            assert!((6..20).contains(&mean), "{len}: {mean} MiB");
        }
        assert!(!is_boundary(b"/empty", 0));
    }
}
