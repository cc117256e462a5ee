//! Why an image cannot be opened.

use std::{error::Error, io};

use crate::{
    archive::{read::ReadError, spool::SpoolError},
    digest::Digest,
    engine::EngineError,
    error_kind::{ErrorKind, causes},
    registry::RegistryError,
};

/// Why an image cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file or directory does not exist.
    #[error("{0}: no such image")]
    NotFound(String),
    /// The system refused to read it.
    #[error("cannot read {name}")]
    Unreadable {
        /// The file, or the part of the image.
        name: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The file or directory is not an image.
    #[error("{name} is not an image: {why}")]
    NoImage {
        /// What the user wrote.
        name: String,
        /// What is missing or wrong.
        why: &'static str,
    },
    /// An invalid document.
    #[error("{document}: {why}")]
    Document {
        /// Its path or digest.
        document: String,
        /// What is wrong.
        why: String,
    },
    /// No image has the name, digest or platform.
    #[error("{name} has no {wanted}{}", others(there))]
    NoSuchImage {
        /// What the user wrote.
        name: String,
        /// What was looked for: `image for linux/arm64`.
        wanted: String,
        /// What there is.
        there: Vec<String>,
    },
    /// There are several images, and nothing selects one.
    #[error("{name} has several images: {}", listed(there))]
    SeveralImages {
        /// What the user wrote.
        name: String,
        /// What there is.
        there: Vec<String>,
    },
    /// The only image is for another platform.
    #[error("{name} is for {found}, not for {wanted}")]
    OtherPlatform {
        /// What the user wrote.
        name: String,
        /// The platform that was asked for.
        wanted: String,
        /// The image's platform.
        found: String,
    },
    /// A blob that a document names is missing.
    #[error("the blob {0} is missing")]
    MissingBlob(Digest),
    /// A member that `manifest.json` names is missing.
    #[error("the archive has no `{}`", crate::path::escape(.0.as_bytes()))]
    MissingMember(String),
    /// The bytes do not have the digest that a document gives.
    #[error("{what} {wanted} has the digest {found}")]
    Digest {
        /// `blob` or `content of layer`.
        what: &'static str,
        /// The digest in the document.
        wanted: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// A blob does not have the length that a document gives.
    #[error("blob {digest} has {found} bytes, not {wanted}")]
    Size {
        /// The blob.
        digest: Digest,
        /// The length in the document, in bytes.
        wanted: u64,
        /// The length of the blob, in bytes.
        found: u64,
    },
    /// The manifest and the configuration have different numbers of layers.
    #[error("the manifest has {layers} layers and the configuration {diff_ids}")]
    Count {
        /// In the manifest.
        layers: usize,
        /// In the configuration.
        diff_ids: usize,
    },
    /// An archive or a layer is not a valid tar archive, or is hostile.
    #[error(transparent)]
    Archive(#[from] ReadError),
    /// An engine does not hand its image over.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A registry or the network failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// An error in a compressed stream, or on the file that it is decompressed to.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

impl ImageError {
    /// What `error` means to the caller if it comes from an image or a registry, whatever it is
    /// itself: bytes of an image may be fetched when something reads them.
    pub fn kind_inside(error: &(dyn Error + 'static)) -> Option<ErrorKind> {
        let kind = |cause: &(dyn Error + 'static)| match cause.downcast_ref::<RegistryError>() {
            Some(error) => Some(error.kind()),
            None => cause.downcast_ref().map(Self::own_kind),
        };
        causes(error).filter_map(kind).last()
    }

    /// What the error means to the caller.
    pub fn kind(&self) -> ErrorKind {
        Self::kind_inside(self).unwrap_or_else(|| self.own_kind())
    }

    fn own_kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_)
            | Self::Unreadable { .. }
            | Self::NoSuchImage { .. }
            | Self::OtherPlatform { .. } => ErrorKind::Input,
            Self::SeveralImages { .. } => ErrorKind::Usage,
            Self::Digest { .. } | Self::Size { .. } => ErrorKind::Digest,
            Self::Spool(error) => error.kind(),
            Self::Archive(error) => error.kind(),
            Self::Engine(error) => error.kind(),
            Self::Registry(error) => error.kind(),
            Self::NoImage { .. }
            | Self::Document { .. }
            | Self::MissingBlob(_)
            | Self::MissingMember(_)
            | Self::Count { .. } => ErrorKind::Refused,
        }
    }
}

fn others(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("; it has {}", listed(names)) }
}

fn listed(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| crate::path::escape(name.as_bytes())).collect();
    names.join(", ")
}

impl ImageError {
    pub(super) fn document(document: &str, why: impl Into<String>) -> Self {
        Self::Document { document: crate::path::escape(document.as_bytes()), why: why.into() }
    }
}
