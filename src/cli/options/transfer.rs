//! How images are moved.

use clap::Args;

use super::{messages::Verbosity, registry::RegistryArgs};
use crate::{
    cli::failure::Failure,
    digest::Digest,
    image::{ImageName, Reference},
};

/// How images are written to files and layouts.
#[derive(Args, Debug, Default)]
pub(in crate::cli) struct FileArgs {
    /// The name in a file or layout (repeatable); otherwise the image's own
    #[arg(short, long, value_name = "NAME[:TAG]")]
    pub(in crate::cli) tag: Vec<Reference>,

    /// Replace a file that exists and is not an archive of an image
    #[arg(long)]
    pub(in crate::cli) force: bool,
}

/// How images are copied.
#[derive(Args, Debug)]
pub(in crate::cli) struct TransferArgs {
    /// Fail unless the image or index has this digest
    #[arg(long, value_name = "DIGEST")]
    pub(in crate::cli) expect_digest: Option<Digest>,

    /// Fail if a tag in a registry leads to another image
    #[arg(long)]
    pub(in crate::cli) immutable: bool,

    #[command(flatten)]
    pub(in crate::cli) registry: RegistryArgs,

    #[command(flatten)]
    pub(in crate::cli) verbosity: Verbosity,
}

/// The name of a copy of an image that has none: that of its file or directory.
pub(in crate::cli) fn fallback_name(source: &ImageName) -> Result<Reference, Failure> {
    let stem = source.path().and_then(|path| path.file_stem()).unwrap_or_default();
    let name = Reference::repository_from(&stem.to_string_lossy());
    name.parse().map_err(Failure::usage)
}
