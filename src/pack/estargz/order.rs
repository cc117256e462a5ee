//! The order of a layer's files.

use super::{First, TOC};
use crate::{
    archive::{header::HeaderError, write::TarLayout},
    path::ImagePath,
    tree::{Node, Tree},
};

/// The file after those that are fetched in advance.
const PREFETCH: &str = ".prefetch.landmark";
/// The first file of a layer without files that are fetched in advance.
const NO_PREFETCH: &str = ".no.prefetch.landmark";

/// The files that mark what is fetched in advance.
#[derive(Debug)]
pub(in crate::pack) struct Landmarks {
    prefetch: (ImagePath, Node),
    no_prefetch: (ImagePath, Node),
    toc: ImagePath,
}

impl Landmarks {
    /// New ones.
    pub(in crate::pack) fn new() -> Self {
        let path = |name: &str| ImagePath::root().child(name.as_bytes());
        let path = |name: &str| path(name).unwrap_or_else(|_| ImagePath::root());
        let landmark = |name: &str| (path(name), Node::inline(0o644, *b"\x0f"));
        let (prefetch, no_prefetch) = (landmark(PREFETCH), landmark(NO_PREFETCH));
        Self { prefetch, no_prefetch, toc: path(TOC) }
    }

    /// Whether a layer has a file of its own at `path`.
    fn has(&self, path: &ImagePath) -> bool {
        [&self.prefetch.0, &self.no_prefetch.0, &self.toc].contains(&path)
    }
}

/// The layout of a layer of `tree`: the files that are in `first`, with the directories on the way
/// to them, then a landmark, then all others.
pub(in crate::pack) fn layout<'a>(
    tree: &'a Tree,
    first: &First,
    landmarks: &'a Landmarks,
) -> Result<TarLayout<'a>, HeaderError> {
    let wanted = first.iter().filter(|path| tree.contains(path) && !landmarks.has(path));
    let mut early: First = wanted.cloned().collect();
    let parents: Vec<_> = early.iter().flat_map(ImagePath::ancestors).collect();
    early.extend(parents.into_iter().filter(|dir| !dir.is_root()));
    let has_early = !early.is_empty();
    let (early, late): (Vec<_>, Vec<_>) = tree
        .iter()
        .filter(|(path, _)| !landmarks.has(path))
        .partition(|(path, _)| early.contains(*path));
    let (path, node) = if has_early { &landmarks.prefetch } else { &landmarks.no_prefetch };
    TarLayout::of_nodes(early.into_iter().chain([(path, node)]).chain(late))
}
