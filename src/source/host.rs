//! A directory of the host as a root: nothing outside it is ever reached, by whatever links lead
//! there.

use std::{
    fmt, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use rustix::io::Errno;

use super::{capability_attribute, sys};
use crate::{
    elf::{Absence, Answer, LookupError, ReadFailure},
    path::ImagePath,
    store,
    tree::{HostPath, Node, ResolveError, Resolved, Step, Xattrs},
    uninterrupted,
};

/// File systems whose files the kernel makes, by their `f_type` (linux/magic.h, and the kernel's
/// fs/efivarfs and fs/resctrl), in order.
const KERNEL_FILE_SYSTEMS: [u32; 18] = [
    0x1cd1,      // devpts
    0x9fa0,      // proc
    0x27_e0eb,   // cgroup
    0x765_5821,  // resctrl
    0x1980_0202, // mqueue
    0x4249_4e4d, // binfmt_misc
    0x6165_676c, // pstore
    0x6265_6570, // configfs
    0x6265_6572, // sysfs
    0x6367_7270, // cgroup2
    0x6462_6720, // debugfs
    0x6573_5543, // fusectl
    0x6e73_6673, // nsfs
    0x7363_6673, // securityfs
    0x7472_6163, // tracefs
    0xcafe_4a11, // bpf
    0xde5e_81e4, // efivarfs
    0xf97c_ff8c, // selinuxfs
];

/// A directory of the host, seen as `/`. It remembers no files: `view::View` does.
pub struct HostRoot {
    root: PathBuf,
    fd: OwnedFd,
    /// Where the root really is, if that can be told. It is looked up when it is asked for first.
    real: OnceLock<Option<PathBuf>>,
    /// The directory of the last file, whose path others may share.
    last_dir: Mutex<Option<Arc<Path>>>,
}

impl fmt::Debug for HostRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostRoot").field("root", &self.root).finish_non_exhaustive()
    }
}

impl HostRoot {
    /// The directory `root` as `/`. Links on the way to `root` itself are the host's and are
    /// followed.
    ///
    /// # Errors
    /// If `root` is not a directory or cannot be opened.
    pub fn new(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        let fd = sys::open_path(&root)?;
        Ok(Self { root, fd, real: OnceLock::new(), last_dir: Mutex::default() })
    }

    /// The directory that is the root, as it was given.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path in this root of a file of the host: one whose absolute path has no links, or one
    /// that [`HostRoot::node`] named.
    pub fn path_below<'p>(&self, file: &'p Path) -> Option<&'p Path> {
        let real = self.real.get_or_init(|| uninterrupted::canonicalize(&self.root).ok());
        let named = || file.strip_prefix(&self.root).ok();
        real.as_ref().and_then(|real| file.strip_prefix(real).ok()).or_else(named)
    }

    /// Where a real path (see [`HostRoot::resolve`]) is on the host.
    pub(super) fn host_path(&self, path: &ImagePath) -> PathBuf {
        self.root.join(path.as_relative_path())
    }

    /// The node at `path`, with the host's mode, owner and time and without extended attributes;
    /// `None` for a socket. No component of `path` except the last may be a link: give a path that
    /// came out of [`HostRoot::resolve`], or one component more.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn node(&self, path: &ImagePath) -> Result<Answer<Option<Node>>, ReadFailure> {
        LookupError::split(self.lookup(path))
    }

    fn lookup(&self, path: &ImagePath) -> Result<Option<Node>, LookupError> {
        let relative = relative(path);
        let stat = sys::lstat(&self.fd, relative);
        let node = stat.and_then(|stat| {
            let on_host = || {
                let mut last = self.last_dir.lock().unwrap_or_else(PoisonError::into_inner);
                HostPath::after(&mut last, &self.host_path(path))
            };
            stat.node(on_host, || sys::read_link(&self.fd, relative))
        });
        node.map_err(|errno| self.error(path, errno))
    }

    /// Where `path` leads, every link followed inside the root.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn resolve(&self, path: &[u8]) -> Result<Answer<Resolved>, ReadFailure> {
        let mut lstat =
            |path: &ImagePath| Ok(self.lookup(path)?.as_ref().map_or(Step::Leaf, Step::from));
        LookupError::split(Resolved::root().follow(path, &mut lstat))
    }

    /// The node that `path` leads to; `None` for a socket.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn find(&self, path: &[u8]) -> Result<Answer<Option<Node>>, ReadFailure> {
        match self.resolve(path)? {
            Ok(resolved) => self.node(&resolved.path),
            Err(absence) => Ok(Err(absence)),
        }
    }

    /// The names in the directory at a real path, sorted bytewise.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn list(&self, path: &ImagePath) -> Result<Answer<Vec<Vec<u8>>>, ReadFailure> {
        let names = sys::open_directory(&self.fd, relative(path)).and_then(store::names);
        let names = names.map_err(|errno| self.error(path, errno));
        LookupError::split(
            names.map(|names| names.into_iter().map(std::ffi::CString::into_bytes).collect()),
        )
    }

    /// Whether what `path` leads to is on a file system whose files the kernel makes, such as
    /// procfs: they describe this machine, wherever it is mounted.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn is_of_kernel(&self, path: &[u8]) -> Result<bool, ReadFailure> {
        let Ok(real) = self.resolve(path)? else { return Ok(false) };
        let kind = sys::file_system(&self.fd, relative(&real.path));
        let kind = LookupError::split(kind.map_err(|errno| self.error(&real.path, errno)))?;
        Ok(kind.is_ok_and(|kind| KERNEL_FILE_SYSTEMS.contains(&kind)))
    }

    /// The file capabilities of the regular file at a real path.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn capability(&self, path: &ImagePath) -> Result<Xattrs, ReadFailure> {
        let on_host = self.host_path(path);
        capability_attribute(&on_host).map_err(|source| ReadFailure { path: on_host, source })
    }

    /// The directory at a real path, open; `None` if it cannot be opened.
    pub(super) fn open_directory(&self, path: &ImagePath) -> Option<OwnedFd> {
        sys::open_directory(&self.fd, relative(path)).ok()
    }

    /// Sorts what a system call said of the file at a real path.
    pub(super) fn error(&self, path: &ImagePath, errno: Errno) -> LookupError {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => Absence::Missing.into(),
            Errno::LOOP => Absence::Loop.into(),
            errno => LookupError::of(self.host_path(path), errno.into()),
        }
    }
}

fn relative(path: &ImagePath) -> &[u8] {
    if path.is_root() { b"." } else { path.relative() }
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
        fs_err::write(root.join("secret"), "in").unwrap();
        symlink("../../secret", root.join("etc/up")).unwrap();
        symlink(dir.path().join("secret"), root.join("etc/absolute")).unwrap();
        let host = HostRoot::new(&root).unwrap();
        let resolved = host.resolve(b"/etc/up").unwrap().unwrap();
        assert_eq!(resolved.path.to_string(), "/secret");
        let node = host.node(&resolved.path).unwrap().unwrap().unwrap();
        assert_eq!(node.file().unwrap().len, 2);
        assert_eq!(host.resolve(b"/etc/absolute").unwrap(), Err(Absence::Missing));
        let names = host.list(&ImagePath::root()).unwrap().unwrap();
        assert_eq!(names, [b"etc".to_vec(), b"secret".to_vec()]);
        assert_eq!(host.list(&resolved.path).unwrap(), Err(Absence::Missing));
    }
}
