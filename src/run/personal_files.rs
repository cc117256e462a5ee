//! Files that belong to a machine or to one of its users and have other names too: by such a name
//! they look like any other file.

use std::collections::BTreeSet;

use crate::{
    elf::ReadFailure,
    path::ImagePath,
    source::Sysroot,
    trace,
    tree::{Identity, Node},
};

/// Files and directories that are looked at, at most.
const MAX_FILES: usize = 1 << 20;

/// The files of `sysroot` that are personal and have several names, as far as this user may look at
/// them.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn with_several_names(sysroot: Sysroot<'_>) -> Result<BTreeSet<Identity>, ReadFailure> {
    let mut found = BTreeSet::new();
    let mut left: Vec<ImagePath> = Vec::new();
    for place in trace::personal_places() {
        let (dir, front) = place.rsplit_once('/').unwrap_or_default();
        match front.strip_suffix('*') {
            Some(front) => {
                let (dir, is_meant) = (path(dir), |name: &[u8]| name.starts_with(front.as_bytes()));
                left.extend(children(sysroot, &dir)?.filter(|path| is_meant(path.file_name())));
            }
            None => left.push(path(place)),
        }
    }
    for _ in 0..MAX_FILES {
        let Some(path) = left.pop() else { break };
        let Ok(Some(node)) = sysroot.node(&path)? else { continue };
        if node.is_directory() {
            left.extend(children(sysroot, &path)?);
        } else if let Some(file) = Node::file(&node).filter(|file| file.shared)
            && trace::is_personal(path.as_bytes())
        {
            found.insert(file.content.identity());
        }
    }
    Ok(found)
}

fn path(text: &str) -> ImagePath {
    ImagePath::new(text).unwrap_or_else(|_| ImagePath::root())
}

/// The paths in a directory; none where this user may not list it.
fn children(
    sysroot: Sysroot<'_>,
    dir: &ImagePath,
) -> Result<impl Iterator<Item = ImagePath>, ReadFailure> {
    let names = sysroot.list(dir)?.unwrap_or_default().into_iter();
    let paths: Vec<_> = names.filter_map(|name| dir.child(&name).ok()).collect();
    Ok(paths.into_iter())
}
