//! Trees → layers: tar, both digests, compression and storing in one pass, on all cores.
//!
//! A layer's tar is cut into pieces by offset. Since [`Layout`] knows where every byte of it belongs, a
//! thread can make any piece alone: it reads the files in it and compresses it. Two more threads take the
//! pieces in order: one hashes the tar, one hashes and stores the blob. So the bytes do not depend on the
//! number of threads, a large file is read by several, and no more is in memory than the pieces on their way.

mod pieces;

use std::num::NonZeroUsize;

use crate::{
    archive::{header::HeaderError, write::Layout},
    compress::Compression,
    digest::DiffId,
    source::content::ContentError,
    store::{Blob, Store, StoreError},
    tree::Tree,
};

/// How layers are made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What each layer is compressed with.
    pub compression: Compression,
    /// How many threads read and compress. It has no influence on the bytes.
    pub jobs: NonZeroUsize,
}

/// A layer on disk.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The bytes as they are stored, with their digest.
    pub blob: Blob,
    /// Digest of the uncompressed tar.
    pub diff_id: DiffId,
    /// Bytes of the uncompressed tar.
    pub tar_size: u64,
    /// Members of the tar.
    pub members: usize,
    /// What the blob is compressed with.
    pub compression: Compression,
}

/// Why a layer cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A node has no form in an archive.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Content cannot be read.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The blob cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The encoder failed.
    #[error("cannot compress")]
    Encode(#[source] std::io::Error),
    /// A thread panicked: a fault in this program.
    #[error("a packing thread stopped")]
    Stopped,
}

/// Makes a layer of each tree, in order, and puts them into `store`. Each tree must hold the parents of its
/// paths. `progress` hears how many bytes of tar have been made since it was last called, from any thread.
///
/// # Errors
/// The first [`PackError`] in the order of the layers' bytes. Nothing more is read then, and no blob is left
/// but those of the layers before.
pub fn pack(
    layers: &[&Tree],
    options: &Options,
    store: &mut Store,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<Layer>, PackError> {
    // All layouts first: what cannot be packed is known before the first byte is read.
    let layouts = layers.iter().map(|tree| Layout::new(tree)).collect::<Result<Vec<_>, _>>()?;
    layouts.iter().map(|layout| pieces::pack(layout, options, store, progress)).collect()
}
