//! What is done with the pieces in order: hashing the tars, storing the blobs.

use std::{
    io::{self, Write as _},
    sync::atomic::Ordering,
};

use super::{
    Layer, Options, PackError, Progress, Step,
    pieces::{Buffers, Part},
};
use crate::{
    compress::{Compression, Trailer},
    digest::{DiffId, Digest, Digesting},
    store::{BlobWriter, PartWriter, Store, cache::Cache},
};

/// Hashes one tar after the other.
pub(super) struct Hasher<'a> {
    parts: &'a [Part<'a>],
    tar: Digesting<io::Sink>,
    /// Members of the tar that are hashed.
    members: usize,
    next: u64,
    progress: Progress<'a>,
}

impl<'a> Hasher<'a> {
    pub(super) fn new(parts: &'a [Part<'a>], progress: Progress<'a>) -> Self {
        Self { parts, tar: Digesting::new(io::sink()), members: 0, next: 0, progress }
    }

    /// The number of the next piece.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Takes the next piece. The last of a layer gets the digest.
    pub(super) fn take(&mut self, buffers: &mut Buffers) {
        let Some(part) = self.parts.get(buffers.place.layer) else { return };
        // A sink takes everything.
        let _ = self.tar.write_all(&buffers.tar);
        self.next += 1;
        let members = part.layout.members_before(buffers.place.range.end);
        let before = std::mem::replace(&mut self.members, members);
        (self.progress)(Step::Done { members: members - before, bytes: buffers.tar.len() as u64 });
        if buffers.place.range.end == part.layout.size() {
            let tar = std::mem::replace(&mut self.tar, Digesting::new(io::sink()));
            buffers.digest = Some(tar.finish().1);
            self.members = 0;
        }
    }
}

/// Stores one blob after the other.
pub(super) struct Storer<'a> {
    parts: &'a [Part<'a>],
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
        parts: &'a [Part<'a>],
        options: &Options<'a>,
        store: &'a mut Store,
        progress: Progress<'a>,
    ) -> Self {
        let Options { compression, cache, .. } = *options;
        Self { parts, compression, cache, progress, state: State::Idle(store), layers: Vec::new() }
    }

    /// Takes the next piece.
    pub(super) fn take(&mut self, buffers: &mut Buffers) -> Result<(), PackError> {
        if buffers.place.range.start == 0 {
            self.adopt(buffers.place.layer)?;
            self.begin()?;
        }
        match (&mut self.state, buffers.piece.take()) {
            (State::Plain(writer, parts), _) => {
                parts.write_at(&buffers.tar, buffers.place.range.start)?;
                writer.settle(buffers.place.range.end);
            }
            (State::Compressed(writer, trailer), Some(piece)) => {
                trailer.push(&piece);
                writer.append(&buffers.encoded)?;
            }
            _ => return Err(PackError::Stopped),
        }
        match buffers.digest.take() {
            Some(tar) => self.end(buffers.place.layer, tar),
            None => Ok(()),
        }
    }

    /// All layers, when the last piece is stored.
    pub(super) fn finish(mut self) -> Result<Vec<Layer>, PackError> {
        self.adopt(self.parts.len())?;
        Ok(self.layers)
    }

    /// Takes layers out of the cache, up to the one of number `end`.
    fn adopt(&mut self, end: usize) -> Result<(), PackError> {
        let State::Idle(store) = &mut self.state else { return Err(PackError::Stopped) };
        while self.layers.len() < end
            && let Some(part) = self.parts.get(self.layers.len())
            && let Some(cached) = part.found.cached()
        {
            let (blob, linked) = store.adopt(&cached.blob)?;
            if linked {
                part.found.linked(self.cache);
            }
            let members = part.layout.members();
            (self.progress)(Step::Done { members, bytes: part.layout.size() });
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
        let part = self.parts.get(layer).ok_or(PackError::Stopped)?;
        let tar_size = part.layout.size();
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
            members: part.layout.members(),
            compression: self.compression,
            read: part.read.load(Ordering::Relaxed),
            cached: false,
            is_root: part.is_root,
        };
        part.found.keep(self.cache, &layer);
        self.layers.push(layer);
        Ok(())
    }
}
