//! A dependency that stands where an input's search path leads on the host, but that no input
//! brings into the image.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use crate::{
    tree::{Content, FileNode},
    uninterrupted,
};

/// A file that a program's own search path leads to on the host, where it stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MisplacedDependency {
    /// The file; no component is a link.
    pub file: PathBuf,
    /// The lowest directory that holds the program too; `None` if that is the host's root.
    pub tree: Option<PathBuf>,
    /// The program, below that directory.
    pub program: PathBuf,
}

/// The regular file to which `path`, relative to the directory of `program`, leads on the host.
/// `None` if the program does not come from the host.
pub fn misplaced_dependency(program: &FileNode, path: &[u8]) -> Option<MisplacedDependency> {
    let Content::Host(host) = &program.content else { return None };
    let program = uninterrupted::canonicalize(host.path.to_path_buf()).ok()?;
    let mut on_host = program.parent()?.as_os_str().as_bytes().to_vec();
    on_host.push(b'/');
    on_host.extend_from_slice(path);
    let file = uninterrupted::canonicalize(Path::new(OsStr::from_bytes(&on_host))).ok()?;
    if !uninterrupted::metadata(&file).ok()?.is_file() {
        return None;
    }
    let tree = file.ancestors().skip(1).find(|dir| program.starts_with(dir))?;
    let below = program.strip_prefix(tree).ok()?.to_owned();
    let tree = tree.parent().map(|_| tree.to_owned());
    Some(MisplacedDependency { file, tree, program: below })
}
