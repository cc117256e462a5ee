//! A layer's entry in the cache.

use super::{Layer, PackOptions, cache_key};
use crate::{
    archive::write::TarLayout,
    compress::Compression,
    digest::Digest,
    store::cache::{Cache, Cached, ClockSample},
};

/// A layer's key in the cache, and what the cache has under it. Without a key where the cache is
/// not used.
#[derive(Default)]
pub(super) struct CacheEntry {
    key: Option<Digest>,
    cached: Option<Cached>,
    /// Whether the layer may be put there: any later change of a file of it changes the file's
    /// time.
    is_stable: bool,
}

impl CacheEntry {
    /// Looks a layer up, before any of its files is read. Only compressed layers are cached.
    pub(super) fn look_up(layout: &TarLayout<'_>, options: &PackOptions<'_>) -> Self {
        let cache = options.cache.filter(|_| options.compression != Compression::None);
        let (Some(cache), Some(key)) =
            (cache, cache.and_then(|_| cache_key::key(layout, options.compression)))
        else {
            return Self::default();
        };
        let cached = cache.get(key.digest);
        let is_stable =
            || cache.clock_sample().is_some_and(|sample: ClockSample| !sample.is_racy(key.newest));
        Self { key: Some(key.digest), is_stable: cached.is_none() && is_stable(), cached }
    }

    pub(super) fn is_cached(&self) -> bool {
        self.cached.is_some()
    }

    pub(super) fn cached(&self) -> Option<&Cached> {
        self.cached.as_ref()
    }

    /// Tells the cache that an output links to its blob, which has changed the blob's ctime.
    pub(super) fn note_link(&self, cache: Option<&Cache>) {
        if let (Some(cache), Some(key)) = (cache, self.key) {
            cache.note_link(key);
        }
    }

    /// Puts the finished layer into the cache.
    pub(super) fn put(&self, cache: Option<&Cache>, layer: &Layer) {
        if let (Some(cache), Some(key), true) = (cache, self.key, self.is_stable) {
            let Layer { blob, diff_id, tar_size, members, .. } = layer.clone();
            cache.put(key, &Cached { blob, diff_id, tar_size, members: members as u64 });
        }
    }
}
