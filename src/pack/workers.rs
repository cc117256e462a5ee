//! The threads that make, hash and store the chunks, and commit the layers.

use std::{ops::Range, sync::atomic::Ordering, thread};

use super::{
    Follower, Layer, OnStep, PackError, PackOptions, Rootfs,
    chunks::{Chunk, ChunkPlan, LayerJob},
    committer::Committer,
    estargz,
    scheduler::{Done, Scheduler, Task},
    sinks::Hasher,
};
use crate::{
    compress::{Compression, Encoder, MemberEncoder},
    source::content::Files,
    store::Store,
};

/// Chunks beyond one for each worker: one being hashed, one being stored.
const SPARE: usize = 2;

/// What a worker keeps from one chunk to the next.
#[derive(Default)]
struct Tools {
    files: Files,
    /// With the frame length it was made for; `None` until the first chunk is compressed.
    encoder: Option<(usize, Encoder)>,
    member_encoder: Option<MemberEncoder>,
}

/// What the workers share.
struct Workers<'a> {
    jobs: &'a [LayerJob<'a>],
    compression: Compression,
    rootfs: Option<&'a Rootfs<'a>>,
    follower: Option<Follower<'a>>,
}

/// Makes the layers of `jobs`, except those that the cache has.
pub(super) fn pack(
    jobs: &[LayerJob<'_>],
    options: &PackOptions<'_>,
    store: &mut Store,
    on_step: OnStep<'_>,
) -> Result<Vec<Layer>, PackError> {
    let plan = ChunkPlan::new(jobs, options);
    let count = plan.workers;
    // Without compression more layers than workers are begun, so that two can be hashed together.
    let free = (0..count.max(plan.at_once) + SPARE).map(|_| Chunk::default()).collect();
    let committer = Committer::new(jobs, options, store, on_step)?;
    let compression = options.compression;
    let scheduler = Scheduler::new((plan, jobs), compression, free, committer, on_step);
    let PackOptions { rootfs, follower, .. } = *options;
    let workers = Workers { jobs, compression, rootfs, follower };
    thread::scope(|scope| {
        // This thread is one of the workers.
        for _ in 1..count {
            // Where the system refuses more threads, the ones it gave do all the work.
            if thread::Builder::new().spawn_scoped(scope, || workers.work(&scheduler)).is_err() {
                break;
            }
        }
        workers.work(&scheduler);
    });
    Ok(scheduler.finish()?.finish())
}

impl Workers<'_> {
    /// Does tasks on this thread until the scheduler has no more.
    fn work<'l>(&self, scheduler: &Scheduler<'l>) {
        let mut tools = Tools::default();
        scheduler.run_worker(|task| match task {
            Task::Make(pos, mut chunk) => {
                let number = pos.number;
                chunk.pos = pos;
                let made = self.make(&mut chunk, &mut tools);
                Done::Made(number, made.map(|()| chunk))
            }
            Task::Hash(mut tars) => {
                match &mut tars[..] {
                    [(_, one, chunk), (_, other, other_chunk)] => {
                        Hasher::take_both((one, chunk), (other, other_chunk));
                    }
                    tars => tars.iter_mut().for_each(|(_, hasher, chunk)| hasher.take(chunk)),
                }
                Done::Hashed(tars)
            }
            Task::Store(mut storer, mut chunk) => {
                let stored = storer.take(&mut chunk);
                Done::Stored(storer, stored.map(|()| chunk))
            }
            Task::Commit(mut committer, layer, finished) => {
                let committed = committer.commit(layer, finished);
                Done::Committed(committed.map(|()| committer))
            }
        });
    }

    /// Fills and compresses a chunk.
    fn make(&self, chunk: &mut Chunk, tools: &mut Tools) -> Result<(), PackError> {
        if self.follower.is_some_and(|follower| (follower.is_cancelled)()) {
            return Err(PackError::Cancelled);
        }
        let Range { start, end } = chunk.pos.range;
        let job = self.jobs.get(chunk.pos.layer).ok_or(PackError::Stopped)?;
        chunk.tar.resize((end - start) as usize, 0);
        let mut read = 0;
        let rootfs = self.rootfs.filter(|_| !job.is_rootfs);
        job.layout.fill(start, &mut chunk.tar, |wanted, out| {
            read += out.len() as u64;
            tools.files.read_at(&wanted.file.content, wanted.file.len, wanted.offset, out)?;
            match rootfs.filter(|_| !wanted.for_time) {
                Some(rootfs) => rootfs.write_content(&wanted, out),
                None => Ok(()),
            }
        })?;
        job.read.fetch_add(read, Ordering::Relaxed);
        if let Some(rootfs) = self.rootfs.filter(|_| job.is_rootfs) {
            rootfs.write_at(start, &chunk.tar)?;
        }
        if let Compression::Estargz(level) = self.compression {
            let encoder = tools.member_encoder.get_or_insert_with(|| MemberEncoder::new(level));
            let tar = (&chunk.pos.range, &chunk.tar[..]);
            let members = estargz::encode(job.layout, tar, encoder, &mut chunk.encoded);
            chunk.members = members.map_err(PackError::Encode)?;
        } else if self.compression != Compression::None {
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
    /// The encoder for frames of `frame_len` bytes, made anew where the last layer had others.
    fn encoder(
        &mut self,
        compression: Compression,
        frame_len: usize,
    ) -> std::io::Result<&mut Encoder> {
        let encoder = match self.encoder.take().filter(|(len, _)| *len == frame_len) {
            Some(encoder) => encoder,
            None => (frame_len, Encoder::new(compression, frame_len)?),
        };
        Ok(&mut self.encoder.insert(encoder).1)
    }
}
