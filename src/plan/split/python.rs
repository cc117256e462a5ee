//! Distributions of Python: what their records list.

use std::collections::BTreeMap;

use super::language;
use crate::{
    components::python::record,
    elf::ReadFailure,
    path::ImagePath,
    tree::{FileNode, Tree},
    view::View,
};

/// Bytes of a record that are read at most.
const MAX_RECORD: usize = 16 << 20;

/// The names of distributions by the paths that their records list.
pub(super) type Listed = BTreeMap<ImagePath, usize>;

/// The distributions that are installed in `tree`: what each lists, and their names.
///
/// # Errors
/// [`ReadFailure`] if a record cannot be read.
pub(super) fn distributions(tree: &Tree) -> Result<(Listed, Vec<String>), ReadFailure> {
    let view = View::of_tree(tree);
    let (mut listed, mut names) = (Listed::new(), Vec::new());
    for (path, node) in tree {
        let Some((file, site, name)) = node.file().and_then(|file| installed(path, file)) else {
            continue;
        };
        let Ok(text) = view.head(file, MAX_RECORD)? else { continue };
        for relative in record(&text) {
            if let Ok(path) = site.join(relative)
                && tree.contains(&path)
            {
                listed.entry(path).or_insert(names.len());
            }
        }
        names.push(name);
    }
    Ok((listed, names))
}

/// `SITE/NAME-VERSION.dist-info/RECORD`: the file, `SITE`, and the name of the distribution.
fn installed<'a>(
    path: &ImagePath,
    file: &'a FileNode,
) -> Option<(&'a FileNode, ImagePath, String)> {
    let info = path.parent().filter(|_| path.file_name() == b"RECORD")?;
    let stem = info.file_name().strip_suffix(b".dist-info")?;
    let name = stem.split(|&byte| byte == b'-').next()?;
    Some((file, info.parent()?, language::pypi(name)))
}
