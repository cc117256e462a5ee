//! Finds the image that a name selects: the layout or archive, and the manifest in it.

use serde_json::Value;

use super::{
    ImageError,
    blob_source::{BlobSource, Form},
    docker::{self, DockerImage},
    document::{self, Descriptor, Document, Manifest, Names},
    faces,
    found::{Found, FoundLayer},
    json,
    select::{self, Candidate, Wanted},
};
use crate::{
    digest::Digest,
    image::{self, Transport, fields},
};

/// Finds the image that is wanted in `source`.
pub(super) fn find(source: &BlobSource, wanted: Wanted<'_>) -> Result<Found, ImageError> {
    let refuse = |why| ImageError::NoImage { name: wanted.source.into(), why };
    match source {
        BlobSource::Archive { .. } => in_archive(source, wanted),
        BlobSource::Directory { form: Form::Layout, .. } => {
            let index = source.document("index.json")?;
            let index =
                index.ok_or_else(|| refuse("it has no index.json, so it is not an OCI layout"))?;
            in_index(source, wanted, layout(source, wanted, &index)?)
        }
        BlobSource::Directory { form: Form::Dir, .. } => {
            let manifest = source.document("manifest.json")?;
            let manifest = manifest.ok_or_else(|| refuse("it has no manifest.json"))?;
            in_dir(source, wanted, manifest)
        }
        BlobSource::Registry(remote) => in_index(source, wanted, vec![remote.root.clone()]),
    }
}

/// The images that are wanted, whatever their platform: those of an index, in its order, or the
/// only one.
pub(super) fn all(source: &BlobSource, wanted: Wanted<'_>) -> Result<Vec<Found>, ImageError> {
    let Some(index) = index(source, wanted)? else { return Ok(vec![find(source, wanted)?]) };
    let (images, roots) = select::all(source, index.clone(), wanted)?;
    let found = images.into_iter().map(|image| of_candidate(source, image, roots.clone()));
    let found = found.collect::<Result<Vec<_>, _>>()?;
    let listed = match source {
        BlobSource::Archive { .. } => source.document("manifest.json")?,
        BlobSource::Directory { .. } | BlobSource::Registry(_) => None,
    };
    if let (Some(listed), Some(first)) = (listed, found.first()) {
        faces::agree(source, &index, &docker::parse(&listed)?, first.config.digest)?;
    }
    Ok(found)
}

/// The entries of the source's own index; `None` if it has no index, or not one that counts.
fn index(source: &BlobSource, wanted: Wanted<'_>) -> Result<Option<Vec<Descriptor>>, ImageError> {
    match source {
        BlobSource::Directory { form: Form::Dir, .. } => {
            let Some(bytes) = source.document("manifest.json")? else { return Ok(None) };
            Ok(match document::parse("manifest.json", &bytes, None)? {
                Document::Index(index) => Some(index),
                Document::Manifest(_) => None,
            })
        }
        BlobSource::Registry(remote) => Ok(Some(vec![remote.root.clone()])),
        _ if wanted.transport == Some(Transport::DockerArchive) => Ok(None),
        _ => {
            let Some(bytes) = source.document("index.json")? else { return Ok(None) };
            let index = layout(source, wanted, &bytes)?;
            // Docker 25 writes an empty index into some archives.
            Ok(Some(index).filter(|index| !index.is_empty()))
        }
    }
}

/// The image in an archive. It may be an OCI layout, a `docker save` archive, or both.
fn in_archive(source: &BlobSource, wanted: Wanted<'_>) -> Result<Found, ImageError> {
    let refuse = |why| Err(ImageError::NoImage { name: wanted.source.into(), why });
    let images = source.document("manifest.json")?;
    let images = images.map(|bytes| docker::parse(&bytes)).transpose()?;
    if let Some(repositories) = source.document("repositories")? {
        docker::check_repositories(&repositories, images.as_deref())?;
    }
    if wanted.transport == Some(Transport::DockerArchive) {
        return match images {
            Some(images) => docker::find(source, wanted, images),
            None => refuse("it has no manifest.json"),
        };
    }
    let index = source.document("index.json")?;
    let index = index.map(|bytes| layout(source, wanted, &bytes)).transpose()?;
    match (index, images) {
        // Docker 25 writes an empty index into some archives.
        (Some(index), Some(images))
            if index.is_empty() && !images.is_empty() && wanted.transport.is_none() =>
        {
            docker::find(source, wanted, images)
        }
        (Some(index), images) => both(source, wanted, index, images),
        (None, Some(images)) if wanted.transport.is_none() => docker::find(source, wanted, images),
        (None, Some(_)) => refuse("the transport does not fit it"),
        (None, None) => refuse("it has neither an index.json nor a manifest.json"),
    }
}

/// The image in `index`, which has to be the one in `manifest.json` if there is one.
fn both(
    source: &BlobSource,
    wanted: Wanted<'_>,
    index: Vec<Descriptor>,
    images: Option<Vec<DockerImage>>,
) -> Result<Found, ImageError> {
    let mut found = in_index(source, wanted, index.clone())?;
    if let Some(images) = images {
        found.notes = faces::agree(source, &index, &images, found.config.digest)?;
    }
    Ok(found)
}

/// The entries of a layout's `index.json` (OCI image-spec, image-layout.md).
fn layout(
    source: &BlobSource,
    wanted: Wanted<'_>,
    index: &[u8],
) -> Result<Vec<Descriptor>, ImageError> {
    let marker = source.document("oci-layout")?.ok_or_else(|| ImageError::NoImage {
        name: wanted.source.into(),
        why: "the file oci-layout is missing, so it is not an OCI layout",
    })?;
    let marker = json::document(&marker, &fields::LAYOUT)
        .map_err(|why| ImageError::document("oci-layout", why))?;
    if marker.get("imageLayoutVersion").and_then(Value::as_str) != Some("1.0.0") {
        return Err(ImageError::document("oci-layout", "the layout's version is not 1.0.0"));
    }
    match document::parse("index.json", index, None)? {
        Document::Index(index) => Ok(index),
        Document::Manifest(_) => Err(ImageError::document("index.json", "it is not an index")),
    }
}

/// The image of `index` that is wanted.
fn in_index(
    source: &BlobSource,
    wanted: Wanted<'_>,
    index: Vec<Descriptor>,
) -> Result<Found, ImageError> {
    let select::Selected { image, roots } = select::one(source, index, wanted)?;
    of_candidate(source, image, roots)
}

/// The image of an index's entry.
fn of_candidate(
    source: &BlobSource,
    chosen: Candidate,
    roots: Vec<Descriptor>,
) -> Result<Found, ImageError> {
    let (descriptor, shown) = (&chosen.descriptor, chosen.descriptor.digest.to_string());
    if !document::is_manifest(&descriptor.media_type) {
        return Err(ImageError::document(&shown, "its media type is not that of an image"));
    }
    let bytes = select::document(source, descriptor)?;
    let Document::Manifest(manifest) =
        document::parse(&shown, &bytes, Some(&descriptor.media_type))?
    else {
        return Err(ImageError::document(&shown, "it is not a manifest"));
    };
    let document = image::Document { digest: descriptor.digest, bytes };
    let names = chosen.names.iter().flat_map(Names::all).map(Into::into).collect();
    let manifest_type = document::known_type(&chosen.descriptor.media_type);
    let platform = chosen.descriptor.platform;
    let found = of_manifest(source, document, *manifest)?;
    let manifest_type = manifest_type.unwrap_or(found.manifest_type);
    Ok(Found { names, platform, roots, manifest_type, ..found })
}

/// The image in a directory that skopeo's `dir:` or `podman save --format docker-dir` wrote
/// (containers-transports(5)).
fn in_dir(source: &BlobSource, wanted: Wanted<'_>, bytes: Vec<u8>) -> Result<Found, ImageError> {
    let digest = Digest::of(&bytes);
    let none = |what: String| ImageError::NoSuchImage {
        name: wanted.source.into(),
        wanted: what,
        there: vec![digest.to_string()],
    };
    if bytes.trim_ascii_start().starts_with(b"[") {
        let why = "its manifest.json is that of an archive of `docker save`; name the archive";
        return Err(ImageError::NoImage { name: wanted.source.into(), why });
    }
    match document::parse("manifest.json", &bytes, None)? {
        Document::Index(index) => in_index(source, wanted, index),
        Document::Manifest(_) if wanted.tag.is_some() => {
            Err(none(format!("image called `{}`", wanted.tag.unwrap_or_default())))
        }
        Document::Manifest(_) if wanted.digest.is_some_and(|wanted| wanted != digest) => {
            Err(none("image with this digest".into()))
        }
        Document::Manifest(manifest) => {
            if manifest.media_type.as_deref().is_some_and(|own| !document::is_manifest(own)) {
                let why = "its `mediaType` is not that of an image";
                return Err(ImageError::document("manifest.json", why));
            }
            of_manifest(source, image::Document { digest, bytes }, *manifest)
        }
    }
}

/// The image of a manifest.
fn of_manifest(
    source: &BlobSource,
    document: image::Document,
    manifest: Manifest,
) -> Result<Found, ImageError> {
    if let Some(why) = manifest.why_not_an_image() {
        let why = format!("it is not the manifest of an image: {why}");
        return Err(ImageError::document(&document.digest.to_string(), why));
    }
    let (digest, manifest_type) = (manifest.config.digest, manifest.own_type());
    let path = source.blob_path(digest);
    let config = select::verified(source, &path, &manifest.config)?;
    let bytes = config.ok_or(ImageError::MissingBlob(digest))?;
    let layer = |layer: Descriptor| FoundLayer {
        path: source.blob_path(layer.digest),
        blob: Some((layer.digest, layer.size)),
        media_type: Some(layer.media_type),
        annotations: layer.annotations,
    };
    Ok(Found {
        names: Vec::new(),
        manifest: Some(document),
        manifest_type,
        config: image::Document { digest, bytes },
        layers: manifest.layers.into_iter().map(layer).collect(),
        platform: None,
        roots: Vec::new(),
        notes: Vec::new(),
    })
}
