//! An image in a file or directory, opened: every digest and size is verified, every layer is read.
//!
//! Images are hostile until proven otherwise. Documents are read up to 4 MiB, digests are parsed
//! before they become file names, nothing that a document names by URL is ever fetched, and links
//! are followed among an archive's own members only.

mod document;
mod error;
mod json;
mod layers;
mod place;
mod select;

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::Value;

use crate::{
    archive::spool,
    compress::Format,
    digest::{DiffId, Digest},
    image::{self, ImageName, LayerFormat, Platform, Transport},
    store::Blob,
    tree::{Change, Tree},
};

use document::{DockerImage, Document};
use layers::Described;
use place::Place;

pub use error::ImageError;

/// How an image is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which one; another is refused. `None` takes the only one, or of several the one for
    /// `machine`.
    pub platform: Option<Platform>,
    /// This machine's platform.
    pub machine: Platform,
    /// Where layers are uncompressed to while imgb runs.
    pub spool: PathBuf,
    /// How large the layers may become.
    pub limits: spool::Limits,
}

/// An image whose every byte has been verified.
#[derive(Debug)]
pub struct Image {
    /// Where it was found, as the user wrote it.
    pub name: String,
    /// What it is called there: tags and whole names.
    pub names: Vec<String>,
    /// As its configuration says.
    pub platform: Platform,
    /// The configuration.
    pub config: Value,
    /// The configuration's bytes.
    pub config_document: image::Document,
    /// The manifest's bytes. An archive of `docker save` before version 25 has none.
    pub manifest: Option<image::Document>,
    /// Lowest first.
    pub layers: Vec<Layer>,
    /// What is odd about it and harmless, as sentences.
    pub notes: Vec<String>,
    place: Place,
}

/// A layer of an image.
#[derive(Debug)]
pub struct Layer {
    /// Of the blob.
    pub digest: Digest,
    /// Bytes of the blob.
    pub size: u64,
    /// Of the tar within.
    pub diff_id: DiffId,
    /// What the blob is compressed with, by its content.
    pub format: Format,
    /// What the manifest calls it, if there is one.
    pub media_type: Option<String>,
    /// Bytes of the tar within.
    pub tar_size: u64,
    /// What it does to the layers below. Contents are in a private file of this process.
    pub change: Change,
    /// How many entries a later one of the same path replaced.
    pub replaced: usize,
    /// How many extended attributes other than `security.capability` were left out.
    pub dropped_attributes: usize,
    path: String,
}

/// The documents of the image that is meant, verified but for its layers.
struct Found {
    names: Vec<String>,
    manifest: Option<image::Document>,
    config: image::Document,
    layers: Vec<Described>,
    /// What the index says.
    platform: Option<Platform>,
}

/// Opens the image that `name` names and verifies all of it: digests, sizes, diff ids. What kind of
/// image it is its content tells; an archive that is an OCI layout and a `docker save` archive at
/// once is read as the former, which has more digests, and refused where the two disagree.
///
/// # Errors
/// [`ImageError`]
pub fn open(name: &ImageName, options: &Options) -> Result<Image, ImageError> {
    let place = Place::open(name, &options.spool, options.limits)?;
    let shown = name.to_string();
    let index = place.document("index.json")?;
    let docker = match &place {
        // Beside a directory's files others may lie: only an archive is made in one go.
        Place::Archive { .. } => place.document("manifest.json")?,
        Place::Directory { .. } => None,
    };
    let no_image = |why| ImageError::NoImage { name: shown.clone(), why };
    let found = match (index, docker, name.transport) {
        (Some(index), docker, None | Some(Transport::Oci | Transport::OciArchive)) => {
            let found = in_layout(&place, name, &index, options)?;
            if let Some(docker) = docker {
                agree(&place, &found, &document::docker(&docker)?)?;
            }
            found
        }
        (_, Some(docker), None | Some(Transport::DockerArchive)) => {
            in_docker_archive(&place, name, document::docker(&docker)?)?
        }
        (_, None, Some(Transport::DockerArchive)) => {
            return Err(no_image("it has no manifest.json"));
        }
        (Some(_), ..) => return Err(no_image("the transport does not fit it")),
        (None, ..) if matches!(place, Place::Directory { .. }) => {
            return Err(no_image("it has no index.json, so it is no OCI layout"));
        }
        (None, ..) => return Err(no_image("it has neither an index.json nor a manifest.json")),
    };
    whole(shown, place, found, options)
}

/// Reads configuration and layers.
fn whole(name: String, place: Place, found: Found, options: &Options) -> Result<Image, ImageError> {
    let Found { names, manifest, config: document, layers, platform: said } = found;
    let shown = format!("configuration {}", document.digest);
    let config = document::config(&shown, &document.bytes)?;
    let no_config = |why: String| ImageError::document(&shown, why);
    let platform = document::platform(&config)
        .ok_or_else(|| no_config("it has no architecture or os".into()))?;
    if let Some(wanted) = options.platform.as_ref().filter(|wanted| **wanted != platform) {
        return Err(ImageError::OtherPlatform {
            name,
            wanted: wanted.to_string(),
            found: platform.to_string(),
        });
    }
    let mut notes = Vec::new();
    if let Some(said) = said.filter(|said| *said != platform) {
        notes.push(format!("the index says {said}, the configuration {platform}"));
    }
    let diff_ids = document::diff_ids(&config).map_err(no_config)?;
    if diff_ids.len() != layers.len() {
        return Err(ImageError::Count { layers: layers.len(), diff_ids: diff_ids.len() });
    }
    let described = layers.into_iter().zip(diff_ids).collect();
    let layers = layers::open(&name, &place, described, &options.spool, options.limits)?;
    for layer in &layers {
        notes.extend(layer.notes());
    }
    Ok(Image {
        name,
        names,
        platform,
        config,
        config_document: document,
        manifest,
        layers,
        notes,
        place,
    })
}

/// The image in an OCI layout (OCI image-spec, image-layout.md).
fn in_layout(
    place: &Place,
    name: &ImageName,
    index: &[u8],
    options: &Options,
) -> Result<Found, ImageError> {
    let marker = place.document("oci-layout")?.ok_or_else(|| ImageError::NoImage {
        name: name.to_string(),
        why: "it has no file oci-layout, so it is no OCI layout",
    })?;
    let marker = json::parse(&marker).map_err(|why| ImageError::document("oci-layout", why))?;
    if marker.get("imageLayoutVersion").and_then(Value::as_str) != Some("1.0.0") {
        return Err(ImageError::document("oci-layout", "the layout's version is not 1.0.0"));
    }
    let Document::Index(index) = document::parse("index.json", index, None)? else {
        return Err(ImageError::document("index.json", "it is no index"));
    };
    let shown = name.to_string();
    let wanted = select::Wanted {
        place: &shown,
        tag: name.tag.as_deref(),
        platform: options.platform.as_ref(),
        own: &options.machine,
    };
    let chosen = select::one(place, index, wanted)?;
    let (descriptor, shown) = (&chosen.descriptor, chosen.descriptor.digest.to_string());
    if !document::is_manifest(&descriptor.media_type) {
        return Err(ImageError::document(&shown, "no image: its type is another"));
    }
    let bytes = select::blob(place, descriptor)?;
    let Document::Manifest(manifest) =
        document::parse(&shown, &bytes, Some(&descriptor.media_type))?
    else {
        return Err(ImageError::document(&shown, "it is no manifest"));
    };
    let config = select::blob(place, &manifest.config)?;
    let layer = |layer: document::Descriptor| Described {
        path: select::path(layer.digest),
        blob: Some((layer.digest, layer.size)),
        media_type: Some(layer.media_type),
    };
    Ok(Found {
        names: chosen.names,
        manifest: Some(image::Document { digest: descriptor.digest, bytes }),
        config: image::Document { digest: manifest.config.digest, bytes: config },
        layers: manifest.layers.into_iter().map(layer).collect(),
        platform: chosen.descriptor.platform,
    })
}

/// The image in an archive that `docker save` made (moby's `image/tarexport`).
fn in_docker_archive(
    place: &Place,
    name: &ImageName,
    images: Vec<DockerImage>,
) -> Result<Found, ImageError> {
    let all: Vec<String> = images.iter().flat_map(|image| image.names.clone()).collect();
    let is_wanted = |image: &DockerImage| match &name.tag {
        None => true,
        Some(tag) => image.names.iter().any(|name| select::is_called(name, tag)),
    };
    let wanted: Vec<DockerImage> = images.into_iter().filter(is_wanted).collect();
    let image = match <[DockerImage; 1]>::try_from(wanted) {
        Ok([image]) => image,
        Err(none) if none.is_empty() => {
            let wanted = name.tag.clone().unwrap_or_else(|| "an image".into());
            return Err(ImageError::NoSuchImage { name: name.to_string(), wanted, there: all });
        }
        Err(_) => return Err(ImageError::SeveralImages { name: name.to_string(), there: all }),
    };
    let bytes = place
        .document(&image.config)?
        .ok_or_else(|| ImageError::MissingMember(image.config.clone()))?;
    let found = Digest::of(&bytes);
    if let Some(wanted) = digest_in(&image.config).filter(|wanted| *wanted != found) {
        return Err(ImageError::Digest { what: "blob", wanted, found });
    }
    let mut layers = Vec::new();
    for path in image.layers {
        let part = place.part(&path)?.ok_or_else(|| ImageError::MissingMember(path.clone()))?;
        // In an archive of blobs the name is a digest; before, it was an identifier of something
        // else.
        let blob =
            path.strip_prefix("blobs/sha256/").and_then(digest_in).map(|digest| (digest, part.len));
        layers.push(Described { path, blob, media_type: None });
    }
    let config = image::Document { digest: found, bytes };
    Ok(Found { names: image.names, manifest: None, config, layers, platform: None })
}

/// The digest that a member's name says: `HEX.json`, `blobs/sha256/HEX`, and crane's `sha256:HEX`.
fn digest_in(path: &str) -> Option<Digest> {
    let name = path.rsplit('/').next()?;
    let hex = name.strip_prefix("sha256:").unwrap_or(name);
    format!("sha256:{}", hex.strip_suffix(".json").unwrap_or(hex)).parse().ok()
}

/// That `manifest.json`, which older engines read, leads to the same image as the index.
fn agree(place: &Place, found: &Found, images: &[DockerImage]) -> Result<(), ImageError> {
    let config = select::path(found.config.digest);
    for image in images {
        if image.config == config {
            let same = image.layers.iter().eq(found.layers.iter().map(|layer| &layer.path));
            if !same {
                return Err(ImageError::document(
                    "manifest.json",
                    "other layers than the index leads to",
                ));
            }
        } else if place.part(&image.config)?.is_none() {
            return Err(ImageError::MissingMember(image.config.clone()));
        }
    }
    Ok(())
}

impl Image {
    /// The whole file system, all layers over each other. Parents that no layer has an entry for
    /// are not in it.
    pub fn merged(&self) -> Tree {
        let mut tree = Tree::new();
        for layer in &self.layers {
            tree.apply(layer.change.clone());
        }
        tree
    }

    /// The blob of a layer as it is stored, to be copied. Opened again: whoever copies it compares
    /// the digest of what was copied.
    ///
    /// # Errors
    /// Where it is gone or has another length now.
    pub fn blob(&self, layer: &Layer) -> Result<Blob, ImageError> {
        let part = self.place.part(&layer.path)?.ok_or(ImageError::MissingBlob(layer.digest))?;
        if part.len != layer.size {
            return Err(ImageError::Size {
                digest: layer.digest,
                wanted: layer.size,
                found: part.len,
            });
        }
        Ok(Blob { digest: layer.digest, size: layer.size, extent: part.extent })
    }

    /// Text fields of the configuration's `config` object, `Env` for instance: those of them that
    /// are text.
    pub fn texts(&self, field: &str) -> Vec<String> {
        let items = self
            .config
            .get("config")
            .and_then(|config| config.get(field))
            .and_then(Value::as_array);
        items.into_iter().flatten().filter_map(Value::as_str).map(Into::into).collect()
    }

    /// A text field of the configuration's `config` object, `User` for instance; `None` where it is
    /// empty.
    pub fn text(&self, field: &str) -> Option<String> {
        let value =
            self.config.get("config").and_then(|config| config.get(field)).and_then(Value::as_str);
        value.filter(|text| !text.is_empty()).map(Into::into)
    }

    /// The labels.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let labels = self
            .config
            .get("config")
            .and_then(|config| config.get("Labels"))
            .and_then(Value::as_object);
        let text =
            |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        labels.into_iter().flatten().filter_map(text).collect()
    }
}

impl Layer {
    /// The layer as a manifest of imgb's own describes it. `None` where no manifest can: bzip2 and
    /// xz, which only `docker load` takes.
    pub fn document(&self) -> Option<image::Layer> {
        let format = match self.format {
            Format::Plain => LayerFormat::Tar,
            Format::Gzip => LayerFormat::Gzip,
            Format::Zstd => LayerFormat::Zstd,
            Format::Bzip2 | Format::Xz => return None,
        };
        Some(image::Layer { digest: self.digest, diff_id: self.diff_id, size: self.size, format })
    }

    fn notes(&self) -> Vec<String> {
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
