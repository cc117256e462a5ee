//! The search paths that an object names itself.

use std::sync::Arc;

use super::dirs::DirList;
use crate::elf::{Dialect, Object, tokens::Tokens};

/// The search paths of one file, tokens replaced. `None` where the tag is absent or empty.
#[derive(Debug, Default)]
pub(super) struct Paths {
    pub(super) rpath: Option<DirList>,
    pub(super) runpath: Option<DirList>,
}

/// The directories of an object's search paths, tokens replaced.
pub(super) struct OwnPaths {
    pub(super) rpath: Option<Vec<Arc<[u8]>>>,
    pub(super) runpath: Option<Vec<Arc<[u8]>>>,
    /// Elements that depend on the working directory, each with its tag.
    pub(super) relative: Vec<(&'static str, Arc<[u8]>)>,
}

impl OwnPaths {
    pub(super) fn of(object: &Object, dialect: Dialect, tokens: Tokens<'_>) -> Self {
        let mut relative = Vec::new();
        let mut split = |list: Option<&Arc<[u8]>>, tag| {
            let path = list.map(|list| match dialect {
                Dialect::Glibc => tokens.glibc_path(list),
                Dialect::Musl => tokens.musl_path(list),
            })?;
            relative.extend(path.relative.into_iter().map(|element| (tag, element)));
            Some(path.dirs).filter(|dirs| !dirs.is_empty())
        };
        let rpath = split(rpath(object), "RPATH");
        let runpath = split(object.runpath.as_ref(), "RUNPATH");
        Self { rpath, runpath, relative }
    }
}

/// DT_RPATH, which loaders ignore where there is a DT_RUNPATH, even an empty one.
pub(super) fn rpath(object: &Object) -> Option<&Arc<[u8]>> {
    object.rpath.as_ref().filter(|_| object.runpath.is_none())
}
