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

/// The major and minor device numbers.
pub(super) fn device(header: &Header) -> Result<(u32, u32), Fault> {
    let Some((major, minor)) = header
        .as_ustar()
        .map(|header| (header.dev_major, header.dev_minor))
        .or_else(|| header.as_gnu().map(|header| (header.dev_major, header.dev_minor)))
    else {
        return Err(Fault::Number("device"));
    };
    let number = |field: &[u8]| {
        number(field).and_then(|n| u32::try_from(n).ok()).ok_or(Fault::Number("device"))
    };
    Ok((number(&major)?, number(&minor)?))
}

/// The kind of member, if a layer can hold it.
pub(super) fn kind(header: &Header, name: &[u8]) -> Result<EntryType, Fault> {
    Ok(match header.as_old().linkflag[0] {
        // Before POSIX, a slash after the name marked a directory.
        0 if name.ends_with(b"/") => EntryType::Directory,
        // 7 requested contiguous blocks.
        0 | b'0' | b'7' => EntryType::Regular,
        b'1' => EntryType::Link,
        b'2' => EntryType::Symlink,
        b'3' => EntryType::Char,
        b'4' => EntryType::Block,
        b'5' => EntryType::Directory,
        b'6' => EntryType::Fifo,
        b'S' => return Err(Fault::Sparse),
        other => return Err(Fault::Type(other)),
    })
}

/// The name in the header itself, with the prefix of ustar.
pub(super) fn short_name(header: &Header) -> Vec<u8> {
    let name = until_nul(&header.as_old().name);
    let Some(ustar) = header.as_ustar() else { return name.to_vec() };
    // star stores times at the end of the prefix, and marks that at the end of the block.
    let field = if header.as_bytes().ends_with(b"tar\0") {
        &ustar.prefix[..131]
    } else {
        &ustar.prefix[..]
    };
    match until_nul(field) {
        [] => name.to_vec(),
        prefix => [prefix, b"/", name].concat(),
    }
}

/// The bytes of a field before its first NUL.
pub(super) fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
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
