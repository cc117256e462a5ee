//! Writes an image to a registry: blobs first, several at once, then manifests, the index, and tags
//! last, so that no name ever leads to an incomplete image.

use std::collections::BTreeMap;

use super::{
    OutputError,
    early::Queue,
    shipment::{Shipment, ShippedBlob, ShippedReferrer},
    transfer::{Moved, Transfer},
    upload::{WIDTH, pointer, upload},
};
use crate::{
    digest::Digest,
    image::RegistryName,
    registry::{self, Pointer, Repository},
};

/// What a registry has to fulfil before an image is written to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct PushOptions {
    /// Fail where a tag leads to another image.
    pub immutable: bool,
}

/// What became of an image that was written to a registry.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// The name that was asked for.
    pub name: RegistryName,
    /// The digest of its manifest or index.
    pub digest: Digest,
    /// Whether the tag led to this image before, so that nothing was looked at.
    pub existed: bool,
    /// What became of each blob.
    pub blobs: Vec<Moved>,
}

/// Writes `shipment` to `repository` under the tag or digest of `name`, and the artifacts about it.
/// Uploads of `early` have begun before.
pub(super) fn push(
    shipment: &Shipment<'_>,
    name: &RegistryName,
    (repository, early): (&Repository, Option<&Queue>),
    options: PushOptions,
    event: &(dyn Fn(Transfer) + Sync),
) -> Result<Pushed, OutputError> {
    let pushed = image(shipment, name, (repository, early), options, event)?;
    for referrer in &shipment.referrers {
        attach(referrer, repository, event)?;
    }
    Ok(pushed)
}

/// Writes an artifact to the repository of what it is about: its blobs, its documents, and the
/// manifest last.
///
/// # Errors
/// If the registry does not take one of them.
pub(super) fn attach(
    artifact: &ShippedReferrer<'_>,
    repository: &Repository,
    event: &(dyn Fn(Transfer) + Sync),
) -> Result<(), OutputError> {
    let blobs = artifact.documents.iter().filter(|document| document.media_type.is_none());
    let blobs: Vec<ShippedBlob<'_>> = blobs.map(|blob| blob.as_blob()).collect();
    let all: Vec<&ShippedBlob<'_>> = artifact.blobs.iter().chain(&blobs).collect();
    event(Transfer::Begin { blobs: all.len(), bytes: all.iter().map(|blob| blob.size).sum() });
    registry::each(WIDTH, &all, |blob| upload(blob, repository, event))?;
    for document in &artifact.documents {
        let Some(media_type) = document.media_type else { continue };
        match document.digest == artifact.referrer.digest {
            true => {
                repository.attach(artifact.subject, &artifact.referrer, document.bytes)?;
            }
            false => {
                let pointer = Pointer::Digest(document.digest);
                repository.put_manifest(pointer, media_type, document.bytes)?;
            }
        }
    }
    Ok(())
}

fn image(
    shipment: &Shipment<'_>,
    name: &RegistryName,
    (repository, early): (&Repository, Option<&Queue>),
    options: PushOptions,
    event: &(dyn Fn(Transfer) + Sync),
) -> Result<Pushed, OutputError> {
    let digest = shipment.root.digest;
    if let Some(wanted) = name.digest.filter(|wanted| *wanted != digest) {
        return Err(OutputError::OtherDigest { wanted, found: digest });
    }
    let selector = name.selector();
    let pointer = pointer(name, &selector);
    let before = repository.manifest_digest(pointer)?;
    if before == Some(digest) {
        let blobs = Vec::new();
        return Ok(Pushed { name: name.clone(), digest, existed: true, blobs });
    }
    if let (Some(found), true) = (before, options.immutable) {
        return Err(OutputError::Taken { name: name.to_string(), found });
    }
    let configs = shipment.documents.iter().filter(|document| document.media_type.is_none());
    let configs: Vec<ShippedBlob<'_>> = configs.map(|config| config.as_blob()).collect();
    let all: Vec<&ShippedBlob<'_>> = shipment.blobs.iter().chain(&configs).collect();
    event(Transfer::Begin { blobs: all.len(), bytes: all.iter().map(|blob| blob.size).sum() });
    let mut moved = early.map_or_else(|| Ok(BTreeMap::new()), |early| early.finish(event))?;
    let left: Vec<_> = all.iter().filter(|blob| !moved.contains_key(&blob.digest)).collect();
    let late = registry::each(WIDTH, &left, |blob| upload(blob, repository, event))?;
    moved.extend(late.into_iter().map(|one| (one.digest, one)));
    let blobs = all.iter().filter_map(|blob| moved.get(&blob.digest).copied()).collect();
    let manifests =
        shipment.documents.iter().filter_map(|document| Some((document.media_type?, document)));
    for (media_type, document) in manifests {
        let is_root = document.digest == digest;
        let pointer = if is_root { pointer } else { Pointer::Digest(document.digest) };
        repository.put_manifest(pointer, media_type, document.bytes)?;
    }
    Ok(Pushed { name: name.clone(), digest, existed: false, blobs })
}
