//! Paths in an image: absolute, normalised, bytes. Never a path of the host.

pub mod glob;
pub mod glob_set;
pub mod ignore;
pub mod shared_dirs;

use std::{borrow::Borrow, ffi::OsStr, fmt, os::unix::ffi::OsStrExt as _, path::Path, sync::Arc};

/// An absolute path in the image: `/`, or `/a/b` without `.`, `..`, empty components, NUL or a
/// trailing slash. Any other byte may occur. Ordered bytewise, so that a directory comes before its
/// entries. Cloning is cheap: the bytes are shared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImagePath(Arc<[u8]>);

/// Why bytes are not a path in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A NUL byte, which no file system can hold.
    #[error("the path contains a NUL byte")]
    Nul,
    /// `..` above the root.
    #[error("the path leaves the root with `..`")]
    ClimbsOut,
    /// Longer than [`ImagePath::MAX`], or a component longer than [`ImagePath::MAX_COMPONENT`].
    #[error("the path or one of its components is too long")]
    TooLong,
}

impl ImagePath {
    /// The longest path in bytes: `PATH_MAX` without its NUL.
    pub const MAX: usize = 4095;
    /// The longest component in bytes: `NAME_MAX`.
    pub const MAX_COMPONENT: usize = 255;

    /// `/`
    pub fn root() -> Self {
        Self(Arc::from(&b"/"[..]))
    }

    /// The path that `bytes` name below the root, with or without a leading slash. `.`, empty
    /// components and (lexically) `..` are removed.
    ///
    /// # Errors
    /// [`PathError`] for `..` that leaves the root, for a NUL byte, and beyond the length limits.
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let bytes = bytes.as_ref();
        if memchr::memchr(0, bytes).is_some() {
            return Err(PathError::Nul);
        }
        if is_normalised(bytes) {
            return Ok(Self(bytes.into()));
        }
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in bytes.split(|&b| b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => drop(parts.pop().ok_or(PathError::ClimbsOut)?),
                _ if part.len() > Self::MAX_COMPONENT => return Err(PathError::TooLong),
                _ => parts.push(part),
            }
        }
        let mut out = Vec::with_capacity(bytes.len() + 1);
        for part in parts {
            out.push(b'/');
            out.extend_from_slice(part);
        }
        if out.is_empty() {
            out.push(b'/');
        }
        if out.len() > Self::MAX {
            return Err(PathError::TooLong);
        }
        Ok(Self(out.into()))
    }

    /// The path `below` in `self`. `below` may have several components and a leading slash.
    ///
    /// # Errors
    /// As [`ImagePath::new`]. `..` in `below` may leave `self`, but not the root.
    pub fn join(&self, below: impl AsRef<[u8]>) -> Result<Self, PathError> {
        Self::new([&self.0, &b"/"[..], below.as_ref()].concat())
    }

    /// As [`ImagePath::join`], but faster, for a `name` of one component that is neither `.` nor
    /// `..`.
    ///
    /// # Errors
    /// [`PathError`] for a NUL byte, and beyond the length limits.
    pub fn child(&self, name: &[u8]) -> Result<Self, PathError> {
        if name.is_empty() || name.contains(&b'/') || matches!(name, b"." | b"..") {
            return self.join(name);
        }
        if memchr::memchr(0, name).is_some() {
            return Err(PathError::Nul);
        }
        let dir = if self.is_root() { &[][..] } else { &self.0[..] };
        if name.len() > Self::MAX_COMPONENT || dir.len() + 1 + name.len() > Self::MAX {
            return Err(PathError::TooLong);
        }
        Ok(Self([dir, b"/", name].concat().into()))
    }

    /// The bytes of [`ImagePath::parent`]: `/` for the root's own entries, `None` for the root.
    pub fn parent_bytes(&self) -> Option<&[u8]> {
        let slash = memchr::memrchr(b'/', &self.0).filter(|_| !self.is_root())?;
        self.0.get(..slash.max(1))
    }

    /// The directory that contains this path; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let slash = memchr::memrchr(b'/', &self.0).filter(|_| !self.is_root())?;
        Some(if slash == 0 { Self::root() } else { Self(self.0[..slash].into()) })
    }

    /// The last component; empty for the root.
    pub fn file_name(&self) -> &[u8] {
        let slash = memchr::memrchr(b'/', &self.0).unwrap_or(0);
        &self.0[slash + 1..]
    }

    /// The components, starting at the root. The root itself has none.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/').filter(|part| !part.is_empty())
    }

    /// The parents, from `/` to the directory that contains this path. The root itself has none.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        let slashes = self.0.iter().enumerate().filter(|&(_, &b)| b == b'/');
        let inner = slashes.skip(1).map(|(at, _)| Self(self.0[..at].into()));
        (!self.is_root()).then(Self::root).into_iter().chain(inner)
    }

    /// Whether this is `/`.
    pub fn is_root(&self) -> bool {
        &*self.0 == b"/"
    }

    /// Whether this path is `dir` or below it.
    pub fn is_within(&self, dir: &Self) -> bool {
        dir.is_root()
            || self
                .0
                .strip_prefix(&*dir.0)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }

    /// The path with its leading slash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path without its leading slash, as in archives; empty for the root.
    pub fn relative(&self) -> &[u8] {
        &self.0[1..]
    }

    /// [`ImagePath::relative`] as a path that can be joined to a directory of the host.
    pub fn as_relative_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(self.relative()))
    }
}

/// Whether `bytes` without NUL are those of an [`ImagePath`], as of nearly all paths that are made
/// from others.
fn is_normalised(bytes: &[u8]) -> bool {
    let is_plain =
        |part: &[u8]| !matches!(part, b"" | b"." | b"..") && part.len() <= ImagePath::MAX_COMPONENT;
    let Some(mut rest) = bytes.strip_prefix(b"/") else { return false };
    while let Some(slash) = memchr::memchr(b'/', rest) {
        let (part, after) = rest.split_at(slash);
        if !is_plain(part) {
            return false;
        }
        rest = after.get(1..).unwrap_or_default();
    }
    is_plain(rest) && bytes.len() <= ImagePath::MAX
}

/// Order and equality are those of the bytes, so a map keyed by paths can be searched by bytes.
impl Borrow<[u8]> for ImagePath {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// The path as text, in which bytes that are not printable UTF-8 are escaped as `\xNN`.
impl fmt::Display for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", escape(&self.0))
    }
}

impl fmt::Debug for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

/// `bytes` as one line: invalid UTF-8 and what is not [printable](is_printable) is escaped as
/// `\xNN`, a backslash as `\\`.
pub fn escape(bytes: &[u8]) -> String {
    // Nearly all names are so; a tree of the libraries of a thousand programs has a hundred
    // thousand of them.
    if bytes.iter().all(|&b| matches!(b, b' '..=b'~') && b != b'\\') {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '\\' => out.push_str("\\\\"),
                _ if !is_printable(char) => {
                    char.encode_utf8(&mut [0; 4]).bytes().for_each(|b| push_hex(&mut out, b));
                }
                _ => out.push(char),
            }
        }
        chunk.invalid().iter().for_each(|&b| push_hex(&mut out, b));
    }
    out
}

/// The bytes that [`escape`] made `text` of; `None` if it makes no such text.
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, rest) {
            (b'\\', [b'\\', after @ ..]) => {
                out.push(b'\\');
                rest = after;
            }
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                out.push(u8::try_from(16 * digit(high)? + digit(low)?).ok()?);
                rest = after;
            }
            (b'\\', _) => return None,
            _ => out.push(byte),
        }
    }
    Some(out)
}

/// Whether a character can be shown within a line: it does not control the terminal, begin a line,
/// or change the direction of the text around it (Unicode Standard Annex 9, section 2).
pub fn is_printable(char: char) -> bool {
    let directs = matches!(
        char,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    !directs && !char.is_control()
}

fn push_hex(out: &mut String, byte: u8) {
    out.push_str(&format!("\\x{byte:02x}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ImagePath {
        ImagePath::new(text).unwrap()
    }

    #[test]
    fn escaped_names_can_be_read_back() {
        for name in [&b"a\\b"[..], b"a\nb", b"\xff", "é".as_bytes(), b"plain"] {
            assert_eq!(unescape(&escape(name)).unwrap(), name);
        }
        assert_eq!((unescape("a\\"), unescape("\\xg0")), (None, None));
    }

    #[test]
    fn normalises() {
        for (given, wanted) in
            [("", "/"), (".", "/"), ("a//b/./c/", "/a/b/c"), ("/a/../b", "/b"), ("/", "/")]
        {
            assert_eq!(path(given).to_string(), wanted);
        }
    }

    #[test]
    fn refuses_what_no_image_can_hold() {
        assert_eq!(ImagePath::new("a/../../x"), Err(PathError::ClimbsOut));
        assert_eq!(ImagePath::new("a\0b"), Err(PathError::Nul));
        assert_eq!(ImagePath::new("x".repeat(256)), Err(PathError::TooLong));
        assert_eq!(ImagePath::new("x/".repeat(2048)), Err(PathError::TooLong));
        assert!(ImagePath::new("x/".repeat(2047)).is_ok());
    }

    #[test]
    fn walks_up_and_down() {
        assert_eq!(
            path("/a/b/c").ancestors().collect::<Vec<_>>(),
            [path("/"), path("/a"), path("/a/b")]
        );
        assert_eq!(path("/").ancestors().count(), 0);
        assert_eq!(path("/a").parent(), Some(path("/")));
        assert_eq!(path("/").parent(), None);
        assert_eq!(path("/a/b").file_name(), b"b");
        assert_eq!(path("/").file_name(), b"");
        assert!(path("/a/b").is_within(&path("/a")) && !path("/ab").is_within(&path("/a")));
    }

    #[test]
    fn escapes_for_one_line() {
        assert_eq!(escape(b"a\n\xff\\\xc3\xa9"), "a\\x0a\\xff\\\\é");
        assert_eq!(escape("gnp\u{202e}.exe".as_bytes()), "gnp\\xe2\\x80\\xae.exe");
    }
}
