//! How far a transfer to a registry or an engine is, and what became of each blob.

use crate::digest::Digest;

/// Progress of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// It begins.
    Begin {
        /// The number of blobs.
        blobs: usize,
        /// The bytes of all blobs together.
        bytes: u64,
    },
    /// A part of a blob has been moved.
    Part {
        /// The blob.
        digest: Digest,
        /// The number of its bytes.
        size: u64,
        /// Bytes that have been moved. The number falls where a connection broke.
        done: u64,
    },
    /// A blob is where it has to be.
    Done(Moved),
}

/// What became of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The blob.
    pub digest: Digest,
    /// The number of its bytes.
    pub size: u64,
    /// How it came to be there.
    pub how: How,
}

/// How a blob came to be where it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It was there.
    Existed,
    /// The registry took it from another of its repositories.
    Mounted,
    /// It was sent.
    Sent {
        /// Bytes that were sent; more than the blob has where connections broke.
        bytes: u64,
    },
}

impl Moved {
    /// Bytes that were sent.
    pub fn sent(&self) -> u64 {
        match self.how {
            How::Sent { bytes } => bytes,
            How::Existed | How::Mounted => 0,
        }
    }
}
