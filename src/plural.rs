//! Counts with their nouns.

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

#[cfg(test)]
mod tests {
    use super::count;

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
}
