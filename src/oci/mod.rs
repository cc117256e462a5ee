//! Images in files and directories: documents first, layers on demand.
//!
//! [`open`] reads and verifies the index, the manifest and the configuration. A layer is
//! decompressed, verified and parsed when its files are asked for ([`Image::layer`],
//! [`Image::unpack`]).
//!
//! Images are hostile until proven otherwise. Documents are read up to 4 MiB, digests are parsed
//! before they become file names, no URL in a document is ever fetched, links are followed among an
//! archive's own members, and in a directory to regular files.

mod blob_file;
mod blob_source;
mod contents;
mod docker;
mod document;
mod error;
mod faces;
mod find;
mod found;
mod json;
mod layers;
mod lazy;
mod oddities;
mod piece_file;
mod pieces;
mod referrers;
mod remote;
mod rest;
mod select;
mod verified;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use crate::{
    archive::spool,
    digest::{DiffId, Digest},
    image::{self, Config, ImageName, Platform},
    registry::Registries,
    store::{Blob, Fetch, Place},
    tree::{Change, Tree},
};

use blob_source::BlobSource;
use document::Descriptor;
use found::Found;
use layers::LayerReader;
use remote::Remote;

pub use contents::{ContentBlob, ContentDocument, Contents};
pub use error::ImageError;
pub use layers::Layer;
pub use lazy::Pieces;
pub use referrers::Archive;
pub use rest::Rest;

/// How an image is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The platform of the image, or one that runs its programs; another is refused. `None` takes
    /// the only image, or of several the one for `machine`.
    pub platform: Option<Platform>,
    /// This machine's platform.
    pub machine: Platform,
    /// Whether an image for another platform is taken if `platform` is not given and there is none
    /// for `machine`.
    pub any: bool,
    /// The directory for temporary files that hold decompressed layers while imgb runs.
    pub spool: PathBuf,
    /// How large the decompressed layers may become.
    pub limits: spool::Limits,
    /// How registries are reached.
    pub registries: Registries,
    /// Where pieces of layers are kept from one run to the next ([`Image::unpack_pieces`]).
    pub pieces: Option<Pieces>,
}

/// An image whose documents have been read and verified. Its layers have not been read.
#[derive(Debug)]
pub struct Image {
    /// Where it was found, as the user wrote it.
    pub name: String,
    /// What it is called there: tags and whole names.
    pub names: Vec<String>,
    /// The configuration.
    pub config: Config,
    /// The configuration's bytes.
    pub config_document: image::Document,
    /// The manifest's bytes. An archive of `docker save` before version 25 has none.
    pub manifest: Option<image::Document>,
    /// The manifest's media type; OCI's if there is no manifest.
    pub manifest_type: &'static str,
    /// The layers that the documents list, lowest first.
    pub layers: Vec<LayerEntry>,
    /// What is odd about the documents and harmless, as sentences.
    pub notes: Vec<String>,
    source: Arc<BlobSource>,
    /// The entries of the index that have the image's name.
    roots: Vec<Descriptor>,
    spool: PathBuf,
    limits: spool::Limits,
    pieces: Option<Pieces>,
}

/// A layer as the documents of an image describe it.
#[derive(Clone, Debug)]
pub struct LayerEntry {
    /// Digest and size in bytes of the blob. A `docker save` archive before version 25 has none.
    pub blob: Option<(Digest, u64)>,
    /// Digest of the tar in the blob.
    pub diff_id: DiffId,
    /// The media type in the manifest, if there is a manifest.
    pub media_type: Option<String>,
    /// The annotations of its descriptor in the manifest.
    pub annotations: BTreeMap<String, String>,
    /// The name of the blob in the source.
    path: String,
}

/// An image whose every byte has been verified, with the trees of its layers.
#[derive(Debug)]
pub struct UnpackedImage {
    /// The documents.
    pub image: Image,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
}

/// Opens the image that `name` names and verifies its documents. The content decides what kind of
/// image it is. An archive that is both an OCI layout and a `docker save` archive is read as an OCI
/// layout, which has more digests, and refused if `manifest.json` leads to other images. Signatures
/// and other artifacts beside an image are not images.
///
/// # Errors
/// [`ImageError`]
pub fn open(name: &ImageName, options: &OpenOptions) -> Result<Image, ImageError> {
    let shown = name.to_string();
    let source = source(name, options)?;
    let found = find::find(&source, wanted(&shown, name, options))?;
    let mut image = image(shown, Arc::new(source), found, options)?;
    if let (ImageName::Registry(name), true) = (name, image.names.is_empty()) {
        image.names.extend(name.reference().map(|name| name.to_string()));
    }
    Ok(image)
}

/// Opens every image that `name` names: those that an index lists, in its order, or the only one.
/// What is beside them in the index, such as attestations, is left out. `options` has no platform.
///
/// # Errors
/// [`ImageError`]
pub fn open_all(name: &ImageName, options: &OpenOptions) -> Result<Vec<Image>, ImageError> {
    let shown = name.to_string();
    let source = Arc::new(source(name, options)?);
    let all = find::all(&source, wanted(&shown, name, options))?;
    all.into_iter().map(|one| image(shown.clone(), Arc::clone(&source), one, options)).collect()
}

fn source(name: &ImageName, options: &OpenOptions) -> Result<BlobSource, ImageError> {
    match name {
        ImageName::Stored(stored) => BlobSource::open(stored, &options.spool, options.limits),
        ImageName::Engine(image) => BlobSource::saved(image, &options.spool, options.limits),
        ImageName::Registry(name) => {
            let repository = options.registries.repository(&name.registry, &name.repository)?;
            Ok(BlobSource::Registry(Box::new(Remote::open(name, repository, &options.spool)?)))
        }
    }
}

/// What `name` selects. Messages call the source `shown`.
fn wanted<'a>(shown: &'a str, name: &'a ImageName, options: &'a OpenOptions) -> select::Wanted<'a> {
    let stored = match name {
        ImageName::Stored(stored) => Some(stored),
        ImageName::Engine(_) | ImageName::Registry(_) => None,
    };
    select::Wanted {
        source: shown,
        transport: stored.and_then(|stored| stored.transport),
        tag: stored.and_then(|stored| stored.tag.as_deref()),
        digest: stored.and_then(|stored| stored.digest),
        platform: options.platform.as_ref(),
        machine: &options.machine,
        any: options.any,
    }
}

/// Reads the configuration that was found.
fn image(
    name: String,
    source: Arc<BlobSource>,
    found: Found,
    options: &OpenOptions,
) -> Result<Image, ImageError> {
    let Found { names, manifest, manifest_type, config: document, layers, .. } = found;
    let (in_index, roots, mut notes) = (found.platform, found.roots, found.notes);
    let shown = format!("configuration {}", document.digest);
    let fallback = in_index.as_ref().or(options.platform.as_ref()).unwrap_or(&options.machine);
    let config = document::config(&shown, &document.bytes, fallback)?;
    let platform = &config.platform;
    if let Some(wanted) = options.platform.as_ref().filter(|it| it.runs(platform).is_none()) {
        return Err(ImageError::OtherPlatform {
            name,
            wanted: wanted.to_string(),
            found: platform.to_string(),
        });
    }
    let is_said = |name: &str| config.original.get(name).is_some_and(|value| *value != "");
    if !is_said("architecture") || !is_said("os") {
        notes.push(format!(
            "the configuration does not say its platform; it is taken for {platform}"
        ));
    } else if let Some(in_index) = in_index.filter(|in_index| in_index != platform) {
        notes.push(format!("the index says {in_index}, the configuration {platform}"));
    }
    let diff_ids = document::diff_ids(&config);
    let diff_ids = diff_ids.map_err(|why| ImageError::document(&shown, why))?;
    if diff_ids.len() != layers.len() {
        return Err(ImageError::Count { layers: layers.len(), diff_ids: diff_ids.len() });
    }
    notes.extend(oddities::notes(&config, diff_ids.len()));
    let entries = layers.into_iter().zip(diff_ids).map(|(found, diff_id)| LayerEntry {
        blob: found.blob,
        diff_id,
        media_type: found.media_type,
        annotations: found.annotations,
        path: found.path,
    });
    Ok(Image {
        name,
        names,
        config,
        config_document: document,
        manifest,
        manifest_type,
        layers: entries.collect(),
        notes,
        source,
        roots,
        spool: options.spool.clone(),
        limits: options.limits,
        pieces: options.pieces.clone(),
    })
}

impl Image {
    /// What identifies it: the digest of its manifest, or of its configuration if it has none.
    pub fn digest(&self) -> Digest {
        self.manifest.as_ref().unwrap_or(&self.config_document).digest
    }

    /// Reads one of the image's layers: verifies digest, size and diff id, and parses its tar.
    ///
    /// # Errors
    /// [`ImageError`]
    pub fn layer(&self, entry: &LayerEntry) -> Result<Layer, ImageError> {
        self.reader()?.read(entry)
    }

    /// Reads all layers. Their contents share one temporary file, so that an image of thousands of
    /// layers needs one descriptor.
    ///
    /// # Errors
    /// The first layer that cannot be read or is not what the documents say.
    pub fn unpack(self) -> Result<UnpackedImage, ImageError> {
        let mut reader = self.reader()?;
        let layers = self.layers.iter().map(|entry| reader.read(entry));
        let layers = layers.collect::<Result<_, _>>()?;
        Ok(UnpackedImage { image: self, layers })
    }

    /// The platforms of the images that have this image's name in its index, this one's included,
    /// in the order of the index.
    ///
    /// # Errors
    /// [`ImageError`] if a nested index cannot be read.
    pub fn platforms(&self) -> Result<Vec<Platform>, ImageError> {
        let top = self.roots.iter().map(|descriptor| select::Candidate {
            names: vec![descriptor.names.clone()],
            descriptor: descriptor.clone(),
        });
        let own = self.manifest.as_ref().map(|manifest| manifest.digest);
        let platform = |one: select::Candidate| match own == Some(one.descriptor.digest) {
            true => Some(self.config.platform.clone()),
            false => one.descriptor.platform,
        };
        let all = select::expand(&self.source, top.collect(), false, None)?;
        let mut platforms: Vec<Platform> = Vec::new();
        for platform in all.into_iter().filter_map(platform) {
            if !platforms.contains(&platform) {
                platforms.push(platform);
            }
        }
        if !platforms.contains(&self.config.platform) {
            platforms.push(self.config.platform.clone());
        }
        Ok(platforms)
    }

    /// As [`Image::unpack`], for an image of which only some files are needed: a layer whose pieces
    /// the cache has ([`OpenOptions::pieces`]) is read only if something else of it is needed. The
    /// cache gets what was used with [`Pieces::remember`]. An image that names no blobs, such as an
    /// archive of `docker save` before version 25, is read whole: nothing tells which blob pieces
    /// are of.
    ///
    /// # Errors
    /// As [`Image::unpack`]; later reads of contents may fail as well.
    pub fn unpack_pieces(self) -> Result<UnpackedImage, ImageError> {
        let distinct: BTreeSet<_> = self.layers.iter().map(|entry| entry.diff_id).collect();
        let is_usual = distinct.len() == self.layers.len()
            && self.layers.iter().all(|entry| entry.blob.is_some());
        let Some(pieces) = self.pieces.clone().filter(|_| is_usual) else { return self.unpack() };
        let mut reader = pieces.reader(&self)?;
        let layers = self.layers.iter().map(|entry| reader.read(entry));
        let layers = layers.collect::<Result<_, _>>()?;
        drop(reader);
        Ok(UnpackedImage { image: self, layers })
    }

    fn reader(&self) -> Result<LayerReader<'_>, ImageError> {
        LayerReader::new(&self.name, &self.source, &self.spool, self.limits)
    }
}

impl UnpackedImage {
    /// The whole file system: all layers on top of each other. Parent directories that no layer
    /// has an entry for are not in it.
    pub fn merged(&self) -> Tree {
        let mut tree = Tree::new();
        let mut last = None;
        for layer in &self.layers {
            // Applying a change twice makes no difference.
            if last.is_none_or(|last| !Arc::ptr_eq(last, &layer.change)) {
                tree.apply(Change::clone(&layer.change));
            }
            last = Some(&layer.change);
        }
        tree
    }

    /// Verifies what the index leads to beside the image: attestations, signatures, other
    /// platforms.
    ///
    /// # Errors
    /// The first blob whose size or digest is wrong.
    pub fn verify_rest(&self) -> Result<Rest, ImageError> {
        let image = &self.image;
        let mut seen: BTreeSet<Digest> = self.layers.iter().map(|layer| layer.digest).collect();
        seen.insert(image.config_document.digest);
        seen.extend(image.manifest.as_ref().map(|manifest| manifest.digest));
        rest::verify(&image.source, &image.roots, seen)
    }

    /// The blob of a layer as it is stored, to be copied. It is opened again: the caller compares
    /// the digest of what it copied. One of a registry is fetched when it is read.
    ///
    /// # Errors
    /// [`ImageError`] if the blob is gone or has another length now.
    pub fn blob(&self, layer: &Layer) -> Result<Blob, ImageError> {
        let (digest, size) = (layer.digest, layer.size);
        if self.image.repository().is_some() {
            let (source, path) = (Arc::clone(&self.image.source), layer.path.clone());
            let fetch = Fetch::new(move || source.fetch(&path, digest, size));
            return Ok(Blob { digest, size, place: Place::Remote(fetch) });
        }
        let file = self.image.source.stored(&layer.path, Some(layer.size))?;
        let file = file.ok_or(ImageError::MissingBlob(layer.digest))?;
        if file.len != layer.size {
            return Err(ImageError::Size {
                digest: layer.digest,
                wanted: layer.size,
                found: file.len,
            });
        }
        Ok(Blob { digest: layer.digest, size: layer.size, place: Place::Open(file.extent) })
    }

    /// What is odd about the image and harmless, as sentences: first the documents, then the
    /// layers.
    pub fn notes(&self) -> Vec<String> {
        let layers = self.layers.iter().flat_map(Layer::notes);
        self.image.notes.iter().cloned().chain(layers).collect()
    }
}
