//! Times of large files that the cache knows.
//!
//! The time of a file depends on its content and comes before that in a tar. So a file that does
//! not fit into one chunk is read twice, which without compression is a sixth of the work on large
//! files. The cache keeps the times of all large files of an image in one entry, whose key is what
//! lstat(2) says of them.

use std::io::{self, Read as _};

use super::{PackOptions, cache_key};
use crate::{
    archive::write::TarLayout,
    compress::Compression,
    digest::Digest,
    store::{Blob, cache::Cache},
    timestamp::Timestamp,
    tree::{Content, HostFile},
};

/// Bytes from which a file is large.
const LARGE: u64 = 1 << 20;

/// Bytes of all large files from which their times are kept: to read so many takes longer than to
/// ask the cache.
const MIN_BYTES: u64 = 8 << 20;

/// Where the cache gets the times when the layers are made.
pub(super) struct UnknownTimes<'a> {
    cache: &'a Cache,
    key: Digest,
}

/// Gives the large files of `layouts` the times that the cache has for them. If it has none and
/// could keep them, it gets them by [`UnknownTimes::keep`] later.
pub(super) fn take<'a>(
    layouts: &[TarLayout<'_>],
    options: &PackOptions<'a>,
) -> Option<UnknownTimes<'a>> {
    let cache = options.cache.filter(|_| options.compression == Compression::None)?;
    let files: Vec<_> = large_files(layouts).collect();
    let bytes = files.iter().map(|file| file.len).sum::<u64>();
    if bytes < MIN_BYTES {
        return None;
    }
    let key = cache_key::of_files(files.iter().map(|file| (file.host, file.len)));
    let known = cache.get(key.digest).and_then(|known| read(&known.blob, files.len()).ok());
    let Some(times) = known else {
        // Taken before any of the files is read, as for a layer.
        let is_stable = cache.clock_sample().is_some_and(|sample| !sample.is_racy(key.newest));
        return is_stable.then_some(UnknownTimes { cache, key: key.digest });
    };
    for (file, time) in files.iter().zip(times) {
        file.layout.set_time(file.number, time);
    }
    None
}

impl UnknownTimes<'_> {
    /// Puts the times of the large files of `layouts`, which have been packed, into the cache.
    pub(super) fn keep(&self, layouts: &[TarLayout<'_>]) {
        let times = large_files(layouts).map(|file| file.layout.known_time(file.number));
        if let Some(times) = times.collect::<Option<Vec<_>>>() {
            let bytes = times.iter().flat_map(|time| time.seconds().to_le_bytes());
            self.cache.put_bytes(self.key, &bytes.collect::<Vec<u8>>());
        }
    }
}

/// A large file of the host whose time depends on its content.
struct LargeFile<'l, 't> {
    layout: &'l TarLayout<'t>,
    /// Its member in the layout.
    number: usize,
    host: &'l HostFile,
    len: u64,
}

fn large_files<'l, 't>(
    layouts: &'l [TarLayout<'t>],
) -> impl Iterator<Item = LargeFile<'l, 't>> + use<'l, 't> {
    let members = layouts
        .iter()
        .flat_map(|one| one.timed_by_content().map(move |(at, file)| (one, at, file)));
    members.filter(|(.., file)| file.len >= LARGE).filter_map(|(layout, number, file)| match &file
        .content
    {
        Content::Host(host) => Some(LargeFile { layout, number, host, len: file.len }),
        Content::Inline(_) | Content::Member(..) | Content::Sparse(..) => None,
    })
}

/// As many times as there are files.
fn read(blob: &Blob, count: usize) -> io::Result<Vec<Timestamp>> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let mut bytes = vec![0; count * size_of::<i64>()];
    if blob.size != bytes.len() as u64 {
        return Err(invalid());
    }
    blob.reader().read_exact(&mut bytes)?;
    let (times, _) = bytes.as_chunks();
    let time = |bytes: &[u8; 8]| {
        Timestamp::from_seconds(i64::from_le_bytes(*bytes)).filter(|at| *at > Timestamp::EPOCH)
    };
    times.iter().map(time).collect::<Option<_>>().ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, num::NonZeroUsize, sync::Arc, time::Duration};

    use super::*;
    use crate::{
        pack::pack,
        path::ImagePath,
        source::HostRoot,
        store::{Durability, Extent, Place, Store, cache::DEFAULT_LIMIT},
        timestamp::Mtime,
        tree::Tree,
    };

    /// The second run reads a large file once, and makes the same layer.
    #[test]
    fn a_large_file_is_read_once_where_the_cache_knows_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..9 << 20).map(|number: u32| (number >> 9) as u8).collect();
        fs_err::create_dir(dir.path().join("root")).unwrap();
        fs_err::write(dir.path().join("root/f"), &content).unwrap();
        let cache = Cache::open(&dir.path().join("cache"), DEFAULT_LIMIT).unwrap();
        let is_racy = |stat: rustix::fs::Stat| {
            let ctime = (stat.st_ctime, stat.st_ctime_nsec as u32);
            cache.clock_sample().unwrap().is_racy(ctime)
        };
        while is_racy(rustix::fs::stat(dir.path().join("root/f")).unwrap()) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let run = || {
            let host = HostRoot::new(dir.path().join("root")).unwrap();
            let path = ImagePath::new("/f").unwrap();
            let mut node = host.node(&path).unwrap().unwrap().unwrap();
            node.meta.mtime = Mtime::OfContent;
            let tree: Tree = [(path, node)].into_iter().collect();
            let options = PackOptions {
                compression: Compression::None,
                jobs: NonZeroUsize::new(2).unwrap(),
                cache: Some(&cache),
                sources: None,
                has_keys: false,
                first: &BTreeSet::new(),
                rootfs: None,
                follower: None,
            };
            let out = tempfile::tempdir().unwrap();
            let mut store = Store::directory(out.path(), Durability::Cached).unwrap();
            let layers = pack(&[&tree], &options, &mut store, &|_| {}).unwrap();
            (layers[0].diff_id, layers[0].read)
        };
        let len = content.len() as u64;
        let (first, read) = run();
        assert!(read > len, "{read}");
        assert_eq!(run(), (first, len));
        fs_err::write(dir.path().join("root/f"), vec![1; content.len()]).unwrap();
        let (changed, read) = run();
        assert!(changed != first && read > len, "{read}");
    }

    #[test]
    fn only_times_that_contents_can_have_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let blob = |bytes: &[u8]| {
            let path = dir.path().join("blob");
            fs_err::write(&path, bytes).unwrap();
            let file = Arc::new(std::fs::File::open(&path).unwrap());
            let place = Place::Open(Extent { file, offset: 0 });
            Blob { digest: Digest::of(bytes), size: bytes.len() as u64, place }
        };
        let time = 400_000_000_i64.to_le_bytes();
        assert_eq!(read(&blob(&time), 1).unwrap(), [Timestamp::from_seconds(400_000_000).unwrap()]);
        assert!(read(&blob(&time), 2).is_err());
        assert!(read(&blob(&0_i64.to_le_bytes()), 1).is_err());
        assert!(read(&blob(&i64::MAX.to_le_bytes()), 1).is_err());
    }
}
