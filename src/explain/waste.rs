//! Bytes of an image that nothing in its file system shows, or shows twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use super::contents::{digest, hard_links};
use crate::{
    digest::Digest,
    oci::Layer,
    path::ImagePath,
    tree::{FileNode, Identity, Node, Tree},
};

/// A file of a layer that a later layer replaces or removes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// Its path.
    pub path: ImagePath,
    /// The number of its layer, from 0.
    pub layer: usize,
    /// Bytes in it.
    pub size: u64,
    /// Whether the image has something else at the path; otherwise it is removed.
    pub is_replaced: bool,
}

/// Files with the same content that are not hard links to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicates {
    /// Bytes in each.
    pub size: u64,
    /// Of the content.
    pub digest: Digest,
    /// Their paths, in order.
    pub paths: Vec<ImagePath>,
}

impl Duplicates {
    /// Bytes in all but one.
    pub fn waste(&self) -> u64 {
        self.size.saturating_mul(self.paths.len().saturating_sub(1) as u64)
    }
}

/// The files of `layers` that `merged`, the file system of all of them, does not show, largest
/// first. Each name of a file counts once.
pub fn hidden(layers: &[Layer], merged: &Tree) -> Vec<Hidden> {
    let mut found = Vec::new();
    let mut above: BTreeSet<&ImagePath> = BTreeSet::new();
    for (number, layer) in layers.iter().enumerate().rev() {
        let tree = &layer.change.tree;
        let files = || {
            let file = |(path, node): (_, &'_ Node)| Some((path, node.file()?.content.identity()));
            tree.iter().filter_map(file)
        };
        let is_shown = |path: &ImagePath, identity| {
            let shown = merged.get(path).and_then(|node| node.file());
            !above.contains(path) && shown.is_some_and(|file| file.content.identity() == identity)
        };
        // A file is there as long as one of its names is.
        let shown: BTreeSet<Identity> = files()
            .filter(|(path, identity)| is_shown(path, *identity))
            .map(|(_, identity)| identity)
            .collect();
        let links = hard_links(tree);
        for (path, identity) in files() {
            let size = tree.get(path).and_then(Node::file).map_or(0, |file| file.len);
            if size > 0 && !shown.contains(&identity) && !links.contains_key(path) {
                let is_replaced = merged.contains(path);
                found.push(Hidden { path: path.clone(), layer: number, size, is_replaced });
            }
        }
        above.extend(tree.iter().map(|(path, _)| path));
    }
    found.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.path.cmp(&b.path)));
    found
}

/// The files of `tree` that have the same content under several names, those first that waste most.
///
/// # Errors
/// If a file cannot be read.
pub fn duplicates(tree: &Tree) -> io::Result<Vec<Duplicates>> {
    let links = hard_links(tree);
    let mut by_size: BTreeMap<u64, Vec<(&ImagePath, &FileNode)>> = BTreeMap::new();
    for (path, node) in tree {
        let Some(file) = node.file().filter(|file| file.len > 0) else { continue };
        if !links.contains_key(path) {
            by_size.entry(file.len).or_default().push((path, file));
        }
    }
    let mut found = Vec::new();
    for (size, files) in by_size.into_iter().filter(|(_, files)| files.len() > 1) {
        let mut by_digest: BTreeMap<Digest, Vec<ImagePath>> = BTreeMap::new();
        for (path, file) in files {
            by_digest.entry(digest(file)?).or_default().push(path.clone());
        }
        let several = by_digest.into_iter().filter(|(_, paths)| paths.len() > 1);
        found.extend(several.map(|(digest, paths)| Duplicates { size, digest, paths }));
    }
    found.sort_by(|a, b| b.waste().cmp(&a.waste()).then_with(|| a.paths.cmp(&b.paths)));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_have_equal_content_and_a_content() {
        let path = |text: &str| ImagePath::new(text).unwrap();
        let file = |text: &str| Node::inline(0o644, text.as_bytes());
        let tree = Tree::from_iter([
            (path("/a"), file("12")),
            (path("/b"), file("12")),
            (path("/c"), file("21")),
            (path("/d"), file("")),
            (path("/e"), file("")),
            (path("/f"), file("1234")),
            (path("/g"), file("1234")),
            (path("/h"), file("1234")),
        ]);
        let found = duplicates(&tree).unwrap();
        let found: Vec<_> =
            found.iter().map(|one| (one.waste(), one.paths.len(), one.digest)).collect();
        assert_eq!(found, [(8, 3, Digest::of("1234")), (2, 2, Digest::of("12"))]);
    }
}
