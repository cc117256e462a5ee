//! What a program may get from the sysroot while it is watched, and what it got.

use std::{collections::BTreeMap, fmt};

use super::{Access, known_files};
use crate::machine_files;

/// Why a file that was asked for, and that the sysroot has, was not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// It looks like a secret.
    Secret,
    /// It identifies this machine, or belongs to one of its users.
    Personal,
    /// Its mode, or that of a directory above it, keeps it from other users.
    Private,
    /// The limit on served bytes or files was reached.
    Limit,
    /// It cannot be copied: the reason.
    Failed(String),
}

impl Withheld {
    /// Whether the file belongs in no image, whoever may read it.
    pub fn is_confidential(&self) -> bool {
        matches!(self, Self::Secret | Self::Personal)
    }
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret => f.write_str("it looks like a secret"),
            Self::Personal => f.write_str("it belongs to this machine or to one of its users"),
            Self::Private => f.write_str("not everyone may read it"),
            Self::Limit => f.write_str("the limit on served files was reached"),
            Self::Failed(why) => write!(f, "it cannot be copied: {why}"),
        }
    }
}

/// What was served to a program that was watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Files that the kernel needed to start programs: their loaders and interpreters.
    pub interpreters: Vec<Access>,
    /// What was not served, by the path as the program named it.
    pub withheld: BTreeMap<Vec<u8>, Withheld>,
    /// Directories that the program listed: the names of regular files that the image lacks there,
    /// and their lengths in bytes.
    pub listed: BTreeMap<Vec<u8>, Vec<(Vec<u8>, u64)>>,
}

/// Whether what an image lacks at `path` is looked for in the sysroot: not in directories of the
/// kernel or for temporary files, and not what an engine makes.
pub fn is_served_from_sysroot(path: &[u8]) -> bool {
    known_files::is_image_path(path) && !machine_files::is_temporary(path)
}

/// Whether a file at `path`, in normal form, identifies a machine or belongs to one of its users.
pub fn is_personal(path: &[u8]) -> bool {
    machine_files::is_personal(path)
}

/// The places outside of which no file is personal ([`machine_files::personal_places`]).
pub fn personal_places() -> impl Iterator<Item = &'static str> {
    machine_files::personal_places()
}

/// The path of the source beside which a runtime compiles the file `path` again; `None` for other
/// files.
pub fn source_of_compiled(path: &[u8]) -> Option<Vec<u8>> {
    known_files::required_source(path)
}
