//! Uploads of layers that begin while others are packed.
//!
//! Each repository has a queue and threads of its own. Nothing that they send leads to an image:
//! the manifest, and with it the tag, is sent when all is packed. Threads are not joined when the
//! build fails, since they may be waiting for a registry.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    io::{self, Read},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::{
    OutputError,
    shipment::ShippedBlob,
    transfer::{Moved, Transfer},
    upload::{WIDTH, pointer, upload},
};
use crate::{
    digest::Digest,
    image::{Destination, Target},
    registry::{Registries, RegistryError, Repository},
    store::Blob,
};

/// How long uploads that are not wanted any more may take to end their sessions.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// How often progress is told.
const TICK: Duration = Duration::from_millis(100);

/// The uploads to all registries of a build. Drop ends them.
#[derive(Debug)]
pub struct Uploads {
    /// By the number of the first target in the repository.
    queues: BTreeMap<usize, Queue>,
    /// Whether every output is among `queues`: none can be complete when all of these fail.
    are_all_outputs: bool,
}

/// The uploads to one repository.
pub(super) struct Queue {
    shared: Arc<Shared>,
}

struct Shared {
    repository: Repository,
    state: Mutex<State>,
    changed: Condvar,
    is_stopped: AtomicBool,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Blob, Option<(String, String)>)>,
    /// Blobs that have been queued, by digest.
    blobs: BTreeMap<Digest, Progress>,
    threads: usize,
    /// Threads that upload.
    active: usize,
    fault: Option<RegistryError>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// With the blob's size and the bytes that were sent.
    Sent(u64, u64),
    Done(Moved),
}

impl Uploads {
    /// The uploads to the repositories among `targets`. None begins early where the image may turn
    /// out not to be wanted: under a name with a digest, and, if images are `immutable`, under a
    /// tag that exists.
    pub(super) fn new(
        targets: &[Target],
        registries: &Registries,
        immutable: bool,
    ) -> Result<Self, OutputError> {
        let is_registry = |one: &Target| matches!(one.destination, Destination::Registry(_));
        let mut are_all_outputs = targets.iter().all(is_registry);
        let mut queues: BTreeMap<usize, Queue> = BTreeMap::new();
        for (number, target) in targets.iter().enumerate() {
            let Destination::Registry(name) = &target.destination else { continue };
            let repository = registries.repository(&name.registry, &name.repository)?;
            let selector = name.selector();
            let look = || repository.manifest_digest(pointer(name, &selector));
            let may_be_refused = match immutable.then(look).transpose() {
                Ok(found) => found.flatten().is_some(),
                // It is asked again when the image is complete: other outputs may get it.
                Err(_) if targets.len() > 1 => true,
                Err(error) => return Err(error.into()),
            };
            let may_begin = name.digest.is_none() && !may_be_refused;
            are_all_outputs &= may_begin;
            let is_new = queues.values().all(|queue| !queue.is_of(&repository));
            if is_new && may_begin {
                queues.insert(number, Queue::new(repository));
            }
        }
        Ok(Self { queues, are_all_outputs })
    }

    /// Uploads to the repositories among `targets`, whatever is there.
    ///
    /// # Errors
    /// If a registry cannot be used.
    pub fn begin(targets: &[Target], registries: &Registries) -> Result<Self, OutputError> {
        Self::new(targets, registries, false)
    }

    /// Waits until all uploads are over. Returns the errors, by registry and repository.
    pub fn wait(&self) -> BTreeMap<(String, String), OutputError> {
        let faults = self.queues.values().filter_map(|queue| {
            let own = &queue.shared.repository;
            let fault = queue.finish(&|_| {}).err()?;
            Some(((own.registry().to_owned(), own.name().to_owned()), fault))
        });
        faults.collect()
    }

    /// Begins to upload a layer. `origin` is the registry and the repository that it comes from.
    pub fn add(&self, blob: &Blob, origin: Option<&(String, String)>) {
        self.queues.values().for_each(|queue| queue.add(blob, origin));
    }

    /// Whether uploads to every output have failed, so that nothing else need be packed.
    pub fn have_failed(&self) -> bool {
        let has_failed = |queue: &Queue| queue.shared.lock().fault.is_some();
        let any = !self.queues.is_empty();
        any && self.are_all_outputs && self.queues.values().all(has_failed)
    }

    /// The errors of the registries, if there are any.
    pub fn take_fault(&self) -> Option<OutputError> {
        let faults = self.queues.values().filter_map(|queue| queue.shared.lock().fault.take());
        OutputError::of(faults.map(OutputError::from).collect())
    }

    /// The uploads to the target with this number, if any began early.
    pub(super) fn queue(&self, target: usize) -> Option<&Queue> {
        self.queues.get(&target)
    }
}

impl Queue {
    fn new(repository: Repository) -> Self {
        let shared = Shared {
            repository,
            state: Mutex::default(),
            changed: Condvar::new(),
            is_stopped: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    fn is_of(&self, other: &Repository) -> bool {
        let own = &self.shared.repository;
        (own.registry(), own.name()) == (other.registry(), other.name())
    }

    fn add(&self, blob: &Blob, origin: Option<&(String, String)>) {
        let mut state = self.shared.lock();
        if state.blobs.contains_key(&blob.digest) {
            return;
        }
        state.blobs.insert(blob.digest, Progress::Sent(blob.size, 0));
        state.waiting.push_back((blob.clone(), origin.cloned()));
        if state.threads < WIDTH.get() {
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new().spawn(move || shared.work());
            state.threads += usize::from(thread.is_ok());
        }
        self.shared.changed.notify_all();
    }

    /// Waits for all uploads and tells of their progress. Returns what became of each blob; what is
    /// not among these has to be uploaded.
    ///
    /// # Errors
    /// The error of the first upload that failed.
    pub(super) fn finish(
        &self,
        event: &(dyn Fn(Transfer) + Sync),
    ) -> Result<BTreeMap<Digest, Moved>, OutputError> {
        let shared = &self.shared;
        let mut told: BTreeMap<Digest, Progress> = BTreeMap::new();
        loop {
            let state = shared.lock();
            let is_pending = |state: &mut State| !state.is_over() && state.fault.is_none();
            let waited = shared.changed.wait_timeout_while(state, TICK, is_pending);
            let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if let Some(fault) = state.fault.take() {
                return Err(fault.into());
            }
            let (now, is_over) = (state.blobs.clone(), state.is_over());
            if is_over {
                shared.stop(&state);
            }
            drop(state);
            for (digest, progress) in &now {
                if told.get(digest) != Some(progress) {
                    event(progress.transfer(*digest));
                }
            }
            if is_over {
                let done = now.into_iter();
                return Ok(done.filter_map(|(digest, one)| Some((digest, one.moved()?))).collect());
            }
            told = now;
        }
    }
}

impl State {
    /// Whether nothing is left that a thread will upload.
    fn is_over(&self) -> bool {
        self.active == 0 && (self.waiting.is_empty() || self.threads == 0)
    }
}

impl Progress {
    fn transfer(self, digest: Digest) -> Transfer {
        match self {
            Self::Sent(size, done) => Transfer::Part { digest, size, done },
            Self::Done(moved) => Transfer::Done(moved),
        }
    }

    fn moved(self) -> Option<Moved> {
        match self {
            Self::Sent(..) => None,
            Self::Done(moved) => Some(moved),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all threads. The state is locked, so that none misses it on its way to sleep.
    fn stop(&self, _: &MutexGuard<'_, State>) {
        self.is_stopped.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    /// Uploads one blob after another until all is over.
    fn work(self: Arc<Self>) {
        let _thread = Thread(&self);
        while let Some((blob, origin)) = self.next() {
            let _active = Active(&self);
            let result = self.upload(&blob, origin);
            let mut state = self.lock();
            match result {
                Ok(moved) => {
                    state.blobs.insert(moved.digest, Progress::Done(moved));
                }
                Err(fault) => {
                    state.fault.get_or_insert(fault);
                    state.waiting.clear();
                    self.stop(&state);
                }
            }
        }
    }

    fn next(&self) -> Option<(Blob, Option<(String, String)>)> {
        let mut state = self.lock();
        loop {
            if self.is_stopped.load(Ordering::Relaxed) {
                return None;
            }
            if let Some(next) = state.waiting.pop_front() {
                state.active += 1;
                return Some(next);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn upload(
        self: &Arc<Self>,
        blob: &Blob,
        origin: Option<(String, String)>,
    ) -> Result<Moved, RegistryError> {
        let ShippedBlob { digest, size, open, .. } = ShippedBlob::of(blob);
        let shared = Arc::clone(self);
        let open = Box::new(move |offset| {
            let bytes = Stoppable { bytes: open(offset)?, shared: Arc::clone(&shared) };
            Ok(Box::new(bytes) as Box<dyn Read>)
        });
        upload(&ShippedBlob { digest, size, open, origin }, &self.repository, &|transfer| {
            if let Transfer::Part { digest, size, done } = transfer {
                self.lock().blobs.insert(digest, Progress::Sent(size, done));
            }
        })
    }
}

/// The bytes of a blob, until they are not wanted any more.
struct Stoppable {
    bytes: Box<dyn Read>,
    shared: Arc<Shared>,
}

impl Read for Stoppable {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.shared.is_stopped.load(Ordering::Relaxed) {
            true => Err(io::Error::other("the image is not wanted any more")),
            false => self.bytes.read(buf),
        }
    }
}

/// Counts a thread as active until its upload is done or panics.
struct Active<'a>(&'a Shared);

/// Counts a thread until it ends, also by a panic.
struct Thread<'a>(&'a Shared);

impl Drop for Thread<'_> {
    fn drop(&mut self) {
        self.0.lock().threads -= 1;
        self.0.changed.notify_all();
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.lock().active -= 1;
        self.0.changed.notify_all();
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let state = self.shared.lock();
        self.shared.stop(&state);
        let is_active = |state: &mut State| state.active > 0;
        drop(self.shared.changed.wait_timeout_while(state, STOP_TIMEOUT, is_active));
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Queue").field(&self.shared.repository).finish()
    }
}
