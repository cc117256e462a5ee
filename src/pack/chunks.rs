//! How the layers' tars are cut into chunks.

use std::{ops::Range, sync::atomic::AtomicU64};

use super::{PackOptions, cache_entry::CacheEntry};
use crate::{archive::write::TarLayout, compress::Checksum, digest::Digest};

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
    /// Its place in the order of all chunks of all layers.
    pub(super) number: u64,
    pub(super) layer: usize,
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
    /// Of the layer's whole tar; set when its last chunk is hashed.
    pub(super) digest: Option<Digest>,
}

/// The chunks that no worker has started on, layer by layer.
#[derive(Default)]
pub(super) struct ChunkPlan {
    /// Bytes of each layer, and of its frames. A layer that the cache has counts as empty.
    layers: Vec<(u64, u64)>,
    next: ChunkPos,
    /// Bytes of all layers.
    left: u64,
    frames_per_chunk: u64,
    /// Once no more frames than these are left, chunks have one frame each, so that all workers
    /// finish at about the same time.
    few: u64,
}

impl ChunkPlan {
    /// All chunks of `jobs`, and the number of workers to make them with.
    pub(super) fn new(jobs: &[LayerJob<'_>], options: &PackOptions<'_>) -> (Self, usize) {
        let size = |job: &LayerJob<'_>| {
            if job.cache_entry.is_cached() { 0 } else { job.layout.size() }
        };
        let frame_len = |size| options.compression.frame_len(size) as u64;
        let layers: Vec<_> = jobs.iter().map(|job| (size(job), frame_len(size(job)))).collect();
        let frames: u64 = layers.iter().map(|(size, frame_len)| size.div_ceil(*frame_len)).sum();
        let workers = usize::try_from(frames).unwrap_or(usize::MAX).min(options.jobs.get());
        let frames_per_chunk = if workers > MOST_WORKERS_WITH_SEVERAL_FRAMES {
            1
        } else {
            options.compression.frames_at_once()
        };
        let left = layers.iter().map(|(size, _)| size).sum();
        let few = 2 * workers as u64 * frames_per_chunk;
        (Self { layers, next: ChunkPos::default(), left, frames_per_chunk, few }, workers)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left == 0
    }
}

impl Iterator for ChunkPlan {
    type Item = ChunkPos;

    fn next(&mut self) -> Option<ChunkPos> {
        if self.left == 0 {
            return None;
        }
        let (mut size, mut frame_len) = *self.layers.get(self.next.layer)?;
        while self.next.range.end == size {
            self.next.layer += 1;
            self.next.range = 0..0;
            (size, frame_len) = *self.layers.get(self.next.layer)?;
        }
        let start = self.next.range.end;
        let frames = if self.left <= self.few * frame_len { 1 } else { self.frames_per_chunk };
        self.next.range = start..size.min(start + frames * frame_len);
        self.left -= self.next.range.end - start;
        let pos = self.next.clone();
        self.next.number += 1;
        Some(pos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_go_through_the_layers_and_the_last_have_single_frames() {
        let plan = |layers: &[u64], frames_per_chunk, few| ChunkPlan {
            layers: layers.iter().map(|size| (*size, 10)).collect(),
            next: ChunkPos::default(),
            left: layers.iter().sum(),
            frames_per_chunk,
            few,
        };
        let ranges = |plan: ChunkPlan| plan.map(|pos| (pos.layer, pos.range)).collect::<Vec<_>>();
        assert_eq!(
            ranges(plan(&[0, 45, 0, 0, 7, 0], 2, 2)),
            [(1, 0..20), (1, 20..40), (1, 40..45), (4, 0..7)]
        );
        assert_eq!(ranges(plan(&[30], 2, 1)), [(0, 0..20), (0, 20..30)]);
        assert!(ranges(plan(&[], 1, 1)).is_empty() && ranges(plan(&[0, 0], 1, 1)).is_empty());
        let numbers: Vec<u64> = plan(&[11, 0, 5], 1, 0).map(|pos| pos.number).collect();
        assert_eq!(numbers, [0, 1, 2]);
    }
}
