//! Who does what next with the pieces of the layers.
//!
//! Pieces go round: free → made by anyone → hashed in order → stored in order → free again. Two
//! things are done by one thread at a time, hashing and storing, and any thread does them: whoever
//! is free takes what is farthest along. So there are no more threads than processors, and a piece
//! is most often hashed where it was made, out of that processor's own cache. There is a fixed
//! number of pieces, and the earliest one has all it needs, so the round never stops. A fault
//! travels in the piece's place and ends the round when its turn comes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use super::{
    PackError,
    pieces::{Buffers, Pieces, Place},
    stages::{Hasher, Storer},
};

/// What there is to do.
pub(super) enum Task<'a> {
    /// Fill and compress this piece.
    Make(Place, Buffers),
    /// Hash the next piece.
    Hash(Hasher<'a>, Buffers),
    /// Store the next piece.
    Store(Storer<'a>, Buffers),
}

/// What was done; of a piece that is made, its number.
pub(super) enum Done<'a> {
    Made(u64, Result<Buffers, PackError>),
    Hashed(Hasher<'a>, Buffers),
    Stored(Storer<'a>, Result<Buffers, PackError>),
}

/// All pieces of all layers.
pub(super) struct Line<'a> {
    state: Mutex<State<'a>>,
    changed: Condvar,
}

struct State<'a> {
    /// Pieces that nobody makes yet.
    left: Pieces,
    free: Vec<Buffers>,
    /// Made, and to be hashed: by their numbers.
    made: BTreeMap<u64, Result<Buffers, PackError>>,
    /// Absent while someone hashes.
    hasher: Option<Hasher<'a>>,
    hashed: VecDeque<Buffers>,
    /// Absent while someone stores.
    storer: Option<Storer<'a>>,
    /// Pieces that are not stored yet and not left.
    on_the_way: usize,
    fault: Option<PackError>,
    waiting: usize,
}

impl<'a> Line<'a> {
    /// Nothing is done yet. No more pieces are on their way than there are `free` ones.
    pub(super) fn new(
        left: Pieces,
        free: Vec<Buffers>,
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
    /// The first fault in the order of the pieces.
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
                Some(buffers) => return Some(Task::Store(storer, buffers)),
                None => self.storer = Some(storer),
            }
        }
        if let Some(hasher) = self.hasher.take() {
            match self.made.remove(&hasher.next()) {
                Some(Ok(buffers)) => return Some(Task::Hash(hasher, buffers)),
                Some(Err(fault)) => self.fault = Some(fault),
                None => {}
            }
            self.hasher = Some(hasher);
        }
        if self.fault.is_some() || self.free.is_empty() {
            return None;
        }
        let piece = self.left.next()?;
        self.on_the_way += 1;
        Some(Task::Make(piece, self.free.pop()?))
    }

    fn put(&mut self, done: Done<'a>) {
        match done {
            Done::Made(number, result) => {
                if result.is_err() {
                    self.left = Pieces::default();
                }
                self.made.insert(number, result);
            }
            Done::Hashed(hasher, buffers) => {
                self.hasher = Some(hasher);
                self.hashed.push_back(buffers);
            }
            Done::Stored(storer, Ok(buffers)) => {
                self.storer = Some(storer);
                self.free.push(buffers);
                self.on_the_way -= 1;
            }
            Done::Stored(_, Err(fault)) => self.fault = Some(fault),
        }
    }
}

/// Someone at work. Where the work panics the others must hear that it is over.
struct Turn<'l, 'a>(&'l Line<'a>);

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
        pack::{Options, cached::Found, pieces::Part},
        path::ImagePath,
        store::{Durability, Store},
        tree::{Node, Tree},
    };

    /// Does nothing but to panic at the fourth piece, when it is to be `wanted`.
    fn work<'a>(task: Task<'a>, wanted: &str) -> Done<'a> {
        let check = |at: &str, number: u64| assert!(wanted != at || number != 3, "as wanted");
        match task {
            Task::Make(place, buffers) => {
                check("make", place.number);
                Done::Made(place.number, Ok(Buffers { place, ..buffers }))
            }
            Task::Hash(mut hasher, mut buffers) => {
                check("hash", buffers.place.number);
                hasher.take(&mut buffers);
                Done::Hashed(hasher, buffers)
            }
            Task::Store(storer, buffers) => {
                check("store", buffers.place.number);
                Done::Stored(storer, Ok(buffers))
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
            let found = Found::default();
            let parts = [Part { layout: &layout, found, is_root: false, read: AtomicU64::new(0) }];
            let (pieces, workers) = Pieces::new(&parts, &options);
            let storer = Storer::new(&parts, &options, &mut store, &|_| {});
            let free = (0..4).map(|_| Buffers::default()).collect();
            let line = Line::new(pieces, free, Hasher::new(&parts, &|_| {}), storer);
            let panics = thread::scope(|scope| {
                let workers: Vec<_> = (0..workers)
                    .map(|_| scope.spawn(|| line.work(|task| work(task, wanted))))
                    .collect();
                workers.into_iter().filter_map(|worker| worker.join().err()).count()
            });
            assert_eq!(panics, 1, "{wanted}");
            assert!(matches!(line.finish(), Err(PackError::Stopped)), "{wanted}");
        }
    }
}
