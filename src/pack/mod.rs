//! Trees → layers: tar, both digests, compression and storing in one pass, on all cores.
//!
//! A layer's tar is cut into chunks by offset. [`TarLayout`] knows which bytes belong where, so one
//! thread can make any chunk alone: it reads the files in it and compresses it. The tar is hashed,
//! and the blob hashed and stored, in order, by whichever thread is free. So the bytes do not
//! depend on the number of threads, several threads read a large file, and only chunks in flight
//! are held in memory.
//!
//! Since SHA-256 is one stream, a layer is made no faster than one thread hashes it. So several
//! layers are made at the same time where the others would wait for that: without compression two
//! for each thread, the largest first. Their sizes are known before, so each is written to its
//! offset in the archive at once. Compressed layers of an archive that are made before their turn
//! are written to temporary files of their own and copied.

mod cache_entry;
mod cache_key;
mod chunks;
mod committer;
mod estargz;
mod follower;
mod known_times;
mod lane;
mod rootfs;
mod scheduler;
mod sinks;
mod tar_hasher;
mod workers;

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::atomic::AtomicU64,
};

use cache_entry::{CacheEntry, OpenBlobs};
use chunks::LayerJob;

use crate::{
    archive::{header::HeaderError, write::TarLayout},
    compress::Compression,
    digest::{DiffId, Digest},
    error_kind::ErrorKind,
    path::ImagePath,
    reuse::Sources,
    source::content::ContentError,
    store::{Blob, Store, StoreError, cache::Cache},
    tree::Tree,
};

pub use follower::Follower;
pub use rootfs::Rootfs;

/// How layers are made.
#[derive(Clone, Copy, Debug)]
pub struct PackOptions<'a> {
    /// What each layer is compressed with.
    pub compression: Compression,
    /// The number of threads that read and compress. Does not change the bytes.
    pub jobs: NonZeroUsize,
    /// Where layers of other builds and machines are found. Does not change the bytes.
    pub sources: Option<&'a Sources>,
    /// Whether layers get a [`Layer::key`] though neither cache nor sources are given.
    pub has_keys: bool,
    /// Keeps compressed layers from one run to the next, and the times of large files of layers
    /// that are not compressed. Does not change the bytes.
    pub cache: Option<&'a Cache>,
    /// What the image reads when it starts: layers of eStargz begin with it.
    pub first: &'a BTreeSet<ImagePath>,
    /// The root file system to write from the same reads.
    pub rootfs: Option<&'a Rootfs<'a>>,
    /// Takes finished layers while others are made.
    pub follower: Option<Follower<'a>>,
}

/// Progress of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Before the first byte: the sizes of all layers together.
    Begin {
        /// Members of the tars.
        members: usize,
        /// Bytes of the tars.
        bytes: u64,
    },
    /// What has been done since the last step.
    Done {
        /// Members of the tars.
        members: usize,
        /// Bytes of the tars.
        bytes: u64,
    },
}

/// Called with every [`Step`], from any thread.
pub type OnStep<'a> = &'a (dyn Fn(Step) + Sync);

/// A layer on disk.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The stored bytes and their digest.
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
    /// Whether it was not compressed: it came out of the cache, or from another image.
    pub cached: bool,
    /// Under which key caches of several machines keep it; `None` for one without compression, and
    /// where there is no cache.
    pub key: Option<Digest>,
    /// What its descriptor says for those who fetch its files one by one.
    pub annotations: BTreeMap<String, String>,
    /// Whether [`PackOptions::rootfs`] has the same bytes as this layer's tar, and was written with
    /// it.
    pub is_rootfs: bool,
}

/// Why a layer cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A node that no tar can hold.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Content cannot be read.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The table of contents of an eStargz layer is text.
    #[error(
        "{0}: a layer of eStargz has no place for a name, target or attribute that is not UTF-8"
    )]
    NotText(ImagePath),
    /// A file where eStargz has one of its own.
    #[error("{0}: a layer of eStargz has another file of this name (`--compress gzip` has none)")]
    Reserved(ImagePath),
    /// The table of contents of an eStargz layer cannot be read back.
    #[error("cannot read the table of contents of a layer")]
    Table(#[source] std::io::Error),
    /// The blob cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The encoder failed.
    #[error("cannot compress")]
    Encode(#[source] std::io::Error),
    /// [`Follower::is_cancelled`] said so.
    #[error("the layers are not wanted any more")]
    Cancelled,
    /// A thread panicked, which is a bug in imgb.
    #[error("a packing thread stopped")]
    Stopped,
}

impl PackError {
    /// What the error means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Header(_) | Self::NotText(_) | Self::Reserved(_) => ErrorKind::Refused,
            Self::Content(_) => ErrorKind::Input,
            Self::Store(_) | Self::Table(_) | Self::Encode(_) | Self::Cancelled | Self::Stopped => {
                ErrorKind::Local
            }
        }
    }
}

/// Makes a layer of each tree, in order, and puts them into `store`. Each tree must hold the
/// parents of its paths.
///
/// # Errors
/// One [`PackError`], the same for any number of threads. If several layers have one, it is the
/// first in the order of their bytes, or without compression that of the largest layer. Only layers
/// that were begun before it are read to their end, and only whole blobs stay in the store.
pub fn pack(
    layers: &[&Tree],
    options: &PackOptions<'_>,
    store: &mut Store,
    on_step: OnStep<'_>,
) -> Result<Vec<Layer>, PackError> {
    // All layouts first: what cannot be packed is known before the first byte is read.
    let landmarks = estargz::Landmarks::new();
    let layouts = layers.iter().map(|tree| match options.compression {
        Compression::Estargz(_) => {
            estargz::check(tree)?;
            Ok(estargz::layout(tree, options.first, &landmarks)?)
        }
        _ => Ok(TarLayout::new(tree)?),
    });
    let layouts = layouts.collect::<Result<Vec<_>, PackError>>()?;
    let members = layouts.iter().map(TarLayout::members).sum();
    let bytes = layouts.iter().map(|layout| planned_bytes(layout, options.compression)).sum();
    on_step(Step::Begin { members, bytes });
    let open = OpenBlobs::default();
    let entries = CacheEntry::look_up_all(&layouts, options, &open);
    let jobs: Vec<_> = layouts
        .iter()
        .zip(entries)
        .map(|(layout, cache_entry)| {
            let read = AtomicU64::new(cache_entry.read());
            let is_rootfs = options.rootfs.is_some_and(|rootfs| rootfs.is_layer(layout));
            LayerJob { layout, cache_entry, is_rootfs, read }
        })
        .collect();
    let unknown_times = known_times::take(&layouts, options);
    let packed = workers::pack(&jobs, options, store, on_step)?;
    if let Some(times) = unknown_times {
        times.keep(&layouts);
    }
    if let Some(rootfs) = options.rootfs {
        layouts.iter().for_each(|layout| rootfs.take_times(layout));
    }
    Ok(packed)
}

/// Bytes of a layer's tar that are known before it is made: those of chunks, and of progress.
fn planned_bytes(layout: &TarLayout<'_>, compression: Compression) -> u64 {
    match compression {
        Compression::Estargz(_) => estargz::body(layout),
        _ => layout.size(),
    }
}
