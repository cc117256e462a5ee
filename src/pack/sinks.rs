//! Where the chunks go, in order: one hasher for the tars, one storer for the blobs.

use std::{
    io::{self, Write as _},
    sync::atomic::Ordering,
};

use super::{
    Layer, OnStep, PackError, PackOptions, Step,
    chunks::{Chunk, LayerJob},
};
use crate::{
    compress::{Compression, Trailer},
    digest::{DiffId, Digest, Digesting},
    store::{BlobWriter, PartWriter, Store, cache::Cache},
};

/// Hashes one tar after the other.
pub(super) struct Hasher<'a> {
    jobs: &'a [LayerJob<'a>],
    tar: Digesting<io::Sink>,
    /// Members of the current tar that are hashed to their end.
    members: usize,
    next: u64,
    on_step: OnStep<'a>,
}

impl<'a> Hasher<'a> {
    pub(super) fn new(jobs: &'a [LayerJob<'a>], on_step: OnStep<'a>) -> Self {
        Self { jobs, tar: Digesting::new(io::sink()), members: 0, next: 0, on_step }
    }

    /// The number of the chunk that [`Hasher::take`] wants.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Hashes the next chunk. A layer's last chunk gets the digest of the tar.
    pub(super) fn take(&mut self, chunk: &mut Chunk) {
        let Some(job) = self.jobs.get(chunk.pos.layer) else { return };
        // Writing to a sink cannot fail.
        let _ = self.tar.write_all(&chunk.tar);
        self.next += 1;
        let members = job.layout.members_before(chunk.pos.range.end);
        let before = std::mem::replace(&mut self.members, members);
        (self.on_step)(Step::Done { members: members - before, bytes: chunk.tar.len() as u64 });
        if chunk.pos.range.end == job.layout.size() {
            let tar = std::mem::replace(&mut self.tar, Digesting::new(io::sink()));
            chunk.digest = Some(tar.finish().1);
            self.members = 0;
        }
    }
}

/// Stores one blob after the other.
pub(super) struct Storer<'a> {
    jobs: &'a [LayerJob<'a>],
    compression: Compression,
    cache: Option<&'a Cache>,
    on_step: OnStep<'a>,
    state: State<'a>,
    layers: Vec<Layer>,
}

enum State<'a> {
    /// Between two blobs.
    Idle(&'a mut Store),
    Plain(BlobWriter<'a>, PartWriter),
    Compressed(BlobWriter<'a>, Trailer),
    /// After an error.
    Failed,
}

impl<'a> Storer<'a> {
    pub(super) fn new(
        jobs: &'a [LayerJob<'a>],
        options: &PackOptions<'a>,
        store: &'a mut Store,
        on_step: OnStep<'a>,
    ) -> Self {
        let PackOptions { compression, cache, .. } = *options;
        Self { jobs, compression, cache, on_step, state: State::Idle(store), layers: Vec::new() }
    }

    /// Stores the next chunk.
    pub(super) fn take(&mut self, chunk: &mut Chunk) -> Result<(), PackError> {
        if chunk.pos.range.start == 0 {
            self.add_cached(chunk.pos.layer)?;
            self.begin()?;
        }
        match (&mut self.state, chunk.checksum.take()) {
            (State::Plain(writer, tar), _) => {
                tar.write_at(&chunk.tar, chunk.pos.range.start)?;
                writer.start_writeback(chunk.pos.range.end);
            }
            (State::Compressed(writer, trailer), Some(checksum)) => {
                trailer.push(&checksum);
                writer.append(&chunk.encoded)?;
            }
            _ => return Err(PackError::Stopped),
        }
        match chunk.digest.take() {
            Some(tar) => self.end(chunk.pos.layer, tar),
            None => Ok(()),
        }
    }

    /// All layers, when the last chunk is stored.
    pub(super) fn finish(mut self) -> Result<Vec<Layer>, PackError> {
        self.add_cached(self.jobs.len())?;
        Ok(self.layers)
    }

    /// Adds the layers that the cache has, up to the layer number `end`.
    fn add_cached(&mut self, end: usize) -> Result<(), PackError> {
        let State::Idle(store) = &mut self.state else { return Err(PackError::Stopped) };
        while self.layers.len() < end
            && let Some(job) = self.jobs.get(self.layers.len())
            && let Some(cached) = job.cache_entry.cached()
        {
            let (blob, linked) = store.add_existing(&cached.blob)?;
            if linked {
                job.cache_entry.note_link(self.cache);
            }
            let members = job.layout.members();
            (self.on_step)(Step::Done { members, bytes: job.layout.size() });
            self.layers.push(Layer {
                blob,
                diff_id: cached.diff_id,
                tar_size: cached.tar_size,
                members,
                compression: self.compression,
                read: job.read.load(Ordering::Relaxed),
                cached: true,
                key: job.cache_entry.content_key(),
                is_rootfs: false,
            });
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), PackError> {
        let State::Idle(store) = std::mem::replace(&mut self.state, State::Failed) else {
            return Err(PackError::Stopped);
        };
        let mut writer = store.begin()?;
        self.state = if self.compression == Compression::None {
            let tar = writer.part_writer();
            State::Plain(writer, tar)
        } else {
            let trailer = Trailer::new(self.compression);
            writer.append(trailer.header())?;
            State::Compressed(writer, trailer)
        };
        Ok(())
    }

    /// Ends the blob of a layer whose tar has this digest.
    fn end(&mut self, layer: usize, tar: Digest) -> Result<(), PackError> {
        let job = self.jobs.get(layer).ok_or(PackError::Stopped)?;
        let tar_size = job.layout.size();
        let (blob, store) = match std::mem::replace(&mut self.state, State::Failed) {
            State::Plain(writer, _) => writer.finish_written(tar, tar_size)?,
            State::Compressed(mut writer, trailer) => {
                writer.append(&trailer.finish().map_err(PackError::Encode)?)?;
                writer.finish()?
            }
            State::Idle(_) | State::Failed => return Err(PackError::Stopped),
        };
        self.state = State::Idle(store);
        let layer = Layer {
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
        self.layers.push(layer);
        Ok(())
    }
}
