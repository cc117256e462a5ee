//! Finds the image that a name selects: the layout or archive, and the manifest in it.

use serde_json::Value;

use super::{
    ImageError, OpenOptions,
    blob_source::BlobSource,
    document::{self, DockerImage, Document},
    json, select,
};
use crate::{
    digest::Digest,
    image::{self, ImageName, Platform, Transport},
};

/// The documents of an image. Digests are verified, the configuration is not parsed yet.
pub(super) struct Found {
    pub(super) names: Vec<String>,
    pub(super) manifest: Option<image::Document>,
    pub(super) config: image::Document,
    pub(super) layers: Vec<FoundLayer>,
    /// The platform in the index.
    pub(super) platform: Option<Platform>,
}

/// A layer as a manifest lists it.
pub(super) struct FoundLayer {
    /// The name of the blob in the source.
    pub(super) path: String,
    /// Digest and size of the blob, if the manifest has them.
    pub(super) blob: Option<(Digest, u64)>,
    pub(super) media_type: Option<String>,
}

/// Finds the image that `name` names in `source`.
pub(super) fn find(
    source: &BlobSource,
    name: &ImageName,
    options: &OpenOptions,
) -> Result<Found, ImageError> {
    let index = source.document("index.json")?;
    let docker = match source {
        // A directory may hold unrelated files; only an archive is written in one go.
        BlobSource::Archive { .. } => source.document("manifest.json")?,
        BlobSource::Directory { .. } => None,
    };
    let refuse = |why| Err(ImageError::NoImage { name: name.to_string(), why });
    match (index, docker, name.transport) {
        (Some(index), docker, None | Some(Transport::Oci | Transport::OciArchive)) => {
            let found = in_layout(source, name, &index, options)?;
            if let Some(docker) = docker {
                agree(source, &found, &document::docker(&docker)?)?;
            }
            Ok(found)
        }
        (_, Some(docker), None | Some(Transport::DockerArchive)) => {
            in_docker_archive(source, name, document::docker(&docker)?)
        }
        (_, None, Some(Transport::DockerArchive)) => refuse("it has no manifest.json"),
        (Some(_), ..) => refuse("the transport does not fit it"),
        (None, ..) if matches!(source, BlobSource::Directory { .. }) => {
            refuse("it has no index.json, so it is not an OCI layout")
        }
        (None, ..) => refuse("it has neither an index.json nor a manifest.json"),
    }
}

/// The image in an OCI layout (OCI image-spec, image-layout.md).
fn in_layout(
    source: &BlobSource,
    name: &ImageName,
    index: &[u8],
    options: &OpenOptions,
) -> Result<Found, ImageError> {
    let marker = source.document("oci-layout")?.ok_or_else(|| ImageError::NoImage {
        name: name.to_string(),
        why: "the file oci-layout is missing, so it is not an OCI layout",
    })?;
    let marker = json::parse(&marker).map_err(|why| ImageError::document("oci-layout", why))?;
    if marker.get("imageLayoutVersion").and_then(Value::as_str) != Some("1.0.0") {
        return Err(ImageError::document("oci-layout", "the layout's version is not 1.0.0"));
    }
    let Document::Index(index) = document::parse("index.json", index, None)? else {
        return Err(ImageError::document("index.json", "it is not an index"));
    };
    let shown = name.to_string();
    let wanted = select::Wanted {
        source: &shown,
        tag: name.tag.as_deref(),
        platform: options.platform.as_ref(),
        machine: &options.machine,
    };
    let chosen = select::one(source, index, wanted)?;
    let (descriptor, shown) = (&chosen.descriptor, chosen.descriptor.digest.to_string());
    if !document::is_manifest(&descriptor.media_type) {
        return Err(ImageError::document(&shown, "its media type is not that of an image"));
    }
    let bytes = select::blob(source, descriptor)?;
    let Document::Manifest(manifest) =
        document::parse(&shown, &bytes, Some(&descriptor.media_type))?
    else {
        return Err(ImageError::document(&shown, "it is not a manifest"));
    };
    let config = select::blob(source, &manifest.config)?;
    let layer = |layer: document::Descriptor| FoundLayer {
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
    source: &BlobSource,
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
    let bytes = source
        .document(&image.config)?
        .ok_or_else(|| ImageError::MissingMember(image.config.clone()))?;
    let found = Digest::of(&bytes);
    if let Some(wanted) = digest_in(&image.config).filter(|wanted| *wanted != found) {
        return Err(ImageError::Digest { what: "blob", wanted, found });
    }
    let mut layers = Vec::new();
    for path in image.layers {
        let file = source.file(&path)?.ok_or_else(|| ImageError::MissingMember(path.clone()))?;
        // In an archive of blobs the name is a digest; before version 25 of docker it was another
        // identifier.
        let blob =
            path.strip_prefix("blobs/sha256/").and_then(digest_in).map(|digest| (digest, file.len));
        layers.push(FoundLayer { path, blob, media_type: None });
    }
    let config = image::Document { digest: found, bytes };
    Ok(Found { names: image.names, manifest: None, config, layers, platform: None })
}

/// The digest in a member's name: `HEX.json`, `blobs/sha256/HEX`, and crane's `sha256:HEX`.
fn digest_in(path: &str) -> Option<Digest> {
    let name = path.rsplit('/').next()?;
    let hex = name.strip_prefix("sha256:").unwrap_or(name);
    format!("sha256:{}", hex.strip_suffix(".json").unwrap_or(hex)).parse().ok()
}

/// Checks that `manifest.json`, which older engines read, leads to the same image as the index.
fn agree(source: &BlobSource, found: &Found, images: &[DockerImage]) -> Result<(), ImageError> {
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
        } else if source.file(&image.config)?.is_none() {
            return Err(ImageError::MissingMember(image.config.clone()));
        }
    }
    Ok(())
}
