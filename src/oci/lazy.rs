//! Layers of which only what is used is read again.
//!
//! The first time, a layer is read whole and verified. What it consists of without the contents of
//! files, and those contents that are used, go to the cache under the digest of its tar. The next
//! time these pieces are the layer, and the image is asked for it only if something else is needed:
//! then it is read whole and verified as before. The cache verifies the digest of the pieces.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    ops::Range,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    Image, ImageError, Layer, LayerEntry,
    blob_source::BlobSource,
    layers::{Facts, LayerReader},
    piece_file::{self, copy},
    pieces::Ranges,
};
use crate::{
    archive::{
        read::{self, Budget, ReadError, Whiteouts},
        spool,
    },
    store::cache::{Cache, Cached},
    tree::{Archive, Filler},
};

/// The layers that a process has read, and the cache that gets their pieces.
#[derive(Clone, Debug)]
pub struct Pieces(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    cache: Cache,
    images: Mutex<Vec<Arc<LazyImage>>>,
}

/// An image, and those of its layers that have been read.
#[derive(Debug)]
struct LazyImage {
    name: String,
    source: Arc<BlobSource>,
    /// The directory for temporary files.
    dir: PathBuf,
    limits: spool::Limits,
    /// The tars of the layers behind each other, in which ranges are missing. All share one file,
    /// so that an image of many layers needs few descriptors.
    file: File,
    /// The layers by where their tars begin.
    layers: Mutex<BTreeMap<u64, Arc<LazyLayer>>>,
}

/// A layer's tar in the file of its image.
#[derive(Debug)]
struct LazyLayer {
    entry: LayerEntry,
    facts: Facts,
    /// Where the tar begins in the file.
    start: u64,
    state: Mutex<State>,
}

/// Ranges of a tar.
#[derive(Debug)]
struct State {
    /// What is in the file.
    present: Ranges,
    /// What the cache is to have.
    used: Ranges,
    /// What the cache has.
    known: Ranges,
}

/// Reads the layers of one image into one nameless file, or the pieces of them that the cache has.
pub(super) struct LazyReader<'a> {
    pieces: &'a Pieces,
    image: Arc<LazyImage>,
    archive: Arc<Archive>,
    /// Where the last tar ends in the file.
    end: u64,
    /// What is left for the layers that have not been read.
    budget: Budget,
}

impl Pieces {
    /// Keeps pieces in `cache`.
    pub fn new(cache: Cache) -> Self {
        Self(Arc::new(Shared { cache, images: Mutex::default() }))
    }

    /// Puts what was used of the layers into the cache. Errors are ignored: it is read again.
    pub fn remember(&self) {
        for image in lock(&self.0.images).iter() {
            for layer in lock(&image.layers).values() {
                let _ = layer.remember(image, &self.0.cache);
            }
        }
    }

    /// A reader of the layers of `image`.
    pub(super) fn reader(&self, image: &Image) -> Result<LazyReader<'_>, ImageError> {
        let dir = image.spool.clone();
        let write = |source| spool::SpoolError::Write { dir: dir.clone(), source };
        let file = tempfile::tempfile_in(&dir).map_err(write)?;
        let archive_file = file.try_clone().map_err(write)?;
        let name = image.name.clone();
        let (source, limits) = (Arc::clone(&image.source), image.limits);
        let layers = Mutex::default();
        let image = Arc::new(LazyImage { name, source, dir, limits, file, layers });
        lock(&self.0.images).push(Arc::clone(&image));
        let filled = Arc::clone(&image);
        let filler = Some(Filler(Box::new(move |range| filled.fill(range))));
        let archive = Arc::new(Archive { name: image.name.clone(), file: archive_file, filler });
        let budget = Budget::new(read::Limits::default());
        Ok(LazyReader { pieces: self, image, archive, end: 0, budget })
    }
}

impl LazyReader<'_> {
    /// Reads a layer.
    pub(super) fn read(&mut self, entry: &LayerEntry) -> Result<Layer, ImageError> {
        let end = self.end;
        if let Some((facts, ranges)) = self.cached(entry) {
            let budget = self.budget.clone();
            // Pieces without the table of contents do not parse, or lack a part of it.
            if let Ok(Some(layer)) = self.parse(entry, facts, Some(ranges)) {
                return Ok(layer);
            }
            self.budget = budget;
        }
        self.end = end;
        let facts = self.whole(entry)?;
        let layer = self.parse(entry, facts, None)?;
        layer.ok_or_else(|| ImageError::MissingMember(entry.path.clone()))
    }

    /// The pieces in the cache, at the end of the file.
    fn cached(&mut self, entry: &LayerEntry) -> Option<(Facts, Ranges)> {
        let cached = self.pieces.0.cache.get(piece_file::key(entry))?;
        let (file, left) = (&self.image.file, self.image.limits.bytes.saturating_sub(self.end));
        let start = self.end;
        let (facts, ranges) = piece_file::read(&cached, entry, left, |piece, from, at| {
            copy(piece, from, file, start + at)
        })?;
        self.end += facts.tar_size;
        file.set_len(self.end).ok()?;
        Some((facts, ranges))
    }

    /// The whole tar of a layer at the end of the file, verified.
    fn whole(&mut self, entry: &LayerEntry) -> Result<Facts, ImageError> {
        let LazyImage { name, source, dir, limits, file, .. } = &*self.image;
        let write = |source| spool::SpoolError::Write { dir: dir.clone(), source };
        // What pieces that were not usable have left there.
        file.set_len(self.end).map_err(write)?;
        let file = file.try_clone().map_err(write)?;
        let reader = LayerReader::of_file(name, source, dir, *limits, (file, self.end));
        let (facts, _) = reader.whole(entry)?;
        self.end += facts.tar_size;
        Ok(facts)
    }

    /// The layer whose tar is the last one in the file; `None` if a part of its table of contents
    /// is not among the ranges `known`. Without them all is there.
    fn parse(
        &mut self,
        entry: &LayerEntry,
        facts: Facts,
        known: Option<Ranges>,
    ) -> Result<Option<Layer>, ImageError> {
        let range = self.end - facts.tar_size..self.end;
        let contents =
            read::read_range(&self.archive, range.clone(), Whiteouts::Apply, &mut self.budget);
        let contents = contents.map_err(|error| ReadError {
            archive: format!("{}: layer {}", self.image.name, entry.diff_id),
            ..error
        })?;
        let present = known.clone().unwrap_or_else(|| Ranges::all(facts.tar_size));
        let table = Ranges::without_contents(&contents.change.tree, &range);
        if !table.iter().all(|range| present.contain(&range)) {
            return Ok(None);
        }
        let known = known.unwrap_or_default();
        let mut used = known.clone();
        table.iter().for_each(|range| used.insert(range));
        let layer = Arc::new(LazyLayer {
            entry: entry.clone(),
            facts,
            start: range.start,
            state: Mutex::new(State { present, used, known }),
        });
        lock(&self.image.layers).insert(range.start, layer);
        Ok(Some(Layer {
            digest: facts.digest,
            size: facts.size,
            diff_id: entry.diff_id,
            format: facts.format,
            media_type: entry.media_type.clone(),
            annotations: entry.annotations.clone(),
            tar_size: facts.tar_size,
            change: Arc::new(contents.change),
            replaced: contents.replaced,
            dropped_attributes: contents.dropped_attributes,
            archive: Arc::clone(&self.archive),
            range,
            path: entry.path.clone(),
        }))
    }
}

impl LazyImage {
    /// Makes `range` of the file present, which lies in one layer.
    fn fill(&self, range: Range<u64>) -> io::Result<()> {
        let layer =
            lock(&self.layers).range(..=range.start).next_back().map(|(_, one)| one.clone());
        match layer {
            Some(layer) => layer.fill(self, range.start - layer.start..range.end - layer.start),
            None => Ok(()),
        }
    }
}

impl LazyLayer {
    /// Makes `range` of the tar present in the file.
    fn fill(&self, image: &LazyImage, range: Range<u64>) -> io::Result<()> {
        let mut state = lock(&self.state);
        let tar_size = self.facts.tar_size;
        if !state.present.contain(&range) {
            let LazyImage { name, source, dir, limits, file, .. } = image;
            let whole = LayerReader::new(name, source, dir, *limits);
            let whole = whole.and_then(|reader| reader.whole(&self.entry));
            let (_, whole) = whole.map_err(io::Error::other)?;
            copy(&whole.file, 0..tar_size, file, self.start)?;
            state.present = Ranges::all(tar_size);
        }
        state.used.insert_blocks(&range, tar_size);
        Ok(())
    }

    /// Puts the pieces that were used into the cache if it lacks any.
    fn remember(&self, image: &LazyImage, cache: &Cache) -> io::Result<()> {
        let mut state = lock(&self.state);
        // A block may begin in one file and end in the next, which was not read.
        if state.used.iter().any(|range| !state.present.contain(&range)) {
            let present = state.present.clone();
            let mut used = Ranges::default();
            present.iter().for_each(|range| used.insert(range));
            state.used = used;
        }
        if state.used == state.known {
            return Ok(());
        }
        let at = (&image.file, self.start);
        let blob = piece_file::write(self.facts, &state.used, at, &image.dir)?;
        let (diff_id, tar_size) = (self.entry.diff_id, self.facts.tar_size);
        let key = piece_file::key(&self.entry);
        cache.put(&[key], &Cached { blob, diff_id, tar_size, members: 0 });
        state.known = state.used.clone();
        Ok(())
    }
}

/// No state is left half changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        digest::{DiffId, Digest},
        image::{ImageName, Platform},
        oci::{OpenOptions, open},
        path::ImagePath,
    };

    /// A tar of one file, `f`.
    fn tar(text: &str) -> Vec<u8> {
        let mut header = [0; 512];
        header[..1].copy_from_slice(b"f");
        header[100..107].copy_from_slice(b"0000644");
        header[124..135].copy_from_slice(format!("{:011o}", text.len()).as_bytes());
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let mut tar = [&header[..], text.as_bytes()].concat();
        tar.resize(tar.len().div_ceil(512) * 512 + 1024, 0);
        tar
    }

    /// A layout of an image whose layers are `tars`.
    fn layout(dir: &std::path::Path, tars: &[Vec<u8>]) {
        let blobs = dir.join("blobs/sha256");
        fs_err::create_dir_all(&blobs).unwrap();
        let blob = |media_type: &str, bytes: &[u8]| {
            let digest = Digest::of(bytes);
            fs_err::write(blobs.join(digest.hex()), bytes).unwrap();
            serde_json::json!({
                "mediaType": format!("application/vnd.oci.image.{media_type}"),
                "digest": digest.to_string(), "size": bytes.len(),
            })
        };
        let diff_ids: Vec<_> = tars.iter().map(|tar| Digest::of(tar).to_string()).collect();
        let config = serde_json::json!({
            "os": "linux", "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let layers: Vec<_> = tars.iter().map(|tar| blob("layer.v1.tar", tar)).collect();
        let config = blob("config.v1+json", config.to_string().as_bytes());
        let manifest =
            serde_json::json!({"schemaVersion": 2, "config": config, "layers": layers}).to_string();
        let manifest = blob("manifest.v1+json", manifest.as_bytes());
        let index = serde_json::json!({"schemaVersion": 2, "manifests": [manifest]}).to_string();
        fs_err::write(dir.join("index.json"), index).unwrap();
        fs_err::write(dir.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
    }

    fn opened(dir: &std::path::Path, pieces: Option<Pieces>, bytes: u64) -> Image {
        let name = ImageName::parse(&format!("oci:{}", dir.display()), |_| true).unwrap();
        let options = OpenOptions {
            platform: None,
            machine: Platform::linux("amd64", None),
            any: false,
            spool: dir.into(),
            limits: spool::Limits { bytes, ..spool::Limits::default() },
            registries: Default::default(),
            pieces,
        };
        open(&name, &options).unwrap()
    }

    fn text(image: Image) -> String {
        let tree = image.unpack_pieces().unwrap().merged();
        let file = tree.get(&ImagePath::new("/f").unwrap()).unwrap().file().unwrap().clone();
        let crate::tree::Content::Member(archive, at) = &file.content else { panic!() };
        let mut bytes = vec![0; file.len as usize];
        archive.read_exact_at(&mut bytes, *at).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Such pieces would be an empty layer.
    #[test]
    fn pieces_without_the_table_of_contents_are_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let tars = [tar("lower"), tar("upper")];
        layout(dir.path(), &tars);
        let cache = || Cache::open(&dir.path().join("cache"), 1 << 20).unwrap();
        let pieces = || Some(Pieces::new(cache()));
        let image = opened(dir.path(), None, 1 << 20);
        for (entry, tar) in image.layers.iter().zip(&tars) {
            let (digest, size) = entry.blob.unwrap();
            let tar_size = tar.len() as u64;
            let format = crate::compress::Format::Plain;
            let facts = Facts { format, digest, size, tar_size };
            let file = tempfile::tempfile().unwrap();
            let mut ranges = Ranges::default();
            ranges.insert(1024..1536);
            file.set_len(tar_size).unwrap();
            let blob = piece_file::write(facts, &ranges, (&file, 0), dir.path()).unwrap();
            let cached = Cached { blob, diff_id: DiffId(digest), tar_size, members: 0 };
            cache().put(&[piece_file::key(entry)], &cached);
        }
        assert_eq!(text(opened(dir.path(), pieces(), 1 << 20)), "upper");
    }

    #[test]
    fn the_limit_of_bytes_is_that_of_all_layers() {
        let dir = tempfile::tempdir().unwrap();
        layout(dir.path(), &[tar("lower"), tar("upper")]);
        let cache = || Cache::open(&dir.path().join("cache"), 1 << 20).unwrap();
        let pieces = Pieces::new(cache());
        assert!(opened(dir.path(), Some(pieces.clone()), 3000).unpack_pieces().is_err());
        assert_eq!(text(opened(dir.path(), Some(pieces.clone()), 1 << 20)), "upper");
        pieces.remember();
        // Also where all is in the cache.
        let pieces = Pieces::new(cache());
        assert!(opened(dir.path(), Some(pieces), 3000).unpack_pieces().is_err());
    }
}
