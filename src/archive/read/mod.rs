//! An archive as a tree. Archives are hostile until proven otherwise: whatever they hold, nothing
//! outside of the tree can be named, and time and memory are bounded by the archive's size.
//!
//! Links are followed inside the archive, as a container engine would when it unpacks: an entry
//! below a symbolic link lands where the link leads, absolute targets start at the image's root,
//! and `..` stops there. Of several entries with one path the last one counts. A directory with
//! something in it is never replaced by a file.

mod members;
mod pax;
mod tree_builder;

use std::{fmt, io, ops::Range, sync::Arc};

use crate::{
    path::{ImagePath, PathError, escape},
    tree::{Archive, Change},
};

/// What names that begin with `.wh.` mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whiteouts {
    /// They take files of lower layers away (OCI image-spec, layer.md, "Whiteouts"): for layers of
    /// images.
    Apply,
    /// They cannot be in an image, so that an archive with them is refused: for tarballs of users.
    Refuse,
}

/// Bounds on what an archive may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Headers, extension headers among them.
    pub headers: u64,
    /// Bytes in one extension header.
    pub extension: u64,
    /// Bytes of all paths together, those of parents that have no entry of their own among them.
    pub paths: u64,
}

impl Default for Limits {
    /// 10 million headers, 1 MiB in one of them, 1 GiB of paths.
    fn default() -> Self {
        Self { headers: 10_000_000, extension: 1 << 20, paths: 1 << 30 }
    }
}

/// What an archive holds.
#[derive(Debug, Default)]
pub struct Contents {
    /// Its files, and what it takes away. Parents without an entry have no node.
    pub change: Change,
    /// How many entries a later one of the same path has replaced; of directories only the
    /// attributes.
    pub replaced: usize,
    /// How many extended attributes other than `security.capability` were left out.
    pub dropped_attributes: usize,
}

/// Why an archive is refused.
#[derive(Debug)]
pub struct ReadError {
    /// What the user called it.
    pub archive: String,
    /// The entry's name as the archive has it; empty where no entry was read.
    pub entry: Vec<u8>,
    /// Where its header starts.
    pub offset: u64,
    /// What is wrong.
    pub fault: Fault,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { archive, entry, offset, fault } = self;
        match &entry[..] {
            [] => write!(f, "{archive}: at byte {offset}: {fault}"),
            name => write!(f, "{archive}: entry `{}` at byte {offset}: {fault}", escape(name)),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            Fault::Read(source) => Some(source),
            _ => None,
        }
    }
}

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The archive cannot be read.
    #[error("cannot be read")]
    Read(#[source] io::Error),
    /// Data where a header should be.
    #[error("this is no tar header: its checksum is wrong")]
    Checksum,
    /// The archive ends within a header or content, or without the zero block that ends an archive.
    #[error("the archive is cut short")]
    Truncated,
    /// Something behind the end: readers disagree on whether to read it.
    #[error("data after the end of the archive")]
    AfterEnd,
    /// A numeric field with something else in it, or out of range.
    #[error("the {0} is no number in range")]
    Number(&'static str),
    /// A kind of member that no layer can hold.
    #[error("members of type {:?} are not supported", char::from(*.0))]
    Type(u8),
    /// Old GNU, PAX or star sparse members.
    #[error("sparse entries are not supported")]
    Sparse,
    /// Content where readers disagree on whether there is any.
    #[error("only a regular file may have content")]
    Size,
    /// A PAX record that is cut, empty, double, or no value of its key.
    #[error("malformed PAX record")]
    Record,
    /// A PAX header for all later entries, with more than a comment.
    #[error("global PAX headers are not supported")]
    Global,
    /// Two extension headers that say the same thing.
    #[error("two extension headers for one entry")]
    TwoNames,
    /// An extension header without an entry.
    #[error("an extension header without an entry behind it")]
    Dangling,
    /// A limit.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// A NUL byte in a name.
    #[error("a NUL byte in a name")]
    Nul,
    /// No name or no target.
    #[error("an empty name")]
    Empty,
    /// A name that no image can hold.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Something other than a directory as the root.
    #[error("the root can only be a directory")]
    Root,
    /// A whiteout where there can be none, or of nothing.
    #[error("no image can hold a file whose name begins with `.wh.`")]
    Whiteout,
    /// Below something that is neither a directory nor a link to one.
    #[error("{0} is no directory")]
    NotADirectory(ImagePath),
    /// A directory that has something in it, and something else of the same name.
    #[error("a directory of the same name is not empty")]
    NotEmpty,
    /// Symbolic links in a circle, or more than 40 one after another.
    #[error("too many levels of symbolic links")]
    Loop,
    /// A hard link to what is not there (yet) or is a directory.
    #[error("the hard link's target `{}` is no file before it in the archive", escape(.0))]
    Target(Vec<u8>),
}

/// What `archive` holds. Only headers are read.
///
/// # Errors
/// [`ReadError`] at the first thing that is not as it should be.
pub fn read(
    archive: &Arc<Archive>,
    whiteouts: Whiteouts,
    limits: Limits,
) -> Result<Contents, ReadError> {
    let len = archive.file.metadata().map(|meta| meta.len()).map_err(|source| ReadError {
        archive: archive.name.clone(),
        entry: Vec::new(),
        offset: 0,
        fault: Fault::Read(source),
    })?;
    read_range(archive, 0..len, whiteouts, limits)
}

/// What the archive in the bytes `range` of `archive` holds, as [`read`]. Offsets in messages count
/// from the range's start.
///
/// # Errors
/// [`ReadError`] at the first thing that is not as it should be.
pub fn read_range(
    archive: &Arc<Archive>,
    range: Range<u64>,
    whiteouts: Whiteouts,
    limits: Limits,
) -> Result<Contents, ReadError> {
    let refuse = |entry: Vec<u8>, at: u64, fault| ReadError {
        archive: archive.name.clone(),
        entry,
        offset: at.saturating_sub(range.start),
        fault,
    };
    let mut members = members::Members::new(archive, range.clone(), limits);
    let mut builder = tree_builder::TreeBuilder::new(Arc::clone(archive), whiteouts, limits);
    loop {
        let offset = members.position();
        match members.next() {
            Ok(None) => return Ok(builder.finish()),
            Ok(Some(member)) => {
                builder.put(&member).map_err(|fault| refuse(member.name, member.start, fault))?;
            }
            Err(fault) => return Err(refuse(members.name(), offset, fault)),
        }
    }
}
