//! Why an image cannot be opened.

use std::io;

use crate::{
    archive::{read::ReadError, spool::SpoolError},
    digest::Digest,
    error_kind::ErrorKind,
};

/// Why an image cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// No such file.
    #[error("{0}: no such image")]
    NotFound(String),
    /// The host refuses.
    #[error("cannot read {name}")]
    Unreadable {
        /// What.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// Something else.
    #[error("{name} is not an image: {why}")]
    NoImage {
        /// As the user wrote it.
        name: String,
        /// Why.
        why: &'static str,
    },
    /// A document that says what cannot be.
    #[error("{document}: {why}")]
    Document {
        /// Its path or digest.
        document: String,
        /// What is wrong.
        why: String,
    },
    /// None has the name or platform.
    #[error("{name} holds no {wanted}; it holds {}", listed(there))]
    NoSuchImage {
        /// As the user wrote it.
        name: String,
        /// What was looked for.
        wanted: String,
        /// What there is.
        there: Vec<String>,
    },
    /// Several, and nothing says which.
    #[error("{name} holds several images: {}", listed(there))]
    SeveralImages {
        /// As the user wrote it.
        name: String,
        /// What there is.
        there: Vec<String>,
    },
    /// The only image is for another platform.
    #[error("{name} is for {found}, not for {wanted}")]
    OtherPlatform {
        /// As the user wrote it.
        name: String,
        /// What was asked for.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// A blob that a document names.
    #[error("the blob {0} is not there")]
    MissingBlob(Digest),
    /// A member that `manifest.json` names.
    #[error("the archive has no `{}`", crate::path::escape(.0.as_bytes()))]
    MissingMember(String),
    /// Bytes that are not what a document says.
    #[error("{what} {wanted} has the digest {found}")]
    Digest {
        /// `blob`, `content of layer`.
        what: &'static str,
        /// What the document says.
        wanted: Digest,
        /// What it is.
        found: Digest,
    },
    /// A length that is not what a document says.
    #[error("blob {digest} has {found} bytes, not {wanted}")]
    Size {
        /// Of the blob.
        digest: Digest,
        /// What the document says.
        wanted: u64,
        /// What it is.
        found: u64,
    },
    /// Manifest and configuration do not belong together.
    #[error("the manifest has {layers} layers and the configuration {diff_ids}")]
    Count {
        /// In the manifest.
        layers: usize,
        /// In the configuration.
        diff_ids: usize,
    },
    /// An archive, or a layer, that is no tar or a hostile one.
    #[error(transparent)]
    Archive(#[from] ReadError),
    /// A compressed stream, or the file it is uncompressed into.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

impl ImageError {
    /// What the error means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_)
            | Self::Unreadable { .. }
            | Self::NoSuchImage { .. }
            | Self::OtherPlatform { .. } => ErrorKind::Input,
            Self::SeveralImages { .. } => ErrorKind::Usage,
            Self::Digest { .. } | Self::Size { .. } => ErrorKind::Digest,
            Self::Spool(error) => error.kind(),
            Self::NoImage { .. }
            | Self::Document { .. }
            | Self::MissingBlob(_)
            | Self::MissingMember(_)
            | Self::Count { .. }
            | Self::Archive(_) => ErrorKind::Refused,
        }
    }
}

fn listed(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| crate::path::escape(name.as_bytes())).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

impl ImageError {
    pub(super) fn document(document: &str, why: impl Into<String>) -> Self {
        Self::Document { document: crate::path::escape(document.as_bytes()), why: why.into() }
    }
}
