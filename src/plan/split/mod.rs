//! Which paths go into which layer. Pure, except that records of installed packages are read.
//!
//! A small image has one or two layers. A large one is cut along its [`components`]: what changes
//! together stays together, and which layer a component goes to ([`assign`]) depends on itself, not
//! on what else the image holds. So a layer has the same bytes in all images with the component.

mod assign;
mod chunks;
mod components;
mod language;
mod layer_trees;
mod python;
mod sizes;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
};

use super::{PlannedLayer, Reason, Reasons};
use crate::{
    elf::ReadFailure,
    packages::{self, Database},
    path::ImagePath,
    timestamp::Mtime,
    tree::{Node, Tree},
    view::View,
};

use assign::Limits;
use components::{Evidence, Group};

/// Bytes of content below which an image is not split by components.
const SMALL: u64 = 32 << 20;

/// The annotation of a layer that says what it is.
pub const NAME_ANNOTATION: &str = "imgb.layer";
/// The annotation of a layer that lists its components, as one line.
pub const COMPONENTS_ANNOTATION: &str = "imgb.components";
/// Bytes of the list of components, at most, without the number of those that are left out.
const MAX_LIST: usize = 1024;

/// How many layers an image gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layers {
    /// One.
    One,
    /// What the system gave below what the user gave: the lower one stays the same from build to
    /// build.
    Split,
    /// As [`Layers::Split`] where the image is small, otherwise up to this many, by components.
    Auto(NonZeroUsize),
    /// Up to this many, by components, however small they are.
    Packages(NonZeroUsize),
}

impl Layers {
    /// The layers of a large image, if nothing else is said.
    pub const MAX: NonZeroUsize = NonZeroUsize::new(16).unwrap();

    /// The packages of the sysroot of `view`, if they matter to the layers of the inputs and what
    /// is added to them.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub(super) fn packages(
        self,
        (inputs, added): (&Tree, &Tree),
        view: View<'_>,
    ) -> Result<Option<Database>, ReadFailure> {
        let matter = match self {
            Self::One | Self::Split => false,
            Self::Auto(max) => max.get() > 2 && bytes(inputs) + bytes(added) >= SMALL,
            Self::Packages(max) => max.get() > 2,
        };
        if matter { view.into_packages() } else { Ok(None) }
    }

    /// How `tree` is split by components; `None` if it is not.
    fn limits(self, tree: &Tree) -> Option<Limits> {
        let (max, large) = match self {
            Self::One | Self::Split => return None,
            Self::Auto(max) if bytes(tree) >= SMALL => (max, sizes::LARGE),
            Self::Auto(_) => return None,
            Self::Packages(max) => (max, 0),
        };
        (max.get() > 2).then_some(Limits { max: max.get(), large })
    }

    /// Whether `tree`, of which nothing but its files is known, is cut along its components.
    pub fn cuts(self, tree: &Tree) -> bool {
        !tree.is_empty() && self.limits(tree).is_some()
    }

    /// The same with what is left after `count` layers: at least the two of a small image.
    #[must_use]
    pub fn less(self, count: usize) -> Self {
        let left = |max: NonZeroUsize| {
            let left = max.get().saturating_sub(count).max(2).min(max.get());
            NonZeroUsize::new(left).unwrap_or(max)
        };
        match self {
            Self::Auto(max) => Self::Auto(left(max)),
            Self::Packages(max) => Self::Packages(left(max)),
            Self::One | Self::Split => self,
        }
    }

    /// Whether all goes into one layer.
    fn is_one(self) -> bool {
        match self {
            Self::One => true,
            Self::Auto(max) | Self::Packages(max) => max.get() == 1,
            Self::Split => false,
        }
    }
}

impl Default for Layers {
    fn default() -> Self {
        Self::Auto(Self::MAX)
    }
}

/// Bytes of content, those of hard links once.
fn bytes(tree: &Tree) -> u64 {
    let mut seen = BTreeSet::new();
    let files = tree.iter().filter_map(|(_, node)| node.file());
    let counted = files.filter(|file| !file.shared || seen.insert(file.content.identity()));
    counted.map(|file| file.len).sum()
}

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
    layers: Layers,
    (database, mtime): (Option<Database>, Mtime),
) -> Result<Vec<PlannedLayer>, ReadFailure> {
    if layers.is_one() {
        return Ok(vec![PlannedLayer::new("all", tree)]);
    }
    let Some(limits) = layers.limits(&tree) else { return Ok(in_two(tree, reasons)) };
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
    if layers.is_one() {
        return Ok(vec![PlannedLayer::new("all", tree)]);
    }
    let view = View::of_sysroot(all);
    let database = view.packages()?;
    if let Some(limits) = layers.limits(&tree) {
        return by_components(tree, (database, None), limits, mtime);
    }
    let found = Evidence::new(&tree, database, None)?.components(&tree);
    let is_upper = found.all.iter().map(|one| usize::from(one.group != Group::System)).collect();
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

/// What the system gave, below what the user gave. Each holds the directories on the way to its
/// paths, with the same metadata in both, since an upper layer's entry replaces the lower's.
fn in_two(tree: Tree, reasons: &Reasons) -> Vec<PlannedLayer> {
    // A single directory, which may be large, is not taken apart and put together again.
    if let Some(Reason::Listed(_)) = reasons.only() {
        return vec![PlannedLayer::new("inputs", tree)];
    }
    let directories: BTreeMap<ImagePath, Node> = tree
        .iter()
        .filter(|(_, node)| node.is_directory())
        .map(|(path, node)| (path.clone(), node.clone()))
        .collect();
    let (mut system, mut user, mut parents) = (Vec::new(), Vec::new(), Vec::new());
    for (path, node, reason) in reasons.of(tree.into_iter()) {
        match reason {
            Some(Reason::Listed(_)) => user.push((path, node)),
            Some(Reason::Parent(_) | Reason::Base) => parents.push((path, node)),
            _ => system.push((path, node)),
        }
    }
    let (mut system, user): (Tree, Tree) =
        (system.into_iter().collect(), user.into_iter().collect());
    // A directory that a loader's path goes through and leaves again has nothing in it to be the
    // parent of.
    for (path, node) in parents {
        if system.below(&path).chain(user.below(&path)).next().is_none() {
            system.insert(path, node);
        }
    }
    let directory =
        |path: &ImagePath| directories.get(path).cloned().unwrap_or_else(|| Node::directory(0o755));
    let parts = [("system", system), ("inputs", user)].map(|(name, mut tree)| {
        tree.add_parents(directory);
        PlannedLayer::new(name, tree)
    });
    let mut layers: Vec<_> = parts.into_iter().filter(|layer| !layer.tree.is_empty()).collect();
    if layers.is_empty() {
        layers.push(PlannedLayer::new("inputs", Tree::new()));
    }
    layers
}
