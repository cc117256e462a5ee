//! `imgb sbom`, and `--sbom` of `pack` and `build`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::{
    document_file,
    failure::Failure,
    options::image::ImageArgs,
    terminal::{print_data, print_message},
};
use crate::{
    error_kind::with_causes,
    explain::bill::{About, subject},
    image::{Destination, Reference, Target},
    oci::UnpackedImage,
    pipeline::{Delivered, Delivery},
    plan::Plan,
    sbom::{Format, document},
};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb sbom myapp.tar > myapp.spdx.json\n  \
    imgb sbom --format cyclonedx -o myapp.cdx.json oci:layout:1.0\n  \
    imgb sbom myapp.tar | jq -r '.packages[].externalRefs[]?.referenceLocator'\n\n\
    Listed are the packages of dpkg, apk and rpm, crates of programs that cargo-auditable built, \
    modules of Go programs, packages of Python, npm and Maven, and every file with its checksums. \
    Nothing is executed, and nothing is fetched.")]
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

/// A document that `pack` or `build` writes: `FORMAT[=FILE]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SbomRequest {
    format: Format,
    file: Option<PathBuf>,
}

impl std::str::FromStr for SbomRequest {
    type Err = crate::sbom::FormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (format, file) = match text.split_once('=') {
            Some((format, file)) => (format, Some(file.into())),
            None => (text, None),
        };
        Ok(Self { format: format.parse()?, file })
    }
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
    let subject = subject(tree, about).map_err(|error| Failure::local(with_causes(&error)))?;
    let document: Value = document(&subject, format);
    Ok(format!("{document:#}\n"))
}

/// Where the documents go: `FILE`, or beside the first output that is a file or directory.
///
/// # Errors
/// If no file is named and no output is a file or directory.
pub(super) fn places(
    requests: &[SbomRequest],
    targets: &[Target],
) -> Result<Vec<(Format, PathBuf)>, Failure> {
    let beside = targets.iter().find_map(|target| match &target.destination {
        Destination::Path(path) => Some(path),
        _ => None,
    });
    let place = |request: &SbomRequest| match (&request.file, beside) {
        (Some(file), _) => Ok((request.format, file.clone())),
        (None, Some(output)) => {
            let mut name = output.clone().into_os_string();
            name.push(".");
            name.push(request.format.extension());
            Ok((request.format, name.into()))
        }
        (None, None) => Err(Failure::usage("--sbom does not say where the document goes")
            .with_hint("the image goes to stdout: name a file, as in --sbom spdx=app.spdx.json")),
    };
    requests.iter().map(place).collect()
}

/// Writes the documents of the images that were made; of several, each has the platform in its
/// name.
pub(super) fn write_documents(
    places: &[(Format, PathBuf)],
    plans: &[&Plan],
    delivery: &Delivery,
    delivered: &Delivered,
    quiet: bool,
) -> Result<(), Failure> {
    let name = delivered.names.first().and_then(|names| names.first());
    let name = name.unwrap_or(&delivery.fallback_name).familiar();
    let images = delivered.bundle.images();
    for (plan, image) in plans.iter().zip(images).filter(|_| !places.is_empty()) {
        let tree = plan.merged();
        let platform = image.platform.to_string();
        for (format, path) in places {
            let about = About {
                name: name.clone(),
                digest: image.manifest.digest,
                platform: platform.clone(),
                created: plan.config.created,
            };
            let path = match images.len() {
                1 => path.clone(),
                _ => of_platform(path, &platform),
            };
            document_file::write(&path, text(&tree, about, *format)?.as_bytes(), None)?;
            if !quiet {
                print_message(&format!("  sbom     {}", path.display()));
            }
        }
    }
    Ok(())
}

/// The name for one of several platforms: `app.tar.linux-arm64.spdx.json`.
fn of_platform(path: &Path, platform: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let endings = [".spdx.json", ".cdx.json", ".json"];
    let ending = endings.into_iter().find(|ending| name.ends_with(ending)).unwrap_or_default();
    let stem = name.strip_suffix(ending).unwrap_or(&name);
    path.with_file_name(format!("{stem}.{}{ending}", platform.replace('/', "-")))
}
