//! How the layers' tars are cut into chunks.

use std::{cmp::Reverse, collections::VecDeque, ops::Range, sync::atomic::AtomicU64};

use super::{PackOptions, cache_entry::CacheEntry, estargz, planned_bytes, tar_hasher::HashedTar};
use crate::{
    archive::write::TarLayout,
    compress::{Checksum, Compression},
};

/// With more workers than these, a chunk has one frame: with several, each worker would hold too
/// much in memory.
const MOST_WORKERS_WITH_SEVERAL_FRAMES: usize = 4;

/// One layer to make.
pub(super) struct LayerJob<'a> {
    pub(super) layout: &'a TarLayout<'a>,
    pub(super) cache_entry: CacheEntry,
    /// Whether this layer is all of [`PackOptions::rootfs`].
    pub(super) is_rootfs: bool,
    /// Bytes of content read so far.
    pub(super) read: AtomicU64,
}

/// Where a chunk belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ChunkPos {
    pub(super) layer: usize,
    /// Its place in the order of the layer's chunks.
    pub(super) number: u64,
    /// Bytes of the layer's tar: one frame of the compression, or two.
    pub(super) range: Range<u64>,
}

/// A range of a tar and its compressed form. Its buffers are reused for later chunks.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) pos: ChunkPos,
    pub(super) tar: Vec<u8>,
    pub(super) encoded: Vec<u8>,
    /// `None` without compression.
    pub(super) checksum: Option<Checksum>,
    /// What [`Chunk::encoded`] consists of, in a layer of eStargz.
    pub(super) members: Vec<estargz::Member>,
    /// The layer's whole tar; set when its last chunk is hashed.
    pub(super) hashed: Option<HashedTar>,
}

/// The chunks of a layer that no worker has started on.
#[derive(Debug)]
pub(super) struct LayerChunks {
    pub(super) layer: usize,
    size: u64,
    frame_len: u64,
    /// Where the next chunk starts.
    start: u64,
    /// The number of the next chunk.
    number: u64,
    /// Where the chunks end; empty if each has one frame, or several.
    cuts: Vec<u64>,
}

impl LayerChunks {
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.size
    }

    /// Starts on no more of them.
    pub(super) fn clear(&mut self) {
        self.start = self.size;
    }
}

/// How the layers that have to be made are cut into chunks, and in which order they are begun.
#[derive(Debug, Default)]
pub(super) struct ChunkPlan {
    /// Layers that are not begun.
    layers: VecDeque<LayerChunks>,
    /// The number of workers.
    pub(super) workers: usize,
    /// So many layers are made at the same time, apart from those that have no chunks left to
    /// start on.
    pub(super) at_once: usize,
    /// Bytes of all layers that are not in a chunk yet.
    left: u64,
    frames_per_chunk: u64,
    /// Once no more frames than these are left, chunks have one frame each, so that all workers
    /// finish at about the same time.
    few: u64,
}

impl ChunkPlan {
    /// The plan for `jobs`, except those that the cache has.
    pub(super) fn new(jobs: &[LayerJob<'_>], options: &PackOptions<'_>) -> Self {
        let compression = options.compression;
        let missing = jobs.iter().enumerate().filter(|(_, job)| !job.cache_entry.is_cached());
        let mut layers: Vec<_> = missing
            .map(|(layer, job)| {
                let size = planned_bytes(job.layout, compression);
                let cuts = match compression {
                    Compression::Estargz(_) => estargz::cuts(job.layout),
                    _ => Vec::new(),
                };
                let frame_len = compression.frame_len(size) as u64;
                LayerChunks { layer, size, frame_len, start: 0, number: 0, cuts }
            })
            .collect();
        if compression == Compression::None {
            // The largest would be the last to be finished. Compressed layers are begun in the
            // order in which an archive has them, so that most are written where they belong.
            layers.sort_by_key(|layer| Reverse(layer.size));
        }
        let frames: u64 = layers.iter().map(|it| it.size.div_ceil(it.frame_len)).sum();
        let workers = usize::try_from(frames).unwrap_or(usize::MAX).min(options.jobs.get());
        let frames_per_chunk = if workers > MOST_WORKERS_WITH_SEVERAL_FRAMES {
            1
        } else {
            compression.frames_at_once()
        };
        Self {
            left: layers.iter().map(|layer| layer.size).sum(),
            layers: layers.into(),
            workers,
            at_once: at_once(compression, workers),
            frames_per_chunk,
            few: 2 * workers as u64 * frames_per_chunk,
        }
    }

    /// The next layer to begin.
    pub(super) fn begin(&mut self) -> Option<LayerChunks> {
        self.layers.pop_front()
    }

    /// Whether all layers are begun.
    pub(super) fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// Begins no more layers.
    pub(super) fn clear(&mut self) {
        self.layers.clear();
    }

    /// The next chunk of a layer.
    pub(super) fn cut(&mut self, layer: &mut LayerChunks) -> Option<ChunkPos> {
        if layer.is_empty() {
            return None;
        }
        let &mut LayerChunks { size, frame_len, start, number, .. } = layer;
        let frames = if self.left <= self.few * frame_len { 1 } else { self.frames_per_chunk };
        let cut = usize::try_from(number).ok().and_then(|number| layer.cuts.get(number));
        layer.start = cut.copied().unwrap_or_else(|| size.min(start + frames * frame_len));
        layer.number += 1;
        self.left -= layer.start - start;
        Some(ChunkPos { layer: layer.layer, number, range: start..layer.start })
    }
}

/// How many layers are made at the same time. The SHA-256 of a layer's tar, on one thread, must not
/// be what the others wait for: it is about 20 times as fast as gzip and 7 times as fast as zstd at
/// their default levels. Without compression it is half of the work, and each worker hashes two
/// layers at a time ([`crate::digest::StreamDigest`]).
fn at_once(compression: Compression, workers: usize) -> usize {
    let layers = match compression {
        Compression::None => 2 * workers,
        Compression::Zstd(_) => workers.div_ceil(4),
        Compression::Gzip(_) | Compression::Estargz(_) => workers.div_ceil(8),
    };
    layers.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(layers: &[u64], frames_per_chunk: u64, few: u64) -> ChunkPlan {
        let left = layers.iter().sum();
        let layer = |(layer, &size)| LayerChunks {
            layer,
            size,
            frame_len: 10,
            start: 0,
            number: 0,
            cuts: Vec::new(),
        };
        let layers = layers.iter().enumerate().map(layer).collect();
        ChunkPlan { layers, left, frames_per_chunk, few, ..ChunkPlan::default() }
    }

    /// The chunks of all layers, one layer after the other.
    fn chunks(mut plan: ChunkPlan) -> Vec<ChunkPos> {
        let mut chunks = Vec::new();
        while let Some(mut layer) = plan.begin() {
            while let Some(pos) = plan.cut(&mut layer) {
                chunks.push(pos);
            }
        }
        chunks
    }

    #[test]
    fn chunks_go_through_the_layers_and_the_last_have_single_frames() {
        let ranges =
            |plan| chunks(plan).into_iter().map(|pos| (pos.layer, pos.range)).collect::<Vec<_>>();
        assert_eq!(ranges(plan(&[45, 7], 2, 2)), [(0, 0..20), (0, 20..40), (0, 40..45), (1, 0..7)]);
        assert_eq!(ranges(plan(&[30], 2, 1)), [(0, 0..20), (0, 20..30)]);
        assert_eq!(ranges(plan(&[15, 15], 2, 2)), [(0, 0..15), (1, 0..10), (1, 10..15)]);
        assert!(ranges(plan(&[], 1, 1)).is_empty());
        let numbers: Vec<u64> = chunks(plan(&[11, 5], 1, 0)).iter().map(|pos| pos.number).collect();
        assert_eq!(numbers, [0, 1, 0]);
    }
}
