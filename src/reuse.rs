//! Layers that need not be compressed again: those of earlier images, and of caches that several
//! machines share.
//!
//! A layer is taken only if its tar has the digest of the one that would be compressed, which is
//! verified here, and if the image says that its layers were compressed as they would be now
//! ([`compression_annotations`]). So the bytes of an image do not depend on where its layers were
//! found, unless someone has written a foreign image with these annotations.
//!
//! A cache is a layout or a repository with one image of one layer for each key. The key, of
//! everything that the layer depends on except the bytes of its files, is in the image's tag.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use crate::{
    compress::{self, Compression, Format},
    digest::{DiffId, Digest},
    error_kind::with_causes,
    image::{self, Config, Image, ImageName, Layer, Platform},
    oci::{self, ImageError, OpenOptions},
    store::Blob,
    timestamp::Timestamp,
};

/// The annotation of a manifest that says by which version of the format its layers were made.
/// Where two images of the same inputs have different digests, this tells whether another imgb is
/// why.
pub const FORMAT_ANNOTATION: &str = "imgb.format";

/// The annotation of a manifest that says how its layers were compressed, where that is not the
/// codec's usual level.
pub const COMPRESSION_ANNOTATION: &str = "imgb.compression";

/// The annotation of a manifest that says how many of its layers, the lowest, are those of a base:
/// the other annotations do not tell how those were made.
pub const BASE_LAYERS_ANNOTATION: &str = "imgb.base-layers";

/// A place where layers are looked for.
#[derive(Clone, Debug)]
pub enum Place {
    /// A cache: what a tag is added to.
    Cache(String),
    /// An image.
    Image(ImageName),
    /// The image that an output replaces, if there is one.
    Previous(ImageName),
}

/// Places where layers are looked for.
#[derive(Debug)]
pub struct Sources {
    caches: Vec<String>,
    images: Vec<oci::Image>,
    compression: Compression,
    options: OpenOptions,
    problems: Mutex<Vec<String>>,
    origins: Mutex<BTreeMap<Digest, (String, String)>>,
}

/// Images that may have a layer.
#[derive(Debug)]
pub struct Candidates {
    of_caches: Vec<oci::Image>,
    are_images: bool,
}

impl Candidates {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.of_caches.is_empty() && !self.are_images
    }
}

impl Sources {
    /// Opens the images among `places`. Layers have to be compressed with `compression`.
    pub fn open(places: Vec<Place>, compression: Compression, options: OpenOptions) -> Self {
        let mut sources = Self {
            caches: Vec::new(),
            images: Vec::new(),
            compression,
            options,
            problems: Mutex::default(),
            origins: Mutex::default(),
        };
        for place in places {
            let (name, may_fail) = match place {
                Place::Cache(name) => {
                    sources.caches.push(name);
                    continue;
                }
                Place::Image(name) => (name, false),
                Place::Previous(name) => (name, true),
            };
            let all = OpenOptions { platform: None, ..sources.options.clone() };
            let images = oci::open_all(&name, &all);
            let images = images.map_err(|error| {
                if !may_fail {
                    sources.note(&name.to_string(), &error);
                }
            });
            let is_ours = |image: &oci::Image| is_compressed_with(image, compression);
            let ours = images.into_iter().flatten().filter(is_ours);
            sources.images.extend(ours);
        }
        sources
    }

    /// The registries and repositories that the layers come from which were taken.
    pub fn origins(&self) -> BTreeMap<Digest, (String, String)> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Images that may have the layer with the key `key`.
    pub fn candidates(&self, key: Digest) -> Candidates {
        let of_cache = |cache: &String| {
            let name = ImageName::parse(&format!("{cache}:{}", tag(key)), |_| false).ok()?;
            match oci::open(&name, &self.options) {
                Ok(image) => Some(image).filter(|one| is_compressed_with(one, self.compression)),
                // A cache that has not been filled, or not with this.
                Err(ImageError::NotFound(_) | ImageError::NoSuchImage { .. }) => None,
                Err(error) => {
                    self.note(cache, &error);
                    None
                }
            }
        };
        let of_caches = self.caches.iter().filter_map(of_cache).collect();
        Candidates { of_caches, are_images: !self.images.is_empty() }
    }

    /// Whether a cache has the layer with the key `key` and this digest of its tar.
    pub fn has(&self, key: Digest, diff_id: DiffId) -> bool {
        let images = self.candidates(key).of_caches;
        images.iter().flat_map(|image| &image.layers).any(|layer| layer.diff_id == diff_id)
    }

    /// The blob of the layer whose tar has the digest `diff_id` and `tar_size` bytes, verified.
    pub fn take(&self, candidates: &Candidates, diff_id: DiffId, tar_size: u64) -> Option<Blob> {
        let format = match self.compression {
            Compression::None => Format::Plain,
            Compression::Gzip(_) | Compression::Estargz(_) => Format::Gzip,
            Compression::Zstd(_) => Format::Zstd,
        };
        let mut all = candidates.of_caches.iter().chain(&self.images);
        all.find_map(|image| {
            let found = image.verified_layer(diff_id, tar_size, format, base_layers(image));
            let blob = found.unwrap_or_else(|error| {
                self.note(&image.name, &error);
                None
            })?;
            if let Some(origin) = origin(image) {
                let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
                origins.insert(blob.digest, origin);
            }
            Some(blob)
        })
    }

    /// What kept places from being used, each once. It is never a reason to fail.
    pub fn problems(&self) -> Vec<String> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, place: &str, error: &ImageError) {
        let text = format!("cannot take layers from `{place}`: {}", with_causes(error));
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        if !problems.contains(&text) {
            problems.push(text);
        }
    }
}

/// What a manifest says of how its layers were made.
pub fn compression_annotations(compression: Compression) -> BTreeMap<String, String> {
    let format = (FORMAT_ANNOTATION.into(), compress::FORMAT.to_string());
    let is_usual = matches!(compression, Compression::None | Compression::GZIP | Compression::ZSTD);
    let other = (COMPRESSION_ANNOTATION.into(), compression.to_string());
    [format].into_iter().chain((!is_usual).then_some(other)).collect()
}

/// The registry and the repository that an image is in.
fn origin(image: &oci::Image) -> Option<(String, String)> {
    image.repository().map(|(host, name)| (host.to_owned(), name.to_owned()))
}

/// Whether a manifest says in the annotation `name` how its layers were made.
pub fn is_of_layers(name: &str) -> bool {
    matches!(name, FORMAT_ANNOTATION | COMPRESSION_ANNOTATION | BASE_LAYERS_ANNOTATION)
}

/// How many layers of an image, the lowest, are those of its base.
fn base_layers(image: &oci::Image) -> usize {
    image.annotation(BASE_LAYERS_ANNOTATION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn is_compressed_with(image: &oci::Image, compression: Compression) -> bool {
    let wanted = compression_annotations(compression);
    let is_same = |name: &str| image.annotation(name).as_ref() == wanted.get(name);
    is_same(FORMAT_ANNOTATION) && is_same(COMPRESSION_ANNOTATION)
}

/// The tag of the layer with the key `key` in a cache.
pub fn tag(key: Digest) -> String {
    format!("imgb-{}", key.hex())
}

/// The image that a cache keeps a layer in.
pub fn cache_image(layer: Layer, compression: Compression, platform: &Platform) -> Image {
    let config = Config::new(platform.clone(), Timestamp::EPOCH);
    image::assemble(&config, vec![layer], &compression_annotations(compression))
}
