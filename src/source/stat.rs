//! What the kernel says of a file of the host → a node.

use std::{fs::Metadata, os::unix::fs::MetadataExt as _, sync::Arc};

use rustix::fs::{FileType, Stat};

use crate::{
    timestamp::{Mtime, Timestamp},
    tree::{Content, FileNode, HostFile, HostPath, Kind, Meta, Node, Special},
};

/// What stat(2) says, in types that do not differ between architectures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostStat {
    /// The kind of file.
    pub(super) kind: FileType,
    /// Permission bits with setuid, setgid and sticky.
    pub(super) mode: u16,
    uid: u32,
    gid: u32,
    /// Bytes of a regular file.
    pub(super) len: u64,
    /// Device and inode.
    id: (u64, u64),
    /// Major and minor number of a device file.
    device: (u32, u32),
    /// Names of this inode.
    links: u64,
    /// Time of the last modification: seconds and nanoseconds.
    mtime: (i64, u32),
    /// Time of the last status change: seconds and nanoseconds.
    ctime: (i64, u32),
}

impl HostStat {
    /// As rustix says it.
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            kind: FileType::from_raw_mode(stat.st_mode),
            mode: number(stat.st_mode & 0o7777),
            uid: stat.st_uid,
            gid: stat.st_gid,
            len: number(stat.st_size),
            id: (number(stat.st_dev), number(stat.st_ino)),
            device: (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)),
            links: number(stat.st_nlink),
            mtime: (number(stat.st_mtime), number(stat.st_mtime_nsec)),
            ctime: (number(stat.st_ctime), number(stat.st_ctime_nsec)),
        }
    }

    /// As the standard library says it.
    pub(super) fn of_metadata(metadata: &Metadata) -> Self {
        Self {
            kind: FileType::from_raw_mode(metadata.mode()),
            mode: number(metadata.mode() & 0o7777),
            uid: metadata.uid(),
            gid: metadata.gid(),
            len: metadata.len(),
            id: (metadata.dev(), metadata.ino()),
            device: (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev())),
            links: metadata.nlink(),
            mtime: (metadata.mtime(), number(metadata.mtime_nsec())),
            ctime: (metadata.ctime(), number(metadata.ctime_nsec())),
        }
    }

    /// The node for this file, with the host's mode, owner and time and without extended
    /// attributes. `path` is where it is opened later; `read_link` reads a link's target. `None`
    /// for a socket, which no tree can hold.
    ///
    /// # Errors
    /// What `read_link` returns.
    pub(super) fn node<E>(
        &self,
        path: impl FnOnce() -> HostPath,
        read_link: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Option<Node>, E> {
        let kind = match self.kind {
            FileType::Directory => Kind::Directory,
            FileType::RegularFile => Kind::File(self.file(path())),
            FileType::Symlink => Kind::Symlink(read_link()?.into()),
            FileType::CharacterDevice => {
                Kind::Special(Special::Character(self.device.0, self.device.1))
            }
            FileType::BlockDevice => Kind::Special(Special::Block(self.device.0, self.device.1)),
            FileType::Fifo => Kind::Special(Special::Fifo),
            _ => return Ok(None),
        };
        let mtime = Mtime::At(Timestamp::from_seconds(self.mtime.0).unwrap_or_default());
        let meta = Meta { mode: self.mode, uid: self.uid, gid: self.gid, mtime, xattrs: None };
        Ok(Some(Node { meta, kind }))
    }

    fn file(&self, path: HostPath) -> FileNode {
        let host = HostFile::new(path, self.id, self.mtime, self.ctime);
        let content = Content::Host(Arc::new(host));
        let modified = self.mtime.0 as u32;
        FileNode { len: self.len, content, shared: self.links > 1, modified }
    }

    /// Whether this is still `file`, which was `len` bytes long when it was found.
    pub(super) fn is(&self, file: &HostFile, len: u64) -> bool {
        self.id == (file.dev, file.ino)
            && self.len == len
            && self.mtime == file.mtime()
            && self.ctime == file.ctime()
    }
}

/// A number in another type that holds all values that the kernel gives.
fn number<T: TryInto<U>, U: Default>(value: T) -> U {
    value.try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, path::Path};

    use super::*;
    use crate::source::sys;

    #[test]
    fn both_ways_to_ask_tell_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs_err::write(&path, "text").unwrap();
        let stat = sys::lstat(rustix::fs::CWD, &path).unwrap();
        assert_eq!(stat, HostStat::of_metadata(&fs_err::symlink_metadata(&path).unwrap()));
        let read_link = || Ok::<_, Infallible>(Vec::new());
        let node = stat.node(|| (&*path).into(), read_link).unwrap().unwrap();
        let file = node.file().unwrap();
        let Content::Host(host) = &file.content else { panic!("{file:?}") };
        assert!((file.len, file.shared) == (4, false) && stat.is(host, 4) && !stat.is(host, 5));
    }

    #[test]
    fn each_kind_of_file() {
        let node = |path: &str| {
            let stat = sys::lstat(rustix::fs::CWD, path).unwrap();
            let read_link = || sys::read_link(rustix::fs::CWD, path);
            stat.node(|| Path::new(path).into(), read_link).unwrap()
        };
        assert_eq!(node("/dev/null").unwrap().kind, Kind::Special(Special::Character(1, 3)));
        assert!(node("/").unwrap().is_directory());
        assert!(matches!(node("/proc/self").unwrap().kind, Kind::Symlink(_)));
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(node(socket.to_str().unwrap()), None);
    }
}
