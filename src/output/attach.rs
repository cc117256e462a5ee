//! Adds artifacts to images that are where they are: in a registry, a layout or an archive.

use std::{io::Write, path::Path};

use serde_json::Value;

pub use super::archive::Member;
use super::{OutputError, Shipment, Transfer, archive, layout, push, stream::Sink};
use crate::{
    compress::Compression,
    image::Destination,
    registry::Repository,
    store::{Durability, Pending},
    uninterrupted,
};

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
    let fail = |source| OutputError::Io { action: "write", path: path.into(), source };
    // The file that links lead to is replaced, and its mode stays.
    let path = &*uninterrupted::canonicalize(path).map_err(fail)?;
    let mode = uninterrupted::metadata(path).map_err(fail)?.permissions();
    let destination = &Destination::Path(path.to_owned());
    let sink = Sink { destination, compression, durability: Durability::Synced };
    let pending = Pending::create(path)?;
    pending.file().set_permissions(mode).map_err(fail)?;
    let write = |out: &mut dyn Write| archive::attach(out, members, index, shipment, known);
    sink.compress(&**pending.file(), write).map_err(|fault| fault.into_error(fail))?;
    Ok(pending.commit(Durability::Synced)?)
}
