//! What a program needs, found as its loader would find it, without running anything.

use std::{io, sync::Arc};

use crate::path::ImagePath;

pub mod cache;
mod closure;
pub mod conf;
pub mod dlopen;
mod loader;
mod object;
pub mod render;
pub mod script;
mod tokens;

pub use cache::Cache;
pub use closure::{
    CacheNeed, Closure, ConfigFile, Cpu, Edge, Fault, FaultKind, File, How, Hwcaps, Miss, Opens,
    Options, Outcome, PRELOAD_FILE, Program, Root, Suggestion, Tag, Tried, Warning, closure,
    preload_list,
};
pub use dlopen::{Dlopen, DlopenError, Priority};
pub use loader::{Dialect, Loader, usual_paths};
pub use object::{
    Float, HEADER_LEN, Header, Kind, Linkage, Machine, NODEFLIB, NeededVersion, Object,
    ObjectError, PIE, ReadAt, Request, Sniffed, Symbols, Verneed, constants, layout, sniff,
    symbols,
};

/// What the loader would see: the image's paths over the sysroot's. The closure and the rules look
/// through this and touch nothing themselves.
pub trait Lookup {
    /// What open(2) of `path` reaches in the root, every link followed inside it, component by
    /// component (`..` physically, absolute targets re-rooted, 40 links at most). `path` is
    /// absolute; a relative one is taken from the root.
    fn find(&self, path: &[u8]) -> Result<Found, FindError>;

    /// The object in a file, parsed at most once for each [`FileId`].
    fn object(&self, found: &Found) -> Result<Arc<Object>, ObjectError>;

    /// The first `limit` bytes of a file: caches and configuration.
    fn read(&self, found: &Found, limit: usize) -> io::Result<Vec<u8>>;

    /// The names in a directory, sorted bytewise, without `.` and `..`.
    fn list(&self, dir: &[u8]) -> Result<Vec<Vec<u8>>, FindError>;
}

/// A file or directory that a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it really is: no component is a link.
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

/// Why a path leads nowhere. The loader goes on past `Missing` and stops at the others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// ENOENT, ENOTDIR, ENAMETOOLONG: nothing there. A dangling link is this too.
    #[error("no such file")]
    Missing,
    /// EACCES: there, but this user may not read it.
    #[error("permission denied")]
    Denied,
    /// ELOOP: more than 40 links.
    #[error("too many levels of symbolic links")]
    Loop,
    /// Any other error of the host.
    #[error("{0}")]
    Other(String),
}
