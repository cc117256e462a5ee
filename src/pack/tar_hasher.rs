//! Hashes the tar of a layer, in order.

use std::ops::Range;

use super::estargz;
use crate::{
    archive::write::TarLayout,
    compress::Compression,
    digest::{Digest, StreamDigest},
};

/// The hash of a tar, as far as it has come.
pub(super) enum TarHasher {
    /// Of the whole tar.
    Whole(StreamDigest),
    /// The table of contents is missing.
    Estargz(Box<estargz::Hashing>),
}

/// The hashed tar of a layer.
pub(super) enum HashedTar {
    /// Its digest and its length.
    Whole(Digest, u64),
    /// One that ends with a table of contents, when all is stored.
    Estargz(Box<estargz::Hashing>),
}

impl TarHasher {
    pub(super) fn new(compression: Compression) -> Self {
        match compression {
            Compression::Estargz(_) => Self::Estargz(Box::default()),
            _ => Self::Whole(StreamDigest::default()),
        }
    }

    /// Adds the bytes of `range` of the tar.
    pub(super) fn update(&mut self, layout: &TarLayout<'_>, range: &Range<u64>, bytes: &[u8]) {
        match self {
            Self::Whole(tar) => tar.update(bytes),
            Self::Estargz(tar) => tar.update(layout, range, bytes),
        }
    }

    /// How much of the tar is to be added.
    pub(super) fn end(&self, layout: &TarLayout<'_>) -> u64 {
        match self {
            Self::Whole(_) => layout.size(),
            Self::Estargz(_) => estargz::body(layout),
        }
    }

    pub(super) fn finish(self) -> HashedTar {
        match self {
            Self::Whole(tar) => {
                let (digest, len) = tar.finish();
                HashedTar::Whole(digest, len)
            }
            Self::Estargz(tar) => HashedTar::Estargz(tar),
        }
    }
}
