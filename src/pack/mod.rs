//! Trees → layers: tar, both digests, compression and storing in one pass, on all cores.
//!
//! A layer's tar is cut into chunks by offset. Since [`Layout`] knows where every byte of it
//! belongs, a thread can make any chunk alone: it reads the files in it and compresses it. In
//! order, layer after layer, the tar is hashed and the blob hashed and stored, by whichever thread
//! is free. So the bytes do not depend on the number of threads, a large file is read by several,
//! small layers are made at once, and no more is in memory than the chunks on their way.

mod cache_entry;
mod cache_key;
mod chunks;
mod rootfs;
mod scheduler;
mod sinks;

use std::{num::NonZeroUsize, sync::atomic::AtomicU64};

use cache_entry::CacheEntry;
use chunks::LayerJob;

use crate::{
    archive::{header::HeaderError, write::Layout},
    compress::Compression,
    digest::DiffId,
    error_kind::ErrorKind,
    source::content::ContentError,
    store::{Blob, Store, StoreError, cache::Cache},
    tree::Tree,
};

pub use rootfs::Rootfs;

/// How layers are made.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// What each layer is compressed with.
    pub compression: Compression,
    /// How many threads read and compress. It has no influence on the bytes.
    pub jobs: NonZeroUsize,
    /// Where compressed layers are kept from one run to the next. It has no influence on the bytes.
    pub cache: Option<&'a Cache>,
    /// The root file system that is made of what is read.
    pub root: Option<&'a Rootfs<'a>>,
}

/// How far the work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// All layers together have this many members and bytes of tar.
    Begin {
        /// Members.
        members: usize,
        /// Bytes.
        bytes: u64,
    },
    /// This many more are done.
    Done {
        /// Members.
        members: usize,
        /// Bytes.
        bytes: u64,
    },
}

/// Who hears of every [`Step`], from any thread.
pub type Progress<'a> = &'a (dyn Fn(Step) + Sync);

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
    /// Bytes of content that were read for it.
    pub read: u64,
    /// Whether it came out of the cache.
    pub cached: bool,
    /// Whether [`Options::root`] is this layer's tar, and was written with it.
    pub is_root: bool,
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

impl PackError {
    /// What the error means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Header(_) => ErrorKind::Refused,
            Self::Content(_) => ErrorKind::Input,
            Self::Store(_) | Self::Encode(_) | Self::Stopped => ErrorKind::Local,
        }
    }
}

/// Makes a layer of each tree, in order, and puts them into `store`. Each tree must hold the
/// parents of its paths.
///
/// # Errors
/// The first [`PackError`] in the order of the layers' bytes. Nothing more is read then, and no
/// blob is left but those of the layers before.
pub fn pack(
    layers: &[&Tree],
    options: &Options<'_>,
    store: &mut Store,
    progress: Progress<'_>,
) -> Result<Vec<Layer>, PackError> {
    // All layouts first: what cannot be packed is known before the first byte is read.
    let layouts = layers.iter().map(|tree| Layout::new(tree)).collect::<Result<Vec<_>, _>>()?;
    let members = layouts.iter().map(Layout::members).sum();
    progress(Step::Begin { members, bytes: layouts.iter().map(Layout::size).sum() });
    let jobs: Vec<_> = layouts
        .iter()
        .map(|layout| LayerJob {
            layout,
            found: CacheEntry::look(layout, options),
            is_root: options.root.is_some_and(|root| root.is(layout)),
            read: AtomicU64::new(0),
        })
        .collect();
    chunks::pack(&jobs, options, store, progress)
}
