//! The two layers of a small image.

use std::collections::BTreeMap;

use super::{
    common,
    components::{Component, Components, Group},
    layer_trees,
};
use crate::{
    path::ImagePath,
    plan::{PlannedLayer, Reason, Reasons},
    timestamp::Mtime,
    tree::{Node, Tree},
};

/// What the system gave, below what the user gave. Each holds the directories on the way to its
/// paths, with the same metadata in both, since an upper layer's entry replaces the lower's.
pub(super) fn in_two(tree: Tree, reasons: &Reasons) -> Vec<PlannedLayer> {
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

/// The layers of a small image that the system gave: what images share, and the rest.
pub(super) fn common_below_the_rest(tree: Tree, mtime: Mtime) -> Vec<PlannedLayer> {
    let of = tree.iter().map(|(path, node)| {
        let is_parent = node.is_directory() && tree.below(path).next().is_some();
        (!is_parent).then(|| usize::from(!common::is_common(path)))
    });
    let of = of.collect();
    let one = |group| Component { group, name: String::new(), bytes: 0, dependents: 0 };
    let found = Components { all: [Group::Common, Group::Files].map(one).into(), of };
    let layers = [common::NAME, "inputs"].map(|name| (name.to_owned(), Vec::new())).into();
    layer_trees::build(tree, &found, (layers, vec![0, 1]), mtime)
}
