//! Hands out the work on the chunks.
//!
//! A chunk is free, then made by any worker, hashed in the order of its layer, stored in that
//! order, and free again. Each layer that is being made has a [`Lane`]: one thread at a time hashes
//! it, one at a time stores it, and any thread may do these. A worker that asks for a task gets the
//! one that is farthest along, first in the layer that it worked on. So there are no more threads
//! than processors, and a chunk is mostly hashed on the processor that made it, out of its own
//! cache. The number of chunks is fixed, whatever the number of layers, and the earliest chunk in
//! flight of a layer waits for no other layer that has chunks left to start on, so the work never
//! stalls.
//!
//! An error takes the place of its chunk. Layers that were begun before its layer are finished, so
//! that the first error in the order of layers and chunks is reported, whichever thread meets which
//! first.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use super::{
    OnStep, PackError,
    chunks::{Chunk, ChunkPlan, ChunkPos, LayerJob},
    committer::Committer,
    lane::Lane,
    sinks::{Finished, Hasher, Storer},
};
use crate::{
    compress::Compression,
    store::{Position, Space},
};

/// Layers in files of their own that wait until an archive has those below: each has a file open.
const MAX_WAITING: usize = 8;

/// The order in which layers are begun: 0, 1, and so on.
pub(super) type Rank = usize;

/// A chunk of the layer with this rank, which is hashed.
pub(super) type Hashing<'a> = (Rank, Hasher<'a>, Chunk);

/// What a worker is to do.
pub(super) enum Task<'a> {
    /// Fill and compress the chunk at this position.
    Make(ChunkPos, Chunk),
    /// Hash the next chunk of one layer or of two.
    Hash(Vec<Hashing<'a>>),
    /// Store the next chunk.
    Store(Storer, Chunk),
    /// Commit a layer.
    Commit(Committer<'a>, usize, Finished),
}

/// A finished task; a made chunk comes with its number.
pub(super) enum Done<'a> {
    Made(u64, Result<Chunk, PackError>),
    Hashed(Vec<Hashing<'a>>),
    Stored(Storer, Result<Chunk, PackError>),
    Committed(Result<Committer<'a>, PackError>),
}

/// The work on all chunks of all layers, shared by the workers.
pub(super) struct Scheduler<'a> {
    state: Mutex<State<'a>>,
    changed: Condvar,
}

struct State<'a> {
    jobs: &'a [LayerJob<'a>],
    compression: Compression,
    on_step: OnStep<'a>,
    space: Space,
    /// The position of each layer's blob, if all are known.
    positions: Option<Vec<Position>>,
    plan: ChunkPlan,
    /// The number of layers that were begun.
    begun: Rank,
    /// The layers that are being made.
    lanes: BTreeMap<Rank, Lane<'a>>,
    free: Vec<Chunk>,
    /// Layers that are not committed yet.
    finished: BTreeMap<usize, Finished>,
    /// `None` while a worker commits.
    committer: Option<Committer<'a>>,
    /// Workers that store a chunk.
    storing: usize,
    fault: Option<PackError>,
    /// Workers that wait for a task.
    waiting: usize,
}

impl<'a> Scheduler<'a> {
    /// The work on `plan`, which is one for `jobs`. No more chunks are in flight than there are
    /// `free` ones.
    pub(super) fn new(
        (plan, jobs): (ChunkPlan, &'a [LayerJob<'a>]),
        compression: Compression,
        free: Vec<Chunk>,
        committer: Committer<'a>,
        on_step: OnStep<'a>,
    ) -> Self {
        let state = State {
            jobs,
            compression,
            on_step,
            space: committer.space().clone(),
            positions: committer.positions(),
            plan,
            begun: 0,
            lanes: BTreeMap::new(),
            free,
            finished: BTreeMap::new(),
            committer: Some(committer),
            storing: 0,
            fault: None,
            waiting: 0,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Calls `work` with one task after another until all is done or something fails. Each worker
    /// thread calls this.
    pub(super) fn run_worker(&self, mut work: impl FnMut(Task<'a>) -> Done<'a>) {
        let mut last = 0;
        while let Some((rank, task)) = self.next(last) {
            let guard = PanicGuard(self);
            let done = work(task);
            std::mem::forget(guard);
            self.done(rank, done);
            last = rank;
        }
    }

    /// The committer, with all layers committed.
    ///
    /// # Errors
    /// The first error in the order of layers and chunks.
    pub(super) fn finish(self) -> Result<Committer<'a>, PackError> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        match (state.fault, state.committer) {
            (Some(fault), _) => Err(fault),
            (None, committer) => committer.ok_or(PackError::Stopped),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next task for a worker whose `last` one was on the layer with that rank.
    fn next(&self, last: Rank) -> Option<(Rank, Task<'a>)> {
        let mut state = self.lock();
        loop {
            if let Some(task) = state.take(last) {
                return Some(task);
            }
            if state.is_over() {
                self.changed.notify_all();
                return None;
            }
            state.waiting += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
    }

    fn done(&self, rank: Rank, done: Done<'a>) {
        let mut state = self.lock();
        state.put(rank, done);
        if state.waiting > 0 {
            self.changed.notify_all();
        }
    }
}

impl<'a> State<'a> {
    fn is_over(&self) -> bool {
        let all_made = self.lanes.is_empty() && self.plan.is_empty();
        let all_committed = self.finished.is_empty() && self.committer.is_some();
        all_made && (self.fault.is_some() || all_committed)
    }

    /// The task that is farthest along. Takes up an error whose turn has come. While one worker
    /// writes to an archive, the others do what there is to do besides: the kernel lets one thread
    /// at a time write to a file.
    fn take(&mut self, last: Rank) -> Option<(Rank, Task<'a>)> {
        if let Some(task) = self.commit() {
            return Some((last, task));
        }
        let mut ranks: Vec<Rank> = self.lanes.keys().copied().collect();
        ranks.sort_by_key(|rank| *rank != last);
        let store = |it: &mut Self| ranks.iter().find_map(|&rank| Some((rank, it.store(rank)?)));
        if self.storing > 0 && self.space.is_archive() {
            let other = self.hash_or_make(&ranks);
            return other.or_else(|| store(self));
        }
        store(self).or_else(|| self.hash_or_make(&ranks))
    }

    /// A chunk to hash, two if they are there, or to make. Without compression one to make comes
    /// before a single one to hash: chunks of two layers are hashed faster together.
    fn hash_or_make(&mut self, ranks: &[Rank]) -> Option<(Rank, Task<'a>)> {
        let ready = |rank: &&Rank| self.lanes.get(rank).is_some_and(Lane::can_hash);
        let ready: Vec<Rank> = ranks.iter().filter(ready).copied().take(2).collect();
        let is_alone = ready.len() == 1 && self.lanes.len() > 1;
        if self.compression == Compression::None
            && is_alone
            && let Some(made) = self.make()
        {
            return Some(made);
        }
        let tars: Vec<_> = ready.iter().filter_map(|&rank| self.hash(rank)).collect();
        match tars.first() {
            Some((rank, ..)) => Some((*rank, Task::Hash(tars))),
            None => self.make(),
        }
    }

    /// The next layer to commit, also after an error: layers that were begun before may have to
    /// wait for it.
    fn commit(&mut self) -> Option<Task<'a>> {
        let committer = self.committer.as_ref()?;
        let ready = self.finished.keys().copied().find(|layer| committer.is_ready_for(*layer))?;
        Some(Task::Commit(self.committer.take()?, ready, self.finished.remove(&ready)?))
    }

    fn store(&mut self, rank: Rank) -> Option<Task<'a>> {
        let Self { jobs, compression, space, positions, committer, plan, lanes, .. } = self;
        let storer = |layer: usize| {
            let known = positions.as_ref().and_then(|known| known.get(layer)).copied();
            let at_once = || committer.as_ref()?.position(layer);
            let apart = (plan.at_once > 1).then_some(Position::Own);
            let position = known.or_else(at_once).or(apart)?;
            let size = jobs.get(layer)?.layout.size();
            Some(Storer::new((*compression, size), space, position))
        };
        let (storer, chunk) = lanes.get_mut(&rank)?.take_store(storer)?;
        self.storing += 1;
        Some(Task::Store(storer, chunk))
    }

    fn hash(&mut self, rank: Rank) -> Option<Hashing<'a>> {
        match self.lanes.get_mut(&rank)?.take_hash()? {
            Ok((hasher, chunk)) => Some((rank, hasher, chunk)),
            Err(fault) => {
                self.fail(rank, fault);
                None
            }
        }
    }

    /// The next chunk of the layer that has the fewest in flight.
    fn make(&mut self) -> Option<(Rank, Task<'a>)> {
        if self.free.is_empty() {
            return None;
        }
        self.begin_layers();
        let unmade = self.lanes.iter_mut().filter(|(_, lane)| !lane.chunks.is_empty());
        let (&rank, lane) = unmade.min_by_key(|(_, lane)| lane.in_flight)?;
        let pos = self.plan.cut(&mut lane.chunks)?;
        lane.in_flight += 1;
        // A layer that was given up may have left one.
        let chunk = Chunk { hashed: None, ..self.free.pop()? };
        Some((rank, Task::Make(pos, chunk)))
    }

    fn begin_layers(&mut self) {
        let mut unmade = self.lanes.values().filter(|lane| !lane.chunks.is_empty()).count();
        while unmade < self.plan.at_once
            && (self.positions.is_some() || self.finished.len() < MAX_WAITING)
            && let Some(chunks) = self.plan.begin()
            && let Some(job) = self.jobs.get(chunks.layer)
        {
            let hasher = Hasher::new(job, self.compression, self.on_step);
            self.lanes.insert(self.begun, Lane::new(chunks, hasher));
            self.begun += 1;
            unmade += 1;
        }
    }

    fn put(&mut self, rank: Rank, done: Done<'a>) {
        if let Done::Stored(..) = done {
            self.storing -= 1;
        }
        let lane = self.lanes.get_mut(&rank);
        match (done, lane) {
            (Done::Committed(Ok(committer)), _) => self.committer = Some(committer),
            (Done::Committed(Err(fault)), _) => self.fail(0, fault),
            (Done::Made(number, made), Some(lane)) => {
                let failed = made.is_err();
                lane.put_made(number, made);
                if failed {
                    lane.chunks.clear();
                    self.free.push(Chunk::default());
                    self.give_up_after(rank);
                }
            }
            (Done::Hashed(tars), _) => {
                for (rank, hasher, chunk) in tars {
                    match self.lanes.get_mut(&rank) {
                        Some(lane) => lane.put_hashed(hasher, chunk),
                        None => self.free.push(chunk),
                    }
                }
            }
            (Done::Stored(storer, Ok(mut chunk)), Some(lane)) => {
                lane.in_flight -= 1;
                let (layer, hashed) = (chunk.pos.layer, chunk.hashed.take());
                self.free.push(chunk);
                match hashed {
                    None => lane.put_storer(storer),
                    Some(tar) => {
                        self.lanes.remove(&rank);
                        self.finished.insert(layer, Finished { storer, tar });
                    }
                }
            }
            (Done::Stored(_, Err(fault)), Some(_)) => {
                self.free.push(Chunk::default());
                self.fail(rank, fault);
            }
            // The layer was given up.
            (Done::Made(_, Ok(chunk)) | Done::Stored(_, Ok(chunk)), None) => self.free.push(chunk),
            (Done::Made(_, Err(_)) | Done::Stored(_, Err(_)), None) => {
                self.free.push(Chunk::default());
            }
        }
    }

    /// Makes `fault`, in the layer with this rank, the error of all. Only layers that were begun
    /// before are finished.
    fn fail(&mut self, rank: Rank, fault: PackError) {
        self.fault = Some(fault);
        self.give_up_after(rank);
        if let Some(lane) = self.lanes.remove(&rank) {
            self.free.extend(lane.into_chunks());
        }
    }

    /// Gives up all layers that were begun after the one with this rank, and begins no more.
    fn give_up_after(&mut self, rank: Rank) {
        self.plan.clear();
        for lane in self.lanes.split_off(&(rank + 1)).into_values() {
            self.free.extend(lane.into_chunks());
        }
    }
}

/// Ends the work for all workers when one of them panics.
struct PanicGuard<'l, 'a>(&'l Scheduler<'a>);

impl Drop for PanicGuard<'_, '_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.fail(0, PackError::Stopped);
        drop(state);
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
