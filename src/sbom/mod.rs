//! Software bills of materials: SPDX 2.3 and CycloneDX 1.6, as JSON; provenance.
//!
//! Documents are made of plain values. The same image gives the same bytes: times are the image's,
//! and identifiers follow from its digest.

mod cyclonedx;
mod licence;
pub mod provenance;
mod spdx;

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

use serde_json::Value;

use crate::{
    components::{Component, release::Release},
    digest::Digest,
    path::ImagePath,
    timestamp::Timestamp,
};

/// A form of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// SPDX 2.3.
    Spdx,
    /// CycloneDX 1.6.
    CycloneDx,
}

impl Format {
    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Spdx => "application/spdx+json",
            Self::CycloneDx => "application/vnd.cyclonedx+json",
        }
    }

    /// What files of this form end in.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Spdx => "spdx.json",
            Self::CycloneDx => "cdx.json",
        }
    }
}

/// Not the name of a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected spdx or cyclonedx")]
pub struct FormatError;

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        match text {
            "spdx" | "spdx-json" => Ok(Self::Spdx),
            "cyclonedx" | "cyclonedx-json" => Ok(Self::CycloneDx),
            _ => Err(FormatError),
        }
    }
}

/// An image whose parts are listed.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What it is called.
    pub name: String,
    /// Digest of the manifest, or of the configuration where there is no manifest.
    pub digest: Digest,
    /// `OS/ARCH[/VARIANT]`
    pub platform: String,
    /// When the image says that it was made.
    pub created: Timestamp,
    /// Its distribution.
    pub release: Release,
    /// Its components, in order.
    pub components: Vec<Item>,
    /// Its regular files.
    pub files: BTreeMap<ImagePath, Sums>,
}

/// A component of an image.
#[derive(Clone, Debug)]
pub struct Item {
    /// What it is.
    pub component: Component,
    /// The files that say so.
    pub evidence: BTreeSet<ImagePath>,
    /// Its files; some may be links, which documents leave out.
    pub files: BTreeSet<ImagePath>,
}

/// Checksums of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums {
    /// SHA-1, which SPDX demands.
    pub sha1: [u8; 20],
    /// SHA-256.
    pub sha256: Digest,
}

/// The document of `subject`.
pub fn document(subject: &Subject, format: Format) -> Value {
    match format {
        Format::Spdx => spdx::document(subject),
        Format::CycloneDx => cyclonedx::document(subject),
    }
}

impl Item {
    /// Whether the component's files are its own, and not programs that it was compiled into.
    fn has_own_files(&self) -> bool {
        use crate::components::Ecosystem::{Cargo, Golang, Maven};
        !matches!(self.component.ecosystem, Cargo | Golang | Maven)
    }
}

impl Subject {
    /// The regular files of a component, in order.
    fn files_of<'a>(&'a self, item: &'a Item) -> impl Iterator<Item = (&'a ImagePath, &'a Sums)> {
        item.files.iter().filter_map(|path| Some((path, self.files.get(path)?)))
    }

    /// The regular files of no component, in order.
    fn other_files(&self) -> impl Iterator<Item = (&ImagePath, &Sums)> {
        let owned: BTreeSet<&ImagePath> = self
            .components
            .iter()
            .filter(|item| item.has_own_files())
            .flat_map(|item| &item.files)
            .collect();
        self.files.iter().filter(move |(path, _)| !owned.contains(path))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
