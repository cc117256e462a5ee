//! Hands out the work on the chunks.
//!
//! A chunk is free, then made by any worker, hashed in order, stored in order, and free again.
//! Hashing and storing are each done by one thread at a time, and any thread may do them: a worker
//! that asks for a task gets the one that is farthest along. So there are no more threads than
//! processors, and a chunk is mostly hashed on the processor that made it, out of its own cache.
//! The number of chunks is fixed, and the earliest chunk in flight waits for nothing, so the work
//! never stalls. An error takes the place of its chunk, and ends the work when its turn comes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use super::{
    PackError,
    chunks::{Chunk, ChunkPlan, ChunkPos},
    sinks::{Hasher, Storer},
};

/// What a worker is to do.
pub(super) enum Task<'a> {
    /// Fill and compress the chunk at this position.
    Make(ChunkPos, Chunk),
    /// Hash the next chunk.
    Hash(Hasher<'a>, Chunk),
    /// Store the next chunk.
    Store(Storer<'a>, Chunk),
}

/// A finished task; a made chunk comes with its number.
pub(super) enum Done<'a> {
    Made(u64, Result<Chunk, PackError>),
    Hashed(Hasher<'a>, Chunk),
    Stored(Storer<'a>, Result<Chunk, PackError>),
}

/// The work on all chunks of all layers, shared by the workers.
pub(super) struct Scheduler<'a> {
    state: Mutex<State<'a>>,
    changed: Condvar,
}

struct State<'a> {
    /// The chunks that no worker has started on.
    left: ChunkPlan,
    free: Vec<Chunk>,
    /// Made but not yet hashed, by number.
    made: BTreeMap<u64, Result<Chunk, PackError>>,
    /// `None` while a worker hashes.
    hasher: Option<Hasher<'a>>,
    hashed: VecDeque<Chunk>,
    /// `None` while a worker stores.
    storer: Option<Storer<'a>>,
    /// Chunks that were started and are not stored yet.
    in_flight: usize,
    fault: Option<PackError>,
    /// Workers that wait for a task.
    waiting: usize,
}

impl<'a> Scheduler<'a> {
    /// The work on `left`. No more chunks are in flight than there are `free` ones.
    pub(super) fn new(
        left: ChunkPlan,
        free: Vec<Chunk>,
        hasher: Hasher<'a>,
        storer: Storer<'a>,
    ) -> Self {
        let state = State {
            left,
            free,
            made: BTreeMap::new(),
            hasher: Some(hasher),
            hashed: VecDeque::new(),
            storer: Some(storer),
            in_flight: 0,
            fault: None,
            waiting: 0,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Calls `work` with one task after another until all is done or something fails. Each worker
    /// thread calls this.
    pub(super) fn run_worker(&self, mut work: impl FnMut(Task<'a>) -> Done<'a>) {
        while let Some(task) = self.next() {
            let guard = PanicGuard(self);
            let done = work(task);
            std::mem::forget(guard);
            self.done(done);
        }
    }

    /// The storer, with all chunks stored.
    ///
    /// # Errors
    /// The first error in the order of the chunks.
    pub(super) fn finish(self) -> Result<Storer<'a>, PackError> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        match (state.fault, state.storer) {
            (Some(fault), _) => Err(fault),
            (None, storer) => storer.ok_or(PackError::Stopped),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Task<'a>> {
        let mut state = self.lock();
        loop {
            if let Some(task) = state.take() {
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

    fn done(&self, done: Done<'a>) {
        let mut state = self.lock();
        state.put(done);
        if state.waiting > 0 {
            self.changed.notify_all();
        }
    }
}

impl<'a> State<'a> {
    fn is_over(&self) -> bool {
        self.fault.is_some() || (self.in_flight == 0 && self.left.is_empty())
    }

    /// The task that is farthest along. Takes up an error whose turn has come.
    fn take(&mut self) -> Option<Task<'a>> {
        if self.is_over() {
            return None;
        }
        if let Some(storer) = self.storer.take() {
            match self.hashed.pop_front() {
                Some(chunk) => return Some(Task::Store(storer, chunk)),
                None => self.storer = Some(storer),
            }
        }
        if let Some(hasher) = self.hasher.take() {
            match self.made.remove(&hasher.next()) {
                Some(Ok(chunk)) => return Some(Task::Hash(hasher, chunk)),
                Some(Err(fault)) => self.fault = Some(fault),
                None => {}
            }
            self.hasher = Some(hasher);
        }
        if self.fault.is_some() || self.free.is_empty() {
            return None;
        }
        let pos = self.left.next()?;
        self.in_flight += 1;
        Some(Task::Make(pos, self.free.pop()?))
    }

    fn put(&mut self, done: Done<'a>) {
        match done {
            Done::Made(number, result) => {
                if result.is_err() {
                    self.left = ChunkPlan::default();
                }
                self.made.insert(number, result);
            }
            Done::Hashed(hasher, chunk) => {
                self.hasher = Some(hasher);
                self.hashed.push_back(chunk);
            }
            Done::Stored(storer, Ok(chunk)) => {
                self.storer = Some(storer);
                self.free.push(chunk);
                self.in_flight -= 1;
            }
            Done::Stored(_, Err(fault)) => self.fault = Some(fault),
        }
    }
}

/// Ends the work for all workers when one of them panics.
struct PanicGuard<'l, 'a>(&'l Scheduler<'a>);

impl Drop for PanicGuard<'_, '_> {
    fn drop(&mut self) {
        self.0.lock().fault = Some(PackError::Stopped);
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroUsize, sync::atomic::AtomicU64, thread};

    use super::*;
    use crate::{
        archive::write::TarLayout,
        compress::Compression,
        pack::{PackOptions, cache_entry::CacheEntry, chunks::LayerJob},
        path::ImagePath,
        store::{Durability, Store},
        tree::{Node, Tree},
    };

    /// Does nothing, except that it panics at the fourth chunk in the task `wanted`.
    fn work<'a>(task: Task<'a>, wanted: &str) -> Done<'a> {
        let check =
            |at: &str, number: u64| assert!(wanted != at || number != 3, "the panic of this test");
        match task {
            Task::Make(pos, chunk) => {
                check("make", pos.number);
                Done::Made(pos.number, Ok(Chunk { pos, ..chunk }))
            }
            Task::Hash(mut hasher, mut chunk) => {
                check("hash", chunk.pos.number);
                hasher.take(&mut chunk);
                Done::Hashed(hasher, chunk)
            }
            Task::Store(storer, chunk) => {
                check("store", chunk.pos.number);
                Done::Stored(storer, Ok(chunk))
            }
        }
    }

    /// No worker waits for one that has panicked, whatever its task was.
    #[test]
    fn a_panic_ends_the_work_of_all() {
        let tree: Tree = [(ImagePath::new("f").unwrap(), Node::inline(0o644, vec![0; 5 << 20]))]
            .into_iter()
            .collect();
        let layout = TarLayout::new(&tree).unwrap();
        let jobs = NonZeroUsize::new(3).unwrap();
        let options = PackOptions {
            compression: Compression::None,
            jobs,
            cache: None,
            sources: None,
            has_keys: false,
            rootfs: None,
        };
        for wanted in ["make", "hash", "store"] {
            let dir = tempfile::tempdir().unwrap();
            let mut store = Store::directory(dir.path(), Durability::Cached).unwrap();
            let cache_entry = CacheEntry::default();
            let jobs = [LayerJob {
                layout: &layout,
                cache_entry,
                is_rootfs: false,
                read: AtomicU64::new(0),
            }];
            let (plan, workers) = ChunkPlan::new(&jobs, &options);
            let storer = Storer::new(&jobs, &options, &mut store, &|_| {});
            let free = (0..4).map(|_| Chunk::default()).collect();
            let scheduler = Scheduler::new(plan, free, Hasher::new(&jobs, &|_| {}), storer);
            let panics = thread::scope(|scope| {
                let workers: Vec<_> = (0..workers)
                    .map(|_| scope.spawn(|| scheduler.run_worker(|task| work(task, wanted))))
                    .collect();
                workers.into_iter().filter_map(|worker| worker.join().err()).count()
            });
            assert_eq!(panics, 1, "{wanted}");
            assert!(matches!(scheduler.finish(), Err(PackError::Stopped)), "{wanted}");
        }
    }
}
