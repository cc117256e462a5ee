//! Everything that an image consists of, as it is stored: documents and blobs, to be copied byte
//! for byte.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
};

use super::{
    Image, ImageError,
    blob_source::BlobSource,
    document::{self, Descriptor, Document},
    select,
};
use crate::{
    compress::{Format, MAX_SNIFF},
    digest::{DiffId, Digest, Digesting},
    image::{self, LayerFormat},
    store::Extent,
};

/// Everything that an image, or an index of images, consists of.
#[derive(Debug)]
pub struct Contents<'a> {
    /// The manifest or index that stands for all. It has no name.
    pub root: image::Descriptor,
    /// Configurations, manifests and indexes: those that others name come first, the root last.
    pub documents: Vec<ContentDocument>,
    /// The other blobs, each once.
    pub blobs: Vec<ContentBlob>,
    /// The blobs of the layers of the image that was opened, lowest first.
    pub layers: Vec<Digest>,
    source: &'a BlobSource,
}

impl<'a> Contents<'a> {
    /// What the manifest or index of `descriptor` and all that it leads to consist of.
    pub(super) fn of(source: &'a BlobSource, descriptor: &Descriptor) -> Result<Self, ImageError> {
        let mut walk = Walk::new(source);
        walk.add(descriptor, 0)?;
        let Walk { documents, blobs, .. } = walk;
        Ok(Self { root: descriptor.described(), documents, blobs, layers: Vec::new(), source })
    }
}

/// A document of an image.
#[derive(Clone, Debug)]
pub struct ContentDocument {
    /// The media type of a manifest or index; `None` for a blob, such as a configuration.
    pub media_type: Option<&'static str>,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A blob of an image.
#[derive(Clone, Debug)]
pub struct ContentBlob {
    /// Its digest.
    pub digest: Digest,
    /// The number of its bytes.
    pub size: u64,
    /// Its name in the source.
    path: String,
}

impl Image {
    /// The registry and the repository that the image is in, if it is in one.
    pub fn repository(&self) -> Option<(&str, &str)> {
        self.source.repository()
    }

    /// What the image consists of, or with `all` what all images in its index and the artifacts
    /// about them consist of. An image that has no manifest gets one, of OCI's form.
    ///
    /// # Errors
    /// If a document is missing, or is not what its digest says.
    pub fn contents(&self, all: bool) -> Result<Contents<'_>, ImageError> {
        let source = &self.source;
        let mut walk = Walk::new(source);
        let mut layers = Vec::new();
        for entry in &self.layers {
            layers.extend(entry.blob.map(|(digest, _)| digest));
        }
        let root = match (self.index().filter(|_| all), &self.manifest) {
            (Some(root), _) => {
                walk.add(root, 0)?;
                root.described()
            }
            (None, Some(manifest)) => {
                let root = self.descriptor(manifest);
                // In a directory of `dir:`, its name is not that of its digest.
                walk.seen.insert(root.digest);
                walk.parsed(&root, self.manifest_type, manifest.bytes.clone(), 0)?;
                root.described()
            }
            (None, None) => {
                let made = self.made_manifest(&mut walk)?;
                layers = made.layers.iter().map(|layer| layer.digest).collect();
                walk.document(None, &made.config);
                walk.document(Some(document::OCI_MANIFEST), &made.manifest);
                image::Descriptor {
                    media_type: document::OCI_MANIFEST,
                    digest: made.manifest.digest,
                    size: made.manifest.bytes.len() as u64,
                    platform: Some(made.platform),
                    name: None,
                }
            }
        };
        let Walk { documents, blobs, .. } = walk;
        Ok(Contents { root, documents, blobs, layers, source })
    }

    /// The manifest of the image, or with `all` the index that its name leads to: what artifacts
    /// are about. `None` if it has no manifest.
    pub fn subject(&self, all: bool) -> Option<image::Descriptor> {
        match self.index().filter(|_| all) {
            Some(index) => Some(index.described()),
            None => Some(self.descriptor(self.manifest.as_ref()?).described()),
        }
    }

    /// The index that the image's name leads to. One with several names has several entries.
    fn index(&self) -> Option<&Descriptor> {
        let root = self.roots.first().filter(|root| document::is_index(&root.media_type))?;
        self.roots.iter().all(|one| one.digest == root.digest).then_some(root)
    }

    fn descriptor(&self, manifest: &image::Document) -> Descriptor {
        Descriptor {
            media_type: self.manifest_type.into(),
            digest: manifest.digest,
            size: manifest.bytes.len() as u64,
            platform: Some(self.config.platform.clone()),
            names: document::Names::default(),
            annotations: BTreeMap::new(),
            is_artifact: false,
        }
    }

    /// The image with a manifest of its own; its layers are added to `walk`.
    fn made_manifest(&self, walk: &mut Walk<'_>) -> Result<image::Image, ImageError> {
        let mut layers = Vec::new();
        for entry in &self.layers {
            let file = self.source.stored(&entry.path, None)?;
            let file = file.ok_or_else(|| ImageError::MissingMember(entry.path.clone()))?;
            let unreadable = |source| ImageError::Unreadable { name: entry.path.clone(), source };
            let mut front = Vec::new();
            let mut reader = file.extent.reader(file.len);
            reader.by_ref().take(MAX_SNIFF as u64).read_to_end(&mut front).map_err(unreadable)?;
            let mut hash = Digesting::new(io::sink());
            io::copy(&mut front.as_slice().chain(reader), &mut hash).map_err(unreadable)?;
            let (_, digest, size) = hash.finish();
            let format = match Format::sniff(&front) {
                Format::Plain if DiffId(digest) != entry.diff_id => {
                    let (wanted, found) = (entry.diff_id.0, digest);
                    return Err(ImageError::Digest { what: "content of layer", wanted, found });
                }
                Format::Plain => LayerFormat::Tar,
                Format::Gzip => LayerFormat::Gzip,
                Format::Zstd => LayerFormat::Zstd,
                format => {
                    let why = format!("no manifest can describe a layer in {format:?}");
                    return Err(ImageError::document(&entry.path, why));
                }
            };
            let (diff_id, annotations) = (entry.diff_id, entry.annotations.clone());
            layers.push(image::Layer { digest, diff_id, size, format, annotations });
            walk.blob(digest, size, entry.path.clone());
        }
        let platform = self.config.platform.clone();
        Ok(image::with_config(self.config_document.clone(), platform, layers))
    }
}

impl Contents<'_> {
    /// Opens a blob from `offset` on. A registry's bytes are verified if they are read from the
    /// start; the caller verifies others.
    ///
    /// # Errors
    /// If the source does not have the blob, or one of another size.
    pub fn open(&self, blob: &ContentBlob, offset: u64) -> io::Result<Box<dyn Read>> {
        if let BlobSource::Registry(remote) = self.source {
            let reader = remote.repository.blob(blob.digest, blob.size, offset);
            return Ok(Box::new(reader.map_err(io::Error::other)?));
        }
        let file = self.source.stored(&blob.path, None).map_err(io::Error::other)?;
        let file = file.ok_or_else(|| io::Error::other(ImageError::MissingBlob(blob.digest)))?;
        if file.len != blob.size {
            let (digest, wanted, found) = (blob.digest, blob.size, file.len);
            return Err(io::Error::other(ImageError::Size { digest, wanted, found }));
        }
        let extent = Extent { offset: file.extent.offset + offset, ..file.extent };
        Ok(Box::new(extent.reader(blob.size.saturating_sub(offset))))
    }

    /// As [`Image::repository`].
    pub fn repository(&self) -> Option<(&str, &str)> {
        self.source.repository()
    }
}

/// What has been found on the way down from the root.
struct Walk<'a> {
    source: &'a BlobSource,
    documents: Vec<ContentDocument>,
    blobs: Vec<ContentBlob>,
    seen: BTreeSet<Digest>,
}

impl<'a> Walk<'a> {
    fn new(source: &'a BlobSource) -> Self {
        Self { source, documents: Vec::new(), blobs: Vec::new(), seen: BTreeSet::new() }
    }

    /// Adds the document that `descriptor` names after all that it leads to.
    fn add(&mut self, descriptor: &Descriptor, depth: usize) -> Result<(), ImageError> {
        let digest = descriptor.digest;
        if !self.seen.insert(digest) {
            return Ok(());
        }
        let shown = digest.to_string();
        if depth > select::MAX_DEPTH || self.documents.len() > 2 * select::MAX_DOCUMENTS {
            return Err(ImageError::document(&shown, "too many nested indexes"));
        }
        let Some(media_type) = document::known_type(&descriptor.media_type) else {
            let path = self.source.blob_path(digest);
            self.blobs.push(ContentBlob { digest, size: descriptor.size, path });
            return Ok(());
        };
        let bytes = select::document(self.source, descriptor)?;
        self.parsed(descriptor, media_type, bytes, depth)
    }

    /// Adds a manifest or index after all that it leads to.
    fn parsed(
        &mut self,
        descriptor: &Descriptor,
        media_type: &'static str,
        bytes: Vec<u8>,
        depth: usize,
    ) -> Result<(), ImageError> {
        let (digest, shown) = (descriptor.digest, descriptor.digest.to_string());
        match document::parse(&shown, &bytes, Some(media_type))? {
            Document::Index(inner) => {
                inner.iter().try_for_each(|inner| self.add(inner, depth + 1))?;
            }
            Document::Manifest(manifest) => {
                self.config(&manifest.config)?;
                for layer in &manifest.layers {
                    self.blob(layer.digest, layer.size, self.source.blob_path(layer.digest));
                }
            }
        }
        self.documents.push(ContentDocument { media_type: Some(media_type), digest, bytes });
        Ok(())
    }

    /// Adds a configuration, which is a document unless it is larger than one.
    fn config(&mut self, descriptor: &Descriptor) -> Result<(), ImageError> {
        let digest = descriptor.digest;
        let path = self.source.blob_path(digest);
        if descriptor.size > super::blob_file::MAX_DOCUMENT {
            self.blob(digest, descriptor.size, path);
            return Ok(());
        }
        if self.seen.insert(digest) {
            let bytes = select::verified(self.source, &path, descriptor)?;
            let bytes = bytes.ok_or(ImageError::MissingBlob(digest))?;
            self.documents.push(ContentDocument { media_type: None, digest, bytes });
        }
        Ok(())
    }

    fn blob(&mut self, digest: Digest, size: u64, path: String) {
        if self.seen.insert(digest) {
            self.blobs.push(ContentBlob { digest, size, path });
        }
    }

    fn document(&mut self, media_type: Option<&'static str>, document: &image::Document) {
        let image::Document { digest, bytes } = document.clone();
        self.documents.push(ContentDocument { media_type, digest, bytes });
    }
}

impl Descriptor {
    /// As an entry of an index that imgb writes, without a name.
    pub(super) fn described(&self) -> image::Descriptor {
        image::Descriptor {
            media_type: document::known_type(&self.media_type).unwrap_or(document::OCI_MANIFEST),
            digest: self.digest,
            size: self.size,
            platform: self.platform.clone(),
            name: None,
        }
    }
}
