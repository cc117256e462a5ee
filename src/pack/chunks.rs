//! The chunks of all layers, made on several threads.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use super::{
    Layer, Options, PackError, Progress, Rootfs,
    cache_entry::CacheEntry,
    scheduler::{Done, Scheduler, Task},
    sinks::{Hasher, Storer},
};
use crate::{
    archive::write::Layout,
    compress::{Checksum, Compression, Encoder},
    digest::Digest,
    source::content::Files,
    store::Store,
};

/// ChunkPlan beyond one for each worker: one being hashed, one being stored.
const SPARE: usize = 2;

/// More workers than these take one chunk at a time: of several, each would have too much in
/// memory.
const MOST_TOGETHER: usize = 4;

/// One layer.
pub(super) struct LayerJob<'a> {
    pub(super) layout: &'a Layout<'a>,
    /// Where the cache has it, and under which name it goes there.
    pub(super) found: CacheEntry,
    /// Whether it is all of [`Options::root`].
    pub(super) is_root: bool,
    /// Bytes of content that were read so far.
    pub(super) read: AtomicU64,
}

/// Where a chunk belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ChunkPos {
    /// All chunks are numbered in order.
    pub(super) number: u64,
    pub(super) layer: usize,
    /// Bytes of the layer's tar.
    pub(super) range: Range<u64>,
}

/// A part of a tar and its compressed form. The buffers are used again and again.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) pos: ChunkPos,
    pub(super) tar: Vec<u8>,
    pub(super) encoded: Vec<u8>,
    /// What the trailer must know; absent without compression.
    pub(super) checksum: Option<Checksum>,
    /// Of the layer's tar, with its last chunk when that is hashed.
    pub(super) digest: Option<Digest>,
}

/// The chunks that nobody makes yet, layer by layer.
#[derive(Default)]
pub(super) struct ChunkPlan {
    /// Bytes of each layer, and of its chunks. A layer that is there already has none.
    layers: Vec<(u64, u64)>,
    next: ChunkPos,
    /// Bytes of all layers.
    left: u64,
    /// Frames of a chunk.
    together: u64,
    /// When no more frames than these are left, chunks have one, so that all workers end at about
    /// one time.
    few: u64,
}

impl ChunkPlan {
    /// All chunks of `jobs`, and how many threads they are for.
    pub(super) fn new(jobs: &[LayerJob<'_>], options: &Options<'_>) -> (Self, usize) {
        let size = |job: &LayerJob<'_>| if job.found.is_there() { 0 } else { job.layout.size() };
        let frame_len = |size| options.compression.frame_len(size) as u64;
        let layers: Vec<_> = jobs.iter().map(|job| (size(job), frame_len(size(job)))).collect();
        let chunks: u64 = layers.iter().map(|(size, frame_len)| size.div_ceil(*frame_len)).sum();
        let workers = usize::try_from(chunks).unwrap_or(usize::MAX).min(options.jobs.get());
        let together =
            if workers > MOST_TOGETHER { 1 } else { options.compression.frames_at_once() };
        let left = layers.iter().map(|(size, _)| size).sum();
        let few = 2 * workers as u64 * together;
        (Self { layers, next: ChunkPos::default(), left, together, few }, workers)
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
        let chunks = if self.left <= self.few * frame_len { 1 } else { self.together };
        self.next.range = start..size.min(start + chunks * frame_len);
        self.left -= self.next.range.end - start;
        let pos = self.next.clone();
        self.next.number += 1;
        Some(pos)
    }
}

/// What each worker has of its own.
#[derive(Default)]
struct Tools {
    files: Files,
    /// Made when the first chunk is compressed, for frames of this length.
    encoder: Option<(usize, Encoder)>,
}

/// What the workers share.
struct Job<'a> {
    jobs: &'a [LayerJob<'a>],
    compression: Compression,
    root: Option<&'a Rootfs<'a>>,
}

/// Makes the layers, but for those that the cache has.
pub(super) fn pack(
    jobs: &[LayerJob<'_>],
    options: &Options<'_>,
    store: &mut Store,
    progress: Progress<'_>,
) -> Result<Vec<Layer>, PackError> {
    let (plan, workers) = ChunkPlan::new(jobs, options);
    let free = (0..workers + SPARE).map(|_| Chunk::default()).collect();
    let storer = Storer::new(jobs, options, store, progress);
    let scheduler = Scheduler::new(plan, free, Hasher::new(jobs, progress), storer);
    let job = Job { jobs, compression: options.compression, root: options.root };
    thread::scope(|scope| {
        // This thread is one of the workers.
        for _ in 1..workers {
            // Where the system gives no more threads, those that are there do all.
            if thread::Builder::new().spawn_scoped(scope, || job.work(&scheduler)).is_err() {
                break;
            }
        }
        job.work(&scheduler);
    });
    scheduler.finish()?.finish()
}

impl Job<'_> {
    fn work<'l>(&self, scheduler: &Scheduler<'l>) {
        let mut tools = Tools::default();
        scheduler.work(|task| match task {
            Task::Make(pos, mut chunk) => {
                let number = pos.number;
                chunk.pos = pos;
                let made = self.make(&mut chunk, &mut tools);
                Done::Made(number, made.map(|()| chunk))
            }
            Task::Hash(mut hasher, mut chunk) => {
                hasher.take(&mut chunk);
                Done::Hashed(hasher, chunk)
            }
            Task::Store(mut storer, mut chunk) => {
                let stored = storer.take(&mut chunk);
                Done::Stored(storer, stored.map(|()| chunk))
            }
        });
    }

    /// Fills and compresses a chunk.
    fn make(&self, chunk: &mut Chunk, tools: &mut Tools) -> Result<(), PackError> {
        let Range { start, end } = chunk.pos.range;
        let job = self.jobs.get(chunk.pos.layer).ok_or(PackError::Stopped)?;
        chunk.tar.resize((end - start) as usize, 0);
        let mut read = 0;
        let root = self.root.filter(|_| !job.is_root);
        job.layout.fill(start, &mut chunk.tar, |want, out| {
            read += out.len() as u64;
            tools.files.read_at(&want.file.content, want.file.len, want.offset, out)?;
            root.map_or(Ok(()), |root| root.take(&want, out))
        })?;
        job.read.fetch_add(read, Ordering::Relaxed);
        if let Some(root) = self.root.filter(|_| job.is_root) {
            root.part(start, &chunk.tar)?;
        }
        if self.compression != Compression::None {
            let frame_len = self.compression.frame_len(job.layout.size());
            let encoder = tools.encoder(self.compression, frame_len).map_err(PackError::Encode)?;
            let checksum =
                encoder.encode(&chunk.tar, &mut chunk.encoded).map_err(PackError::Encode)?;
            chunk.checksum = Some(checksum);
        }
        Ok(())
    }
}

impl Tools {
    fn encoder(
        &mut self,
        compression: Compression,
        frame_len: usize,
    ) -> std::io::Result<&mut Encoder> {
        let of_others = self.encoder.take().filter(|(len, _)| *len == frame_len);
        let encoder = match of_others {
            Some(encoder) => encoder,
            None => (frame_len, Encoder::new(compression, frame_len)?),
        };
        Ok(&mut self.encoder.insert(encoder).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_go_through_the_layers_and_the_last_are_single_chunks() {
        let of = |layers: &[u64], together, few| ChunkPlan {
            layers: layers.iter().map(|size| (*size, 10)).collect(),
            next: ChunkPos::default(),
            left: layers.iter().sum(),
            together,
            few,
        };
        let ends = |chunks: ChunkPlan| chunks.map(|pos| (pos.layer, pos.range)).collect::<Vec<_>>();
        assert_eq!(
            ends(of(&[0, 45, 0, 0, 7, 0], 2, 2)),
            [(1, 0..20), (1, 20..40), (1, 40..45), (4, 0..7)]
        );
        assert_eq!(ends(of(&[30], 2, 1)), [(0, 0..20), (0, 20..30)]);
        assert!(ends(of(&[], 1, 1)).is_empty() && ends(of(&[0, 0], 1, 1)).is_empty());
        assert_eq!(of(&[11, 0, 5], 1, 0).map(|pos| pos.number).collect::<Vec<_>>(), [0, 1, 2]);
    }
}
