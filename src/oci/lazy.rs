//! Layers of which only what is used is read again.
//!
//! The first time, a layer is read whole and verified. What it consists of without the contents of
//! files, and those contents that are used, go to the cache under the digest of its tar. The next
//! time these pieces are the layer, and the image is asked for it only if something else is needed:
//! then it is read whole and verified as before. The cache verifies the digest of the pieces.

use std::{
    fs::File,
    io::{self, Write as _},
    ops::Range,
    os::unix::fs::FileExt as _,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    ImageError, Layer, LayerEntry, blob_source::BlobSource, layers::LayerReader, pieces::Ranges,
};
use crate::{
    archive::{
        read::{self, Budget, ReadError, Whiteouts},
        spool,
    },
    compress::Format,
    digest::{Digest, Digesting},
    store::{
        Blob, Extent, Place,
        cache::{Cache, Cached},
    },
    tree::{Archive, Filler},
};

/// What the pieces of a layer start with. Another text means another form.
const MAGIC: &[u8; 16] = b"imgb pieces 1\n\0\0";
/// Bytes of the fixed fields after it: format, digest and size of the blob, size of the tar.
const FIELDS: usize = 8 + 32 + 8 + 8;
/// Bytes of the list of pieces that are read.
const MAX_LIST: u64 = 64 << 20;

/// The layers that a process has read, and the cache that gets their pieces.
#[derive(Clone, Debug)]
pub struct Pieces(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    cache: Cache,
    layers: Mutex<Vec<Arc<LazyLayer>>>,
}

/// A layer's tar in a private file of this process, in which some ranges are missing.
#[derive(Debug)]
struct LazyLayer {
    name: String,
    entry: LayerEntry,
    source: Arc<BlobSource>,
    dir: PathBuf,
    limits: spool::Limits,
    file: File,
    facts: Facts,
    state: Mutex<State>,
}

/// What is known of a layer without reading it.
#[derive(Clone, Copy, Debug)]
struct Facts {
    format: Format,
    digest: Digest,
    size: u64,
    tar_size: u64,
}

#[derive(Debug)]
struct State {
    /// What is in the file.
    present: Ranges,
    /// What the cache is to have.
    used: Ranges,
    /// What the cache has.
    known: Ranges,
}

/// Where layers are read from, and how.
pub(super) struct Origin<'a> {
    pub(super) name: &'a str,
    pub(super) source: &'a Arc<BlobSource>,
    pub(super) dir: PathBuf,
    pub(super) limits: spool::Limits,
}

impl Pieces {
    /// Keeps pieces in `cache`.
    pub fn new(cache: Cache) -> Self {
        Self(Arc::new(Shared { cache, layers: Mutex::default() }))
    }

    /// Puts what was used of the layers into the cache. Errors are ignored: it is read again.
    pub fn remember(&self) {
        for layer in lock(&self.0.layers).iter() {
            let _ = layer.remember(&self.0.cache);
        }
    }

    /// Reads a layer, or the pieces of it that the cache has.
    pub(super) fn read(
        &self,
        entry: &LayerEntry,
        origin: &Origin<'_>,
        budget: &mut Budget,
    ) -> Result<Layer, ImageError> {
        let found = self.0.cache.get(key(entry));
        let cached = found.and_then(|cached| cached_pieces(&cached, entry, origin));
        let (file, facts, known) = match cached {
            Some(found) => found,
            None => whole(entry, origin)?,
        };
        let present = known.clone().unwrap_or_else(|| Ranges::all(facts.tar_size));
        let (used, known) = (known.clone().unwrap_or_default(), known.unwrap_or_default());
        let write = |source| spool::SpoolError::Write { dir: origin.dir.clone(), source };
        let archive_file = file.try_clone().map_err(write)?;
        let layer = Arc::new(LazyLayer {
            name: origin.name.to_owned(),
            entry: entry.clone(),
            source: Arc::clone(origin.source),
            dir: origin.dir.clone(),
            limits: origin.limits,
            file,
            facts,
            state: Mutex::new(State { present, used, known }),
        });
        let filled = Arc::clone(&layer);
        let filler = Some(Filler(Box::new(move |range| filled.fill(range))));
        let archive =
            Arc::new(Archive { name: origin.name.to_owned(), file: archive_file, filler });
        let range = 0..facts.tar_size;
        let contents = read::read_range(&archive, range, Whiteouts::Apply, budget);
        let contents = contents.map_err(|error| ReadError {
            archive: format!("{}: layer {}", origin.name, entry.diff_id),
            ..error
        })?;
        let table = Ranges::without_contents(&contents.change.tree, facts.tar_size);
        table.iter().for_each(|range| lock(&layer.state).used.insert(range));
        lock(&self.0.layers).push(layer);
        Ok(Layer {
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
            archive,
            range: 0..facts.tar_size,
            path: entry.path.clone(),
        })
    }
}

impl LazyLayer {
    /// Makes `range` of the tar present in the file.
    fn fill(&self, range: Range<u64>) -> io::Result<()> {
        let mut state = lock(&self.state);
        if !state.present.contain(&range) {
            let origin = Origin {
                name: &self.name,
                source: &self.source,
                dir: self.dir.clone(),
                limits: self.limits,
            };
            let (whole, facts, _) = whole(&self.entry, &origin).map_err(io::Error::other)?;
            copy(&whole, 0..facts.tar_size, &self.file, 0)?;
            state.present = Ranges::all(facts.tar_size);
        }
        state.used.insert_blocks(&range, self.facts.tar_size);
        Ok(())
    }

    /// Puts the pieces that were used into the cache if it lacks any.
    fn remember(&self, cache: &Cache) -> io::Result<()> {
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
        let file = tempfile::tempfile_in(&self.dir)?;
        let mut out = Digesting::new(io::BufWriter::new(&file));
        out.write_all(MAGIC)?;
        let Facts { format, digest, size, tar_size } = self.facts;
        out.write_all(&(format as u64).to_le_bytes())?;
        out.write_all(&digest.bytes())?;
        out.write_all(&size.to_le_bytes())?;
        out.write_all(&tar_size.to_le_bytes())?;
        out.write_all(&state.used.to_bytes())?;
        let mut buffer = vec![0; 1 << 18];
        for range in state.used.iter() {
            let mut at = range.start;
            while at < range.end {
                let len = (range.end - at).min(buffer.len() as u64) as usize;
                let part = buffer.get_mut(..len).unwrap_or_default();
                self.file.read_exact_at(part, at)?;
                out.write_all(part)?;
                at += len as u64;
            }
        }
        let (mut buffered, digest, size) = out.finish();
        buffered.flush()?;
        drop(buffered);
        let place = Place::Open(Extent { file: Arc::new(file), offset: 0 });
        let blob = Blob { digest, size, place };
        let diff_id = self.entry.diff_id;
        cache.put(&[key(&self.entry)], &Cached { blob, diff_id, tar_size, members: 0 });
        state.known = state.used.clone();
        Ok(())
    }
}

/// The key of a layer's pieces. The digest of the blob is part of it: what they say of the blob is
/// compared with the manifest only when it is read.
fn key(entry: &LayerEntry) -> Digest {
    let blob = entry.blob.map(|(digest, size)| format!("{digest} {size}")).unwrap_or_default();
    Digest::of(format!("imgb pieces\n{}\n{blob}\n", entry.diff_id))
}

type Found = (File, Facts, Option<Ranges>);

/// The pieces in the cache, in a new file at their places in the tar. `None` if they are not what
/// they should be.
fn cached_pieces(cached: &Cached, entry: &LayerEntry, origin: &Origin<'_>) -> Option<Found> {
    let size = &cached.blob.size;
    let extent = cached.blob.place.open().ok()?;
    let mut head = vec![0; size.min(&MAX_LIST).to_owned() as usize];
    extent.file.read_exact_at(&mut head, extent.offset).ok()?;
    let rest = head.strip_prefix(MAGIC)?;
    let number = |at: usize| Some(u64::from_le_bytes(rest.get(at..at + 8)?.try_into().ok()?));
    let formats = [Format::Plain, Format::Gzip, Format::Bzip2, Format::Xz, Format::Zstd];
    let format = formats.into_iter().find(|format| Some(*format as u64) == number(0))?;
    let digest = Digest::from_bytes(rest.get(8..40)?.try_into().ok()?);
    let facts = Facts { format, digest, size: number(40)?, tar_size: number(48)? };
    let is_other = entry.blob.is_some_and(|blob| blob != (facts.digest, facts.size));
    if is_other || facts.tar_size > origin.limits.bytes {
        return None;
    }
    let (ranges, list) = Ranges::parse(rest.get(FIELDS..)?, facts.tar_size)?;
    let mut at = (MAGIC.len() + FIELDS + list) as u64;
    if at.checked_add(ranges.len())? != *size {
        return None;
    }
    let file = tempfile::tempfile_in(&origin.dir).ok()?;
    file.set_len(facts.tar_size).ok()?;
    for range in ranges.iter() {
        let len = range.end - range.start;
        let from = extent.offset + at..extent.offset + at + len;
        copy(&extent.file, from, &file, range.start).ok()?;
        at += len;
    }
    Some((file, facts, Some(ranges)))
}

/// The whole tar of a layer, verified.
fn whole(entry: &LayerEntry, origin: &Origin<'_>) -> Result<Found, ImageError> {
    let reader = LayerReader::new(origin.name, origin.source, &origin.dir, origin.limits)?;
    let (file, blob, format, tar_size) = reader.whole(entry)?;
    let facts = Facts { format, digest: blob.digest, size: blob.size, tar_size };
    Ok((file, facts, None))
}

/// Copies `range` of `from` to the offset `at` of `to`.
fn copy(from: &File, range: Range<u64>, to: &File, mut at: u64) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 18];
    let mut position = range.start;
    while position < range.end {
        let len = (range.end - position).min(buffer.len() as u64) as usize;
        let part = buffer.get_mut(..len).unwrap_or_default();
        from.read_exact_at(part, position)?;
        if part.iter().any(|&byte| byte != 0) {
            to.write_all_at(part, at)?;
        }
        (position, at) = (position + len as u64, at + len as u64);
    }
    Ok(())
}

/// No state is left half changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
