//! The size of a cache, and evicting the least recently used entries.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::FlockOperation;

use super::{super::list_directory, Cache, Record, digest_of, read_record};
use crate::{digest::Digest, uninterrupted};

/// How many keys of one layer are kept. Each fresh copy of a tree adds one.
const KEYS: usize = 8;

/// How many blobs are kept: a small one takes more of the disk than its bytes, and each is looked
/// at when one is added.
const BLOBS: usize = 10_000;

/// The contents of a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Layers, each of which may have several keys.
    pub layers: usize,
    /// Blobs; more than layers where a process was killed.
    pub blobs: usize,
    /// Bytes of the blobs.
    pub bytes: u64,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Layers.
    pub layers: usize,
    /// Bytes of blobs.
    pub bytes: u64,
    /// Blobs whose digest was not that of their name.
    pub damaged: usize,
}

/// A record's file, and when it was last used.
struct Used {
    when: (i64, i64),
    path: PathBuf,
    digest: Digest,
}

impl Cache {
    /// Counts layers, blobs and bytes.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn info(&self) -> io::Result<Info> {
        let blobs = self.blobs()?;
        let bytes = blobs.values().sum();
        let (records, _) = self.records()?;
        let layers: BTreeSet<Digest> = records.iter().map(|record| record.digest).collect();
        Ok(Info { layers: layers.len(), blobs: blobs.len(), bytes })
    }

    /// Removes the least recently used layers until at most `limit` bytes and 10,000 blobs are
    /// left, and also blobs that belong to no layer or have a wrong digest.
    ///
    /// # Errors
    /// If the directory cannot be read or files cannot be removed.
    pub fn prune(&self, limit: u64) -> io::Result<Pruned> {
        let lock = self.lock(FlockOperation::LockExclusive)?;
        let mut damaged = 0;
        for name in self.blobs()?.into_keys() {
            let Ok(file) = super::open(&self.dir.join("blobs").join(&name)) else { continue };
            let size = uninterrupted::uninterrupted(|| file.metadata())?.len();
            let extent = crate::store::Extent { file: file.into(), offset: 0 };
            let place = crate::store::Place::Open(extent);
            let blob = crate::store::Blob { digest: Digest::of(""), size, place };
            if digest_of(&blob)?.hex() != name {
                remove(self.dir.join("blobs").join(&name))?;
                damaged += 1;
            }
        }
        Ok(Pruned { damaged, ..self.shrink(limit, &lock)? })
    }

    /// As [`Cache::prune`], but without checking digests, and not while another process holds the
    /// lock: that process evicts too.
    pub(super) fn evict(&self, limit: u64) -> io::Result<Pruned> {
        let blobs = self.blobs()?;
        let keys = list_directory(&self.dir.join("layers"))?.len();
        let is_small = blobs.values().sum::<u64>() <= limit && blobs.len() <= BLOBS;
        if is_small && keys <= (blobs.len() + 1) * KEYS {
            return Ok(Pruned::default());
        }
        let lock = self.lock(FlockOperation::NonBlockingLockExclusive)?;
        self.shrink(limit, &lock)
    }

    /// While `_lock` is held exclusively, no process adds anything.
    fn shrink(&self, limit: u64, _lock: &File) -> io::Result<Pruned> {
        let blobs = self.blobs()?;
        let (mut records, broken) = self.records()?;
        let mut pruned = Pruned::default();
        for path in broken {
            remove(path)?;
        }
        records.sort_by_key(|used| std::cmp::Reverse(used.when));
        let (mut kept, mut bytes) = (BTreeMap::<String, usize>::new(), 0_u64);
        let mut removed = BTreeSet::new();
        for used in records {
            let name = used.digest.hex();
            let size = blobs.get(&name).copied();
            let more = match kept.contains_key(&name) {
                true => Some(0),
                false => size.filter(|_| kept.len() < BLOBS),
            };
            match more.filter(|more| bytes.saturating_add(*more) <= limit) {
                Some(more) => {
                    bytes += more;
                    let keys = kept.entry(name).or_default();
                    *keys += 1;
                    if *keys > KEYS {
                        remove(&used.path)?;
                    }
                }
                None => {
                    remove(&used.path)?;
                    removed.insert(name);
                }
            }
        }
        pruned.layers = removed.len();
        for (name, size) in blobs {
            if !kept.contains_key(&name) {
                remove(self.dir.join("blobs").join(&name))?;
                pruned.bytes += size;
            }
        }
        Ok(pruned)
    }

    /// The blobs' names and sizes. A temporary file that a killed process left counts as one.
    fn blobs(&self) -> io::Result<BTreeMap<String, u64>> {
        let files = files(&self.dir.join("blobs"))?.into_iter();
        let name =
            |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(files.map(|(path, found)| (name(&path), found.len())).collect())
    }

    /// The records, and files that are not valid records.
    fn records(&self) -> io::Result<(Vec<Used>, Vec<PathBuf>)> {
        let (mut records, mut broken) = (Vec::new(), Vec::new());
        for (path, found) in files(&self.dir.join("layers"))? {
            match read_record(&path).ok().and_then(|(text, _)| Record::parse(&text)) {
                Some(record) => {
                    let when = (found.atime(), found.atime_nsec());
                    records.push(Used { when, path, digest: record.digest });
                }
                None => broken.push(path),
            }
        }
        Ok((records, broken))
    }
}

/// The regular files in a directory of the cache, without those that another process removes
/// meanwhile.
fn files(dir: &Path) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let paths = list_directory(dir)?.into_iter().map(|name| dir.join(name));
    let found =
        |path: PathBuf| uninterrupted::symlink_metadata(&path).ok().map(|found| (path, found));
    Ok(paths.filter_map(found).filter(|(_, found)| found.is_file()).collect())
}

/// Removes a file of the cache.
fn remove(path: impl AsRef<Path>) -> io::Result<()> {
    uninterrupted::uninterrupted(|| fs_err::remove_file(path.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        digest::DiffId,
        store::cache::{DEFAULT_LIMIT, record::Stamp},
    };

    #[test]
    fn a_cache_of_many_small_blobs_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(&dir.path().join("cache"), DEFAULT_LIMIT).unwrap();
        let stamp = Stamp { id: (0, 0), mtime: (0, 0), ctime: (0, 0) };
        for number in 0..BLOBS + 2 {
            let digest = Digest::of(number.to_string());
            fs_err::write(cache.blob_path(digest), "").unwrap();
            let (diff_id, boot) = (DiffId(digest), String::new());
            let record = Record { digest, size: 0, diff_id, tar_size: 0, members: 0, stamp, boot };
            fs_err::write(cache.record_path(digest), record.print()).unwrap();
            if number + 2 == BLOBS {
                cache.evict(DEFAULT_LIMIT).unwrap();
                assert_eq!(cache.info().unwrap().blobs, BLOBS - 1);
            }
        }
        let first = cache.record_path(Digest::of("0"));
        let old = std::time::UNIX_EPOCH;
        let times = std::fs::FileTimes::new().set_accessed(old).set_modified(old);
        File::options().append(true).open(&first).unwrap().set_times(times).unwrap();
        let pruned = cache.evict(DEFAULT_LIMIT).unwrap();
        assert_eq!(pruned.layers, 2);
        let info = cache.info().unwrap();
        assert_eq!((info.layers, info.blobs), (BLOBS, BLOBS));
        assert!(!first.exists());
    }
}
