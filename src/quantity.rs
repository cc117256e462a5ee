//! Counts with their nouns, and sizes, as people read them.

use std::fmt::Display;

/// `count` and the noun in the number that fits: `1 file`, `2 files`, `3 directories`. Takes nouns
/// whose plural is regular.
pub fn count(count: impl Display, noun: &str) -> String {
    let count = count.to_string();
    if count == "1" {
        return format!("1 {noun}");
    }
    let stem = noun.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u']));
    match stem {
        Some(stem) => format!("{count} {stem}ies"),
        None => format!("{count} {noun}s"),
    }
}

/// `count` bytes in the largest unit that leaves at least one, in powers of 1000.
pub fn bytes(count: u64) -> String {
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1000.0;
    for unit in ["kB", "MB", "GB", "TB"] {
        if value < 999.95 {
            return format!("{value:.1} {unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.1} PB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noun_fits_the_number() {
        for (number, noun, wanted) in [
            (0, "file", "0 files"),
            (1, "file", "1 file"),
            (2, "file", "2 files"),
            (1, "library", "1 library"),
            (3, "library", "3 libraries"),
            (2, "key", "2 keys"),
        ] {
            assert_eq!(count(number, noun), wanted);
        }
    }

    #[test]
    fn formats_in_powers_of_1000() {
        for (count, wanted) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (1_234_567_890, "1.2 GB"),
        ] {
            assert_eq!(bytes(count), wanted);
        }
    }
}
