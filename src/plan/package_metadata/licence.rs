//! Licences of packages.

use crate::{
    elf::Lookup as _,
    path::ImagePath,
    plan::{PlanError, Reason, builder::ImageBuilder},
    tree::{Kind, Node},
};

/// Adds the licence at `path` as a file of its own, whatever links lead to it: several packages may
/// have one directory of documents, which belongs to another.
pub(super) fn take(
    path: &ImagePath,
    reason: &Reason,
    builder: &mut ImageBuilder<'_>,
) -> Result<(), PlanError> {
    let Ok(found) = builder.view.find(path.as_bytes())? else { return Ok(()) };
    let Ok(Some(mut node)) = builder.view.node(&found.path)? else { return Ok(()) };
    let is_public = node.meta.mode & 0o004 != 0;
    let parents = [path.parent(), path.parent().and_then(|dir| dir.parent())];
    let [Some(own), Some(documents)] = parents else { return Ok(()) };
    let Ok(documents) = builder.view.resolve(documents.as_bytes())? else { return Ok(()) };
    let place = documents.path.join([own.file_name(), b"/", path.file_name()].concat());
    let Ok(place) = place else { return Ok(()) };
    let Kind::File(file) = &mut node.kind else { return Ok(()) };
    let known = builder.added.get(&own).or_else(|| builder.view.own(&own));
    let is_elsewhere = known.is_some_and(|node: &Node| !node.is_directory());
    if !is_public || is_elsewhere || builder.has(&place) {
        return Ok(());
    }
    // Licences of several packages may be one file.
    file.shared = true;
    builder.add_path_components(&documents.path, &documents.links, &documents.dotdot_dirs)?;
    builder.reasons.add(place.clone(), reason.clone());
    builder.added.insert(place, node);
    Ok(())
}
