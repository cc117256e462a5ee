//! The sizes of files, those of hard links once.

use std::collections::BTreeSet;

use super::{FileNode, Identity, Node, Tree};

/// Counts the bytes of files one after the other: a hard link to a file that came before has none,
/// as in a tar.
#[derive(Debug, Default)]
pub struct Sizes(BTreeSet<Identity>);

impl Sizes {
    /// Whether `file` is not a hard link to one that came before.
    pub fn is_new(&mut self, file: &FileNode) -> bool {
        !file.shared || self.0.insert(file.content.identity())
    }

    /// Bytes that `node` adds to those that came before.
    pub fn add(&mut self, node: &Node) -> u64 {
        node.file().filter(|file| self.is_new(file)).map_or(0, |file| file.len)
    }

    /// Bytes of the files of `tree`.
    pub fn of(tree: &Tree) -> u64 {
        let mut sizes = Self::default();
        tree.iter().map(|(_, node)| sizes.add(node)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{path::ImagePath, tree::Kind};

    #[test]
    fn hard_links_count_once() {
        let copy = Node::inline(0o644, *b"four");
        let mut file = copy.clone();
        if let Kind::File(file) = &mut file.kind {
            file.shared = true;
        }
        let paths = ["/a", "/b", "/c"].map(|path| ImagePath::new(path).unwrap());
        let tree: Tree = paths.into_iter().zip([file.clone(), file, copy]).collect();
        assert_eq!(Sizes::of(&tree), 8);
    }
}
