//! A layer's entry in the cache.
//!
//! A layer is looked up by what lstat(2) says of its files, without reading them. In a fresh copy
//! of a tree all inodes and times are new. Where the cache has a layer that differs in nothing
//! else, the tar is read and hashed, which is far cheaper than compressing it, and its digest
//! decides.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use rustix::process::{Resource, getrlimit};

use super::{Layer, PackOptions, cache_key};
use crate::{
    archive::write::TarLayout,
    compress::Compression,
    digest::{DiffId, Digest, Digesting},
    reuse::Sources,
    source::content::{ContentError, Files},
    store::cache::{Cache, Cached, ClockSample, Held},
};

/// Bytes of a tar that are read and hashed at a time.
const BUFFER: usize = 1 << 20;

/// Blobs of cached layers that are open at the same time, whatever the limit of open files is.
const MIN_OPEN: usize = 16;
/// The most. An image may have more layers than a process may have open files.
const MAX_OPEN: usize = 1024;

/// A layer's keys in the cache, and what the cache has under them. Without keys where the cache is
/// not used.
#[derive(Default)]
pub(super) struct CacheEntry {
    /// The keys that the finished layer is put under.
    keys: Vec<Digest>,
    /// The key that does not depend on the machine.
    content_key: Option<Digest>,
    cached: Option<Cached>,
    /// Bytes of content that were read to find it.
    read: u64,
}

/// The blobs of cached layers that are open, and what keeps the others in the cache.
#[derive(Default)]
pub(super) struct OpenBlobs<'a> {
    count: AtomicUsize,
    held: OnceLock<Option<Held<'a>>>,
}

impl<'a> OpenBlobs<'a> {
    /// Counts the blob of `cached`, and closes it if there are too many.
    fn add(&self, cached: &mut Cached, cache: &'a Cache) {
        // Where blobs need not be held, other processes may evict.
        if self.count.fetch_add(1, Ordering::Relaxed) >= most_open()
            && let Some(held) = self.held.get_or_init(|| cache.hold().ok())
        {
            held.close(cached);
        }
    }
}

/// An eighth of the files that this process may open, within bounds.
fn most_open() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let eighth = limit.and_then(|limit| usize::try_from(limit / 8).ok());
    eighth.unwrap_or(MAX_OPEN).clamp(MIN_OPEN, MAX_OPEN)
}

impl CacheEntry {
    /// Looks layers up, several at the same time: a layer that is not found by what lstat(2) says
    /// is read and hashed. `open` has to be kept as long as the layers are used.
    pub(super) fn look_up_all<'a>(
        layouts: &[TarLayout<'_>],
        options: &PackOptions<'a>,
        open: &OpenBlobs<'a>,
    ) -> Vec<CacheEntry> {
        let threads = options.jobs.get().min(layouts.len());
        if threads < 2 || options.compression == Compression::None {
            return layouts.iter().map(|layout| Self::look_up(layout, options, open)).collect();
        }
        let (next, found) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(layout) = layouts.get(number) else { break };
                let entry = Self::look_up(layout, options, open);
                found.lock().unwrap_or_else(PoisonError::into_inner).insert(number, entry);
            }
        };
        thread::scope(|scope| {
            // This thread does what threads that the system refuses would do.
            for _ in 1..threads {
                if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                    break;
                }
            }
            work();
        });
        found.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
    }

    /// Looks a layer up: in the cache, then among other images. Only compressed layers are cached.
    fn look_up<'a>(
        layout: &TarLayout<'_>,
        options: &PackOptions<'a>,
        open: &OpenBlobs<'a>,
    ) -> Self {
        if options.compression == Compression::None
            || (options.cache.is_none() && options.sources.is_none() && !options.has_keys)
        {
            return Self::default();
        }
        let cache = options.cache;
        if let Compression::Estargz(_) = options.compression {
            // The tar has a table of contents that is known only when the layer is made.
            let Some(cache) = cache else { return Self::default() };
            let mut entry = Self::by_stat(layout, options.compression, cache);
            if let Some(cached) = &mut entry.cached {
                open.add(cached, cache);
            }
            return entry;
        }
        let content_key = cache_key::without_stat(layout, options.compression);
        let entry = cache.map(|cache| Self::find(layout, options.compression, content_key, cache));
        let mut entry = entry.unwrap_or_default();
        entry.content_key = Some(content_key);
        if let (None, Some(sources)) = (&entry.cached, options.sources) {
            entry.take(layout, content_key, sources);
            if let (Some(cache), Some(cached)) = (cache, &entry.cached) {
                cache.put(&entry.keys, cached);
            }
        }
        if let (Some(cache), Some(cached)) = (cache, &mut entry.cached) {
            open.add(cached, cache);
        }
        entry
    }

    /// Looks a layer up by what lstat(2) says of its files alone.
    fn by_stat(layout: &TarLayout<'_>, compression: Compression, cache: &Cache) -> Self {
        let Some(key) = cache_key::by_stat(layout, compression) else { return Self::default() };
        let cached = cache.get(key.digest);
        let is_stable = cached.is_some()
            || cache.clock_sample().is_some_and(|sample| !sample.is_racy(key.newest));
        let keys = is_stable.then_some(key.digest).into_iter().collect();
        Self { keys, cached, ..Self::default() }
    }

    fn find(
        layout: &TarLayout<'_>,
        compression: Compression,
        by_content: Digest,
        cache: &Cache,
    ) -> Self {
        let by_stat = cache_key::by_stat(layout, compression);
        if let Some(key) = &by_stat
            && let Some(cached) = cache.get(key.digest)
        {
            return Self { keys: vec![key.digest], cached: Some(cached), ..Self::default() };
        }
        // Taken before any of the files is read. A file that is too new could be changed afterwards
        // without another time, so its layer is found by content only.
        let sample = cache.clock_sample();
        let is_stable =
            |sample: ClockSample| by_stat.as_ref().is_some_and(|key| !sample.is_racy(key.newest));
        let stable = by_stat.as_ref().filter(|_| sample.is_some_and(is_stable));
        let keys = stable.map(|key| key.digest).into_iter().chain([by_content]).collect();
        let mut entry = Self { keys, ..Self::default() };
        if let Some(cached) = cache.get(by_content)
            // If this fails, making the layer fails too, and says why.
            && let Ok(diff_id) = diff_id(layout, &mut entry.read)
            && diff_id == cached.diff_id
        {
            if let Some(key) = stable {
                cache.add_key(key.digest, by_content, &cached);
            }
            entry.cached = Some(cached);
        }
        entry
    }

    /// Takes the layer from another image, if one of them may have it: then the tar is read and
    /// hashed, and its digest decides.
    fn take(&mut self, layout: &TarLayout<'_>, key: Digest, sources: &Sources) {
        let candidates = sources.candidates(key);
        if candidates.is_empty() {
            return;
        }
        let Ok(diff_id) = diff_id(layout, &mut self.read) else { return };
        let (tar_size, members) = (layout.size(), layout.members() as u64);
        self.cached = sources.take(&candidates, diff_id, tar_size).map(|blob| Cached {
            blob,
            diff_id,
            tar_size,
            members,
        });
    }

    /// The key that does not depend on the machine; `None` where no cache is used.
    pub(super) fn content_key(&self) -> Option<Digest> {
        self.content_key
    }

    pub(super) fn is_cached(&self) -> bool {
        self.cached.is_some()
    }

    pub(super) fn cached(&self) -> Option<&Cached> {
        self.cached.as_ref()
    }

    /// Bytes of content that were read to find it.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// Tells the cache that an output links to its blob, which has changed the blob's ctime.
    pub(super) fn note_link(&self, cache: Option<&Cache>) {
        if let Some(cache) = cache {
            self.keys.iter().for_each(|&key| cache.note_link(key));
        }
    }

    /// Puts the finished layer into the cache.
    pub(super) fn put(&self, cache: Option<&Cache>, layer: &Layer) {
        if let (Some(cache), false) = (cache, self.keys.is_empty()) {
            let Layer { blob, diff_id, tar_size, members, .. } = layer.clone();
            cache.put(&self.keys, &Cached { blob, diff_id, tar_size, members: members as u64 });
        }
    }
}

/// The digest of a layer's tar; adds the bytes of content to `read`.
fn diff_id(layout: &TarLayout<'_>, read: &mut u64) -> Result<DiffId, ContentError> {
    let (mut files, mut hash) = (Files::default(), Digesting::new(io::sink()));
    let mut buffer = vec![0; BUFFER];
    let mut at = 0;
    while at < layout.size() {
        let len = BUFFER.min(usize::try_from(layout.size() - at).unwrap_or(BUFFER));
        let Some(part) = buffer.get_mut(..len) else { break };
        layout.fill(at, part, |wanted, out| {
            *read += out.len() as u64;
            files.read_at(&wanted.file.content, wanted.file.len, wanted.offset, out)
        })?;
        // Writing to a sink cannot fail.
        let _ = hash.write_all(part);
        at += len as u64;
    }
    Ok(DiffId(hash.finish().1))
}
