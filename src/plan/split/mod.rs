//! Which paths go into which layer. Pure, except that records of installed packages are read.
//!
//! A small image has one or two layers. A large one is cut along its [`components`]: what changes
//! together stays together, what all images share has a layer of its own ([`common`]), and which
//! layer a component goes to ([`assign`]) depends on itself, not on what else the image holds. So a
//! layer has the same bytes in all images with the component.

mod assign;
mod chunks;
mod common;
mod components;
mod language;
mod layer_trees;
mod layers;
mod records;
mod sizes;
mod two;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::{PlannedLayer, Reason, Reasons};
use crate::{
    elf::ReadFailure,
    packages::{self, Database},
    path::ImagePath,
    timestamp::Mtime,
    tree::Tree,
    view::View,
};

use assign::Limits;
use components::{Evidence, Group};
pub(super) use layers::Cut;
pub use layers::Layers;

/// The annotation of a layer that says what it is.
pub const NAME_ANNOTATION: &str = "imgb.layer";
/// The annotation of a layer that lists its components, as one line.
pub const COMPONENTS_ANNOTATION: &str = "imgb.components";
/// Bytes of the list of components, at most, without the number of those that are left out.
const MAX_LIST: usize = 1024;

impl PlannedLayer {
    /// A layer that is not one of components.
    pub fn new(name: impl Into<String>, tree: Tree) -> Self {
        Self { name: name.into(), components: Vec::new(), tree }
    }

    /// What the manifest says of the layer.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::from([(NAME_ANNOTATION.to_owned(), self.name.clone())]);
        if !self.components.is_empty() {
            all.insert(COMPONENTS_ANNOTATION.into(), list(&self.components));
        }
        all
    }
}

/// `components` as one line: as many as fit, and how many do not.
fn list(components: &[String]) -> String {
    let mut text = String::new();
    for (at, name) in components.iter().enumerate() {
        let (separator, name) = (if at == 0 { "" } else { ", " }, sizes::bounded(name));
        if at > 0 && text.len() + separator.len() + name.len() > MAX_LIST {
            return format!("{text} and {} more", components.len() - at);
        }
        text.extend([separator, name]);
    }
    text
}

/// The layers of the new files of an image, lowest first; none is empty unless the tree is. Each
/// holds the directories on the way to its paths. Packages are those of the inputs' own database,
/// if they have one, otherwise those of the sysroot's, `database`. `mtime` is the time of
/// directories that nothing else gives one.
///
/// # Errors
/// [`ReadFailure`] if a record of installed packages cannot be read.
pub(super) fn split(
    tree: Tree,
    reasons: &Reasons,
    cut: Cut,
    (database, mtime): (Option<Database>, Mtime),
) -> Result<Vec<PlannedLayer>, ReadFailure> {
    let limits = match cut {
        Cut::One => return Ok(vec![PlannedLayer::new("all", tree)]),
        Cut::Two => return Ok(two::in_two(tree, reasons)),
        Cut::Small => return Ok(two::common_below_the_rest(tree, mtime)),
        Cut::Components(limits) => limits,
    };
    let is_listed = |path: &ImagePath| matches!(reasons.get(path), Some(Reason::Listed(_)));
    let mut dirs = packages::DIRECTORIES.iter().filter_map(|dir| ImagePath::new(dir).ok());
    let has_own = dirs.any(|dir| tree.below(&dir).any(|(path, _)| is_listed(path)));
    let database = match has_own {
        true => View::of_sysroot(&tree).into_packages()?.or(database),
        false => database,
    };
    by_components(tree, (database.as_ref(), Some(reasons)), limits, mtime)
}

/// The layers of files of which nothing is known but what they say themselves, lowest first: those
/// of an image, or what an instruction adds to one. `all` are the files of the whole image, with
/// its database of packages. Where they are not split by components, what packages own comes below
/// the rest.
///
/// # Errors
/// [`ReadFailure`] if a database of packages cannot be read.
pub fn split_files(
    tree: Tree,
    all: &Tree,
    layers: Layers,
    mtime: Mtime,
) -> Result<Vec<PlannedLayer>, ReadFailure> {
    let cut = layers.cut([&tree]);
    if cut == Cut::One {
        return Ok(vec![PlannedLayer::new("all", tree)]);
    }
    let view = View::of_sysroot(all);
    let database = view.packages()?;
    if let Cut::Components(limits) = cut {
        return by_components(tree, (database, None), limits, mtime);
    }
    let found = Evidence::new(&tree, database, None)?.components(&tree);
    let is_upper = found.all.iter().map(|one| usize::from(one.group > Group::System)).collect();
    let layers = ["system", "inputs"].map(|name| (name.to_owned(), Vec::new())).into();
    Ok(layer_trees::build(tree, &found, (layers, is_upper), mtime))
}

/// The layers of `tree`, cut along its components.
fn by_components(
    tree: Tree,
    (database, reasons): (Option<&Database>, Option<&Reasons>),
    limits: Limits,
    mtime: Mtime,
) -> Result<Vec<PlannedLayer>, ReadFailure> {
    let found = Evidence::new(&tree, database, reasons)?.components(&tree);
    let assigned = assign::assign(&found.all, limits);
    Ok(layer_trees::build(tree, &found, assigned, mtime))
}
