//! SHA-256 digests, and what computes them.

mod stream;

use std::{
    fmt,
    io::{self, Write},
    str::FromStr,
};

pub use stream::StreamDigest;

/// The SHA-256 digest of bytes as they are stored: a blob, a manifest, a compressed layer.
/// Displayed and parsed as `sha256:` and 64 lower-case hex digits (OCI image-spec, descriptor.md,
/// "Digests").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// The digest of a layer's *uncompressed* tar (OCI image-spec, config.md, `rootfs.diff_ids`). It
/// has a type of its own because an image in which it is swapped with the blob's [`Digest`] cannot
/// be loaded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiffId(pub Digest);

/// A text that is not a `sha256:` digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is {}", crate::path::escape(.0.as_bytes()), why(.0))]
pub struct DigestError(pub String);

/// What is wrong with a text that is not a digest. sha512 is the other algorithm that the OCI
/// image-spec registers.
fn why(text: &str) -> &'static str {
    match text.starts_with("sha512:") {
        true => "a sha512 digest, and imgb reads sha256 digests only",
        false => "not a sha256 digest",
    }
}

impl Digest {
    /// The 32 bytes.
    pub fn bytes(self) -> [u8; 32] {
        self.0
    }

    /// The digest with these bytes, which were [`Digest::bytes`].
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest of `bytes`.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        let mut digest = StreamDigest::default();
        digest.update(bytes.as_ref());
        digest.finish().0
    }

    /// The 64 hex digits, as in the names of blob files.
    pub fn hex(self) -> String {
        self.0.iter().map(|b| format!("{b:02x}")).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let wrong = || DigestError(text.chars().take(100).collect());
        let hex = text.strip_prefix("sha256:").filter(|hex| hex.len() == 64).ok_or_else(wrong)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let digit = |c: u8| match c {
                b'0'..=b'9' => Some(c - b'0'),
                b'a'..=b'f' => Some(c - b'a' + 10),
                _ => None,
            };
            *byte = digit(pair[0])
                .zip(digit(pair[1]))
                .map(|(high, low)| high << 4 | low)
                .ok_or_else(wrong)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for DiffId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for DiffId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Hashes and counts the bytes that are written through it.
#[derive(Debug)]
pub struct Digesting<W> {
    inner: W,
    hash: StreamDigest,
}

impl<W> Digesting<W> {
    /// A writer to `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, hash: StreamDigest::default() }
    }

    /// The number of bytes written so far.
    pub fn written(&self) -> u64 {
        self.hash.len
    }

    /// The inner writer, and the digest and number of the bytes written.
    pub fn finish(self) -> (W, Digest, u64) {
        let (digest, len) = self.hash.finish();
        (self.inner, digest, len)
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buf)?;
        self.hash.update(&buf[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of("").to_string(), empty);
        assert_eq!(empty.parse(), Ok(Digest::of("")));
    }

    #[test]
    fn refuses_other_spellings() {
        let hex = Digest::of("").hex();
        for text in [
            format!("sha256:{}", hex.to_uppercase()),
            format!("sha512:{hex}"),
            hex.clone(),
            format!("sha256:../{hex}"),
            format!("sha256:{}é", &hex[..62]),
            format!("sha256:{}", &hex[..62]),
            format!("sha256:{hex}00"),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn digests_on_the_way() {
        let mut writer = Digesting::new(Vec::new());
        writer.write_all(b"hello").unwrap();
        assert_eq!(writer.finish(), (b"hello".to_vec(), Digest::of("hello"), 5));
    }
}
