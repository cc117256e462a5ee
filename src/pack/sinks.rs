//! Where the chunks of one layer go, in order: a hasher for the tar, a storer for the blob.

use super::{
    OnStep, PackError, Step,
    chunks::{Chunk, LayerJob},
    estargz::Member,
    tar_hasher::{HashedTar, TarHasher},
};
use crate::{
    compress::{Compression, Trailer},
    digest::{Digest, StreamDigest},
    store::{Blob, BlobWriter, PartWriter, Position, Space, Store},
};

/// Hashes the tar of a layer.
pub(super) struct Hasher<'a> {
    job: &'a LayerJob<'a>,
    /// `None` at the end.
    tar: Option<TarHasher>,
    /// Members that are hashed to their end.
    members: usize,
    on_step: OnStep<'a>,
}

impl<'a> Hasher<'a> {
    pub(super) fn new(
        job: &'a LayerJob<'a>,
        compression: Compression,
        on_step: OnStep<'a>,
    ) -> Self {
        Self { job, tar: Some(TarHasher::new(compression)), members: 0, on_step }
    }

    /// Hashes the next chunk. The last one gets the hashed tar.
    pub(super) fn take(&mut self, chunk: &mut Chunk) {
        if let Some(tar) = &mut self.tar {
            tar.update(self.job.layout, &chunk.pos.range, &chunk.tar);
        }
        self.note(chunk);
    }

    /// Hashes the next chunks of two layers, which is faster together where both tars are hashed
    /// as a whole.
    pub(super) fn take_both(
        (one, chunk): (&mut Self, &mut Chunk),
        (other, other_chunk): (&mut Self, &mut Chunk),
    ) {
        match (&mut one.tar, &mut other.tar) {
            (Some(TarHasher::Whole(tar)), Some(TarHasher::Whole(other_tar))) => {
                StreamDigest::update_both((tar, &chunk.tar), (other_tar, &other_chunk.tar));
                one.note(chunk);
                other.note(other_chunk);
            }
            _ => {
                one.take(chunk);
                other.take(other_chunk);
            }
        }
    }

    /// Notes that a chunk is hashed.
    fn note(&mut self, chunk: &mut Chunk) {
        let members = self.job.layout.members_before(chunk.pos.range.end);
        let before = std::mem::replace(&mut self.members, members);
        (self.on_step)(Step::Done { members: members - before, bytes: chunk.tar.len() as u64 });
        let end = chunk.pos.range.end;
        let whole = self.tar.take_if(|tar| end == tar.end(self.job.layout));
        chunk.hashed = whole.map(TarHasher::finish);
    }
}

/// Stores the blob of a layer.
pub(super) struct Storer {
    compression: Compression,
    space: Space,
    /// Bytes of the tar.
    size: u64,
    state: State,
}

/// A layer with all its chunks stored.
pub(super) struct Finished {
    pub(super) storer: Storer,
    pub(super) tar: HashedTar,
}

enum State {
    /// Before the first chunk.
    At(Position),
    Plain(Box<BlobWriter>, PartWriter),
    Compressed(Box<BlobWriter>, Trailer),
    Estargz(Box<BlobWriter>, Vec<Member>),
}

impl Storer {
    pub(super) fn new(
        (compression, size): (Compression, u64),
        space: &Space,
        position: Position,
    ) -> Self {
        Self { compression, space: space.clone(), size, state: State::At(position) }
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
            (State::Estargz(writer, members), _) => {
                members.append(&mut chunk.members);
                writer.append(&chunk.encoded)?;
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
            writer.reserve(self.size)?;
            let tar = writer.part_writer();
            return Ok(State::Plain(writer, tar));
        }
        if let Compression::Estargz(_) = self.compression {
            return Ok(State::Estargz(writer, Vec::new()));
        }
        let trailer = Trailer::new(self.compression);
        writer.append(trailer.header())?;
        Ok(State::Compressed(writer, trailer))
    }

    /// Ends the blob of the layer of `job`. Returns it with the digest and the length of its tar.
    pub(super) fn finish(
        self,
        store: &mut Store,
        tar: HashedTar,
        job: &LayerJob<'_>,
    ) -> Result<(Blob, Digest, u64), PackError> {
        match (self.state, tar) {
            (State::Plain(writer, _), HashedTar::Whole(tar, len)) => {
                Ok((writer.finish_written(store, tar, len)?, tar, len))
            }
            (State::Compressed(mut writer, trailer), HashedTar::Whole(tar, len)) => {
                writer.append(&trailer.finish().map_err(PackError::Encode)?)?;
                Ok((writer.finish(store)?, tar, len))
            }
            (State::Estargz(mut writer, members), HashedTar::Estargz(hashing)) => {
                let Compression::Estargz(level) = self.compression else {
                    return Err(PackError::Stopped);
                };
                let (end, tar, len) = hashing.finish((job.layout, level), &members)?;
                writer.append(&end)?;
                Ok((writer.finish(store)?, tar, len))
            }
            _ => Err(PackError::Stopped),
        }
    }
}
