//! The private directory of a run, with the image's copy and the stages' files.

use std::{
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::removal;
use crate::uninterrupted;

/// A directory that only its owner can enter. It is removed when dropped, with whatever a program
/// has left in it.
pub(super) struct PrivateDir(Option<tempfile::TempDir>);

impl PrivateDir {
    /// Creates one below `scratch`.
    pub(super) fn new(scratch: &Path) -> io::Result<Self> {
        let make = || tempfile::Builder::new().prefix("imgb-run-").tempdir_in(scratch);
        let dir = uninterrupted::uninterrupted(make);
        dir.map(|dir| Self(Some(dir)))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.as_ref().map_or(Path::new(""), |dir| dir.path())
    }

    /// The first directory above it that this user may not search, with its mode.
    pub(super) fn closed_to(&self, uid: u32, gid: u32) -> io::Result<Option<(PathBuf, u32)>> {
        let path = uninterrupted::canonicalize(self.path())?;
        for dir in path.ancestors().skip(1) {
            let meta = uninterrupted::metadata(dir)?;
            let search = match meta.uid() == uid {
                true => 0o100,
                false if meta.gid() == gid => 0o010,
                false => 0o001,
            };
            if meta.mode() & search == 0 {
                return Ok(Some((dir.into(), meta.mode() & 0o7777)));
            }
        }
        Ok(None)
    }

    /// The path of the file that a tracer writes accesses to.
    pub(super) fn accesses(&self) -> PathBuf {
        self.path().join("accesses")
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        let Some(dir) = self.0.take() else { return };
        let path = dir.keep();
        if let Err(error) = removal::remove(&path) {
            let _ = writeln!(io::stderr(), "warning: cannot remove `{}`: {error}", path.display());
        }
    }
}
