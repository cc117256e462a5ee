//! Who does what next with the chunks of the layers.
//!
//! ChunkPlan go round: free → made by anyone → hashed in order → stored in order → free again. Two
//! things are done by one thread at a time, hashing and storing, and any thread does them: whoever
//! is free takes what is farthest along. So there are no more threads than processors, and a chunk
//! is most often hashed where it was made, out of that processor's own cache. There is a fixed
//! number of chunks, and the earliest one has all it needs, so the round never stops. A fault
//! travels in the chunk's place and ends the round when its turn comes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use super::{
    PackError,
    chunks::{Chunk, ChunkPlan, ChunkPos},
    sinks::{Hasher, Storer},
};

/// What there is to do.
pub(super) enum Task<'a> {
    /// Fill and compress this chunk.
    Make(ChunkPos, Chunk),
    /// Hash the next chunk.
    Hash(Hasher<'a>, Chunk),
    /// Store the next chunk.
    Store(Storer<'a>, Chunk),
}

/// What was done; of a chunk that is made, its number.
pub(super) enum Done<'a> {
    Made(u64, Result<Chunk, PackError>),
    Hashed(Hasher<'a>, Chunk),
    Stored(Storer<'a>, Result<Chunk, PackError>),
}

/// All chunks of all layers.
pub(super) struct Scheduler<'a> {
    state: Mutex<State<'a>>,
    changed: Condvar,
}

struct State<'a> {
    /// ChunkPlan that nobody makes yet.
    left: ChunkPlan,
    free: Vec<Chunk>,
    /// Made, and to be hashed: by their numbers.
    made: BTreeMap<u64, Result<Chunk, PackError>>,
    /// Absent while someone hashes.
    hasher: Option<Hasher<'a>>,
    hashed: VecDeque<Chunk>,
    /// Absent while someone stores.
    storer: Option<Storer<'a>>,
    /// ChunkPlan that are not stored yet and not left.
    on_the_way: usize,
    fault: Option<PackError>,
    waiting: usize,
}

impl<'a> Scheduler<'a> {
    /// Nothing is done yet. No more chunks are on their way than there are `free` ones.
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
            on_the_way: 0,
            fault: None,
            waiting: 0,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Does what there is to do until all is done or something fails. Several threads do this at
    /// once.
    pub(super) fn work(&self, mut work: impl FnMut(Task<'a>) -> Done<'a>) {
        while let Some(task) = self.next() {
            let turn = Turn(self);
            let done = work(task);
            std::mem::forget(turn);
            self.done(done);
        }
    }

    /// What came of it.
    ///
    /// # Errors
    /// The first fault in the order of the chunks.
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
        self.fault.is_some() || (self.on_the_way == 0 && self.left.is_empty())
    }

    /// The task that is farthest along. A fault whose turn has come is found here.
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
        self.on_the_way += 1;
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
                self.on_the_way -= 1;
            }
            Done::Stored(_, Err(fault)) => self.fault = Some(fault),
        }
    }
}

/// Someone at work. Where the work panics the others must hear that it is over.
struct Turn<'l, 'a>(&'l Scheduler<'a>);

impl Drop for Turn<'_, '_> {
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
        archive::write::Layout,
        compress::Compression,
        pack::{Options, cache_entry::CacheEntry, chunks::LayerJob},
        path::ImagePath,
        store::{Durability, Store},
        tree::{Node, Tree},
    };

    /// Does nothing but to panic at the fourth chunk, when it is to be `wanted`.
    fn work<'a>(task: Task<'a>, wanted: &str) -> Done<'a> {
        let check = |at: &str, number: u64| assert!(wanted != at || number != 3, "as wanted");
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

    /// Nobody waits for one who has panicked, whatever he had in hand.
    #[test]
    fn a_panic_ends_it_for_all() {
        let tree: Tree = [(ImagePath::new("f").unwrap(), Node::inline(0o644, vec![0; 5 << 20]))]
            .into_iter()
            .collect();
        let layout = Layout::new(&tree).unwrap();
        let jobs = NonZeroUsize::new(3).unwrap();
        let options = Options { compression: Compression::None, jobs, cache: None, root: None };
        for wanted in ["make", "hash", "store"] {
            let dir = tempfile::tempdir().unwrap();
            let mut store = Store::directory(dir.path(), Durability::Cached).unwrap();
            let found = CacheEntry::default();
            let jobs =
                [LayerJob { layout: &layout, found, is_root: false, read: AtomicU64::new(0) }];
            let (plan, workers) = ChunkPlan::new(&jobs, &options);
            let storer = Storer::new(&jobs, &options, &mut store, &|_| {});
            let free = (0..4).map(|_| Chunk::default()).collect();
            let scheduler = Scheduler::new(plan, free, Hasher::new(&jobs, &|_| {}), storer);
            let panics = thread::scope(|scope| {
                let workers: Vec<_> = (0..workers)
                    .map(|_| scope.spawn(|| scheduler.work(|task| work(task, wanted))))
                    .collect();
                workers.into_iter().filter_map(|worker| worker.join().err()).count()
            });
            assert_eq!(panics, 1, "{wanted}");
            assert!(matches!(scheduler.finish(), Err(PackError::Stopped)), "{wanted}");
        }
    }
}
