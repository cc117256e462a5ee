//! Reading a layer: the blob is hashed before it is decompressed, and what comes out of it is
//! hashed again.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{ImageError, LayerEntry, blob_file::BlobFile, blob_source::BlobSource};
use crate::{
    archive::{
        read::{self, Budget, ReadError, Whiteouts},
        spool,
    },
    compress::{Format, MAX_SNIFF},
    digest::{DiffId, Digest, Digesting},
    image::{self, LayerFormat},
    store::{Blob, Place},
    tree::{Archive, Change},
};

/// A layer that has been read and verified.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Digest of the blob.
    pub digest: Digest,
    /// Bytes of the blob.
    pub size: u64,
    /// Digest of the tar in the blob.
    pub diff_id: DiffId,
    /// How the blob is compressed, by its content.
    pub format: Format,
    /// The media type in the manifest, if there is a manifest.
    pub media_type: Option<String>,
    /// The annotations of its descriptor in the manifest.
    pub annotations: BTreeMap<String, String>,
    /// Bytes of the tar in the blob.
    pub tar_size: u64,
    /// What it does to the layers below. Contents are in a private file of this process. Shared by
    /// all layers of an image with the same content.
    pub change: Arc<Change>,
    /// How many entries were replaced by a later one of the same path.
    pub replaced: usize,
    /// How many extended attributes other than `security.capability` were left out.
    pub dropped_attributes: usize,
    /// The private file that has the tar.
    pub archive: Arc<Archive>,
    /// Where the tar is in it.
    pub range: Range<u64>,
    /// The name of the blob in the source.
    pub(super) path: String,
}

/// What is known of a layer that has been verified once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// How the blob is compressed, by its content.
    pub(super) format: Format,
    /// Digest of the blob.
    pub(super) digest: Digest,
    /// Bytes of the blob.
    pub(super) size: u64,
    /// Bytes of the tar in the blob.
    pub(super) tar_size: u64,
}

/// Reads layers of one image into one nameless file.
pub(super) struct LayerReader<'a> {
    /// The image, for messages.
    name: &'a str,
    source: &'a BlobSource,
    archive: Arc<Archive>,
    /// Where the contents of the last layer end in the file.
    end: u64,
    /// The directory of the file.
    dir: PathBuf,
    limits: spool::Limits,
    /// What is left for the layers that have not been read.
    budget: Budget,
    /// The layers that have been read. An image may mention one any number of times.
    known: BTreeMap<(String, DiffId), (LayerEntry, Layer)>,
}

/// A blob that is what its entry says, and where its content lies in the file.
struct Spooled {
    blob: Blob,
    format: Format,
    range: Range<u64>,
}

impl<'a> LayerReader<'a> {
    /// A reader that decompresses into a new file in `dir`. `limits` are those of all its layers
    /// together.
    pub(super) fn new(
        name: &'a str,
        source: &'a BlobSource,
        dir: &Path,
        limits: spool::Limits,
    ) -> Result<Self, ImageError> {
        let write = |source| spool::SpoolError::Write { dir: dir.to_owned(), source };
        let file = tempfile::tempfile_in(dir).map_err(write)?;
        Ok(Self::of_file(name, source, dir, limits, (file, 0)))
    }

    /// As [`LayerReader::new`], with a file that ends at `end`.
    pub(super) fn of_file(
        name: &'a str,
        source: &'a BlobSource,
        dir: &Path,
        limits: spool::Limits,
        (file, end): (File, u64),
    ) -> Self {
        let archive = Arc::new(Archive::new(name, file));
        let budget = Budget::new(read::Limits::default());
        let known = BTreeMap::new();
        Self { name, source, archive, end, dir: dir.to_owned(), limits, budget, known }
    }

    /// Verifies the blob of `entry`, decompresses it and parses its tar. A layer that the image has
    /// mentioned before is not read again.
    pub(super) fn read(&mut self, entry: &LayerEntry) -> Result<Layer, ImageError> {
        let key = (entry.path.clone(), entry.diff_id);
        match self.known.get(&key) {
            Some((before, layer)) if before.blob == entry.blob => {
                let entries = layer.change.tree.len() + layer.change.whiteouts.len();
                self.budget.repeat(entries).map_err(|fault| ReadError {
                    archive: format!("{}: layer {}, again", self.name, entry.diff_id),
                    entry: Vec::new(),
                    offset: 0,
                    fault,
                })?;
                let (media_type, annotations) =
                    (entry.media_type.clone(), entry.annotations.clone());
                return Ok(Layer { media_type, annotations, ..layer.clone() });
            }
            _ => {}
        }
        let layer = self.read_new(entry)?;
        self.known.insert(key, (entry.clone(), layer.clone()));
        Ok(layer)
    }

    fn read_new(&mut self, entry: &LayerEntry) -> Result<Layer, ImageError> {
        let Spooled { blob, format, range } = self.unpack(entry)?;
        self.end = range.end;
        let tar_size = range.end - range.start;
        let contents =
            read::read_range(&self.archive, range.clone(), Whiteouts::Apply, &mut self.budget);
        let contents = contents.map_err(|error| ReadError {
            archive: format!("{}: layer {}", self.name, entry.diff_id),
            ..error
        })?;
        Ok(Layer {
            digest: blob.digest,
            size: blob.size,
            diff_id: entry.diff_id,
            format,
            media_type: entry.media_type.clone(),
            annotations: entry.annotations.clone(),
            tar_size,
            change: Arc::new(contents.change),
            replaced: contents.replaced,
            dropped_attributes: contents.dropped_attributes,
            archive: Arc::clone(&self.archive),
            range,
            path: entry.path.clone(),
        })
    }

    /// Appends the content of `entry` to the file, and returns both. All is verified.
    pub(super) fn whole(self, entry: &LayerEntry) -> Result<(Facts, Arc<Archive>), ImageError> {
        let Spooled { blob, format, range } = self.unpack(entry)?;
        let tar_size = range.end - range.start;
        Ok((Facts { format, digest: blob.digest, size: blob.size, tar_size }, self.archive))
    }

    /// Verifies the blob of `entry` and appends its content to the file.
    fn unpack(&self, entry: &LayerEntry) -> Result<Spooled, ImageError> {
        let blob = self.verified(entry)?;
        let (dir, file): (&Path, &File) = (&self.dir, &self.archive.file);
        let bytes = self.limits.bytes.saturating_sub(self.end);
        let limits = spool::Limits { bytes, as_layer: true, ..self.limits };
        let label = format!("layer {}", blob.digest);
        let unreadable = |source| ImageError::Unreadable { name: label.clone(), source };
        let mut front = Vec::new();
        blob.reader().take(MAX_SNIFF as u64).read_to_end(&mut front).map_err(unreadable)?;
        let write = |source| spool::SpoolError::Write { dir: dir.to_owned(), source };
        // This is the only writer of the file, which ends with the last layer.
        let sparse = spool::SparseWriter::new(file, self.end);
        let mut out = Digesting::new(io::BufWriter::with_capacity(1 << 18, sparse));
        spool::unpack(&label, blob.reader(), (&mut out, dir), limits)?;
        let (buffered, found, len) = out.finish();
        let sparse = buffered.into_inner().map_err(|error| write(error.into_error()))?;
        sparse.finish().map_err(write)?;
        if found != entry.diff_id.0 {
            let wanted = entry.diff_id.0;
            return Err(ImageError::Digest { what: "content of layer", wanted, found });
        }
        let range = self.end..self.end + len;
        Ok(Spooled { blob, format: Format::sniff(&front), range })
    }

    fn stored(&self, entry: &LayerEntry) -> Result<Option<BlobFile>, ImageError> {
        self.source.stored(&entry.path, entry.blob.map(|(_, size)| size))
    }

    /// The blob of `entry`: all of it is read once and compared with what the documents say.
    fn verified(&self, entry: &LayerEntry) -> Result<Blob, ImageError> {
        let missing = || match entry.blob {
            Some((digest, _)) => ImageError::MissingBlob(digest),
            None => ImageError::MissingMember(entry.path.clone()),
        };
        let BlobFile { extent, len } = self.stored(entry)?.ok_or_else(missing)?;
        if let Some((digest, size)) = entry.blob
            && size != len
        {
            return Err(ImageError::Size { digest, wanted: size, found: len });
        }
        let blob = Blob { digest: Digest::of(""), size: len, place: Place::Open(extent) };
        let mut hash = Digesting::new(io::sink());
        io::copy(&mut blob.reader(), &mut hash)
            .map_err(|source| ImageError::Unreadable { name: entry.path.clone(), source })?;
        let (_, found, _) = hash.finish();
        match entry.blob {
            Some((wanted, _)) if wanted != found => {
                Err(ImageError::Digest { what: "blob", wanted, found })
            }
            _ => Ok(Blob { digest: found, ..blob }),
        }
    }
}

impl Layer {
    /// The layer as imgb describes it in a manifest. `None` for bzip2 and xz, which only
    /// `docker load` takes and no media type stands for.
    pub fn document(&self) -> Option<image::Layer> {
        let format = match self.format {
            Format::Plain => LayerFormat::Tar,
            Format::Gzip => LayerFormat::Gzip,
            Format::Zstd => LayerFormat::Zstd,
            Format::Bzip2 | Format::Xz => return None,
        };
        let (digest, diff_id, size) = (self.digest, self.diff_id, self.size);
        let annotations = self.annotations.clone();
        Some(image::Layer { digest, diff_id, size, format, annotations })
    }

    /// What is odd about it and harmless, as sentences.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let ending = match self.format {
            Format::Gzip => "gzip",
            Format::Zstd => "zstd",
            _ => "",
        };
        if let Some(said) = &self.media_type {
            let said = said.rsplit(['+', '.']).next().unwrap_or_default();
            if matches!(said, "gzip" | "zstd") && said != ending {
                notes.push(format!(
                    "layer {} is called {said} and is {:?}",
                    self.digest, self.format
                ));
            }
        }
        if self.replaced > 0 {
            let text = "has the same path more than once, which docker refuses to load";
            notes.push(format!("layer {} {text} ({} times)", self.digest, self.replaced));
        }
        notes
    }
}
