//! Why an image cannot be made smaller.

use crate::{
    elf::ReadFailure,
    error_kind::ErrorKind,
    oci::ImageError,
    path::{PathError, escape, glob::GlobError},
    plan::PlanError,
    source::SourceError,
};

/// Why an image cannot be made smaller.
#[derive(Debug, thiserror::Error)]
pub enum SlimError {
    /// Neither the configuration nor the user names a program.
    #[error("the image names no program, and no --program does")]
    NoProgram,
    /// A program that the image does not have.
    #[error("the image has no program `{}`", escape(.0.as_bytes()))]
    Missing(String),
    /// A pattern that cannot be read.
    #[error("--include `{}`: {why}", escape(pattern.as_bytes()))]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The reason.
        why: GlobError,
    },
    /// A pattern that matches nothing.
    #[error("--include `{}`: no file of the image matches", escape(.0.as_bytes()))]
    NoMatch(String),
    /// A path that no image can have.
    #[error("--include: {0}")]
    Path(#[from] PathError),
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// What the programs need is missing or broken.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl SlimError {
    /// What the error means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoProgram | Self::Pattern { .. } | Self::Path(_) => ErrorKind::Usage,
            Self::Missing(_) | Self::NoMatch(_) => ErrorKind::Input,
            Self::Image(error) => error.kind(),
            Self::Plan(error) => ImageError::kind_inside(self).unwrap_or_else(|| error.kind()),
        }
    }
}

impl From<ReadFailure> for SlimError {
    fn from(failure: ReadFailure) -> Self {
        Self::Plan(PlanError::Source(SourceError::from(failure)))
    }
}
