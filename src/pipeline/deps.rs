//! What single files need.

use std::path::PathBuf;

use super::Error;
use crate::{
    build::{BaseContext, OpenSysroot},
    elf::Closure,
    oci,
    plan::{self, Note},
    source::{self, Input, InputKind, Request, SourceError},
    tree::Tree,
    view::View,
};

/// Single files, and how their libraries are looked up.
#[derive(Debug)]
pub struct DepsRequest {
    /// The files.
    pub requests: Vec<Request>,
    /// Where libraries are looked up ([`OpenSysroot::open`]).
    pub sysroot: Option<PathBuf>,
    /// How the sysroot is opened, where it is an image.
    pub image: oci::OpenOptions,
    /// How files of the host are taken.
    pub source: source::InputOptions,
    /// As `LD_LIBRARY_PATH`: paths in the sysroot.
    pub library_path: Vec<Vec<u8>>,
    /// Take all glibc-hwcaps variants of a library.
    pub hwcaps_all: bool,
}

/// What single files need: paths of the host, of the sysroot, or bare names; and what is odd about
/// the request.
///
/// # Errors
/// [`Error::Source`] if a file does not exist.
pub fn deps(request: &DepsRequest) -> Result<(Closure, Vec<Note>), Error> {
    let platforms = (None, &request.image.machine);
    let context = BaseContext::here(&request.source, &request.image, platforms);
    let nothing = Tree::new();
    let open = OpenSysroot::open(request.sysroot.as_deref(), &nothing, &context)?;
    let source = &*open.options(&request.source, &[]);
    let sysroot = open.files(&nothing);
    let mut paths = Vec::new();
    let mut tree = Tree::new();
    for file in &request.requests {
        match file.in_sysroot(sysroot)? {
            Some(path) => paths.push(path),
            None => match source::gather(std::slice::from_ref(file), sysroot, source)?.pop() {
                Some(Input { kind: InputKind::File(path), tree: file, .. }) => {
                    tree.extend(file);
                    paths.push(path);
                }
                Some(Input { kind: InputKind::Command(path), .. }) => paths.push(path),
                _ => return Err(SourceError::NoFile(file.text.clone()).into()),
            },
        }
    }
    let view = View::new(&tree, sysroot, source);
    let notes = plan::library_path_notes(&request.library_path, &view)?;
    Ok((plan::deps(&paths, &view, &request.library_path, request.hwcaps_all)?, notes))
}
