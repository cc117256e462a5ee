//! What scanners read in an image: the packages that its files come from, with their licences, and
//! the distribution.

mod apk;
mod dpkg;
mod licence;
mod owned;

use std::{collections::BTreeSet, sync::Arc};

use super::{Note, PackageRecord, PlanError, Reason, builder::ImageBuilder};
use crate::{
    elf::{Lookup as _, ReadFailure},
    packages::{self, Database, Format, Package},
    path::ImagePath,
    tree::{Content, Node, Tree},
    view::View,
};

use owned::{Files, Owned};

/// Bytes of a file of the image's database that are read at most.
const MAX_FILE: usize = 64 << 20;

/// Adds what is known of the packages that own files of the image. What `below` and the inputs say
/// of their packages stays. Returns a note if the sysroot's packages are not known.
///
/// # Errors
/// [`PlanError::Source`] if a file of the sysroot cannot be read.
pub(super) fn take(below: &Tree, builder: &mut ImageBuilder<'_>) -> Result<Vec<Note>, PlanError> {
    let view = builder.view;
    let mut files = owned::files(builder)?;
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let Some(database) = view.packages()? else {
        let unread = view.unread_packages()?;
        let note = |why: &str| Note::warning(why.into()).with_hint("scanners see no packages");
        return Ok(unread.map(note).into_iter().collect());
    };
    if files.keys().any(|path| !database.owners(path).is_empty()) {
        files.extend(take_distribution(builder)?);
    }
    let owned = owned::by_package(files, database);
    let known = known(below, builder)?;
    for (id, files) in &owned {
        let Some(package) = database.package(*id) else { continue };
        let Some(reason) = reason(package, files) else { continue };
        if database.format() == Format::Dpkg {
            let is_known = known.contains(&package.to_string());
            dpkg::record((*id, package), is_known, (database, files), &reason, builder)?;
        }
        for licence in &package.licences {
            licence::take(licence, &reason, builder)?;
        }
    }
    if database.format() == Format::Apk {
        apk::record(database, &owned, builder)?;
    }
    Ok(Vec::new())
}

/// Why something about `package`, which owns `files`, is in the image.
fn reason(package: &Package, files: &Files) -> Option<Reason> {
    let owns = files.values().next()?.clone();
    Some(Reason::Package(Arc::new(PackageRecord { package: package.to_string().into(), owns })))
}

/// Adds the file that names the distribution, unless the image has one. Returns it and the links on
/// the way to it.
fn take_distribution(builder: &mut ImageBuilder<'_>) -> Result<Files, PlanError> {
    let mut files = Files::new();
    for path in [&b"/etc/os-release"[..], b"/usr/lib/os-release"] {
        let Ok(found) = builder.view.find(path)? else { continue };
        if !found.is_file() || builder.has(&found.path) {
            break;
        }
        let links = found.links.iter().filter(|link| !builder.has(link)).cloned();
        files.extend(links.chain([found.path.clone()]).map(|path| (path.clone(), path)));
        builder.take(&found, Reason::Distribution)?;
        break;
    }
    Ok(files)
}

/// The names and versions of the packages that the image has a database of already.
fn known(below: &Tree, builder: &ImageBuilder<'_>) -> Result<BTreeSet<String>, ReadFailure> {
    let mut tree = Tree::new();
    for dir in packages::DIRECTORIES.iter().filter_map(|dir| ImagePath::new(dir).ok()) {
        for source in [below, builder.inputs, &builder.added] {
            let found = source.below(&dir);
            tree.extend(found.map(|(path, node)| (path.clone(), node.clone())));
        }
    }
    if tree.is_empty() {
        return Ok(BTreeSet::new());
    }
    let view = View::of_sysroot(&tree);
    let packages = view.packages()?.into_iter().flat_map(Database::packages);
    Ok(packages.map(|(_, package)| package.to_string()).collect())
}

/// Puts `bytes` in the place of a file that the image has, unless an input brings it.
fn replace(path: &ImagePath, bytes: Vec<u8>, reason: Reason, builder: &mut ImageBuilder<'_>) {
    if !builder.inputs.contains(path) {
        let node = generated(bytes, builder);
        builder.added.insert(path.clone(), node);
        builder.reasons.add(path.clone(), reason);
    }
}

/// The file of the image at `path`, with its real path.
fn existing(
    path: &str,
    builder: &ImageBuilder<'_>,
) -> Result<Option<(ImagePath, Vec<u8>)>, ReadFailure> {
    let Ok(found) = builder.view.find(path.as_bytes())? else { return Ok(None) };
    if let Some(Content::Inline(bytes)) =
        builder.added.get(&found.path).and_then(Node::file).map(|file| &file.content)
    {
        return Ok(Some((found.path, bytes.to_vec())));
    }
    match builder.has(&found.path) {
        true => Ok(builder.view.read(&found, MAX_FILE)?.ok().map(|bytes| (found.path, bytes))),
        false => Ok(None),
    }
}

/// A generated file.
fn generated(bytes: Vec<u8>, builder: &ImageBuilder<'_>) -> Node {
    let mut node = Node::inline(0o644, bytes);
    node.meta.mtime = builder.mtime;
    node
}
