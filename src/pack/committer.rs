//! Puts finished layers into the store: into an archive in their order, whichever is finished
//! first, into a directory as they come.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use super::{
    Follower, Layer, OnStep, PackError, PackOptions, Step, chunks::LayerJob, estargz,
    planned_bytes, sinks::Finished,
};
use crate::{
    compress::Compression,
    digest::DiffId,
    store::{Blob, Position, Space, Store, cache::Cache},
};

/// The store, and the layers that it has.
pub(super) struct Committer<'a> {
    jobs: &'a [LayerJob<'a>],
    compression: Compression,
    cache: Option<&'a Cache>,
    store: &'a mut Store,
    on_step: OnStep<'a>,
    follower: Option<Follower<'a>>,
    layers: BTreeMap<usize, Layer>,
    /// The lowest layer that the store does not have.
    next: usize,
}

impl<'a> Committer<'a> {
    /// A committer to `store`. Adds the lowest layers, as far as the cache has them.
    pub(super) fn new(
        jobs: &'a [LayerJob<'a>],
        options: &PackOptions<'a>,
        store: &'a mut Store,
        on_step: OnStep<'a>,
    ) -> Result<Self, PackError> {
        let PackOptions { compression, cache, follower, .. } = *options;
        let layers = BTreeMap::new();
        let mut new = Self { jobs, compression, cache, store, on_step, follower, layers, next: 0 };
        new.advance()?;
        Ok(new)
    }

    /// Whether the layer can be committed now.
    pub(super) fn is_ready_for(&self, layer: usize) -> bool {
        layer == self.next || !self.store.space().is_archive()
    }

    pub(super) fn space(&self) -> &Space {
        self.store.space()
    }

    /// Where the layer's blob is written at once; `None` if that is not known yet.
    pub(super) fn position(&self, layer: usize) -> Option<Position> {
        self.is_ready_for(layer).then(|| self.store.next_position())
    }

    /// The position of each layer, if all sizes are known: the layers are not compressed, or each
    /// has a file of its own.
    pub(super) fn positions(&self) -> Option<Vec<Position>> {
        let is_known = self.compression == Compression::None || !self.store.space().is_archive();
        let sizes = self.jobs.iter().map(|job| job.layout.size());
        is_known.then(|| self.store.positions(sizes))
    }

    /// Puts a layer into the store and into the cache.
    pub(super) fn commit(&mut self, number: usize, finished: Finished) -> Result<(), PackError> {
        let job = self.jobs.get(number).ok_or(PackError::Stopped)?;
        let Finished { storer, tar } = finished;
        let (blob, tar, tar_size) = storer.finish(self.store, tar, job)?;
        let layer = Layer {
            annotations: estargz::annotations(self.compression, &blob, tar_size)?,
            blob,
            diff_id: DiffId(tar),
            tar_size,
            members: job.layout.members(),
            compression: self.compression,
            read: job.read.load(Ordering::Relaxed),
            cached: false,
            key: job.cache_entry.content_key(),
            is_rootfs: job.is_rootfs,
        };
        job.cache_entry.put(self.cache, &layer);
        let blob = self.unopened(layer.blob.clone());
        let layer = Layer { blob, ..layer };
        self.insert(number, layer);
        self.advance()
    }

    fn insert(&mut self, number: usize, layer: Layer) {
        if let Some(follower) = self.follower {
            (follower.on_layer)(&layer.blob);
        }
        self.layers.insert(number, layer);
    }

    /// The blob as the store has it, whose file is not open in a directory: there may be more
    /// layers than descriptors.
    fn unopened(&self, blob: Blob) -> Blob {
        self.store.get(blob.digest).cloned().unwrap_or(blob)
    }

    /// All layers, when the last one is committed.
    pub(super) fn finish(self) -> Vec<Layer> {
        self.layers.into_values().collect()
    }

    /// Goes to the next layer that the store does not have, and adds those that the cache has.
    fn advance(&mut self) -> Result<(), PackError> {
        while let Some(job) = self.jobs.get(self.next) {
            if !self.layers.contains_key(&self.next) {
                let Some(layer) = self.cached(job)? else { break };
                self.insert(self.next, layer);
            }
            self.next += 1;
        }
        Ok(())
    }

    /// Adds the layer of `job` to the store, if the cache has it.
    fn cached(&mut self, job: &LayerJob<'_>) -> Result<Option<Layer>, PackError> {
        let Some(cached) = job.cache_entry.cached() else { return Ok(None) };
        let (blob, linked) = self.store.add_existing(&cached.blob)?;
        let annotations = estargz::annotations(self.compression, &blob, cached.tar_size)?;
        let blob = self.unopened(blob);
        if linked {
            job.cache_entry.note_link(self.cache);
        }
        let members = job.layout.members();
        let bytes = planned_bytes(job.layout, self.compression);
        (self.on_step)(Step::Done { members, bytes });
        Ok(Some(Layer {
            blob,
            diff_id: cached.diff_id,
            tar_size: cached.tar_size,
            members,
            compression: self.compression,
            read: job.read.load(Ordering::Relaxed),
            cached: true,
            key: job.cache_entry.content_key(),
            annotations,
            is_rootfs: false,
        }))
    }
}
