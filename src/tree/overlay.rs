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
    /// The tree of `layers` on top of each other, lowest first, each applied as a [`Change`] that
    /// removes nothing.
    pub fn stacked<'a>(layers: impl IntoIterator<Item = &'a Tree>) -> Self {
        let layers: Vec<&Tree> = layers.into_iter().filter(|layer| !layer.is_empty()).collect();
        if let [only] = layers[..] {
            return only.clone();
        }
        let mut nodes: Vec<_> = layers.iter().copied().flatten().collect();
        // Keeps the order of layers among equal paths, and is fast for a few sorted runs.
        nodes.sort_by_key(|&(path, _)| path);
        if !is_consistent(&nodes) {
            let mut tree = Self::new();
            for layer in layers {
                tree.apply(Change { tree: layer.clone(), ..Change::default() });
            }
            return tree;
        }
        let next = nodes.iter().skip(1).map(|(path, _)| Some(*path)).chain([None]);
        let highest = nodes.iter().zip(next).filter(|((path, _), next)| Some(*path) != *next);
        highest.map(|((path, node), _)| ((*path).clone(), (*node).clone())).collect()
    }

    /// Applies `change` to this tree. Whiteouts and opaque markers affect only the lower layers,
    /// whatever their position in the layer. A directory over a directory takes the upper one's
    /// metadata and keeps the lower one's contents; any other node replaces the lower one with
    /// everything below it. What a layer says of a path makes the directories above it, also where
    /// a lower layer has a link or file, as engines do that unpack each layer alone. A whiteout of
    /// what is in a directory that the same layer removes makes none.
    pub fn apply(&mut self, change: Change) {
        for dir in &change.opaque {
            self.remove_below(dir);
        }
        for path in &change.whiteouts {
            self.remove(path);
        }
        let parents = change.whiteouts.iter().filter_map(ImagePath::parent);
        let dirs: BTreeSet<ImagePath> = parents.chain(change.opaque).collect();
        let (mut removed, mut made) = (change.whiteouts, BTreeSet::new());
        for dir in dirs {
            self.make_directory(dir, &mut removed, &mut made);
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

    /// Makes `dir` and those above it directories, whatever is there, unless one is `removed`. Adds
    /// these to `made`, or those below what is removed to `removed`, so that a path is looked at
    /// once, however many whiteouts are below it.
    fn make_directory(
        &mut self,
        dir: ImagePath,
        removed: &mut BTreeSet<ImagePath>,
        made: &mut BTreeSet<ImagePath>,
    ) {
        let (mut missing, mut next) = (Vec::new(), Some(dir));
        while let Some(at) = next.filter(|at| !made.contains(at)) {
            if removed.contains(&at) {
                return removed.extend(missing);
            }
            next = at.parent();
            missing.push(at);
        }
        for at in &missing {
            if self.get(at).is_none_or(|node| !node.is_directory()) {
                self.insert(at.clone(), Node::directory(0o755));
            }
        }
        made.extend(missing);
    }
}

/// Whether nodes of one path are all directories or none is, and nothing is below what is not a
/// directory. `nodes` are sorted by path.
fn is_consistent(nodes: &[(&ImagePath, &Node)]) -> bool {
    let is_directory_if_there = |path: &[u8]| {
        let found = nodes.binary_search_by(|(known, _)| known.as_bytes().cmp(path));
        found.ok().and_then(|at| nodes.get(at)).map(|(_, node)| node.is_directory())
    };
    let mut last: &[u8] = b"/";
    let parents_are_directories = nodes.iter().all(|(path, _)| {
        let mut dir = path.parent_bytes().unwrap_or(b"/");
        if dir == std::mem::replace(&mut last, dir) {
            return true;
        }
        // A directory may be there without a node of its own.
        loop {
            let slash = memchr::memrchr(b'/', dir).unwrap_or(0);
            match is_directory_if_there(dir) {
                Some(is_directory) => return is_directory,
                None if slash == 0 => return true,
                None => dir = &dir[..slash],
            }
        }
    });
    parents_are_directories
        && nodes.windows(2).all(|pair| match pair {
            [(one, a), (other, b)] => one != other || a.is_directory() == b.is_directory(),
            _ => true,
        })
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
        if whiteouts.is_empty() && opaque.is_empty() {
            assert_eq!(Tree::stacked(&[tree(lower), tree(upper)]), merged);
        }
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

    /// As overlayfs and containerd, which need the directory for the whiteout.
    #[test]
    fn a_whiteout_makes_the_directories_above_it() {
        check(&["/a/"], &[], &["/b/c/x"], &[], &["/a", "/b", "/b/c"]);
        check(&[], &["/b/f"], &["/b/x"], &["/d/e"], &["/b", "/b/f", "/d", "/d/e"]);
        check(&["/b/", "/b/x"], &[], &["/b", "/b/c/x"], &["/b/d"], &[]);
        check(&[], &[], &["/b", "/b/c/d/x", "/b/c/e/x", "/c/x"], &["/c/d"], &["/c", "/c/d"]);
        // Also that for which no layer has an entry.
        check(&["/a/b/"], &[], &["/a/b/x", "/a/b/y"], &[], &["/a", "/a/b"]);
    }

    /// A hostile layer: one way down, looked at once for each whiteout, would take minutes.
    #[test]
    fn whiteouts_in_a_deep_directory_are_cheap() {
        let dir = "/a".repeat(1900);
        let whiteouts = (0..20_000).map(|number| path(&format!("{dir}/{number}"))).collect();
        let mut tree = Tree::new();
        tree.apply(Change { whiteouts, ..Change::default() });
        assert_eq!(tree.len(), 1900);
    }

    #[test]
    fn another_kind_replaces_with_all_below() {
        check(&["/a/", "/a/b"], &["/a"], &[], &[], &["/a"]);
        check(&["/a/b/c", "/a-b"], &["/a"], &[], &[], &["/a", "/a-b"]);
        check(&["/a"], &["/a/", "/a/b"], &[], &[], &["/a", "/a/b"]);
        check(&["/a"], &["/a/b"], &[], &[], &["/a/b"]);
        check(&["/a"], &["/a/b/c"], &[], &[], &["/a/b/c"]);
    }

    #[test]
    fn of_equal_paths_the_highest_is_kept() {
        let file = |text: &str| Node::inline(0o644, text.as_bytes());
        let layer = |text: &str, name: &str| -> Tree {
            [("/d", Node::directory(0o755)), ("/d/f", file(text)), (name, file(text))]
                .map(|(at, node)| (path(at), node))
                .into_iter()
                .collect()
        };
        let layers = [layer("1", "/d/x"), Tree::new(), layer("2", "/b"), layer("3", "/d-")];
        let mut wanted = Tree::new();
        for layer in &layers {
            wanted.apply(Change { tree: layer.clone(), ..Change::default() });
        }
        let stacked = Tree::stacked(&layers);
        assert_eq!(stacked, wanted);
        assert_eq!(stacked.get(&path("/d/f")), Some(&file("3")));
        assert_eq!(Tree::stacked(&[]), Tree::new());
    }
}
