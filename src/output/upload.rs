//! One blob on its way to a registry.

use std::num::NonZero;

use super::{
    shipment::ShippedBlob,
    transfer::{How, Moved, Transfer},
};
use crate::{
    image::RegistryName,
    registry::{Pointer, RegistryError, Repository, Source, Uploaded},
};

/// Blobs that are sent at once.
pub(super) const WIDTH: NonZero<usize> = NonZero::new(4).unwrap();

/// What `name` leads to in its repository; `selector` is its [`RegistryName::selector`].
pub(super) fn pointer<'a>(name: &'a RegistryName, selector: &'a str) -> Pointer<'a> {
    match (&name.tag, name.digest) {
        (Some(tag), _) => Pointer::Tag(tag),
        (None, Some(digest)) => Pointer::Digest(digest),
        (None, None) => Pointer::Tag(selector),
    }
}

/// Brings a blob into the repository.
pub(super) fn upload(
    blob: &ShippedBlob<'_>,
    repository: &Repository,
    event: &(dyn Fn(Transfer) + Sync),
) -> Result<Moved, RegistryError> {
    let (digest, size) = (blob.digest, blob.size);
    let origin = blob.origin.as_ref().filter(|(registry, _)| registry == repository.registry());
    let mount_from = origin.map(|(_, name)| &**name);
    let source = Source { digest, size, open: &*blob.open, mount_from };
    let progress = |done| event(Transfer::Part { digest, size, done });
    let how = match repository.upload(&source, &progress)? {
        Uploaded::Existed => How::Existed,
        Uploaded::Mounted => How::Mounted,
        Uploaded::Sent { bytes } => How::Sent { bytes },
    };
    let moved = Moved { digest, size, how };
    event(Transfer::Done(moved));
    Ok(moved)
}
