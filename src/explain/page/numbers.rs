//! Texts and paths by number, which the data of a page has in their place.

use std::collections::{BTreeMap, BTreeSet};

use crate::{path::ImagePath, tree::Tree};

/// Texts, each once, by their numbers.
#[derive(Default)]
pub(super) struct Texts {
    numbers: BTreeMap<String, usize>,
    /// The texts, in the order of their numbers.
    pub(super) all: Vec<String>,
}

impl Texts {
    /// The number of `text`.
    pub(super) fn number(&mut self, text: String) -> usize {
        if let Some(number) = self.numbers.get(&text) {
            return *number;
        }
        self.all.push(text.clone());
        self.numbers.insert(text, self.all.len() - 1);
        self.all.len() - 1
    }
}

/// The paths of an image and their numbers: those of its tree, and the directories that only a path
/// below them implies.
pub(super) struct Paths<'a> {
    /// The tree itself.
    pub(super) tree: &'a Tree,
    numbers: BTreeMap<ImagePath, usize>,
}

impl<'a> Paths<'a> {
    pub(super) fn new(tree: &'a Tree) -> Self {
        let mut all = BTreeSet::from([ImagePath::root()]);
        for (path, _) in tree {
            all.extend(path.ancestors());
            all.insert(path.clone());
        }
        Self { tree, numbers: all.into_iter().zip(0..).collect() }
    }

    /// The number of a path; −1 if the image does not have it.
    pub(super) fn number(&self, path: &ImagePath) -> i64 {
        self.numbers.get(path).map_or(-1, |number| *number as i64)
    }
    /// The paths and their numbers, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ImagePath, usize)> {
        self.numbers.iter().map(|(path, number)| (path, *number))
    }
}
