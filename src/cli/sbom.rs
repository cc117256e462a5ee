//! `imgb sbom`.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::{document_file, failure::Failure, options::image::ImageArgs, terminal::print_data};
use crate::{
    explain::bill::{About, subject},
    image::Reference,
    oci::UnpackedImage,
    pipeline,
    sbom::{Format, document},
};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb sbom myapp.tar > myapp.spdx.json\n  \
    imgb sbom --format cyclonedx -o myapp.cdx.json oci:layout:1.0\n  \
    imgb sbom myapp.tar | jq -r '.packages[].externalRefs[]?.referenceLocator'\n\n\
    Listed are the packages of dpkg, apk and rpm, crates of programs that cargo-auditable built, \
    modules of Go programs, packages of Python, npm, Maven and Ruby, and every file with its \
    checksums. Nothing is executed, and nothing is fetched.")]
pub(super) struct SbomArgs {
    #[command(flatten)]
    image: ImageArgs,

    /// The form: spdx (2.3) or cyclonedx (1.6), both as JSON
    #[arg(long, value_name = "FORMAT", default_value = "spdx")]
    format: Format,

    /// Write to this file instead of stdout; - is stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn sbom(args: &SbomArgs) -> Result<(), Failure> {
    let unpacked = args.image.open_with_progress(false)?;
    let text = text(&unpacked.merged(), about(&unpacked), args.format)?;
    match &args.output {
        Some(path) => document_file::write(path, text.as_bytes(), args.image.path()),
        None => print_data(&text),
    }
}

/// What is said of an image that was read.
fn about(unpacked: &UnpackedImage) -> About {
    let image = &unpacked.image;
    let full = image.names.iter().filter(|name| name.contains('/'));
    let name = full.filter_map(|name| name.parse::<Reference>().ok()).next();
    About {
        name: name.map_or_else(|| "image".into(), |name| name.familiar()),
        digest: image.manifest.as_ref().unwrap_or(&image.config_document).digest,
        platform: image.config.platform.to_string(),
        created: image.config.created,
    }
}

fn text(tree: &crate::tree::Tree, about: About, format: Format) -> Result<String, Failure> {
    let subject = subject(tree, about).map_err(pipeline::Error::from)?;
    let document: Value = document(&subject, format);
    Ok(format!("{document:#}\n"))
}
