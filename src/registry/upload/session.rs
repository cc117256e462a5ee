//! Unfinished uploads, noted in files so that a later process goes on with them.
//!
//! A file holds the location of one session and no credential. It is locked while a process uses
//! it: two that send to one session would mix their bytes.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, Mode, OFlags},
    io::retry_on_intr,
};

use crate::{
    digest::Digest,
    registry::{client::Repository, url::Url},
};

/// Bytes of a file: a URL.
const MAX_FILE: u64 = 32 << 10;
/// Files that are kept, the most recent ones. Registries forget a session after a week at most.
const MAX_FILES: usize = 64;

/// The file for one blob and repository, locked by this process.
pub(super) struct Saved {
    file: File,
    path: PathBuf,
}

impl Saved {
    /// The file for a blob; `None` if nothing is noted, or another process is sending this blob.
    pub(super) fn of(repository: &Repository, digest: Digest) -> Option<Self> {
        let dir = repository.client.inner.sessions.as_ref()?;
        fs_err::create_dir_all(dir).ok()?;
        let key = format!("{}/{}@{digest}", repository.registry, repository.name);
        let path = dir.join(Digest::of(key).hex());
        prune(dir);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)).ok()?;
        let exclusive = FlockOperation::NonBlockingLockExclusive;
        retry_on_intr(|| rustix::fs::flock(&fd, exclusive)).ok()?;
        Some(Self { file: fd.into(), path })
    }

    /// The session's location, if it is at the registry's own origin `base`.
    pub(super) fn read(&self, base: &Url) -> Option<Url> {
        let mut text = String::new();
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0)).ok()?;
        file.take(MAX_FILE).read_to_string(&mut text).ok()?;
        Url::parse(text.trim()).filter(|url| url.origin() == base.origin())
    }

    /// Notes a location. One at another origin is signed, which makes it a credential. Failing is
    /// harmless: the upload is not resumed then.
    pub(super) fn write(&self, url: &Url, base: &Url) {
        if url.origin() == base.origin() && self.file.set_len(0).is_ok() {
            let mut file = &self.file;
            let _ = file.seek(SeekFrom::Start(0));
            let _ = file.write_all(url.text().as_bytes());
        }
    }

    /// Removes the file when the upload has ended.
    pub(super) fn forget(&self) {
        let _ = self.file.set_len(0);
        let _ = fs_err::remove_file(&self.path);
    }
}

/// Removes the oldest files. walkdir panics if a directory cannot be closed, which no file system
/// causes: close(2) returns the error of the file's `flush`, and directories do not have one.
fn prune(dir: &Path) {
    let files = walkdir::WalkDir::new(dir).max_depth(1).into_iter().filter_map(Result::ok);
    let mut files: Vec<_> = files
        .filter(|entry| entry.file_type().is_file())
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.into_path())))
        .collect();
    files.sort();
    for (_, path) in files.iter().rev().skip(MAX_FILES) {
        let _ = fs_err::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_oldest_sessions_are_forgotten_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = |number: usize| dir.path().join(format!("session{number}"));
        for number in 0..MAX_FILES + 3 {
            let file = File::create(path(number)).unwrap();
            let time = Duration::from_secs(1_000_000 - 60 * number as u64);
            file.set_modified(UNIX_EPOCH + time).unwrap();
        }
        fs_err::create_dir(dir.path().join("directory")).unwrap();
        prune(dir.path());
        assert!(path(0).exists() && path(MAX_FILES - 1).exists());
        assert!(!path(MAX_FILES).exists() && !path(MAX_FILES + 2).exists());
        assert!(dir.path().join("directory").exists());
        prune(&dir.path().join("none"));
    }
}
