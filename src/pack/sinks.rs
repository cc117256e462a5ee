//! What is done with the chunks in order: hashing the tars, storing the blobs.

use std::{
    io::{self, Write as _},
    sync::atomic::Ordering,
};

use super::{
    Layer, Options, PackError, Progress, Step,
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
    /// Members of the tar that are hashed.
    members: usize,
    next: u64,
    progress: Progress<'a>,
}

impl<'a> Hasher<'a> {
    pub(super) fn new(jobs: &'a [LayerJob<'a>], progress: Progress<'a>) -> Self {
        Self { jobs, tar: Digesting::new(io::sink()), members: 0, next: 0, progress }
    }

    /// The number of the next chunk.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Takes the next chunk. The last of a layer gets the digest.
    pub(super) fn take(&mut self, chunk: &mut Chunk) {
        let Some(job) = self.jobs.get(chunk.pos.layer) else { return };
        // A sink takes everything.
        let _ = self.tar.write_all(&chunk.tar);
        self.next += 1;
        let members = job.layout.members_before(chunk.pos.range.end);
        let before = std::mem::replace(&mut self.members, members);
        (self.progress)(Step::Done { members: members - before, bytes: chunk.tar.len() as u64 });
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
    progress: Progress<'a>,
    state: State<'a>,
    layers: Vec<Layer>,
}

enum State<'a> {
    /// Between two blobs.
    Idle(&'a mut Store),
    Plain(BlobWriter<'a>, PartWriter),
    Compressed(BlobWriter<'a>, Trailer),
    /// Something has failed.
    Gone,
}

impl<'a> Storer<'a> {
    pub(super) fn new(
        jobs: &'a [LayerJob<'a>],
        options: &Options<'a>,
        store: &'a mut Store,
        progress: Progress<'a>,
    ) -> Self {
        let Options { compression, cache, .. } = *options;
        Self { jobs, compression, cache, progress, state: State::Idle(store), layers: Vec::new() }
    }

    /// Takes the next chunk.
    pub(super) fn take(&mut self, chunk: &mut Chunk) -> Result<(), PackError> {
        if chunk.pos.range.start == 0 {
            self.adopt(chunk.pos.layer)?;
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
        self.adopt(self.jobs.len())?;
        Ok(self.layers)
    }

    /// Takes layers out of the cache, up to the one of number `end`.
    fn adopt(&mut self, end: usize) -> Result<(), PackError> {
        let State::Idle(store) = &mut self.state else { return Err(PackError::Stopped) };
        while self.layers.len() < end
            && let Some(job) = self.jobs.get(self.layers.len())
            && let Some(cached) = job.found.cached()
        {
            let (blob, linked) = store.adopt(&cached.blob)?;
            if linked {
                job.found.linked(self.cache);
            }
            let members = job.layout.members();
            (self.progress)(Step::Done { members, bytes: job.layout.size() });
            self.layers.push(Layer {
                blob,
                diff_id: cached.diff_id,
                tar_size: cached.tar_size,
                members,
                compression: self.compression,
                read: 0,
                cached: true,
                is_root: false,
            });
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), PackError> {
        let State::Idle(store) = std::mem::replace(&mut self.state, State::Gone) else {
            return Err(PackError::Stopped);
        };
        let mut writer = store.begin()?;
        self.state = if self.compression == Compression::None {
            let parts = writer.parts();
            State::Plain(writer, parts)
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
        let (blob, store) = match std::mem::replace(&mut self.state, State::Gone) {
            State::Plain(writer, _) => writer.finish_written(tar, tar_size)?,
            State::Compressed(mut writer, trailer) => {
                writer.append(&trailer.finish().map_err(PackError::Encode)?)?;
                writer.finish()?
            }
            State::Idle(_) | State::Gone => return Err(PackError::Stopped),
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
            is_root: job.is_root,
        };
        job.found.keep(self.cache, &layer);
        self.layers.push(layer);
        Ok(())
    }
}
