//! The cache of compressed layers, keyed by a digest of everything that their bytes depend on.
//!
//! The directory holds the blobs (`blobs/HEX`, by digest), a record for each layer (`layers/HEX`,
//! by key) and a lock. Many processes may use it at once: files appear whole, by rename; a process
//! that adds holds the lock shared, one that removes holds it exclusively. Whatever is wrong with
//! the cache only costs the time to make the layer again.
//!
//! A blob is used without reading it only if its file has the same inode and times as when its
//! digest was computed, and the machine has not been booted since. Otherwise its digest is computed
//! again, and a blob with a wrong digest is removed.

mod prune;
mod record;

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, Stat, Timespec, Timestamps},
    io::retry_on_intr,
};

use super::{Blob, Durability, Extent, Pending, Place, pending};
use crate::{
    digest::{DiffId, Digest, Digesting},
    uninterrupted::uninterrupted,
};

pub use prune::{Info, Pruned};
pub use record::is_racy;
use record::{MAX_RECORD, Record, Stamp};

/// Bytes that a cache may use by default.
pub const DEFAULT_LIMIT: u64 = 8_000_000_000;

/// The size from which the record of a blob waits for the next tick of the file system's clock, so
/// that the next run can trust it: computing the digest of such a blob takes longer than the wait.
const MIN_SIZE_TO_WAIT: u64 = 8 << 20;

/// How often the clock is read until it ticks. The kernel's clock for files ticks at least every 10
/// ms (`CONFIG_HZ=100`), and reading it takes about a microsecond.
const MAX_CLOCK_READS: u32 = 50_000;

/// A cache directory that this process may use.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
    limit: u64,
    boot: String,
    /// The owner of files that this process creates there.
    owner: u32,
}

/// A layer in the cache.
#[derive(Clone, Debug)]
pub struct Cached {
    /// The compressed bytes.
    pub blob: Blob,
    /// Digest of the tar.
    pub diff_id: DiffId,
    /// Bytes of the tar.
    pub tar_size: u64,
    /// Members of the tar.
    pub members: u64,
}

/// Keeps every process from removing blobs, so that these need not be open. Drop ends that, and
/// evicts what is too much by then.
#[derive(Debug)]
pub struct Held<'a> {
    cache: &'a Cache,
    lock: Option<File>,
}

/// Why this process cannot use a directory as its cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The system refused.
    #[error("cannot use the cache {}", path.display())]
    Io {
        /// The directory or a file in it.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Other users could put wrong layers there.
    #[error("other users can write to the cache {}", .0.display())]
    Shared(PathBuf),
}

/// The time of the file system's clock just before a layer's files are read; see [`is_racy`].
#[derive(Clone, Copy, Debug)]
pub struct ClockSample((i64, u32));

impl ClockSample {
    /// Whether a file with this ctime could be changed after the sample and keep its ctime.
    pub fn is_racy(self, ctime: (i64, u32)) -> bool {
        is_racy(ctime, self.0)
    }
}

impl Cache {
    /// Opens the cache in `dir`, and creates the directory if it does not exist. Eviction keeps the
    /// cache below `limit` bytes.
    ///
    /// # Errors
    /// [`CacheError`] where this process cannot write there, or other users can.
    pub fn open(dir: &Path, limit: u64) -> Result<Self, CacheError> {
        let io = |source| CacheError::Io { path: dir.to_owned(), source };
        make_private(dir).map_err(io)?;
        for below in ["blobs", "layers"] {
            make_private(&dir.join(below)).map_err(io)?;
        }
        let mut cache = Self { dir: dir.to_owned(), limit, boot: boot_id(), owner: 0 };
        let (owner, _) = cache.probe().map_err(io)?;
        cache.owner = owner;
        for path in [dir.to_owned(), dir.join("blobs"), dir.join("layers")] {
            let stat = retry_on_intr(|| rustix::fs::stat(&path));
            let stat = stat.map_err(|errno| io(errno.into()))?;
            if stat.st_uid != owner || stat.st_mode & 0o022 != 0 {
                return Err(CacheError::Shared(path));
            }
        }
        Ok(cache)
    }

    /// The layer of `key`, if the cache has it and its blob is intact.
    pub fn get(&self, key: Digest) -> Option<Cached> {
        let path = self.record_path(key);
        let (text, changed) = read_record(&path).ok()?;
        let Some(record) = Record::parse(&text) else {
            let _ = fs_err::remove_file(&path);
            return None;
        };
        let blob = self.open_blob(&record).ok()?;
        let stamp = stamp_of(&blob.place.open().ok()?.file).ok()?;
        let known = stamp == record.stamp
            && record.boot == self.boot
            && !self.boot.is_empty()
            && !is_racy(stamp.ctime, changed);
        if !known {
            if digest_of(&blob).ok()? != record.digest {
                let _ = fs_err::remove_file(&path);
                let _ = fs_err::remove_file(self.blob_path(record.digest));
                return None;
            }
            self.write_record(key, &Record { stamp, boot: self.boot.clone(), ..record });
        }
        self.mark_used(&path);
        let Record { diff_id, tar_size, members, .. } = record;
        Some(Cached { blob, diff_id, tar_size, members })
    }

    /// Keeps blobs in the cache.
    ///
    /// # Errors
    /// If the cache cannot be locked.
    pub fn hold(&self) -> io::Result<Held<'_>> {
        Ok(Held { cache: self, lock: Some(self.lock(FlockOperation::LockShared)?) })
    }

    /// The time now, by the clock that stamps the cache's own files; `None` where nothing can be
    /// written there.
    pub fn clock_sample(&self) -> Option<ClockSample> {
        self.probe().ok().map(|(_, now)| ClockSample(now))
    }

    /// Puts `layer`, whose blob is in an output, under `keys`. Errors are ignored: a layer that is
    /// not in the cache is made again.
    pub fn put(&self, keys: &[Digest], layer: &Cached) {
        if layer.blob.size <= self.limit {
            let _ = self.try_put(keys, layer);
        }
        let _ = self.evict(self.limit);
    }

    /// Puts `bytes` under `key`, as [`Cache::put`] puts a layer.
    pub fn put_bytes(&self, key: Digest, bytes: &[u8]) {
        // There `shrink` finds it if this process is killed.
        let Ok(pending) = Pending::create_in(&self.dir.join("blobs")) else { return };
        let mut file: &File = pending.file();
        if file.write_all(bytes).is_ok() {
            let place = Place::Open(Extent { file: Arc::clone(pending.file()), offset: 0 });
            let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
            let blob = Blob { digest, size, place };
            let diff_id = DiffId(digest);
            self.put(&[key], &Cached { blob, diff_id, tar_size: size, members: 0 });
        }
    }

    /// Puts `layer`, which was found under the key `known`, under `key`, too. Another process may
    /// have put another layer under `known` since: then nothing is added.
    pub fn add_key(&self, key: Digest, known: Digest, layer: &Cached) {
        let record = read_record(&self.record_path(known)).ok();
        let record = record.and_then(|(text, _)| Record::parse(&text));
        let is_same =
            |record: &Record| (record.digest, record.diff_id) == (layer.blob.digest, layer.diff_id);
        if let Some(record) = record.filter(is_same) {
            self.write_record(key, &record);
        }
        let _ = self.evict(self.limit);
    }

    /// Updates the record of a blob that an output has linked to, which has changed its ctime.
    pub fn note_link(&self, key: Digest) {
        let Ok((text, _)) = read_record(&self.record_path(key)) else { return };
        let Some(record) = Record::parse(&text) else { return };
        let stamp =
            self.open_blob(&record).and_then(|blob| stamp_of(&blob.place.open()?.file)).ok();
        let Some(stamp) = stamp.filter(|stamp| *stamp != record.stamp) else { return };
        // A link changes ctime only; another mtime means other bytes.
        if (stamp.id, stamp.mtime) == (record.stamp.id, record.stamp.mtime) {
            self.write_record(key, &Record { stamp, ..record });
        }
    }

    fn try_put(&self, keys: &[Digest], layer: &Cached) -> io::Result<()> {
        let space = retry_on_intr(|| rustix::fs::statvfs(&self.dir))?;
        // The cache must never be what fills the disk.
        if space.f_bavail.saturating_mul(space.f_frsize) < layer.blob.size.saturating_mul(2) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let _lock = self.lock(FlockOperation::LockShared)?;
        let target = self.blob_path(layer.blob.digest);
        let from = layer.blob.place.open()?;
        let whole = from.offset == 0
            && uninterrupted(|| from.file.metadata())?.len() == layer.blob.size
            && pending::link(&from.file, &target).is_ok();
        if !whole {
            let pending = Pending::create(&target).map_err(io::Error::other)?;
            layer.blob.copy_to(pending.file(), 0)?;
            pending.commit(Durability::Cached).map_err(io::Error::other)?;
        }
        let stamp = stamp_of(&open(&target)?)?;
        let record = Record {
            digest: layer.blob.digest,
            size: layer.blob.size,
            diff_id: layer.diff_id,
            tar_size: layer.tar_size,
            members: layer.members,
            stamp,
            boot: self.boot.clone(),
        };
        keys.iter().for_each(|&key| self.write_record(key, &record));
        Ok(())
    }

    /// Writes a record, for a large blob only after the clock's next tick.
    fn write_record(&self, key: Digest, record: &Record) {
        let write = || -> io::Result<()> {
            let pending = Pending::create(&self.record_path(key)).map_err(io::Error::other)?;
            let mut file: &File = pending.file();
            file.write_all(record.print().as_bytes())?;
            let mut waits = if record.size < MIN_SIZE_TO_WAIT { 0 } else { MAX_CLOCK_READS };
            let stat = || retry_on_intr(|| rustix::fs::fstat(file));
            while waits > 0 && is_racy(record.stamp.ctime, time(&stat()?)) {
                let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
                let times = Timestamps { last_access: now, last_modification: now };
                retry_on_intr(|| rustix::fs::futimens(file, &times))?;
                waits -= 1;
            }
            pending.commit(Durability::Cached).map_err(io::Error::other)
        };
        // Without a record, the next run makes the layer again.
        let _ = write();
    }

    /// Sets a record's access time, by which [`Cache::evict`] finds the least recently used. Its
    /// modification time stays: it says when the record was written.
    fn mark_used(&self, path: &Path) {
        let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
        let omit = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
        let times = Timestamps { last_access: now, last_modification: omit };
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let _ = retry_on_intr(|| rustix::fs::utimensat(CWD, path, &times, flags));
    }

    /// The blob of a record, open. Removes it if it has another size.
    fn open_blob(&self, record: &Record) -> io::Result<Blob> {
        let path = self.blob_path(record.digest);
        let file = open(&path)?;
        let found = uninterrupted(|| file.metadata())?;
        if !found.is_file() || found.len() != record.size {
            fs_err::remove_file(&path)?;
            return Err(io::ErrorKind::InvalidData.into());
        }
        let place = Place::Open(Extent { file: Arc::new(file), offset: 0 });
        Ok(Blob { digest: record.digest, size: record.size, place })
    }

    fn lock(&self, how: FlockOperation) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let path = self.dir.join("lock");
        let open = || rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600));
        let file = File::from(retry_on_intr(open)?);
        retry_on_intr(|| rustix::fs::flock(&file, how))?;
        Ok(file)
    }

    /// The owner and time of a file that this process creates in the cache.
    fn probe(&self) -> io::Result<(u32, (i64, u32))> {
        let pending = Pending::create(&self.dir.join("layers/new")).map_err(io::Error::other)?;
        let stat = retry_on_intr(|| rustix::fs::fstat(&**pending.file()))?;
        Ok((stat.st_uid, time(&stat)))
    }

    fn blob_path(&self, digest: Digest) -> PathBuf {
        self.dir.join("blobs").join(digest.hex())
    }

    fn record_path(&self, key: Digest) -> PathBuf {
        self.dir.join("layers").join(key.hex())
    }
}

impl Held<'_> {
    /// Closes the blob of a layer that the cache has; its file is opened where it is read.
    pub fn close(&self, cached: &mut Cached) {
        let path = self.cache.blob_path(cached.blob.digest);
        let id = |file: &File| Ok::<_, io::Error>(stamp_of(file)?.id);
        // It may have been removed before this lock was there.
        let is_same = || io::Result::Ok(id(&open(&path)?)? == id(&cached.blob.place.open()?.file)?);
        if is_same().unwrap_or(false) {
            cached.blob = cached.blob.named(path);
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        drop(self.lock.take());
        let _ = self.cache.evict(self.cache.limit);
    }
}

/// Creates a directory that only its owner may enter, and its parents.
fn make_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let make = || std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    match uninterrupted(make) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        made => made,
    }
}

fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    Ok(retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?.into())
}

/// A record's text, and when it was written.
fn read_record(path: &Path) -> io::Result<(String, (i64, u32))> {
    use std::io::Read as _;
    let file = open(path)?;
    let stat = retry_on_intr(|| rustix::fs::fstat(&file))?;
    let mut text = String::new();
    file.take(MAX_RECORD).read_to_string(&mut text)?;
    Ok((text, time(&stat)))
}

fn stamp_of(file: &File) -> io::Result<Stamp> {
    use std::os::unix::fs::MetadataExt as _;
    let found = uninterrupted(|| file.metadata())?;
    Ok(Stamp {
        id: (found.dev(), found.ino()),
        mtime: (found.mtime(), found.mtime_nsec() as u32),
        ctime: (found.ctime(), found.ctime_nsec() as u32),
    })
}

fn time(stat: &Stat) -> (i64, u32) {
    (stat.st_mtime, stat.st_mtime_nsec as u32)
}

fn digest_of(blob: &Blob) -> io::Result<Digest> {
    let mut hash = Digesting::new(io::sink());
    let mut buffer = io::BufReader::with_capacity(1 << 18, blob.reader());
    io::copy(&mut buffer, &mut hash)?;
    Ok(hash.finish().1)
}

/// An id of this boot of the machine: what was written before it may have been lost in a power
/// failure. Empty where the system does not provide one.
fn boot_id() -> String {
    let text = fs_err::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stamp of the blob is still the one in the record.
    #[test]
    fn a_record_with_another_size_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(&dir.path().join("cache"), DEFAULT_LIMIT).unwrap();
        let path = dir.path().join("blob");
        fs_err::write(&path, "text").unwrap();
        let extent = Extent { file: Arc::new(File::open(&path).unwrap()), offset: 0 };
        let blob = Blob { digest: Digest::of("text"), size: 4, place: Place::Open(extent) };
        let diff_id = DiffId(Digest::of("tar"));
        let key = Digest::of("key");
        cache.put(&[key], &Cached { blob, diff_id, tar_size: 1024, members: 1 });
        let (text, _) = read_record(&cache.record_path(key)).unwrap();
        let record = Record::parse(&text).unwrap();
        assert!(cache.get(key).is_some());
        fs_err::write(cache.record_path(key), Record { size: 3, ..record }.print()).unwrap();
        assert!(cache.get(key).is_none());
    }

    #[test]
    fn a_key_is_not_added_for_a_layer_that_was_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(&dir.path().join("cache"), DEFAULT_LIMIT).unwrap();
        let layer = |text: &str| {
            let path = dir.path().join(text);
            fs_err::write(&path, text).unwrap();
            let extent = Extent { file: Arc::new(File::open(&path).unwrap()), offset: 0 };
            let (digest, size) = (Digest::of(text), text.len() as u64);
            let blob = Blob { digest, size, place: Place::Open(extent) };
            let diff_id = DiffId(Digest::of(format!("tar of {text}")));
            Cached { blob, diff_id, tar_size: 1024, members: 1 }
        };
        let [first, second] = ["one", "two"].map(layer);
        let [content, stat] = ["content", "stat"].map(Digest::of);
        let found = |key| cache.get(key).map(|cached| cached.blob.digest);
        cache.put(&[content], &first);
        cache.add_key(stat, content, &second);
        assert_eq!(found(stat), None);
        cache.add_key(stat, content, &first);
        assert_eq!(found(stat), Some(first.blob.digest));
    }
}
