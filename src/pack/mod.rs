//! Trees → layers: tar, both digests, compression and storing in one pass, on all cores.
//!
//! A layer's tar is cut into pieces by offset. Since [`Layout`] knows where every byte of it belongs, a
//! thread can make any piece alone: it reads the files in it and compresses it. Two more threads take the
//! pieces in order: one hashes the tar, one hashes and stores the blob. So the bytes do not depend on the
//! number of threads, a large file is read by several, and no more is in memory than the pieces on their way.

mod key;
mod line;
mod pieces;
mod root;

use std::num::NonZeroUsize;

use crate::{
    archive::{header::HeaderError, write::Layout},
    compress::Compression,
    digest::DiffId,
    source::content::ContentError,
    store::{
        Blob, Store, StoreError,
        cache::{Cache, Cached, Moment},
    },
    tree::Tree,
};

pub use root::Root;

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
    pub root: Option<&'a Root<'a>>,
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

/// Makes a layer of each tree, in order, and puts them into `store`. Each tree must hold the parents of its
/// paths.
///
/// # Errors
/// The first [`PackError`] in the order of the layers' bytes. Nothing more is read then, and no blob is left
/// but those of the layers before.
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
    layouts.iter().map(|layout| layer(layout, options, store, progress)).collect()
}

/// One layer, out of the cache if it is there.
fn layer(
    layout: &Layout<'_>,
    options: &Options<'_>,
    store: &mut Store,
    progress: Progress<'_>,
) -> Result<Layer, PackError> {
    let compressed = options.compression != Compression::None;
    let Some(cache) = options.cache.filter(|_| compressed) else {
        return pieces::pack(layout, options, store, progress);
    };
    let Some(key) = key::key(layout, options.compression) else {
        return pieces::pack(layout, options, store, progress);
    };
    if let Some(cached) = cache.get(key.digest) {
        let (blob, linked) = store.adopt(&cached.blob)?;
        if linked {
            cache.linked(key.digest);
        }
        progress(Step::Done { members: layout.members(), bytes: layout.size() });
        return Ok(Layer {
            blob,
            diff_id: cached.diff_id,
            tar_size: cached.tar_size,
            members: layout.members(),
            compression: options.compression,
            read: 0,
            cached: true,
            is_root: false,
        });
    }
    // Before anything is read: a file that changes from now on gets another time.
    let stable = cache.moment().filter(|moment: &Moment| !moment.is_racy(key.newest));
    let layer = pieces::pack(layout, options, store, progress)?;
    if stable.is_some() {
        let Layer { blob, diff_id, tar_size, members, .. } = layer.clone();
        cache.put(key.digest, &Cached { blob, diff_id, tar_size, members: members as u64 });
    }
    Ok(layer)
}
