//! Turns the inputs that the user names (directories, files, tarballs, commands) into trees. Reads
//! metadata but no file contents in bulk.

pub mod content;
mod context;
mod dir;
mod host;
mod meant;
mod misplaced_dependency;
mod open_files;
mod ordered_pool;
mod presence;
mod request;
mod shim;
mod small_files;
mod stat;
mod sys;
mod sysroot;
mod tarball;
mod worker_pool;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    archive::{read::ReadError, spool::SpoolError},
    elf::ReadFailure,
    error_kind::ErrorKind,
    path::{
        ImagePath, PathError, escape,
        glob::{Glob, GlobError},
    },
    timestamp::Mtime,
    tree::{Kind, Meta, Node, Tree},
};

pub use crate::store::list_directory;
pub use context::{Context, context};
pub use dir::capability_attribute;
pub use host::HostRoot;
pub use meant::command as similar_command;
pub use misplaced_dependency::{MisplacedDependency, misplaced_dependency};
pub use open_files::{FileReader, OpenFiles};
pub use ordered_pool::in_order;
pub use presence::if_present;
pub use request::{Request, RequestError, Search, command};
pub use small_files::SmallFiles;
pub use sysroot::Sysroot;
pub use tarball::{is_tarball, unpack};

/// One input and its files at their paths in the image.
#[derive(Debug)]
pub struct Input {
    /// What the user wrote.
    pub name: String,
    /// The files that it adds, by image path; none for [`InputKind::Command`].
    pub tree: Tree,
    /// What kind of input it is.
    pub kind: InputKind,
    /// What comes before a command in the search for it and may not be searched ([`command`]).
    pub closed: Vec<ImagePath>,
    /// A link for convenience, which is added where nothing else comes to its path.
    pub shortcut: Option<(ImagePath, Node)>,
}

impl Input {
    /// An input that nothing was searched for.
    pub fn new(name: impl Into<String>, tree: Tree, kind: InputKind) -> Self {
        Self { name: name.into(), tree, kind, closed: Vec::new(), shortcut: None }
    }
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
    /// A program of the sysroot, named by its bare name or its full path. It keeps its path.
    Command(ImagePath),
}

impl InputKind {
    /// The path of a command, as the user would run it.
    pub fn command(&self) -> Option<&ImagePath> {
        match self {
            Self::Command(path) => Some(path),
            Self::File(_) | Self::Directory | Self::Tarball => None,
        }
    }
}

/// Options for turning inputs into trees.
#[derive(Clone, Debug)]
pub struct InputOptions {
    /// Patterns to exclude from directories and tarballs.
    pub exclude: Vec<Exclude>,
    /// Keep every permission bit. Otherwise a umask of 022 is applied, so that the umask of a
    /// checkout does not affect the image.
    pub preserve_mode: bool,
    /// Owner and group of all files. If `None`, 0:0, or the tarball's own for its members.
    pub owner: Option<(u32, u32)>,
    /// Modification time of all files.
    pub mtime: Mtime,
    /// Host files to leave out, as absolute paths without links: imgb's own outputs.
    pub outputs: BTreeSet<PathBuf>,
    /// Where bare command names are looked up: image paths, in search order.
    pub command_dirs: Vec<ImagePath>,
    /// The versions that the user's environment asks version managers for, by the variable's name.
    pub versions: BTreeMap<String, String>,
    /// Take tarballs as the files that they are, instead of their contents.
    pub as_file: bool,
    /// Where compressed tarballs are decompressed to while imgb runs.
    pub spool: PathBuf,
    /// Number of threads that walk directories. It does not affect the trees.
    pub jobs: NonZeroUsize,
}

/// An exclude pattern. Without a slash it is matched against the file name at any depth, with a
/// slash against the whole path in the image.
#[derive(Clone, Debug)]
pub struct Exclude {
    glob: Glob,
    whole_path: bool,
    text: String,
    matched: Arc<AtomicBool>,
}

/// Why an input cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The input does not exist.
    #[error(
        "`{name}`: no such file or directory{}{}",
        if *.bare { ", and no command of that name" } else { "" },
        not_searched(closed)
    )]
    NotFound {
        /// What the user wrote.
        name: String,
        /// Whether it was a bare name, which was looked up as a command too.
        bare: bool,
        /// The directories of commands that may not be searched.
        closed: Vec<ImagePath>,
        /// An input that exists and was probably meant.
        meant: Option<String>,
    },
    /// The input is a symbolic link that leads nowhere.
    #[error("`{name}` is a link to `{}`, which does not exist", target.display())]
    DanglingLink {
        /// What the user wrote.
        name: String,
        /// Where the link leads.
        target: PathBuf,
    },
    /// The input is a shim of a version manager, which chooses the program when it is started.
    #[error("`{name}` is a shim of {manager}, which chooses the program when it is started")]
    Shim {
        /// As the user wrote it.
        name: String,
        /// The manager.
        manager: String,
        /// The command that prints the program's path.
        which: Option<String>,
    },
    /// The input is not a regular file where one is required.
    #[error("`{0}` is not a file")]
    NoFile(String),
    /// A file of the host could not be read.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// The path on the host.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The input holds files that an unprivileged layer cannot hold.
    #[error("`{name}` holds files that cannot be packed: {}", list(entries))]
    NoRegularFiles {
        /// The input.
        name: String,
        /// Path and kind of each such file.
        entries: Vec<(PathBuf, &'static str)>,
    },
    /// A file name that has a special meaning in a layer.
    #[error(
        "`{name}` holds `{}`: names that start with `.wh.` mean a deletion in a layer \
         (OCI image-spec, layer.md)",
        entry.display()
    )]
    WhiteoutName {
        /// The input.
        name: String,
        /// The path of the file.
        entry: PathBuf,
    },
    /// A file name that is not valid in an image path.
    #[error("`{name}`: entry `{}`: {source}", escape(entry))]
    BadPath {
        /// The input.
        name: String,
        /// The path below the input.
        entry: Vec<u8>,
        /// The reason.
        source: PathError,
    },
    /// The input looks like a tarball and cannot be read as one.
    #[error(
        "{name}: cannot be read as a tarball: {why}; to take it as a file, pack it with \
         --as-file or as SRC:DEST, and COPY it in a Buildfile"
    )]
    NoTarball {
        /// The input.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The tarball is damaged or malicious.
    #[error(transparent)]
    Tarball(#[from] ReadError),
    /// The tarball cannot be decompressed.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

impl SourceError {
    /// The kind of error, for the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. }
            | Self::DanglingLink { .. }
            | Self::Shim { .. }
            | Self::NoFile(_)
            | Self::Unreadable { .. } => ErrorKind::Input,
            Self::NoRegularFiles { .. }
            | Self::WhiteoutName { .. }
            | Self::BadPath { .. }
            | Self::NoTarball { .. } => ErrorKind::Refused,
            Self::Tarball(error) => error.kind(),
            Self::Spool(error) => error.kind(),
        }
    }
}

impl From<ReadFailure> for SourceError {
    fn from(ReadFailure { path, source }: ReadFailure) -> Self {
        Self::Unreadable { path, source }
    }
}

/// What an error adds where `closed` may not be searched.
fn not_searched(closed: &[ImagePath]) -> String {
    let paths: Vec<String> = closed.iter().map(ToString::to_string).collect();
    if paths.is_empty() {
        return String::new();
    }
    format!(" (permission denied, not searched: {})", paths.join(", "))
}

fn list(entries: &[(PathBuf, &'static str)]) -> String {
    entries
        .iter()
        .map(|(path, kind)| format!("{} ({kind})", path.display()))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Reads the inputs that `requests` name, in order.
///
/// # Errors
/// [`SourceError`] for the first input that cannot be used.
pub fn gather(
    requests: &[Request],
    sysroot: Sysroot<'_>,
    options: &InputOptions,
) -> Result<Vec<Input>, SourceError> {
    requests.iter().map(|request| request.gather(sysroot, options)).collect()
}

impl Exclude {
    /// Compiles the pattern `text`, in the syntax of [`Glob`].
    ///
    /// # Errors
    /// As [`Glob::new`].
    pub fn new(text: &str) -> Result<Self, GlobError> {
        Ok(Self {
            glob: Glob::new(text.trim_start_matches('/').as_bytes())?,
            whole_path: text.contains('/'),
            text: text.into(),
            matched: Arc::default(),
        })
    }

    /// Whether `path`, with everything below it, is excluded.
    pub fn matches(&self, path: &ImagePath) -> bool {
        let name = if self.whole_path { path.relative() } else { path.file_name() };
        let matches = self.glob.matches(name);
        if matches {
            self.matched.store(true, Ordering::Relaxed);
        }
        matches
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it has excluded anything, in any copy.
    pub fn has_matched(&self) -> bool {
        self.matched.load(Ordering::Relaxed)
    }
}

impl InputOptions {
    /// Whether the user left `path` out, with everything below it.
    pub fn excludes(&self, path: &ImagePath) -> bool {
        // All are compared, so that each knows whether it has matched.
        self.exclude.iter().filter(|pattern| pattern.matches(path)).count() > 0
    }

    /// Gives a file of the host or of another tree the metadata that these options set for an
    /// input. Extended attributes are kept.
    pub fn adopt(&self, mut node: Node) -> Node {
        let mode = if matches!(node.kind, Kind::Symlink(_)) { 0o777 } else { node.meta.mode };
        let xattrs = node.meta.xattrs.take();
        node.meta = Meta { xattrs, ..self.meta(mode.into(), node.is_directory()) };
        if matches!(node.kind, Kind::Symlink(_)) {
            node.meta.mode = 0o777;
        }
        node
    }

    /// The metadata for a host file whose mode is `mode`.
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
