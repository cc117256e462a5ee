//! Why an object cannot be used, and what stops the reading of one.

use std::io;

use crate::elf::Absence;

/// Why a file is not a usable ELF object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// No ELF magic: a script, data, or an empty file.
    #[error("not an ELF file")]
    NotElf,
    /// The file ends before this does.
    #[error("the file ends within its {0}")]
    Truncated(&'static str),
    /// Neither 32 nor 64 bits.
    #[error("invalid ELF class")]
    Class,
    /// The file does not exist, or this user may not read it.
    #[error(transparent)]
    Absent(#[from] Absence),
    /// A directory, device or FIFO.
    #[error("not a regular file")]
    NotRegular,
    /// A field with a value that no loader takes.
    #[error("invalid {0}")]
    Malformed(&'static str),
    /// An address of the dynamic section that no segment of the file holds.
    #[error("{0} points outside the file's segments")]
    Unmapped(&'static str),
    /// A string table offset past the table's end.
    #[error("{0} points outside the string table")]
    OutsideStrings(&'static str),
    /// A string without an end.
    #[error("the string of {0} has no end")]
    Unterminated(&'static str),
    /// More than any real object has.
    #[error("{what}: more than {limit}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The most that is read.
        limit: usize,
    },
}

/// What stops the reading of an object: its contents, or a read that failed.
pub(super) enum Stop {
    Object(ObjectError),
    Read(io::Error),
}

impl Stop {
    /// Separates a failed read (outer error) from an invalid object (inner error).
    pub(super) fn split<T>(result: Result<T, Self>) -> Result<Result<T, ObjectError>, io::Error> {
        match result {
            Ok(value) => Ok(Ok(value)),
            Err(Self::Object(error)) => Ok(Err(error)),
            Err(Self::Read(error)) => Err(error),
        }
    }
}

impl From<ObjectError> for Stop {
    fn from(error: ObjectError) -> Self {
        Self::Object(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}
