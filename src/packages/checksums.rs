//! Lines of `NAME.md5sums`.

/// The MD5 in hexadecimal and the relative path of a line of a file of checksums.
pub fn checksum(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sum, rest) = line.split_at_checked(32)?;
    let path = rest.strip_prefix(b"  ")?;
    let path = path.strip_prefix(b"./").unwrap_or(path);
    (sum.iter().all(u8::is_ascii_hexdigit) && !path.is_empty()).then_some((sum, path))
}
