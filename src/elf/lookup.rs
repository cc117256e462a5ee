//! The files that a loader would see, and the three answers to a question about one of them.

use std::{io, path::PathBuf, sync::Arc};

use super::{Absence, LoaderMemo, Object, ObjectError};
use crate::path::ImagePath;

/// A file system as the loader sees it. The closure and the rules look only through this trait and
/// touch no files themselves.
///
/// Every method has three outcomes: the file is there, it is not there ([`Absence`]), or it could
/// not be read ([`ReadFailure`]). A failure says nothing about the file, so it must not be taken
/// for absence: the caller passes it on with `?` and looks at the inner [`Answer`] afterwards.
pub trait Lookup {
    /// What open(2) of `path` reaches in the root. Every link is followed inside the root,
    /// component by component (`..` physically, absolute targets from the root, 40 links at most).
    /// `path` is absolute; a relative one is taken from the root.
    ///
    /// # Errors
    /// [`ReadFailure`]
    fn find(&self, path: &[u8]) -> Result<Answer<Found>, ReadFailure>;

    /// The object in a file, parsed at most once for each [`FileId`].
    ///
    /// # Errors
    /// [`ReadFailure`], also if the file is no longer the one that was found.
    fn object(&self, found: &Found) -> Result<Result<Arc<Object>, ObjectError>, ReadFailure>;

    /// The first `limit` bytes of a regular file; anything else is [`Absence::Missing`].
    ///
    /// # Errors
    /// [`ReadFailure`], also if the file is no longer the one that was found.
    fn read(&self, found: &Found, limit: usize) -> Result<Answer<Vec<u8>>, ReadFailure>;

    /// The names in a directory, sorted bytewise, without `.` and `..`.
    ///
    /// # Errors
    /// [`ReadFailure`]
    fn list(&self, dir: &[u8]) -> Result<Answer<Vec<Vec<u8>>>, ReadFailure>;

    /// The loaders that were read, if they are remembered from one closure to the next.
    fn loader_memo(&self) -> Option<&LoaderMemo> {
        None
    }
}

/// What was looked for, or why it is not there.
pub type Answer<T> = Result<T, Absence>;

/// A file that could not be read: an I/O error, too many open files, a file that changed while it
/// was read. Nothing is known about the file, and nothing may be concluded.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{}`", path.display())]
#[must_use]
pub struct ReadFailure {
    /// On the host, or the name of the archive that holds the file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// [`Absence`] or [`ReadFailure`] in one type, for `?` inside an implementation of [`Lookup`].
#[derive(Debug)]
pub enum LookupError {
    /// The file is not there.
    Absent(Absence),
    /// It could not be read.
    Failed(ReadFailure),
}

impl LookupError {
    /// Sorts what the system said when the file at `path` was looked for or opened.
    pub fn of(path: impl Into<PathBuf>, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::Absent(Absence::Denied),
            _ => Self::Failed(ReadFailure { path: path.into(), source: error }),
        }
    }

    /// The three outcomes apart: a failure outside, the answer inside.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn split<T>(result: Result<T, Self>) -> Result<Answer<T>, ReadFailure> {
        match result {
            Ok(value) => Ok(Ok(value)),
            Err(Self::Absent(absence)) => Ok(Err(absence)),
            Err(Self::Failed(failure)) => Err(failure),
        }
    }
}

impl From<Absence> for LookupError {
    fn from(absence: Absence) -> Self {
        Self::Absent(absence)
    }
}

impl From<ReadFailure> for LookupError {
    fn from(failure: ReadFailure) -> Self {
        Self::Failed(failure)
    }
}

/// A file or directory that a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its real path: no component is a link.
    pub path: ImagePath,
    /// Its identity: the same for all names of one inode.
    pub id: FileId,
    /// Every symbolic link crossed on the way, in order, each by its own real path.
    pub links: Vec<ImagePath>,
    /// The directories that `..` left again, each by its real path: the way needs them, too.
    pub dotdot_dirs: Vec<ImagePath>,
    /// What it is.
    pub kind: FoundKind,
}

impl Found {
    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        matches!(self.kind, FoundKind::File(_))
    }
}

/// What kind of file a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundKind {
    /// A regular file and its size in bytes.
    File(u64),
    /// A directory.
    Directory,
    /// A device, FIFO or socket.
    Other,
}

/// The loader's notion of sameness: device and inode (`_dl_map_object_from_fd` compares these).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64, pub u64);
