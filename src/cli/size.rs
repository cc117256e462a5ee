//! Sizes as people write and read them.
//!
//! Suffixes are those of GNU coreutils: `64m` and `64MiB` are powers of 1024, `64MB` is a power of
//! 1000. Sizes are printed in powers of 1000.

pub(super) use crate::quantity::bytes as format;

/// Text that is not a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a number of bytes, such as 4096, 64m (1024-based) or 8GB (1000-based)")]
pub(super) struct SizeError;

/// Reads a number of bytes with an optional suffix: `k`, `m`, `g`, `t` in either case and `KiB`,
/// `MiB`, `GiB`, `TiB` are powers of 1024; `kB`, `MB`, `GB`, `TB` are powers of 1000.
///
/// # Errors
/// [`SizeError`] on anything else, and on sizes over `u64::MAX` bytes.
pub(super) fn parse(text: &str) -> Result<u64, SizeError> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text.get(digits.len()..).unwrap_or_default() {
        "" | "B" => 1,
        "k" | "K" | "KiB" => 1 << 10,
        "m" | "M" | "MiB" => 1 << 20,
        "g" | "G" | "GiB" => 1 << 30,
        "t" | "T" | "TiB" => 1 << 40,
        "kB" | "KB" => 1000,
        "MB" => 1000_u64.pow(2),
        "GB" => 1000_u64.pow(3),
        "TB" => 1000_u64.pow(4),
        _ => return Err(SizeError),
    };
    let count: u64 = digits.parse().map_err(|_| SizeError)?;
    count.checked_mul(unit).ok_or(SizeError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_both_kinds_of_units() {
        for (text, wanted) in [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("7m", 7 << 20),
            ("64M", 64 << 20),
            ("1G", 1 << 30),
            ("4KiB", 4096),
            ("2kB", 2000),
            ("8GB", 8_000_000_000),
            ("1TB", 10_u64.pow(12)),
        ] {
            assert_eq!(parse(text), Ok(wanted), "{text}");
        }
        // `mb` could mean either.
        for text in ["", "m", "-1", "1x", "4mb", "1.5G", "99999999T", "1 G", "1é"] {
            assert_eq!(parse(text), Err(SizeError), "{text}");
        }
    }
}
