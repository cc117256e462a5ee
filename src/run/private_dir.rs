//! The private directory of a run, with the image's copy and the stages' files.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};

/// A directory that only its owner can enter. It is removed when dropped, with whatever a program
/// has left in it.
pub(super) struct PrivateDir(Option<tempfile::TempDir>);

impl PrivateDir {
    /// Creates one below `scratch`.
    pub(super) fn new(scratch: &Path) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("imgb-run-").tempdir_in(scratch);
        dir.map(|dir| Self(Some(dir)))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.as_ref().map_or(Path::new(""), |dir| dir.path())
    }

    /// The path of the file that a tracer writes accesses to.
    pub(super) fn accesses(&self) -> PathBuf {
        self.path().join("accesses")
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        let Some(dir) = self.0.take() else { return };
        make_removable(dir.path());
        // What cannot be removed is left: there is no caller to report it to.
        let _ = dir.close();
    }
}

/// Makes every directory below `dir` writable for its owner, so that its entries can be removed. No
/// program runs there any more.
fn make_removable(dir: &Path) {
    // The walk lists a directory only after it has yielded it, so its mode is set by then.
    for entry in walkdir::WalkDir::new(dir).follow_links(false).into_iter().filter_map(Result::ok) {
        if entry.file_type().is_dir() {
            let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            // fchmod(2) refuses O_PATH descriptors, and the mode may allow no other.
            let _ = rustix::fs::open(entry.path(), flags, Mode::empty())
                .and_then(|_| rustix::fs::chmod(entry.path(), Mode::from_raw_mode(0o700)));
        }
    }
}
