//! The order of a layer's files.

use super::{First, TOC};
use crate::{
    archive::{header::HeaderError, write::TarLayout},
    pack::PackError,
    path::ImagePath,
    source::content,
    tree::{Node, Tree},
};

/// The file after those that are fetched in advance.
const PREFETCH: &str = ".prefetch.landmark";
/// The first file of a layer without files that are fetched in advance.
const NO_PREFETCH: &str = ".no.prefetch.landmark";

/// What a landmark has.
const LANDMARK: [u8; 1] = [0x0f];

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
        let landmark = |name: &str| (path(name), Node::inline(0o644, LANDMARK));
        let (prefetch, no_prefetch) = (landmark(PREFETCH), landmark(NO_PREFETCH));
        Self { prefetch, no_prefetch, toc: path(TOC) }
    }

    /// Whether a layer has a file of its own at `path`.
    fn has(&self, path: &ImagePath) -> bool {
        [&self.prefetch.0, &self.no_prefetch.0, &self.toc].contains(&path)
    }
}

/// Bytes of a table of contents that tell what it is.
const HEAD: usize = 256;

/// Checks that files in the places of those of eStargz are such files: they are left out.
pub(super) fn check(tree: &Tree) -> Result<(), PackError> {
    let landmarks = Landmarks::new();
    let places = [&landmarks.prefetch.0, &landmarks.no_prefetch.0, &landmarks.toc];
    for (path, node) in places.into_iter().filter_map(|path| Some((path, tree.get(path)?))) {
        let reserved = || PackError::Reserved(path.clone());
        let file = node.file().ok_or_else(reserved)?;
        let mut head = vec![0; file.len.min(HEAD as u64) as usize];
        content::read_at(&file.content, file.len, 0, &mut head)?;
        let is_own = match *path == landmarks.toc {
            true => {
                head.retain(|byte| !byte.is_ascii_whitespace());
                head.starts_with(br#"{"version":1,"entries":["#)
            }
            false => file.len == 1 && head == LANDMARK,
        };
        if !is_own {
            return Err(reserved());
        }
    }
    Ok(())
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
