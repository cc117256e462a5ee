//! Files of a tree by what is in them.

use std::{collections::BTreeMap, io};

use crate::{
    digest::{Digest, Digesting},
    path::ImagePath,
    source::content,
    tree::{FileNode, Identity, Tree},
};

/// SHA-256 of the content of a file.
///
/// # Errors
/// If it cannot be read.
pub fn digest(file: &FileNode) -> io::Result<Digest> {
    let mut out = Digesting::new(io::sink());
    let mut reader = content::open(&file.content, file.len).map_err(io::Error::other)?;
    io::copy(&mut reader, &mut out)?;
    Ok(out.finish().1)
}

/// What was computed of the content of files; hard links are read once.
#[derive(Debug)]
pub struct OfContents<T>(BTreeMap<Identity, T>);

impl<T> Default for OfContents<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Copy> OfContents<T> {
    /// What `compute` makes of `file`, or has made of another name of it.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn get(
        &mut self,
        file: &FileNode,
        compute: impl FnOnce(&FileNode) -> io::Result<T>,
    ) -> io::Result<T> {
        if !file.shared || file.len == 0 {
            return compute(file);
        }
        let key = file.content.identity();
        if let Some(known) = self.0.get(&key) {
            return Ok(*known);
        }
        let computed = compute(file)?;
        self.0.insert(key, computed);
        Ok(computed)
    }
}

/// The names that are hard links to an earlier name of the same file, which comes with each, as in
/// a tar of the tree.
pub fn hard_links(tree: &Tree) -> BTreeMap<&ImagePath, &ImagePath> {
    let mut first: BTreeMap<Identity, &ImagePath> = BTreeMap::new();
    let mut links = BTreeMap::new();
    for (path, node) in tree {
        let Some(file) = node.file().filter(|file| file.shared && file.len > 0) else { continue };
        match first.get(&file.content.identity()) {
            Some(first) => drop(links.insert(path, *first)),
            None => drop(first.insert(file.content.identity(), path)),
        }
    }
    links
}
