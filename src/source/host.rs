//! A directory of the host as a root: nothing outside it is ever reached, by whatever links lead
//! there.

use std::{
    collections::BTreeMap,
    fmt, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat},
    io::Errno,
};

use crate::{
    elf::{
        Absence, Answer, FileId, Found, FoundKind, Lookup, LookupError, Object, ObjectError,
        ReadFailure,
    },
    path::ImagePath,
    timestamp::Timestamp,
    tree::{Content, FileNode, HostFile, Kind, Meta, Node, ResolveError, Resolved, Special, Step},
};

/// A directory of the host, seen as `/`. What was looked up once is remembered: a `HostView` is one
/// moment's view.
pub struct HostView {
    root: PathBuf,
    fd: OwnedFd,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    stats: BTreeMap<ImagePath, Answer<Arc<HostStat>>>,
    /// Directories by the bytes they were asked for: nearly every lookup is of a new name in an old
    /// directory.
    directories: BTreeMap<Vec<u8>, Answer<Arc<Resolved>>>,
    objects: BTreeMap<FileId, Result<Arc<Object>, ObjectError>>,
}

/// What lstat(2) tells of a path, and a link's target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostStat {
    /// What kind of file.
    pub kind: HostKind,
    /// Bytes of a regular file.
    pub len: u64,
    /// Device and inode.
    pub id: FileId,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names of this inode.
    pub links: u64,
    /// Time of the last modification: seconds and nanoseconds.
    pub mtime: (i64, u32),
    /// Time of the last status change: seconds and nanoseconds.
    pub ctime: (i64, u32),
}

/// The kinds of file on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link and its literal target.
    Symlink(Arc<[u8]>),
    /// A device or FIFO.
    Special(Special),
    /// A socket, or what this version does not know.
    Other,
}

impl fmt::Debug for HostView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostView").field("root", &self.root).finish_non_exhaustive()
    }
}

impl HostView {
    /// The view with `root` as `/`; links on the way to `root` itself are the host's and are
    /// followed.
    ///
    /// # Errors
    /// Where `root` is no directory that can be opened.
    pub fn new(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&root, flags, Mode::empty())?;
        Ok(Self { root, fd, memory: Mutex::default() })
    }

    /// The directory that is the root, as it was given.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a real path (see [`HostView::resolve`]) is on the host.
    pub fn host_path(&self, path: &ImagePath) -> PathBuf {
        self.root.join(path.as_relative_path())
    }

    /// What stands at `path`. No component of it but the last may be a link: give a path that came
    /// out of [`HostView::resolve`], or one component more.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn lstat(&self, path: &ImagePath) -> Result<Answer<Arc<HostStat>>, ReadFailure> {
        if let Some(known) = self.memory().stats.get(path) {
            return Ok(known.clone());
        }
        let stat = LookupError::split(self.ask(path).map(Arc::new))?;
        self.memory().stats.insert(path.clone(), stat.clone());
        Ok(stat)
    }

    /// [`HostView::lstat`] as far as [`Resolved::follow`] wants to know.
    ///
    /// # Errors
    /// [`LookupError`]
    pub fn step(&self, path: &ImagePath) -> Result<Step, LookupError> {
        Ok(match &self.lstat(path)??.kind {
            HostKind::Directory => Step::Directory,
            HostKind::Symlink(target) => Step::Link(target.clone()),
            _ => Step::Leaf,
        })
    }

    /// Where `path` leads, every link followed inside the root.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn resolve(&self, path: &[u8]) -> Result<Answer<Resolved>, ReadFailure> {
        LookupError::split(self.walk(path))
    }

    fn walk(&self, path: &[u8]) -> Result<Resolved, LookupError> {
        let mut lstat = |path: &ImagePath| self.step(path);
        let (dir, name) = match path.iter().rposition(|&b| b == b'/') {
            Some(slash) => path.split_at(slash + 1),
            None => (&b"/"[..], path),
        };
        if path.len() > ImagePath::MAX || matches!(name, b"" | b"." | b"..") {
            return Resolved::root().follow(path, &mut lstat);
        }
        let dir = self.directory(dir)??;
        Resolved::clone(&dir).follow(name, &mut lstat)
    }

    /// The node at a real path: what a tree holds of it, with the host's mode, owner and time and
    /// without extended attributes. `None` for a socket.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn node(&self, path: &ImagePath) -> Result<Answer<Option<Node>>, ReadFailure> {
        Ok(self.lstat(path)?.map(|stat| self.node_of(path, &stat)))
    }

    fn node_of(&self, path: &ImagePath, stat: &HostStat) -> Option<Node> {
        let kind = match &stat.kind {
            HostKind::Directory => Kind::Directory,
            HostKind::Symlink(target) => Kind::Symlink(target.to_vec().into()),
            HostKind::Special(special) => Kind::Special(*special),
            HostKind::Other => return None,
            HostKind::File => {
                let host = HostFile {
                    path: self.host_path(path),
                    dev: stat.id.0,
                    ino: stat.id.1,
                    mtime: stat.mtime,
                    ctime: stat.ctime,
                };
                let content = Content::Host(Arc::new(host));
                Kind::File(FileNode { len: stat.len, content, shared: stat.links > 1 })
            }
        };
        let mtime = Timestamp::from_seconds(stat.mtime.0).unwrap_or_default();
        let meta = Meta { mode: stat.mode, uid: stat.uid, gid: stat.gid, mtime, xattrs: None };
        Some(Node { meta, kind })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Each entry is written whole, so a thread that died while holding the lock left nothing
        // half done.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn directory(&self, path: &[u8]) -> Result<Answer<Arc<Resolved>>, ReadFailure> {
        if let Some(known) = self.memory().directories.get(path) {
            return Ok(known.clone());
        }
        let resolved = Resolved::root().follow(path, &mut |path: &ImagePath| self.step(path));
        let resolved = LookupError::split(resolved.map(Arc::new))?;
        self.memory().directories.insert(path.to_vec(), resolved.clone());
        Ok(resolved)
    }

    /// Sorts what a system call said of the file at a real path.
    fn error(&self, path: &ImagePath, errno: Errno) -> LookupError {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => Absence::Missing.into(),
            Errno::LOOP => Absence::Loop.into(),
            errno => LookupError::of(self.host_path(path), errno.into()),
        }
    }

    fn ask(&self, path: &ImagePath) -> Result<HostStat, LookupError> {
        let relative = if path.is_root() { b"." } else { path.relative() };
        let error = |errno| self.error(path, errno);
        let stat =
            rustix::fs::statat(&self.fd, relative, AtFlags::SYMLINK_NOFOLLOW).map_err(error)?;
        let device = || (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => HostKind::Directory,
            FileType::RegularFile => HostKind::File,
            FileType::Symlink => {
                let target =
                    rustix::fs::readlinkat(&self.fd, relative, Vec::new()).map_err(error)?;
                HostKind::Symlink(target.as_bytes().into())
            }
            FileType::CharacterDevice => {
                HostKind::Special(Special::Character(device().0, device().1))
            }
            FileType::BlockDevice => HostKind::Special(Special::Block(device().0, device().1)),
            FileType::Fifo => HostKind::Special(Special::Fifo),
            _ => HostKind::Other,
        };
        Ok(host_stat(&stat, kind))
    }

    /// Opens the regular file that `found` was; fails if another file is there now.
    fn open(&self, found: &Found) -> Result<(OwnedFd, u64), LookupError> {
        let FoundKind::File(_) = found.kind else { return Err(Absence::Missing.into()) };
        let error = |error| LookupError::of(self.host_path(&found.path), error);
        // A FIFO put there meanwhile must not block, a link not lead out.
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, found.path.relative(), flags, Mode::empty())
            .map_err(|errno| error(errno.into()))?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| error(errno.into()))?;
        let stat = host_stat(&stat, HostKind::Other);
        if stat.id != found.id {
            return Err(error(io::Error::other("another file took its place")));
        }
        Ok((fd, stat.len))
    }

    fn read_object(&self, found: &Found) -> Result<Result<Object, ObjectError>, ReadFailure> {
        if !matches!(found.kind, FoundKind::File(_)) {
            return Ok(Err(ObjectError::NotRegular));
        }
        let (fd, len) = match LookupError::split(self.open(found))? {
            Ok(opened) => opened,
            Err(absence) => return Ok(Err(absence.into())),
        };
        Object::read(len, &mut |offset, buffer| Ok(rustix::io::pread(&fd, buffer, offset)?))
            .map_err(|source| ReadFailure { path: self.host_path(&found.path), source })
    }

    fn read_front(&self, found: &Found, limit: usize) -> Result<Vec<u8>, LookupError> {
        let error = |error| LookupError::of(self.host_path(&found.path), error);
        let (fd, len) = self.open(found)?;
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(limit)];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match rustix::io::pread(&fd, rest, filled as u64) {
                Ok(0) => return Err(error(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => filled += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(error(errno.into())),
            }
        }
        Ok(bytes)
    }

    fn names(&self, dir: &[u8]) -> Result<Vec<Vec<u8>>, LookupError> {
        let path = self.walk(dir)?.path;
        let error = |errno| self.error(&path, errno);
        let relative = if path.is_root() { b"." } else { path.relative() };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, relative, flags, Mode::empty()).map_err(error)?;
        let mut names = Vec::new();
        for entry in Dir::new(fd).map_err(error)? {
            names.push(entry.map_err(error)?.file_name().to_bytes().to_vec());
        }
        names.retain(|name| !matches!(&**name, b"." | b".."));
        names.sort_unstable();
        Ok(names)
    }
}

impl From<ResolveError> for Absence {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Loop | ResolveError::OutOfSteps => Self::Loop,
            ResolveError::Missing | ResolveError::NotADirectory(_) | ResolveError::TooLong => {
                Self::Missing
            }
        }
    }
}

impl From<ResolveError> for LookupError {
    fn from(error: ResolveError) -> Self {
        Self::Absent(error.into())
    }
}

impl Lookup for HostView {
    fn find(&self, path: &[u8]) -> Result<Answer<Found>, ReadFailure> {
        let resolved = match self.resolve(path)? {
            Ok(resolved) => resolved,
            Err(absence) => return Ok(Err(absence)),
        };
        Ok(self.lstat(&resolved.path)?.map(|stat| Found {
            path: resolved.path,
            id: stat.id,
            links: resolved.links,
            dotdot_dirs: resolved.dotdot_dirs,
            kind: match stat.kind {
                HostKind::Directory => FoundKind::Directory,
                HostKind::File => FoundKind::File(stat.len),
                _ => FoundKind::Other,
            },
        }))
    }

    fn object(&self, found: &Found) -> Result<Result<Arc<Object>, ObjectError>, ReadFailure> {
        if let Some(known) = self.memory().objects.get(&found.id) {
            return Ok(known.clone());
        }
        let object = self.read_object(found)?.map(Arc::new);
        self.memory().objects.insert(found.id, object.clone());
        Ok(object)
    }

    fn read(&self, found: &Found, limit: usize) -> Result<Answer<Vec<u8>>, ReadFailure> {
        LookupError::split(self.read_front(found, limit))
    }

    fn list(&self, dir: &[u8]) -> Result<Answer<Vec<Vec<u8>>>, ReadFailure> {
        LookupError::split(self.names(dir))
    }
}

/// The fields of `stat`, whose integer types differ between architectures.
pub(super) fn host_stat(stat: &Stat, kind: HostKind) -> HostStat {
    HostStat {
        kind,
        len: number(stat.st_size),
        id: FileId(number(stat.st_dev), number(stat.st_ino)),
        mode: number(stat.st_mode & 0o7777),
        uid: stat.st_uid,
        gid: stat.st_gid,
        links: number(stat.st_nlink),
        mtime: (number(stat.st_mtime), number(stat.st_mtime_nsec)),
        ctime: (number(stat.st_ctime), number(stat.st_ctime_nsec)),
    }
}

/// A number in another type that holds all values that the kernel gives.
fn number<T: TryInto<U>, U: Default>(value: T) -> U {
    value.try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_never_leave_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs_err::create_dir_all(root.join("etc")).unwrap();
        fs_err::write(dir.path().join("secret"), "outside").unwrap();
        fs_err::write(root.join("secret"), "inside").unwrap();
        symlink("../../secret", root.join("etc/up")).unwrap();
        symlink(dir.path().join("secret"), root.join("etc/absolute")).unwrap();
        let view = HostView::new(&root).unwrap();
        let found = view.find(b"/etc/up").unwrap().unwrap();
        assert_eq!(found.path.to_string(), "/secret");
        assert_eq!(view.read(&found, 100).unwrap().unwrap(), b"inside");
        assert_eq!(view.find(b"/etc/absolute").unwrap(), Err(Absence::Missing));
        assert_eq!(view.list(b"/etc/..").unwrap().unwrap(), [b"etc".to_vec(), b"secret".to_vec()]);
    }

    #[test]
    fn a_file_that_was_swapped_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("a"), "one").unwrap();
        fs_err::write(dir.path().join("b"), "two").unwrap();
        let view = HostView::new(dir.path()).unwrap();
        let found = view.find(b"a").unwrap().unwrap();
        fs_err::rename(dir.path().join("b"), dir.path().join("a")).unwrap();
        assert!(view.read(&found, 10).is_err());
    }
}
