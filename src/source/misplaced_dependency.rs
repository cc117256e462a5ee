//! A dependency that stands where an input's search path leads on the host, but that no input
//! brings into the image.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use crate::tree::HostFile;

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

/// The regular file that `way`, a path from the directory of `program` on, leads to.
pub fn misplaced_dependency(program: &HostFile, way: &[u8]) -> Option<MisplacedDependency> {
    let program = fs_err::canonicalize(&program.path).ok()?;
    let mut path = program.parent()?.as_os_str().as_bytes().to_vec();
    path.push(b'/');
    path.extend_from_slice(way);
    let file = fs_err::canonicalize(Path::new(OsStr::from_bytes(&path))).ok()?;
    if !fs_err::metadata(&file).ok()?.is_file() {
        return None;
    }
    let tree = file.ancestors().skip(1).find(|dir| program.starts_with(dir))?;
    let below = program.strip_prefix(tree).ok()?.to_owned();
    let tree = tree.parent().map(|_| tree.to_owned());
    Some(MisplacedDependency { file, tree, program: below })
}
