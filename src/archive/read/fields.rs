//! The fields of a tar header.

use tar::{EntryType, Header};

use super::Fault;
use crate::archive::header::BLOCK;

/// Checks the checksum: the sum of the header's bytes, with spaces in place of the sum itself. Some
/// old writers summed signed bytes.
pub(super) fn check_sum(block: &[u8; BLOCK]) -> Result<(), Fault> {
    let old = Header::from_byte_slice(block).as_old();
    let blanks = old.cksum.len() as i64 * i64::from(b' ');
    let rest = || block[..148].iter().chain(&block[156..]);
    let unsigned = blanks + rest().map(|&byte| i64::from(byte)).sum::<i64>();
    let signed = blanks + rest().map(|&byte| i64::from(byte as i8)).sum::<i64>();
    match number(&old.cksum) {
        Some(sum) if sum == unsigned || sum == signed => Ok(()),
        _ => Err(Fault::Checksum),
    }
}

/// Whether `block` is the header of a member: POSIX's, GNU's, or one of before POSIX, which has no
/// magic.
pub fn is_header(block: &[u8; BLOCK]) -> bool {
    block.iter().any(|&byte| byte != 0) && check_sum(block).is_ok()
}

/// A numeric field: octal digits, after spaces and followed by spaces or NULs, or base 256 if the
/// first bit is set. An empty field is 0. `None` for anything else, and for values that do not fit.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // Two's complement of the bits after the first.
        let sign = if first & 0x40 != 0 { -1 } else { 0 };
        let high = sign << 7 | i128::from(first & 0x7f);
        let value = rest.iter().try_fold(high, |value, &byte| {
            value.checked_mul(256).map(|value| value | i128::from(byte))
        })?;
        return i64::try_from(value).ok();
    }
    let start = field.iter().position(|&byte| byte != b' ').unwrap_or(field.len());
    let digits = &field[start..];
    let len = digits.iter().position(|byte| matches!(byte, b' ' | 0)).unwrap_or(digits.len());
    let (digits, end) = digits.split_at(len);
    if end.iter().any(|byte| !matches!(byte, b' ' | 0)) {
        return None;
    }
    digits.iter().try_fold(0i64, |value, &byte| match byte {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    })
}

/// The size in the header itself.
pub(super) fn size(header: &Header) -> Result<u64, Fault> {
    number(&header.as_old().size)
        .and_then(|size| u64::try_from(size).ok())
        .ok_or(Fault::Number("size"))
}

/// Checks the numbers that Go, and so every engine, reads of every header, even one before an entry
/// whose PAX records replace them.
pub(super) fn check_numbers(header: &Header) -> Result<(), Fault> {
    let old = header.as_old();
    for (field, what) in
        [(&old.mode[..], "mode"), (&old.uid, "owner"), (&old.gid, "owner"), (&old.mtime, "time")]
    {
        number(field).ok_or(Fault::Number(what))?;
    }
    device(header, EntryType::Regular).map(drop)
}

/// The major and minor device numbers of a device; zeros for other kinds. A header without a magic
/// has none.
pub(super) fn device(header: &Header, kind: EntryType) -> Result<(u32, u32), Fault> {
    if Magic::of(header) == Magic::None {
        return Ok((0, 0));
    }
    let block = header.as_bytes();
    let field = |field: &[u8]| {
        let number = number(field).ok_or(Fault::Number("device"))?;
        match kind {
            EntryType::Char | EntryType::Block => {
                u32::try_from(number).map_err(|_| Fault::Number("device"))
            }
            _ => Ok(0),
        }
    };
    Ok((field(&block[329..337])?, field(&block[337..345])?))
}

/// The kind of member, if a layer can hold it.
pub(super) fn kind(header: &Header, name: &[u8]) -> Result<EntryType, Fault> {
    Ok(match header.as_old().linkflag[0] {
        // Before POSIX, a slash after the name marked a directory.
        0 if name.ends_with(b"/") => EntryType::Directory,
        // GNU tar unpacks a directory, Docker a file.
        b'0' | b'7' if name.ends_with(b"/") => return Err(Fault::Slash),
        // 7 requested contiguous blocks.
        0 | b'0' | b'7' => EntryType::Regular,
        b'1' => EntryType::Link,
        b'2' => EntryType::Symlink,
        b'3' => EntryType::Char,
        b'4' => EntryType::Block,
        b'5' => EntryType::Directory,
        b'6' => EntryType::Fifo,
        b'S' if Magic::of(header) == Magic::Gnu => EntryType::GNUSparse,
        b'S' => return Err(Fault::Sparse),
        other => return Err(Fault::Type(other)),
    })
}

/// What the magic and version of a header say about its last 167 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Magic {
    /// POSIX: a prefix of the name. Every reader takes any version.
    Ustar,
    /// GNU: times, and a map of a sparse file.
    Gnu,
    /// Neither: nothing, as before POSIX.
    None,
}

impl Magic {
    fn of(header: &Header) -> Self {
        match &header.as_bytes()[257..265] {
            [b'u', b's', b't', b'a', b'r', 0, ..] => Self::Ustar,
            b"ustar  \0" => Self::Gnu,
            _ => Self::None,
        }
    }
}

/// The name in the header itself, with the prefix of ustar.
///
/// # Errors
/// [`Fault::Prefix`] where readers disagree on whether there is a prefix, or on its end.
pub(super) fn short_name(header: &Header) -> Result<Vec<u8>, Fault> {
    let block = header.as_bytes();
    let name = until_nul(&header.as_old().name);
    let prefix = until_nul(&block[345..500]);
    let is_time = |field: &[u8]| field[0] == 0 || number(field).is_some();
    let agreed = match Magic::of(header) {
        // star has times after 131 bytes of prefix, and marks that at the end of the block.
        Magic::Ustar if block.ends_with(b"tar\0") => {
            prefix.len() <= 131 && is_time(&block[476..488]) && is_time(&block[488..500])
        }
        Magic::Ustar => true,
        // Go takes a prefix for one if these are not the times of access and change.
        Magic::Gnu => is_time(&block[345..357]) && is_time(&block[357..369]),
        Magic::None => prefix.is_empty(),
    };
    match (prefix, Magic::of(header)) {
        _ if !agreed => Err(Fault::Prefix),
        ([], _) | (_, Magic::Gnu | Magic::None) => Ok(name.to_vec()),
        (prefix, Magic::Ustar) => Ok([prefix, b"/", name].concat()),
    }
}

/// The bytes of a field before its first NUL.
pub(super) fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// A name, which is neither empty nor has a NUL byte.
pub(super) fn name(value: &[u8]) -> Option<Vec<u8>> {
    (!value.is_empty() && !value.contains(&0)).then(|| value.to_vec())
}

/// Decimal digits and nothing else.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    let value = |value: u64, &digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    };
    digits.iter().try_fold(0, value).filter(|_| !digits.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (field, wanted) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"644     ", Some(0o644)),
            (b"\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"77777777777\0", Some(0o77_777_777_777)),
            (b"0000648\0", None),
            (b"-1\0", None),
            (b"1\x001\0", None),
            (b"0x1\0", None),
            (b"\x80\0\0\0\0\0\0\x01", Some(1)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
        ] {
            assert_eq!(number(field), wanted, "{field:?}");
        }
    }
}
