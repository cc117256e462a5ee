//! Compressed layers that were made before, by a digest of all that their bytes depend on.
//!
//! A directory with the blobs (`blobs/HEX`, by digest), a record for each layer (`layers/HEX`, by
//! key) and a lock. Many processes may use it at once: files appear whole by rename, who adds holds
//! the lock shared, and who removes holds it alone. Whatever is wrong with the cache only costs the
//! time to make the layer again.
//!
//! A blob is taken unread only if its file is, to the inode, the times and this start of the
//! machine, the one whose digest was computed; else its digest is computed again, and a blob that
//! fails is thrown away.

mod prune;
mod record;

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, Stat, Timespec, Timestamps};

use super::{Blob, Durability, Extent, Pending, pending};
use crate::digest::{DiffId, Digest, Digesting};

pub use prune::{Info, Pruned};
pub use record::is_racy;
use record::{MAX_RECORD, Record, Stamp};

/// Bytes that a cache may have unless the user says otherwise.
pub const DEFAULT_LIMIT: u64 = 8_000_000_000;

/// Blobs from here on wait for the clock's next step when they are noted, so that the next run need
/// not compute their digest: that would take longer.
const WORTH_WAITING: u64 = 8 << 20;

/// How often the clock is asked until it has made a step. The kernel's clock for files makes one in
/// 10 ms at most (`CONFIG_HZ=100`), and to be asked takes about a microsecond.
const MOST_WAITS: u32 = 50_000;

/// A cache directory that this process may use.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
    limit: u64,
    boot: String,
    /// What a file gets that this process makes.
    owner: u32,
}

/// A layer of the cache.
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

/// Why a directory is no cache for this process.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The system refused.
    #[error("cannot use the cache {}", path.display())]
    Io {
        /// The directory or a file in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could put layers there that are not what they say.
    #[error("the cache {} can be written by others than this user", .0.display())]
    Shared(PathBuf),
}

/// The moment before a layer's files are read; see [`is_racy`].
#[derive(Clone, Copy, Debug)]
pub struct ClockSample((i64, u32));

impl ClockSample {
    /// Whether a file changed last at `ctime` can be changed after this moment and look the same.
    pub fn is_racy(self, ctime: (i64, u32)) -> bool {
        is_racy(ctime, self.0)
    }
}

impl Cache {
    /// The cache in `dir`, which is made if it is not there. It keeps to `limit` bytes.
    ///
    /// # Errors
    /// [`CacheError`] where this process cannot write there, or others can.
    pub fn open(dir: &Path, limit: u64) -> Result<Self, CacheError> {
        let io = |source| CacheError::Io { path: dir.to_owned(), source };
        make_private(dir).map_err(io)?;
        for below in ["blobs", "layers"] {
            make_private(&dir.join(below)).map_err(io)?;
        }
        let mut cache = Self { dir: dir.to_owned(), limit, boot: boot(), owner: 0 };
        let (owner, _) = cache.probe().map_err(io)?;
        cache.owner = owner;
        for path in [dir.to_owned(), dir.join("blobs"), dir.join("layers")] {
            let stat = rustix::fs::stat(&path).map_err(|fault| io(fault.into()))?;
            if stat.st_uid != owner || stat.st_mode & 0o022 != 0 {
                return Err(CacheError::Shared(path));
            }
        }
        Ok(cache)
    }

    /// The layer of `key`, if it is here and right.
    pub fn get(&self, key: Digest) -> Option<Cached> {
        let path = self.record_path(key);
        let (text, changed) = read_record(&path).ok()?;
        let Some(record) = Record::parse(&text) else {
            let _ = fs_err::remove_file(&path);
            return None;
        };
        let blob = self.open_blob(&record).ok()?;
        let stamp = stamp_of(&blob.extent.file).ok()?;
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
            self.note(key, &Record { stamp, boot: self.boot.clone(), ..record });
        }
        self.touch(&path);
        let Record { diff_id, tar_size, members, .. } = record;
        Some(Cached { blob, diff_id, tar_size, members })
    }

    /// The moment now, by the clock that stamps the cache's own files; `None` where nothing can be
    /// written.
    pub fn clock_sample(&self) -> Option<ClockSample> {
        self.probe().ok().map(|(_, now)| ClockSample(now))
    }

    /// Keeps `layer`, whose blob is an output's, under `key`. That it cannot be kept is no fault.
    pub fn put(&self, key: Digest, layer: &Cached) {
        if layer.blob.size <= self.limit {
            let _ = self.keep(key, layer);
        }
        let _ = self.evict(self.limit);
    }

    /// Notes that an output's file is another name of the cached blob now, by which its times have
    /// changed.
    pub fn linked(&self, key: Digest) {
        let Ok((text, _)) = read_record(&self.record_path(key)) else { return };
        let Some(record) = Record::parse(&text) else { return };
        let stamp = self.open_blob(&record).ok().and_then(|blob| stamp_of(&blob.extent.file).ok());
        let Some(stamp) = stamp.filter(|stamp| *stamp != record.stamp) else { return };
        // Of the times only the last may differ: to get a name changes no bytes.
        if (stamp.id, stamp.mtime) == (record.stamp.id, record.stamp.mtime) {
            self.note(key, &Record { stamp, ..record });
        }
    }

    fn keep(&self, key: Digest, layer: &Cached) -> io::Result<()> {
        let space = rustix::fs::statvfs(&self.dir)?;
        // A cache must not be what fills a disk.
        if space.f_bavail.saturating_mul(space.f_frsize) < layer.blob.size.saturating_mul(2) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let _lock = self.lock(FlockOperation::LockShared)?;
        let target = self.blob_path(layer.blob.digest);
        let whole = layer.blob.extent.offset == 0
            && layer.blob.extent.file.metadata()?.len() == layer.blob.size
            && pending::link(&layer.blob.extent.file, &target).is_ok();
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
        self.note(key, &record);
        Ok(())
    }

    /// Writes a record, after the clock's next step if that pays.
    fn note(&self, key: Digest, record: &Record) {
        let write = || -> io::Result<()> {
            let pending = Pending::create(&self.record_path(key)).map_err(io::Error::other)?;
            let mut file: &File = pending.file();
            file.write_all(record.print().as_bytes())?;
            let mut waits = if record.size < WORTH_WAITING { 0 } else { MOST_WAITS };
            while waits > 0 && is_racy(record.stamp.ctime, time(&rustix::fs::fstat(file)?)) {
                let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
                rustix::fs::futimens(
                    file,
                    &Timestamps { last_access: now, last_modification: now },
                )?;
                waits -= 1;
            }
            pending.commit(Durability::Cached).map_err(io::Error::other)
        };
        // Without a record the layer is made again next time.
        let _ = write();
    }

    /// Marks a record as used now, for [`Cache::evict`]. Its time of modification says when it was
    /// written.
    fn touch(&self, path: &Path) {
        let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
        let omit = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
        let times = Timestamps { last_access: now, last_modification: omit };
        let _ = rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
    }

    /// The blob of a record, open. One of another size is thrown away.
    fn open_blob(&self, record: &Record) -> io::Result<Blob> {
        let path = self.blob_path(record.digest);
        let file = open(&path)?;
        let found = file.metadata()?;
        if !found.is_file() || found.len() != record.size {
            fs_err::remove_file(&path)?;
            return Err(io::ErrorKind::InvalidData.into());
        }
        let extent = Extent { file: Arc::new(file), offset: 0 };
        Ok(Blob { digest: record.digest, size: record.size, extent })
    }

    fn lock(&self, how: FlockOperation) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file =
            File::from(rustix::fs::open(self.dir.join("lock"), flags, Mode::from_raw_mode(0o600))?);
        rustix::fs::flock(&file, how)?;
        Ok(file)
    }

    /// Who owns a file that this process makes here, and when it was made.
    fn probe(&self) -> io::Result<(u32, (i64, u32))> {
        let pending = Pending::create(&self.dir.join("layers/new")).map_err(io::Error::other)?;
        let stat = rustix::fs::fstat(&**pending.file())?;
        Ok((stat.st_uid, time(&stat)))
    }

    fn blob_path(&self, digest: Digest) -> PathBuf {
        self.dir.join("blobs").join(digest.hex())
    }

    fn record_path(&self, key: Digest) -> PathBuf {
        self.dir.join("layers").join(key.hex())
    }
}

/// Makes a directory that nobody else may enter, and its parents.
fn make_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    match std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir) {
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        made => made,
    }
}

fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

/// A record's text, and when it was written.
fn read_record(path: &Path) -> io::Result<(String, (i64, u32))> {
    use std::io::Read as _;
    let file = open(path)?;
    let stat = rustix::fs::fstat(&file)?;
    let mut text = String::new();
    file.take(MAX_RECORD).read_to_string(&mut text)?;
    Ok((text, time(&stat)))
}

fn stamp_of(file: &File) -> io::Result<Stamp> {
    use std::os::unix::fs::MetadataExt as _;
    let found = file.metadata()?;
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

/// Which start of the machine this is: what was written before it may have been lost with the
/// power. Empty where the system does not say.
fn boot() -> String {
    let text = fs_err::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect()
}
