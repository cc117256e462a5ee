//! What the cache knows of a layer.

use super::{Layer, Options, cache_key};
use crate::{
    archive::write::Layout,
    compress::Compression,
    digest::Digest,
    store::cache::{Cache, Cached, ClockSample},
};

/// A layer's name in the cache, and what is there under it.
#[derive(Default)]
pub(super) struct CacheEntry {
    key: Option<Digest>,
    cached: Option<Cached>,
    /// Whether it may be put there: a file that changes from now on gets another time.
    is_stable: bool,
}

impl CacheEntry {
    /// Looks for a layer, before anything of it is read. Only compressed layers are worth it.
    pub(super) fn look(layout: &Layout<'_>, options: &Options<'_>) -> Self {
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

    pub(super) fn is_there(&self) -> bool {
        self.cached.is_some()
    }

    pub(super) fn cached(&self) -> Option<&Cached> {
        self.cached.as_ref()
    }

    /// Says that the cache's file has got another name.
    pub(super) fn linked(&self, cache: Option<&Cache>) {
        if let (Some(cache), Some(key)) = (cache, self.key) {
            cache.linked(key);
        }
    }

    /// Puts the layer that was made into the cache.
    pub(super) fn keep(&self, cache: Option<&Cache>, layer: &Layer) {
        if let (Some(cache), Some(key), true) = (cache, self.key, self.is_stable) {
            let Layer { blob, diff_id, tar_size, members, .. } = layer.clone();
            cache.put(key, &Cached { blob, diff_id, tar_size, members: members as u64 });
        }
    }
}
