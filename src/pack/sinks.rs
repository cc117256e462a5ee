//! Where the chunks of one layer go, in order: a hasher for the tar, a storer for the blob.

use std::io::{self, Write as _};

use super::{
    OnStep, PackError, Step,
    chunks::{Chunk, LayerJob},
};
use crate::{
    compress::{Compression, Trailer},
    digest::{Digest, Digesting},
    store::{Blob, BlobWriter, PartWriter, Position, Space, Store},
};

/// Hashes the tar of a layer.
pub(super) struct Hasher<'a> {
    job: &'a LayerJob<'a>,
    tar: Digesting<io::Sink>,
    /// Members that are hashed to their end.
    members: usize,
    on_step: OnStep<'a>,
}

impl<'a> Hasher<'a> {
    pub(super) fn new(job: &'a LayerJob<'a>, on_step: OnStep<'a>) -> Self {
        Self { job, tar: Digesting::new(io::sink()), members: 0, on_step }
    }

    /// Hashes the next chunk. The last one gets the digest of the tar.
    pub(super) fn take(&mut self, chunk: &mut Chunk) {
        // Writing to a sink cannot fail.
        let _ = self.tar.write_all(&chunk.tar);
        let members = self.job.layout.members_before(chunk.pos.range.end);
        let before = std::mem::replace(&mut self.members, members);
        (self.on_step)(Step::Done { members: members - before, bytes: chunk.tar.len() as u64 });
        if chunk.pos.range.end == self.job.layout.size() {
            let tar = std::mem::replace(&mut self.tar, Digesting::new(io::sink()));
            chunk.digest = Some(tar.finish().1);
        }
    }
}

/// Stores the blob of a layer.
pub(super) struct Storer {
    compression: Compression,
    space: Space,
    state: State,
}

/// A layer with all its chunks stored.
pub(super) struct Finished {
    pub(super) storer: Storer,
    /// The digest of its tar.
    pub(super) tar: Digest,
}

enum State {
    /// Before the first chunk.
    At(Position),
    Plain(Box<BlobWriter>, PartWriter),
    Compressed(Box<BlobWriter>, Trailer),
}

impl Storer {
    pub(super) fn new(compression: Compression, space: &Space, position: Position) -> Self {
        Self { compression, space: space.clone(), state: State::At(position) }
    }

    /// Stores the next chunk.
    pub(super) fn take(&mut self, chunk: &mut Chunk) -> Result<(), PackError> {
        if let State::At(position) = self.state {
            self.state = self.begin(position)?;
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
        Ok(())
    }

    fn begin(&self, position: Position) -> Result<State, PackError> {
        let mut writer = Box::new(self.space.begin(position)?);
        if self.compression == Compression::None {
            let tar = writer.part_writer();
            return Ok(State::Plain(writer, tar));
        }
        let trailer = Trailer::new(self.compression);
        writer.append(trailer.header())?;
        Ok(State::Compressed(writer, trailer))
    }

    /// Ends the blob of a layer whose tar has this digest and size.
    pub(super) fn finish(
        self,
        store: &mut Store,
        tar: Digest,
        tar_size: u64,
    ) -> Result<Blob, PackError> {
        match self.state {
            State::Plain(writer, _) => Ok(writer.finish_written(store, tar, tar_size)?),
            State::Compressed(mut writer, trailer) => {
                writer.append(&trailer.finish().map_err(PackError::Encode)?)?;
                Ok(writer.finish(store)?)
            }
            State::At(_) => Err(PackError::Stopped),
        }
    }
}
