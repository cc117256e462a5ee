//! Patterns of triggers, which capture what their stars match. [`crate::path::glob`] only says
//! whether a pattern matches.

/// What the stars of `pattern` match, in order, if it matches the whole of `text`. `*` matches any
/// run without a slash, `**` any run. The first star takes as little as it can.
pub(super) fn captures<'a>(pattern: &[u8], text: &'a [u8]) -> Option<Vec<&'a [u8]>> {
    let Some(star) = pattern.iter().position(|&b| b == b'*') else {
        return (pattern == text).then(Vec::new);
    };
    let rest = text.strip_prefix(pattern.get(..star)?)?;
    let after = pattern.get(star + 1..)?;
    let (after, deep) = after.strip_prefix(b"*").map_or((after, false), |after| (after, true));
    let longest =
        if deep { rest.len() } else { rest.iter().position(|&b| b == b'/').unwrap_or(rest.len()) };
    for taken in 0..=longest {
        let (run, left) = rest.split_at(taken);
        if let Some(mut more) = captures(after, left) {
            more.insert(0, run);
            return Some(more);
        }
    }
    None
}

/// `*` characters in one pattern: each multiplies the work of a match.
pub(super) const MAX_STARS: usize = 6;

/// Whether `pattern` has a star.
pub(super) fn is_wild(pattern: &str) -> bool {
    pattern.contains('*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, wanted: Option<&[&str]>) {
        let found = captures(pattern.as_bytes(), text.as_bytes());
        let found = found
            .map(|runs| runs.iter().map(|r| String::from_utf8_lossy(r).into_owned()).collect());
        let wanted: Option<Vec<String>> =
            wanted.map(|runs| runs.iter().map(ToString::to_string).collect());
        assert_eq!(found, wanted, "{pattern} on {text}");
    }

    #[test]
    fn stars_capture_what_they_match() {
        check("python3.*", "python3.11", Some(&["11"]));
        check("python3.*", "python3", None);
        check("libpython*.so*", "libpython3.11.so.1.0", Some(&["3.11", ".1.0"]));
        check("/usr/*/x", "/usr/a/b/x", None);
        check("/usr/**/x", "/usr/a/b/x", Some(&["a/b"]));
        check("/usr/share/**", "/usr/share/", Some(&[""]));
        check("a", "a", Some(&[]));
        check("a", "ab", None);
    }
}
