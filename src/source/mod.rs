//! What the user names, as trees: directories, files, tarballs, commands. Reads metadata, no bulk
//! content.

pub mod content;
mod context;
mod dir;
mod host;
mod misplaced_dependency;
mod open_files;
mod request;
mod stat;
mod sys;
mod tarball;
mod worker_pool;

use std::{collections::BTreeSet, io, num::NonZeroUsize, path::PathBuf};

use crate::{
    archive::{read::ReadError, spool::SpoolError},
    elf::ReadFailure,
    error_kind::ErrorKind,
    path::{
        ImagePath, PathError, escape,
        glob::{Glob, GlobError},
    },
    timestamp::Timestamp,
    tree::{Kind, Meta, Node, Tree},
};

pub use context::{Context, context};
pub use dir::capability_attribute;
pub use host::HostRoot;
pub use misplaced_dependency::{MisplacedDependency, misplaced_dependency};
pub use open_files::{FileReader, OpenFiles};
pub use request::{Request, RequestError, command};
pub use tarball::{is_tarball, unpack};

/// One input, placed.
#[derive(Debug)]
pub struct Input {
    /// As the user wrote it.
    pub name: String,
    /// What it brings, by image path. For [`InputKind::Command`] at most a link to it.
    pub tree: Tree,
    /// What kind of input it is.
    pub kind: InputKind,
}

/// The kinds of input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// A single file and its path in the image.
    File(ImagePath),
    /// A directory.
    Directory,
    /// A tarball.
    Tarball,
    /// A program of the sysroot, named by its bare name or by its whole path, which it keeps.
    Command(ImagePath),
}

impl InputKind {
    /// The path of a command, as the user would start it.
    pub fn command(&self) -> Option<&ImagePath> {
        match self {
            Self::Command(path) => Some(path),
            Self::File(_) | Self::Directory | Self::Tarball => None,
        }
    }
}

/// How inputs become trees.
#[derive(Debug)]
pub struct InputOptions {
    /// Left out of directories and tarballs.
    pub exclude: Vec<Exclude>,
    /// Keep every permission bit; otherwise a umask of 022 is applied, so that a checkout's cannot
    /// show.
    pub preserve_mode: bool,
    /// Owner and group of everything; otherwise 0:0, and a tarball's own.
    pub owner: Option<(u32, u32)>,
    /// Modification time of everything.
    pub mtime: Timestamp,
    /// Files of the host to leave out, as absolute paths without links: the outputs.
    pub outputs: BTreeSet<PathBuf>,
    /// Where a bare command name is looked up: image paths, in order.
    pub command_dirs: Vec<ImagePath>,
    /// Where compressed tarballs are unpacked to while imgb runs.
    pub spool: PathBuf,
    /// How many threads walk directories. It has no influence on the trees.
    pub jobs: NonZeroUsize,
}

/// A pattern of what to leave out. Without a slash it is matched against the name at any depth;
/// with one against the whole path in the image.
#[derive(Clone, Debug)]
pub struct Exclude {
    glob: Glob,
    whole_path: bool,
}

/// Why an input cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The input does not exist.
    #[error(
        "`{name}`: no such file or directory{}",
        if *.bare { ", and no command of that name" } else { "" }
    )]
    NotFound {
        /// As the user wrote it.
        name: String,
        /// Whether it was a bare name, looked up as a command too.
        bare: bool,
    },
    /// A single file is wanted.
    #[error("`{0}` is not a file")]
    NoFile(String),
    /// The host refused to read something.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// On the host.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Files that an unprivileged layer cannot carry.
    #[error("`{name}` holds files that cannot be packed: {}", list(entries))]
    NoRegularFiles {
        /// The input.
        name: String,
        /// Path and kind, all of them.
        entries: Vec<(PathBuf, &'static str)>,
    },
    /// A name that means something else in a layer.
    #[error(
        "`{name}` holds `{}`: names that start with `.wh.` mean a deletion in a layer \
         (OCI image-spec, layer.md)",
        entry.display()
    )]
    WhiteoutName {
        /// The input.
        name: String,
        /// Where it is.
        entry: PathBuf,
    },
    /// A name that no image path can be.
    #[error("`{name}`: entry `{}`: {source}", escape(entry))]
    BadPath {
        /// The input.
        name: String,
        /// The path below it.
        entry: Vec<u8>,
        /// Why.
        source: PathError,
    },
    /// A tarball that is damaged or hostile.
    #[error(transparent)]
    Tarball(#[from] ReadError),
    /// A tarball that cannot be decompressed.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

impl SourceError {
    /// What the error means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } | Self::NoFile(_) | Self::Unreadable { .. } => ErrorKind::Input,
            Self::NoRegularFiles { .. }
            | Self::WhiteoutName { .. }
            | Self::BadPath { .. }
            | Self::Tarball(_) => ErrorKind::Refused,
            Self::Spool(error) => error.kind(),
        }
    }
}

impl From<ReadFailure> for SourceError {
    fn from(ReadFailure { path, source }: ReadFailure) -> Self {
        Self::Unreadable { path, source }
    }
}

fn list(entries: &[(PathBuf, &'static str)]) -> String {
    entries
        .iter()
        .map(|(path, kind)| format!("{} ({kind})", path.display()))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The inputs that `requests` name, in order.
///
/// # Errors
/// The first input that cannot be taken.
pub fn gather(
    requests: &[Request],
    host: &HostRoot,
    options: &InputOptions,
) -> Result<Vec<Input>, SourceError> {
    requests.iter().map(|request| request.gather(host, options)).collect()
}

impl Exclude {
    /// The pattern `text`, in the syntax of [`Glob`].
    ///
    /// # Errors
    /// As [`Glob::new`].
    pub fn new(text: &str) -> Result<Self, GlobError> {
        Ok(Self {
            glob: Glob::new(text.trim_start_matches('/').as_bytes())?,
            whole_path: text.contains('/'),
        })
    }

    /// Whether `path` is left out, with everything below it.
    pub fn matches(&self, path: &ImagePath) -> bool {
        self.glob.matches(if self.whole_path { path.relative() } else { path.file_name() })
    }
}

impl InputOptions {
    fn excludes(&self, path: &ImagePath) -> bool {
        self.exclude.iter().any(|pattern| pattern.matches(path))
    }

    /// A file of the host or of another tree as an input: with the metadata that these options give
    /// it. Extended attributes stay.
    pub fn adopt(&self, mut node: Node) -> Node {
        let mode = if matches!(node.kind, Kind::Symlink(_)) { 0o777 } else { node.meta.mode };
        let xattrs = node.meta.xattrs.take();
        node.meta = Meta { xattrs, ..self.meta(mode.into(), node.is_directory()) };
        if matches!(node.kind, Kind::Symlink(_)) {
            node.meta.mode = 0o777;
        }
        node
    }

    /// The metadata of a file of the host whose mode is `mode`.
    pub fn meta(&self, mode: u32, directory: bool) -> Meta {
        let mut mode = (mode & 0o7777) as u16;
        let sticky_directory = directory && mode & 0o1000 != 0;
        if !self.preserve_mode && !sticky_directory {
            mode &= !0o022;
        }
        let (uid, gid) = self.owner.unwrap_or((0, 0));
        Meta { mode, uid, gid, mtime: self.mtime, xattrs: None }
    }
}
