//! "Did you mean …?": the known name that a mistyped one is closest to.

/// A longer word is not compared: the table of distances grows with its square.
const MAX_LENGTH: usize = 40;

/// The name in `names` that `word` is probably a misspelling of: at most two letters are added,
/// dropped, changed or swapped with a neighbour (optimal string alignment), and fewer than half of
/// the word's letters. Case does not count. Of equally close names, the first one.
pub fn closest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_uppercase();
    let length = word.chars().count();
    if length > MAX_LENGTH {
        return None;
    }
    let most = 2.min(length.max(2).div_ceil(2) - 1);
    let candidates = names.into_iter().filter(|name| name.len().abs_diff(word.len()) <= 2);
    let distances =
        candidates.map(|name| (strsim::osa_distance(&word, &name.to_ascii_uppercase()), name));
    distances
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_name_that_was_meant() {
        let closest = |word| closest(word, ["COPY", "CMD", "ADD", "ENTRYPOINT"]);
        for (word, wanted) in [
            ("COPPY", "COPY"),
            ("ocpy", "COPY"),
            ("CPY", "COPY"),
            ("ENTRPOINT", "ENTRYPOINT"),
            ("ETNRYPIONT", "ENTRYPOINT"),
            ("CND", "CMD"),
        ] {
            assert_eq!(closest(word), Some(wanted), "{word}");
        }
    }

    #[test]
    fn does_not_guess_from_too_little() {
        let closest = |word| closest(word, ["COPY", "CMD", "ADD", "ENTRYPOINT"]);
        for word in ["XYZ", "A", "", "FOO", "C", "ENTRTPINY"] {
            assert_eq!(closest(word), None, "{word}");
        }
        let long = "x".repeat(MAX_LENGTH + 1);
        assert_eq!(super::closest(&long, [long.as_str()]), None);
    }

    #[test]
    fn takes_the_first_of_equally_close_names() {
        assert_eq!(closest("ab1", ["ab2", "ab3"]), Some("ab2"));
    }
}
