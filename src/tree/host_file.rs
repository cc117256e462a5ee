//! A file of the host, as it was when planned.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A host file as it was when planned. Code that opens it compares these fields again: a difference
/// means that the file has since been changed or replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFile {
    /// The path to open.
    pub path: HostPath,
    /// Device number (`st_dev`).
    pub dev: u64,
    /// Inode number (`st_ino`).
    pub ino: u64,
    /// Seconds of the modification time and of the status change time. Apart from the nanoseconds,
    /// they take less memory.
    pub(crate) seconds: [i64; 2],
    pub(crate) nanoseconds: [u32; 2],
}

impl HostFile {
    /// The file at `path`, with its device and inode number; the times are seconds and nanoseconds.
    pub fn new(path: HostPath, id: (u64, u64), mtime: (i64, u32), ctime: (i64, u32)) -> Self {
        let (seconds, nanoseconds) = ([mtime.0, ctime.0], [mtime.1, ctime.1]);
        Self { path, dev: id.0, ino: id.1, seconds, nanoseconds }
    }

    /// Modification time: seconds and nanoseconds.
    pub fn mtime(&self) -> (i64, u32) {
        (self.seconds[0], self.nanoseconds[0])
    }

    /// Status change time: seconds and nanoseconds.
    pub fn ctime(&self) -> (i64, u32) {
        (self.seconds[1], self.nanoseconds[1])
    }
}

/// A path of the host. The files of a directory share the path of that: whole paths would be most
/// of what a million files in deep directories take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPath {
    dir: Arc<Path>,
    /// Empty where `dir` is the whole path.
    name: Box<OsStr>,
}

impl HostPath {
    /// The path of `name`, which is one component or empty, in the directory `dir`.
    pub fn new(dir: &Arc<Path>, name: &OsStr) -> Self {
        Self { dir: Arc::clone(dir), name: name.into() }
    }

    /// The path `path`. It shares the path of its directory with the one before, if that is `last`.
    pub fn after(last: &mut Option<Arc<Path>>, path: &Path) -> Self {
        let (dir, name) = match (path.parent(), path.file_name()) {
            (Some(dir), Some(name)) => (dir, name),
            _ => (path, OsStr::new("")),
        };
        match last {
            Some(last) if last.as_os_str() == dir.as_os_str() => Self::new(last, name),
            _ => Self::new(last.insert(dir.into()), name),
        }
    }

    /// The directory; empty for a name alone.
    pub fn dir(&self) -> &Arc<Path> {
        &self.dir
    }

    /// The name in the directory. `None` for a path that ends in no name, such as `/` or `..`.
    pub fn name(&self) -> Option<&OsStr> {
        Some(&*self.name).filter(|name| !name.is_empty())
    }

    /// The whole path.
    pub fn to_path_buf(&self) -> PathBuf {
        self.name().map_or_else(|| self.dir.to_path_buf(), |name| self.dir.join(name))
    }
}

impl From<&Path> for HostPath {
    fn from(path: &Path) -> Self {
        Self::after(&mut None, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_put_together_again() {
        for path in ["/a/b", "/a", "a", "a/b", "..", "/", "a/..", ""] {
            assert_eq!(HostPath::from(Path::new(path)).to_path_buf(), Path::new(path));
        }
        let path = HostPath::from(Path::new("/a/b"));
        assert_eq!((&**path.dir(), path.name()), (Path::new("/a"), Some(OsStr::new("b"))));
        assert_eq!(HostPath::new(path.dir(), OsStr::new("b")), path);
        assert_eq!(HostPath::from(Path::new("..")).name(), None);
    }

    #[test]
    fn files_of_one_directory_share_its_path() {
        let mut last = None;
        let paths = ["/a/b", "/a/c", "/b/c"].map(|path| HostPath::after(&mut last, path.as_ref()));
        assert!(Arc::ptr_eq(paths[0].dir(), paths[1].dir()));
        assert_eq!(paths.map(|path| path.to_path_buf()), ["/a/b", "/a/c", "/b/c"].map(Path::new));
    }

    /// With the counters of the `Arc` and the allocator's own 8 bytes, it takes 96.
    #[test]
    fn a_file_is_small() {
        assert!(size_of::<HostFile>() <= 72);
    }
}
