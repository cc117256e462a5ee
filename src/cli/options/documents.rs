//! Which documents about an image are made together with it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::{
    explain::recorded::REASONS_TYPE,
    sbom::{Format, FormatError, provenance::STATEMENT_TYPE},
};

/// Documents about the image.
#[derive(Args, Debug)]
pub(in crate::cli) struct DocumentArgs {
    /// List what the image is made of, as spdx or cyclonedx (repeatable): in FILE, or beside the
    /// first output that is a file, and attached to the image in registries
    #[arg(long, value_name = "FORMAT[=FILE]", help_heading = "Output")]
    pub(in crate::cli) sbom: Vec<SbomRequest>,

    /// Write which inputs, packages and options the image was made of: an in-toto statement with a
    /// SLSA predicate, without times
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(in crate::cli) provenance: Option<PathBuf>,

    /// Put documents beside the image in registries, layouts and archives, where engines do not
    /// look; `imgb referrers` lists them, and `imgb why` uses reasons (repeatable)
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',', help_heading = "Output")]
    pub(in crate::cli) attach: Vec<Kind>,
}

/// A bill of materials: `FORMAT[=FILE]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct SbomRequest {
    pub(in crate::cli) format: Format,
    pub(in crate::cli) file: Option<PathBuf>,
}

/// A kind of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(in crate::cli) enum Kind {
    /// What it is made of, as SPDX 2.3
    Spdx,
    /// What it is made of, as CycloneDX 1.6
    Cyclonedx,
    /// Inputs, packages and options, as an in-toto statement
    Provenance,
    /// Why each path is in it
    Reasons,
}

impl std::str::FromStr for SbomRequest {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let (format, file) = match text.split_once('=') {
            Some((format, file)) => (format, Some(file.into())),
            None => (text, None),
        };
        Ok(Self { format: format.parse()?, file })
    }
}

impl From<Format> for Kind {
    fn from(format: Format) -> Self {
        match format {
            Format::Spdx => Self::Spdx,
            Format::CycloneDx => Self::Cyclonedx,
        }
    }
}

impl Kind {
    /// The form of a bill of materials, if it is one.
    pub(in crate::cli) fn format(self) -> Option<Format> {
        match self {
            Self::Spdx => Some(Format::Spdx),
            Self::Cyclonedx => Some(Format::CycloneDx),
            Self::Provenance | Self::Reasons => None,
        }
    }

    /// The media type.
    pub(in crate::cli) fn media_type(self) -> &'static str {
        match self {
            Self::Spdx => Format::Spdx.media_type(),
            Self::Cyclonedx => Format::CycloneDx.media_type(),
            Self::Provenance => STATEMENT_TYPE,
            Self::Reasons => REASONS_TYPE,
        }
    }

    /// What a file of this kind ends in.
    pub(in crate::cli) fn extension(self) -> &'static str {
        match self {
            Self::Spdx => Format::Spdx.extension(),
            Self::Cyclonedx => Format::CycloneDx.extension(),
            Self::Provenance => "provenance.json",
            Self::Reasons => "reasons.json.gz",
        }
    }

    /// The name that messages use.
    pub(in crate::cli) fn name(self) -> &'static str {
        match self {
            Self::Spdx | Self::Cyclonedx => "sbom",
            Self::Provenance => "provenance",
            Self::Reasons => "reasons",
        }
    }
}
