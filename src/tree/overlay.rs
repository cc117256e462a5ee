//! Applies a layer to the layers below it (OCI image-spec, layer.md, "Applying Changesets").

use std::collections::BTreeSet;

use super::{Node, Tree};
use crate::path::ImagePath;

/// What a layer does to the tree below it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// What the layer adds or replaces.
    pub tree: Tree,
    /// Paths that it removes from lower layers (`.wh.NAME`).
    pub whiteouts: BTreeSet<ImagePath>,
    /// Directories whose lower content it hides (`.wh..wh..opq`).
    pub opaque: BTreeSet<ImagePath>,
}

impl Tree {
    /// Applies `change` to this tree. Whiteouts and opaque markers affect only the lower layers,
    /// whatever their position in the layer. A directory over a directory takes the upper one's
    /// metadata and keeps the lower one's contents; any other node replaces the lower one with
    /// everything below it. What a layer says of a path below a link or file of a lower layer makes
    /// that a directory, as engines do that unpack each layer alone.
    pub fn apply(&mut self, change: Change) {
        for dir in &change.opaque {
            self.remove_below(dir);
        }
        for path in &change.whiteouts {
            self.remove(path);
        }
        let parents = change.whiteouts.iter().filter_map(ImagePath::parent);
        for dir in parents.chain(change.opaque) {
            self.make_directory(dir);
        }
        for (path, node) in change.tree {
            let blocked =
                path.ancestors().find(|dir| self.get(dir).is_some_and(|node| !node.is_directory()));
            if let Some(not_a_directory) = blocked {
                self.remove(&not_a_directory);
            }
            // A directory may be there without a node of its own.
            if !node.is_directory() && self.get(&path).is_none_or(super::Node::is_directory) {
                self.remove_below(&path);
            }
            self.insert(path, node);
        }
    }

    /// Replaces what is not a directory on the way to `dir`, or at it, with one.
    fn make_directory(&mut self, dir: ImagePath) {
        let mut all = dir.ancestors().chain([dir.clone()]);
        if let Some(blocked) = all.find(|at| self.get(at).is_some_and(|node| !node.is_directory()))
        {
            self.insert(blocked, Node::directory(0o755));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ImagePath {
        ImagePath::new(text).unwrap()
    }

    fn tree(paths: &[&str]) -> Tree {
        paths
            .iter()
            .map(|p| match p.strip_suffix('/') {
                Some(dir) => (path(dir), Node::directory(0o755)),
                None => (path(p), Node::inline(0o644, p.as_bytes())),
            })
            .collect()
    }

    #[track_caller]
    fn check(lower: &[&str], upper: &[&str], whiteouts: &[&str], opaque: &[&str], wanted: &[&str]) {
        let mut merged = tree(lower);
        let set = |paths: &[&str]| paths.iter().map(|p| path(p)).collect();
        merged.apply(Change { tree: tree(upper), whiteouts: set(whiteouts), opaque: set(opaque) });
        assert_eq!(merged.iter().map(|(p, _)| p.to_string()).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn whiteouts_act_on_the_layers_below_only() {
        check(&["/a/", "/a/b"], &["/a/", "/a/b"], &["/a"], &[], &["/a", "/a/b"]);
        check(&["/a/", "/a/b", "/a-b"], &[], &["/a"], &[], &["/a-b"]);
        check(&["/a/", "/a/b"], &["/a/", "/a/c"], &[], &["/a"], &["/a", "/a/c"]);
    }

    /// podman and containerd on overlayfs do so.
    #[test]
    fn a_whiteout_below_a_link_of_a_lower_layer_makes_it_a_directory() {
        check(&["/a", "/b"], &[], &["/a/x"], &[], &["/a", "/b"]);
        for (whiteouts, opaque) in
            [(vec!["/s/x"], vec![]), (vec!["/s/d/x"], vec![]), (vec![], vec!["/s"])]
        {
            let mut merged = tree(&["/d/", "/d/x"]);
            merged.insert(path("/s"), Node::symlink(*b"d"));
            let set = |paths: &[&str]| paths.iter().map(|p| path(p)).collect();
            let (whiteouts, opaque) = (set(&whiteouts), set(&opaque));
            merged.apply(Change { tree: Tree::new(), whiteouts, opaque });
            assert!(
                merged.get(&path("/s")).unwrap().is_directory() && merged.contains(&path("/d/x"))
            );
        }
    }

    #[test]
    fn another_kind_replaces_with_all_below() {
        check(&["/a/", "/a/b"], &["/a"], &[], &[], &["/a"]);
        check(&["/a/b/c", "/a-b"], &["/a"], &[], &[], &["/a", "/a-b"]);
        check(&["/a"], &["/a/", "/a/b"], &[], &[], &["/a", "/a/b"]);
        check(&["/a"], &["/a/b"], &[], &[], &["/a/b"]);
    }
}
