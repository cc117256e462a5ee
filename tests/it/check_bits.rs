//! Images of damaged objects, packed again so that every digest is right. The damage is one bit
//! after another in those parts of an ELF file that the kernel and the loader read.

use crate::{check_each::Good, rules_root::Root};

/// A little-endian number of `len` bytes at `at`.
fn number(bytes: &[u8], at: u64, len: usize) -> u64 {
    let at = usize::try_from(at).unwrap();
    bytes[at..at + len].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// The parts of a 64-bit object that describe it: ELF header, program headers, interpreter and
/// dynamic section.
fn told(bytes: &[u8]) -> Vec<std::ops::Range<u64>> {
    let (table, count) = (number(bytes, 32, 8), number(bytes, 56, 2));
    let headers = (0..count).map(|index| table + index * 56);
    let pointed = headers.filter(|&at| matches!(number(bytes, at, 4), 2 | 3));
    let mut out = vec![0..64, table..table + count * 56];
    out.extend(
        pointed.map(|at| {
            number(bytes, at + 8, 8)..number(bytes, at + 8, 8) + number(bytes, at + 32, 8)
        }),
    );
    out
}

/// Flips bits of each loaded object, one at a time. The check finds contradictions and impossible
/// values. It cannot find what only the object's code would reveal, which is the smaller part of
/// what keeps the program from starting.
#[test]
fn most_bits_that_matter_to_a_loader_are_named() {
    let Some(root) = Root::pack(&["sort"], "sort -o image.tar") else { return };
    let good = Good::new(root, "sort", &["--version"]);
    let (mut at, mut named, mut missed) = (0_usize, 0, Vec::new());
    // What comes along without being loaded tells nothing.
    let is_loaded = |path: &str| path.ends_with("/sort") || path.contains("/lib");
    let objects = good.objects().into_iter().filter(|(path, _)| is_loaded(&path.to_string()));
    for (path, bytes) in objects {
        for bit in told(&bytes).into_iter().flat_map(|range| range.start * 8..range.end * 8) {
            at += 1;
            // A prime, so that every field of the tables is hit.
            if !at.is_multiple_of(61) {
                continue;
            }
            let mut bytes = bytes.clone();
            bytes[usize::try_from(bit / 8).unwrap()] ^= 1 << (bit % 8);
            match good.with(&path, &bytes) {
                (true, false) => named += 1,
                (false, false) => missed.push(format!("{path} byte {} bit {}", bit / 8, bit % 8)),
                _ => {}
            }
        }
    }
    assert!(named > 4 * missed.len(), "{named} named, {} missed: {missed:#?}", missed.len());
}
