//! A layer that is being made: its chunks, made in any order, hashed and stored in theirs.

use std::collections::{BTreeMap, VecDeque};

use super::{
    PackError,
    chunks::{Chunk, LayerChunks},
    sinks::{Hasher, Storer},
};
/// The state of one layer between the tasks on it.
pub(super) struct Lane<'a> {
    /// The chunks that no worker has started on.
    pub(super) chunks: LayerChunks,
    /// Chunks that were started and are not stored yet.
    pub(super) in_flight: usize,
    /// Made but not yet hashed, by number.
    made: BTreeMap<u64, Result<Chunk, PackError>>,
    /// The number of the chunk that is hashed next.
    next: u64,
    /// `None` while a worker hashes.
    hasher: Option<Hasher<'a>>,
    hashed: VecDeque<Chunk>,
    storer: StorerState,
}

/// The storer of a lane.
enum StorerState {
    /// Not made yet: where the blob is written may not be known.
    None,
    Here(Storer),
    /// A worker stores.
    Away,
}

impl<'a> Lane<'a> {
    pub(super) fn new(chunks: LayerChunks, hasher: Hasher<'a>) -> Self {
        Self {
            chunks,
            in_flight: 0,
            made: BTreeMap::new(),
            next: 0,
            hasher: Some(hasher),
            hashed: VecDeque::new(),
            storer: StorerState::None,
        }
    }

    /// The next chunk to store, with the storer. `make` makes that for the first chunk, as soon as
    /// it can.
    pub(super) fn take_store(
        &mut self,
        make: impl FnOnce(usize) -> Option<Storer>,
    ) -> Option<(Storer, Chunk)> {
        if self.hashed.is_empty() {
            return None;
        }
        let storer = match std::mem::replace(&mut self.storer, StorerState::Away) {
            StorerState::Here(storer) => Some(storer),
            StorerState::Away => return None,
            StorerState::None => make(self.chunks.layer),
        };
        let Some(storer) = storer else {
            self.storer = StorerState::None;
            return None;
        };
        Some((storer, self.hashed.pop_front()?))
    }

    /// Whether [`Lane::take_hash`] gives something.
    pub(super) fn can_hash(&self) -> bool {
        self.hasher.is_some() && self.made.contains_key(&self.next)
    }

    /// The next chunk to hash, with the hasher; or the error that took its place.
    pub(super) fn take_hash(&mut self) -> Option<Result<(Hasher<'a>, Chunk), PackError>> {
        let hasher = self.hasher.take()?;
        match self.made.remove(&self.next) {
            Some(Ok(chunk)) => {
                self.next += 1;
                Some(Ok((hasher, chunk)))
            }
            Some(Err(fault)) => Some(Err(fault)),
            None => {
                self.hasher = Some(hasher);
                None
            }
        }
    }

    pub(super) fn put_made(&mut self, number: u64, made: Result<Chunk, PackError>) {
        self.made.insert(number, made);
    }

    pub(super) fn put_hashed(&mut self, hasher: Hasher<'a>, chunk: Chunk) {
        self.hasher = Some(hasher);
        self.hashed.push_back(chunk);
    }

    pub(super) fn put_storer(&mut self, storer: Storer) {
        self.storer = StorerState::Here(storer);
    }

    /// The chunks that wait in this lane, which is given up.
    pub(super) fn into_chunks(self) -> impl Iterator<Item = Chunk> {
        self.made.into_values().filter_map(Result::ok).chain(self.hashed)
    }
}
