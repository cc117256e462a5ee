//! Why images cannot be compared.

use std::io;

use crate::{
    archive::read::Fault, elf::ReadFailure, error_kind::ErrorKind, oci::ImageError, plan::PlanError,
};

/// Why images cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// The content of a file cannot be read.
    #[error(transparent)]
    Content(#[from] crate::source::content::ContentError),
    /// A file of the package database cannot be read.
    #[error(transparent)]
    Packages(#[from] ReadFailure),
    /// The tar of a layer cannot be read.
    #[error("cannot read the tar of a layer")]
    Tar(#[from] Fault),
    /// The blob of a layer cannot be opened.
    #[error(transparent)]
    Blob(#[from] ImageError),
    /// What leads to the paths cannot be found, because a file cannot be read.
    #[error(transparent)]
    Reasons(#[from] PlanError),
    /// The bytes of a layer cannot be read.
    #[error("cannot read the bytes of a layer")]
    Bytes(#[from] io::Error),
}

impl DiffError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Blob(error) => error.kind(),
            Self::Reasons(error) => ImageError::kind_inside(self).unwrap_or_else(|| error.kind()),
            Self::Content(_) | Self::Packages(_) | Self::Tar(_) | Self::Bytes(_) => {
                ImageError::kind_inside(self).unwrap_or(ErrorKind::Input)
            }
        }
    }
}
