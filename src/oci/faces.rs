//! An archive that is an OCI layout and a `docker save` archive at once: containerd and podman read
//! `index.json`, docker reads `manifest.json`, and both must find the same image.

use std::sync::Arc;

use super::{
    ImageError,
    blob_file::BlobFile,
    blob_source::BlobSource,
    docker::{self, DockerImage},
    document::Descriptor,
    select::{self, Candidate},
};
use crate::digest::Digest;

/// An image that the index leads to.
struct Indexed {
    candidate: Candidate,
    config: Digest,
    layers: Vec<Digest>,
}

/// Checks that every image in `manifest.json` is one of `index`, under the same names. Returns
/// notes: `manifest.json` may have the image of another platform than the `chosen` configuration.
pub(super) fn agree(
    source: &BlobSource,
    index: &[Descriptor],
    images: &[DockerImage],
    chosen: Digest,
) -> Result<Vec<String>, ImageError> {
    if images.is_empty() {
        return Err(refuse("it lists no image, and index.json does".into()));
    }
    let indexed = indexed(source, index)?;
    let candidates: Vec<Candidate> = indexed.iter().map(|one| one.candidate.clone()).collect();
    let (mut notes, mut has_chosen) = (Vec::new(), false);
    for image in images {
        let same = same(source, image, &indexed)?;
        for name in &image.names {
            let called = select::called(&candidates, name);
            let is_called = |one: &&Indexed| {
                called.iter().any(|c| c.descriptor.digest == one.candidate.descriptor.digest)
            };
            if !called.is_empty() && !same.iter().any(is_called) {
                let name = crate::path::escape(name.as_bytes());
                return Err(refuse(format!("`{name}` is another image than in index.json")));
            }
        }
        has_chosen |= same.iter().any(|one| one.config == chosen);
        let platform = same.iter().find_map(|one| one.candidate.descriptor.platform.as_ref());
        if let Some(platform) = platform {
            notes.push(format!("manifest.json, which `docker load` reads, has {platform}"));
        }
    }
    // Where it has the image too, the others are other images.
    Ok(if has_chosen { Vec::new() } else { notes })
}

fn refuse(why: String) -> ImageError {
    ImageError::document("manifest.json", why)
}

/// The images that the index leads to and whose manifests are in the archive.
fn indexed(source: &BlobSource, index: &[Descriptor]) -> Result<Vec<Indexed>, ImageError> {
    let top = index.iter().map(|descriptor| Candidate {
        names: vec![descriptor.names.clone()],
        descriptor: descriptor.clone(),
    });
    let mut indexed = Vec::new();
    for candidate in select::expand(source, top.collect(), false, None)? {
        if let Some(manifest) = select::manifest(source, &candidate)? {
            indexed.push(Indexed {
                candidate,
                config: manifest.config.digest,
                layers: manifest.layers.iter().map(|layer| layer.digest).collect(),
            });
        }
    }
    Ok(indexed)
}

/// Those of `indexed` that have the configuration and the layers of `image`; at least one.
fn same<'a>(
    source: &BlobSource,
    image: &DockerImage,
    indexed: &'a [Indexed],
) -> Result<Vec<&'a Indexed>, ImageError> {
    let config = Digest::of(docker::config(source, image)?);
    let with_config: Vec<_> = indexed.iter().filter(|one| one.config == config).collect();
    if with_config.is_empty() {
        let shown = crate::path::escape(image.config.as_bytes());
        return Err(refuse(format!("index.json does not lead to its image `{shown}`")));
    }
    let mut same = Vec::new();
    for one in with_config {
        if has_layers(source, image, one)? {
            same.push(one);
        }
    }
    if same.is_empty() {
        Err(refuse("other layers than index.json leads to".into()))
    } else {
        Ok(same)
    }
}

/// Whether the paths of `image` are the blobs of `one`.
fn has_layers(source: &BlobSource, image: &DockerImage, one: &Indexed) -> Result<bool, ImageError> {
    if image.layers.len() != one.layers.len() {
        return Ok(false);
    }
    for (path, digest) in image.layers.iter().zip(&one.layers) {
        let blob = source.blob_path(*digest);
        if *path == blob {
            continue;
        }
        // The path may be a link to the blob.
        let same = match (source.file(path)?, source.file(&blob)?) {
            (Some(ours), Some(theirs)) => is_same(&ours, &theirs),
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether both are the same member. A sparse member has a file of its own each time.
fn is_same(ours: &BlobFile, theirs: &BlobFile) -> bool {
    let place = |file: &BlobFile| (file.extent.offset, file.len);
    Arc::ptr_eq(&ours.extent.file, &theirs.extent.file) && place(ours) == place(theirs)
}
