//! Reads an archive as a tree. Archives are treated as hostile: whatever they contain, no path
//! leads outside the tree, and time and memory are bounded by the archive's size.
//!
//! Symbolic links are followed inside the archive, as when a container engine unpacks it: an entry
//! below a link goes where the link leads, absolute targets start at the image's root, and `..`
//! stops there. Of several entries with one path the last one counts; it replaces a directory with
//! everything in it, unless it is one itself.

mod budget;
mod fields;
mod members;
mod pax;
pub mod raw;
mod sparse;
mod tree_builder;

use std::{fmt, io, ops::Range, sync::Arc};

use crate::{
    error_kind::ErrorKind,
    path::{ImagePath, PathError, escape},
    tree::{Archive, Change},
    uninterrupted::uninterrupted,
};

pub use budget::{Budget, Limits};
pub use fields::is_header;

/// The meaning of names with the prefix `.wh.`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whiteouts {
    /// For layers of images: they delete files of lower layers (OCI image-spec, layer.md,
    /// "Whiteouts").
    Apply,
    /// For tarballs of users: an archive with such names is refused, as no image can hold them.
    Refuse,
}

/// The contents of an archive.
#[derive(Debug, Default)]
pub struct Contents {
    /// Its files and whiteouts. Parents without an entry have no node.
    pub change: Change,
    /// The number of entries that a later one with the same path replaced. For directories only the
    /// attributes are replaced.
    pub replaced: usize,
    /// How many of these are not two directories.
    pub replaced_files: usize,
    /// The number of extended attributes that were left out: all except `security.capability`.
    pub dropped_attributes: usize,
}

/// Why an archive is refused.
#[derive(Debug)]
pub struct ReadError {
    /// What the user called it.
    pub archive: String,
    /// The entry's name as in the archive; empty if no entry was read.
    pub entry: Vec<u8>,
    /// The offset of its header in bytes.
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

impl ReadError {
    /// What the error means to the caller: a disk that fails says nothing about the archive.
    pub fn kind(&self) -> ErrorKind {
        match self.fault {
            Fault::Read(_) => ErrorKind::Input,
            _ => ErrorKind::Refused,
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
    /// Other data in the place of a header.
    #[error("this is not a tar header: its checksum is wrong")]
    Checksum,
    /// The archive ends within a header or content.
    #[error("the archive is cut short")]
    Truncated,
    /// Data after the end, which some readers read and others do not.
    #[error("data after the end of the archive: {0}")]
    AfterEnd(&'static str),
    /// A numeric field that is not a number, or out of range.
    #[error("the {0} is not a number in range")]
    Number(&'static str),
    /// A kind of member that no layer can hold.
    #[error("members of type {:?} are not supported", char::from(*.0))]
    Type(u8),
    /// Sparse members of star, or of a version of GNU's formats that does not exist.
    #[error("only the sparse files of GNU tar and libarchive are supported")]
    Sparse,
    /// A map of a sparse file that is cut short, has overlaps, or does not fit the content.
    #[error(
        "the map of the sparse file is malformed: its regions must be in order, end inside the \
         file, and take all of the content"
    )]
    Map,
    /// A size where readers disagree on whether content follows.
    #[error("only a regular file may have content")]
    Size,
    /// A regular file whose name ends with a slash.
    #[error("a file whose name ends with a slash, which some readers take for a directory")]
    Slash,
    /// A header whose prefix of the name only some readers take for one.
    #[error("readers disagree on the prefix of the name in this header")]
    Prefix,
    /// A PAX record that is cut short, empty, or has an invalid key or value.
    #[error("malformed PAX record")]
    Record,
    /// A PAX header for all later entries that changes names or content.
    #[error("global PAX headers with paths, sizes or capabilities are not supported")]
    Global,
    /// Two extension headers of different kinds that disagree on a name.
    #[error("two extension headers disagree on the name of one entry")]
    TwoNames,
    /// An extension header without an entry.
    #[error("an extension header without an entry after it")]
    Dangling,
    /// More than a limit allows.
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
    /// A whiteout that is not allowed, or names nothing.
    #[error("no image can hold a file whose name begins with `.wh.`")]
    Whiteout,
    /// An entry below something that is neither a directory nor a link to one.
    #[error("{0} is not a directory")]
    NotADirectory(ImagePath),
    /// In a layer, an entry below a link whose target is not in the layer.
    #[error("it is below the link {0}, whose target is not in the layer; Docker refuses this")]
    DanglingLink(ImagePath),
    /// A loop of symbolic links, or a chain of more than 40.
    #[error("too many levels of symbolic links")]
    Loop,
    /// A hard link to a directory, or to something that is not earlier in the archive.
    #[error("the hard link's target `{}` is not an earlier file in the archive", escape(.0))]
    Target(Vec<u8>),
}

/// Reads the contents of `archive`. Reads headers only.
///
/// # Errors
/// [`ReadError`] for the first fault.
pub fn read(
    archive: &Arc<Archive>,
    whiteouts: Whiteouts,
    limits: Limits,
) -> Result<Contents, ReadError> {
    let metadata = uninterrupted(|| archive.file.metadata());
    let len = metadata.map(|meta| meta.len()).map_err(|source| ReadError {
        archive: archive.name.clone(),
        entry: Vec::new(),
        offset: 0,
        fault: Fault::Read(source),
    })?;
    read_range(archive, 0..len, whiteouts, &mut Budget::new(limits))
}

/// As [`read`], for the archive in the bytes `range` of `archive`, which takes its costs off
/// `budget`. Offsets in messages count from the start of the range.
///
/// # Errors
/// [`ReadError`] for the first fault.
pub fn read_range(
    archive: &Arc<Archive>,
    range: Range<u64>,
    whiteouts: Whiteouts,
    budget: &mut Budget,
) -> Result<Contents, ReadError> {
    let refuse = |entry: Vec<u8>, at: u64, fault| ReadError {
        archive: archive.name.clone(),
        entry,
        offset: at.saturating_sub(range.start),
        fault,
    };
    let mut members = members::Members::new(archive, range.clone(), whiteouts);
    let mut builder = tree_builder::TreeBuilder::new(Arc::clone(archive), whiteouts);
    loop {
        let offset = members.position();
        match members.next(budget) {
            Ok(None) => return Ok(builder.finish()),
            Ok(Some(member)) => {
                let put = builder.put(&member, budget);
                put.map_err(|fault| refuse(member.name, member.start, fault))?;
            }
            Err(fault) => return Err(refuse(members.name(), offset, fault)),
        }
    }
}
