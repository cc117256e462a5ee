//! How much the files of a tree take, by directory and by package.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    elf::ReadFailure,
    packages::{Package, PackageId},
    path::ImagePath,
    tree::Tree,
    view::View,
};

use super::contents::hard_links;

/// Files and their bytes. A file with several names counts once, at the first of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Regular files.
    pub files: usize,
    /// Bytes in them.
    pub size: u64,
}

impl Usage {
    fn add(&mut self, size: u64) {
        self.files += 1;
        self.size += size;
    }
}

/// What is in each directory at any depth, the root included.
pub fn directories(tree: &Tree) -> BTreeMap<ImagePath, Usage> {
    let links = hard_links(tree);
    let mut usage = BTreeMap::from([(ImagePath::root(), Usage::default())]);
    for (path, node) in tree {
        if node.is_directory() {
            usage.entry(path.clone()).or_default();
        }
        let Some(file) = node.file().filter(|_| !links.contains_key(path)) else { continue };
        for dir in path.ancestors() {
            usage.entry(dir).or_default().add(file.len);
        }
    }
    usage
}

/// A package of the image's database.
#[derive(Clone, Debug)]
pub struct InstalledPackage {
    /// What the database says of it.
    pub package: Package,
    /// `dpkg`, `apk` or `rpm`.
    pub database: crate::packages::Format,
    /// Those of its files that the image has, links included, in order.
    pub files: Vec<ImagePath>,
    /// What they take.
    pub usage: Usage,
}

/// The packages that the database of `tree` lists, in order.
///
/// # Errors
/// [`ReadFailure`] if a file of the database cannot be read.
pub fn packages(tree: &Tree) -> Result<Vec<InstalledPackage>, ReadFailure> {
    let view = View::of_sysroot(tree);
    let Some(database) = view.packages()? else { return Ok(Vec::new()) };
    let links = hard_links(tree);
    let installed = |(id, package): (PackageId, &Package)| {
        let (mut files, mut usage) = (BTreeSet::new(), Usage::default());
        for path in database.files(id) {
            let Some(node) = tree.get(&path).filter(|node| !node.is_directory()) else { continue };
            if let Some(file) = node.file().filter(|_| !links.contains_key(&path))
                && !files.contains(&path)
            {
                usage.add(file.len);
            }
            files.insert(path);
        }
        let files = files.into_iter().collect();
        InstalledPackage { package: package.clone(), database: database.format(), files, usage }
    };
    Ok(database.packages().map(installed).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Kind, Node};

    #[test]
    fn a_file_with_two_names_counts_once() {
        let path = |text: &str| ImagePath::new(text).unwrap();
        let mut shared = Node::inline(0o644, *b"12345");
        if let Kind::File(file) = &mut shared.kind {
            file.shared = true;
        }
        let tree = Tree::from_iter([
            (path("/a/b/one"), shared.clone()),
            (path("/a/two"), shared),
            (path("/a/c"), Node::inline(0o644, *b"123")),
            (path("/d"), Node::directory(0o755)),
            (path("/l"), Node::symlink(*b"a")),
        ]);
        let usage: Vec<_> = directories(&tree)
            .into_iter()
            .map(|(path, usage)| (path.to_string(), usage.files, usage.size))
            .collect();
        let wanted = [("/", 2, 8), ("/a", 2, 8), ("/a/b", 1, 5), ("/d", 0, 0)];
        assert_eq!(usage, wanted.map(|(path, files, size)| (path.to_owned(), files, size)));
        assert_eq!(hard_links(&tree)[&path("/a/two")], &path("/a/b/one"));
    }
}
