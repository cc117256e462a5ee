//! Which paths go into which layer. Pure.

use std::collections::BTreeMap;

use super::{PlannedLayer, Reason, Reasons};
use crate::{
    path::ImagePath,
    tree::{Node, Tree},
};

/// How many layers an image gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layers {
    /// One.
    One,
    /// What the system gave below what the user gave: the lower one stays the same from build to
    /// build.
    #[default]
    Split,
}

/// The layers of `tree`, lowest first; none is empty unless the tree is. Each holds the directories
/// on the way to its paths, with the same metadata in both, since an upper layer's entry replaces
/// the lower's.
pub(super) fn split(tree: Tree, reasons: &Reasons, layers: Layers) -> Vec<PlannedLayer> {
    if layers == Layers::One {
        return vec![PlannedLayer { name: "all".into(), tree }];
    }
    // A single directory, which may be large, is not taken apart and put together again.
    if let Some(Reason::Listed(_)) = reasons.only() {
        return vec![PlannedLayer { name: "inputs".into(), tree }];
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
        PlannedLayer { name: name.into(), tree }
    });
    let mut layers: Vec<_> = parts.into_iter().filter(|layer| !layer.tree.is_empty()).collect();
    if layers.is_empty() {
        layers.push(PlannedLayer { name: "inputs".into(), tree: Tree::new() });
    }
    layers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_has_its_parents() {
        let path = |text: &str| ImagePath::new(text).unwrap();
        let mut reasons = Reasons::new();
        let tree: Tree = [
            ("/usr", Node::directory(0o750), Reason::Parent(path("/usr/lib"))),
            ("/usr/app", Node::inline(0o755, *b""), Reason::Listed(0)),
            ("/usr/lib", Node::inline(0o755, *b""), Reason::Loader(path("/usr/app"))),
        ]
        .into_iter()
        .map(|(p, node, reason)| {
            reasons.add(path(p), reason);
            (path(p), node)
        })
        .collect();
        let text: Vec<_> = split(tree.clone(), &reasons, Layers::Split)
            .iter()
            .map(|l| format!("{}:\n{}", l.name, l.tree))
            .collect();
        assert_eq!(
            text,
            [
                "system:\ndrwxr-x--- 0:0 /usr\n-rwxr-xr-x 0:0 /usr/lib 0\n",
                "inputs:\ndrwxr-x--- 0:0 /usr\n-rwxr-xr-x 0:0 /usr/app 0\n"
            ]
        );
        assert_eq!(split(tree, &reasons, Layers::One).len(), 1);
    }
}
