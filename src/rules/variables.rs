//! The variables in a rule's patterns of files, filled in from a match.

use super::matching::Match;
use crate::path::ImagePath;

/// `pattern` with its variables filled in; `None` if one has no value, or if the result is not an
/// absolute path. `libdir` is the value of `{libdir}`.
pub(super) fn expand(pattern: &str, one: &Match, libdir: Option<&ImagePath>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = pattern;
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at(open);
        let (name, after) = from.get(1..)?.split_once('}')?;
        out.extend_from_slice(before.as_bytes());
        let value = match name {
            "libdir" => libdir?.as_bytes().to_vec(),
            "match" => one.path.clone()?,
            "dir" => ImagePath::new(one.path.as_ref()?).ok()?.parent()?.as_bytes().to_vec(),
            "prefix" => prefix(one.path.as_ref()?),
            number => one.captures.get(number.parse::<usize>().ok()?.checked_sub(1)?)?.clone(),
        };
        // A value is a literal name, even if it contains wildcards.
        for byte in value {
            if matches!(byte, b'*' | b'?' | b'[' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        rest = after;
    }
    out.extend_from_slice(rest.as_bytes());
    out.starts_with(b"/").then_some(out)
}

/// The installation prefix of a program or library: the directory that contains its `bin` or `lib`;
/// `/usr` if there is none.
fn prefix(path: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = path.split(|&b| b == b'/').collect();
    let is_kind = |part: &&[u8]| {
        matches!(*part, b"bin" | b"sbin" | b"lib" | b"lib32" | b"lib64" | b"libexec")
    };
    match parts.iter().rposition(is_kind) {
        Some(at) if at > 1 => parts.get(..at).unwrap_or_default().join(&b'/'),
        _ => b"/usr".to_vec(),
    }
}
