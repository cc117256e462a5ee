//! The C libraries that rules distinguish.

use crate::path::ImagePath;

/// A C library of the closure.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Libc {
    /// Which.
    pub kind: LibcKind,
    /// Major and minor version, if known.
    pub version: Option<(u32, u32)>,
    /// Its file.
    pub path: ImagePath,
}

/// The kinds of C libraries that rules know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LibcKind {
    /// The GNU C library.
    Glibc,
    /// musl.
    Musl,
}
