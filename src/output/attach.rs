//! Adds artifacts to images that are where they are: in a registry, a layout or an archive.

use std::path::Path;

use serde_json::Value;

pub use super::archive::Member;
use super::{
    OutputError, Shipment, Transfer, archive, layout, push,
    stream::{Fault, Sink},
};
use crate::{compress::Compression, image::Destination, registry::Repository, store::Durability};

/// Adds the artifacts of `shipment` to the image that is its root, in `repository`.
///
/// # Errors
/// If the registry does not take one of them.
pub fn to_registry(
    shipment: &Shipment<'_>,
    repository: &Repository,
    event: &(dyn Fn(Transfer) + Sync),
) -> Result<(), OutputError> {
    shipment.referrers.iter().try_for_each(|one| push::attach(one, repository, event))
}

/// Adds the artifacts of `shipment` to the image that is its root, in the layout `dir`.
///
/// # Errors
/// If the layout cannot be read or written.
pub fn to_layout(shipment: &Shipment<'_>, dir: &Path) -> Result<(), OutputError> {
    layout::attach(dir, shipment, Durability::Synced, &|_| {})
}

/// Adds the artifacts of `shipment` to the image that is its root, in the archive at `path`: writes
/// it again with its `members`. `known` are the artifacts that its `index` leads to so far.
///
/// # Errors
/// If the archive cannot be read or written; it is unchanged then.
pub fn to_archive(
    shipment: &Shipment<'_>,
    (path, compression): (&Path, Compression),
    members: &[Member],
    (index, known): (&Value, &[Value]),
) -> Result<(), OutputError> {
    let destination = &Destination::Path(path.to_owned());
    let sink = Sink { destination, compression, durability: Durability::Synced };
    sink.write(|out| -> Result<(), Fault> { archive::attach(out, members, index, shipment, known) })
}
