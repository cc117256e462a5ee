//! What is written: the documents and blobs of an image or of an index of images, wherever they
//! come from.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Cursor, Read, Write as _},
};

use serde_json::{Value, json};

use super::OutputError;
use crate::{
    digest::{Digest, Digesting},
    image::{
        Artifact, Bundle, Descriptor, Document, EMPTY_CONFIG, INDEX_TYPE, MANIFEST_TYPE, Reference,
    },
    registry::Referrer,
    store::{Blob, Extent},
};

/// The documents and blobs of an image, or of an index of images.
#[derive(Debug)]
pub struct Shipment<'a> {
    /// The manifest or index that stands for all. Its name is not used.
    pub root: Descriptor,
    /// Configurations, manifests and indexes: those that others name come first, the root last.
    pub documents: Vec<ShippedDocument<'a>>,
    /// The other blobs, each once.
    pub blobs: Vec<ShippedBlob<'a>>,
    /// The image that docker's `manifest.json` names: its configuration and its layers, lowest
    /// first.
    pub local: (Digest, Vec<Digest>),
    /// Artifacts about the image: those that others are about come first.
    pub referrers: Vec<ShippedReferrer<'a>>,
}

/// An artifact about an image, or about another artifact.
#[derive(Debug)]
pub struct ShippedReferrer<'a> {
    /// The digest of what it is about.
    pub subject: Digest,
    /// What lists say of it.
    pub referrer: Referrer,
    /// Its documents, its manifest last.
    pub documents: Vec<ShippedDocument<'a>>,
    /// Its other blobs.
    pub blobs: Vec<ShippedBlob<'a>>,
}

/// A document of an image.
#[derive(Clone, Copy, Debug)]
pub struct ShippedDocument<'a> {
    /// The media type of a manifest or index; `None` for a configuration.
    pub media_type: Option<&'a str>,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// The registry and the repository that it comes from, if it comes from one.
    pub origin: Option<(&'a str, &'a str)>,
}

/// Opens a blob from an offset on, any number of times.
type Open<'a> = Box<dyn Fn(u64) -> io::Result<Box<dyn Read>> + Sync + 'a>;

/// A blob of an image.
pub struct ShippedBlob<'a> {
    /// Its digest.
    pub digest: Digest,
    /// The number of its bytes.
    pub size: u64,
    /// Opens it. Whoever reads it from the start compares the digest.
    pub open: Open<'a>,
    /// The registry and the repository that it comes from, if it comes from one.
    pub origin: Option<(String, String)>,
}

impl fmt::Debug for ShippedBlob<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.digest, self.size)
    }
}

impl<'a> Shipment<'a> {
    /// What `bundle` consists of. `blobs` are the layers of its images.
    /// `origins` are the registries and repositories that some come from.
    pub(super) fn of_bundle(
        bundle: &'a Bundle,
        blobs: &[Blob],
        artifacts: impl Iterator<Item = &'a Artifact>,
        origins: &BTreeMap<Digest, (String, String)>,
    ) -> Self {
        let root = bundle.root();
        let mut documents = Vec::new();
        for image in bundle.images() {
            documents.push(ShippedDocument::new(None, &image.config));
            documents.push(ShippedDocument::new(Some(image.manifest_type), &image.manifest));
        }
        let index = bundle.index();
        documents.extend(index.map(|index| ShippedDocument::new(Some(root.media_type), index)));
        let mut shipped: Vec<ShippedBlob<'a>> = Vec::new();
        for blob in blobs {
            if shipped.iter().all(|other| other.digest != blob.digest) {
                let origin = origins.get(&blob.digest).cloned();
                shipped.push(ShippedBlob { origin, ..ShippedBlob::of(blob) });
            }
        }
        let local = bundle.local();
        let layers = local.layers.iter().map(|layer| layer.digest).collect();
        let referrers = artifacts.map(ShippedReferrer::of).collect();
        let local = (local.config.digest, layers);
        Self { root, documents, blobs: shipped, local, referrers }
    }

    /// The list of the artifacts, for a layout or archive; `None` if there are none. `known` are
    /// entries of an earlier list, which are kept.
    pub(super) fn list(&self, known: &[Value]) -> Option<Document> {
        let mut entries = known.to_vec();
        for one in &self.referrers {
            let entry = one.referrer.entry();
            if entries.iter().all(|known| known["digest"] != entry["digest"]) {
                entries.push(entry);
            }
        }
        let index = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries});
        (!entries.is_empty()).then(|| Document::of(&index))
    }

    /// The entries of a layout's `index.json`: one for each of `names`, or one without a name if
    /// there are none.
    pub(super) fn entries(&self, names: &[Reference]) -> Vec<Descriptor> {
        let one = |name| Descriptor { name, ..self.root.clone() };
        match names {
            [] => vec![one(None)],
            names => names.iter().cloned().map(Some).map(one).collect(),
        }
    }

    /// The bytes of all blobs together.
    pub fn size(&self) -> u64 {
        self.blobs.iter().map(|blob| blob.size).sum()
    }
}

impl<'a> ShippedReferrer<'a> {
    /// The artifact about `subject` whose manifest, with the configuration of those that need none,
    /// is `manifest`, without its blobs.
    pub fn new(
        subject: Digest,
        artifact_type: &str,
        annotations: BTreeMap<String, String>,
        manifest: &'a Document,
    ) -> Self {
        Self {
            subject,
            referrer: Referrer {
                media_type: MANIFEST_TYPE.to_owned(),
                digest: manifest.digest,
                size: manifest.bytes.len() as u64,
                artifact_type: Some(artifact_type.to_owned()),
                annotations,
            },
            documents: vec![
                ShippedDocument {
                    media_type: None,
                    digest: Digest::of(EMPTY_CONFIG),
                    bytes: EMPTY_CONFIG,
                    origin: None,
                },
                ShippedDocument::new(Some(MANIFEST_TYPE), manifest),
            ],
            blobs: Vec::new(),
        }
    }

    pub(super) fn of(artifact: &'a Artifact) -> Self {
        let Artifact { subject, artifact_type, manifest, blob, .. } = artifact;
        let mut shipped = Self::new(*subject, artifact_type, BTreeMap::new(), manifest);
        // The manifest stays the last.
        shipped.documents.insert(1, ShippedDocument::new(None, blob));
        shipped
    }
}

impl<'a> ShippedDocument<'a> {
    fn new(media_type: Option<&'a str>, document: &'a crate::image::Document) -> Self {
        Self { media_type, digest: document.digest, bytes: &document.bytes, origin: None }
    }

    /// The document as a blob, which a configuration is to a registry.
    pub(super) fn as_blob(&self) -> ShippedBlob<'a> {
        let bytes = self.bytes;
        let open = move |offset: u64| {
            let rest = bytes.get(offset as usize..).unwrap_or_default().to_vec();
            Ok(Box::new(Cursor::new(rest)) as Box<dyn Read>)
        };
        let size = bytes.len() as u64;
        let origin = self.origin.map(|(host, name)| (host.to_owned(), name.to_owned()));
        ShippedBlob { digest: self.digest, size, open: Box::new(open), origin }
    }
}

impl ShippedBlob<'_> {
    /// Hands all bytes to `write`, and fails in the end if they do not have the digest.
    pub(super) fn pour<E: From<OutputError>>(
        &self,
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let unreadable = |source| OutputError::Blob { digest: self.digest, source };
        let mut from = (self.open)(0).map_err(unreadable)?;
        let (mut buffer, mut hash) = (vec![0; 1 << 18], Digesting::new(io::sink()));
        loop {
            let read = match from.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(unreadable)?,
            };
            let bytes = buffer.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            if hash.written() + read as u64 > self.size {
                return Err(OutputError::Changed(self.digest).into());
            }
            hash.write_all(bytes).map_err(unreadable)?;
            write(bytes)?;
        }
        let (_, found, size) = hash.finish();
        match (found, size) == (self.digest, self.size) {
            true => Ok(()),
            false => Err(OutputError::Changed(self.digest).into()),
        }
    }

    /// A blob that is in a file.
    pub fn of(blob: &Blob) -> Self {
        let (place, size) = (blob.place.clone(), blob.size);
        let open = move |offset: u64| {
            let extent = place.open()?;
            let from = Extent { offset: extent.offset + offset, ..extent };
            Ok(Box::new(from.reader(size.saturating_sub(offset))) as Box<dyn Read>)
        };
        Self { digest: blob.digest, size, open: Box::new(open), origin: None }
    }
}
