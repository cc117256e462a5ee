//! `imgb check`: what the proof found, for people and for programs.

use serde_json::{Value, json};

use super::{
    image_args::{CheckArgs, ImageArgs},
    pack::scratch,
    progress::line,
    report::{Failure, print},
};
use crate::{
    archive::spool,
    check::{self, Finding, Report, Start},
    error_kind::ErrorKind,
    image::Platform,
    oci::{self, Image, ImageName},
    path::glob::Glob,
};

/// What to do about an image that cannot start.
const HINT: &str = "write it all the same with `--no-check`";

pub(super) fn check(args: &CheckArgs) -> Result<(), Failure> {
    let glob = |text: &String| {
        Glob::new(text.as_bytes()).map_err(|error| Failure::usage(format!("`{text}`: {error}")))
    };
    let allow_missing = args.allow_missing.iter().map(glob).collect::<Result<Vec<_>, _>>()?;
    let image = open(&args.image)?;
    let options = check::Options { allow_missing: &allow_missing, strict: args.strict };
    let start = Start::of_image(&image);
    let report = check::prove(&image.merged(), &start, options);
    if args.json {
        print(&format!("{}\n", as_json(&image, &start, &report)))?;
    } else if !args.quiet {
        for note in &image.notes {
            line(&format!("warning: {note}"));
        }
        for warning in &report.warnings {
            line(&format!("warning: {warning}"));
        }
    }
    if !report.faults.is_empty() {
        return Err(failure(&report, None));
    }
    if !args.json && !args.quiet {
        let blobs = image.layers.len() + 1 + usize::from(image.manifest.is_some());
        let starts = match &report.program {
            Some(program) => format!("{program} starts"),
            None => "it names no program".into(),
        };
        line(&format!("{}: {blobs} blobs verified, {starts}", image.name));
    }
    Ok(())
}

/// Opens the image that the user named.
pub(super) fn open(args: &ImageArgs) -> Result<Image, Failure> {
    let platform = args.platform.as_deref().map(str::parse).transpose().map_err(Failure::usage)?;
    let name = ImageName::parse(&args.image, |path| fs_err::symlink_metadata(path).is_ok());
    let machine = std::env::consts::ARCH.parse().unwrap_or_else(|_| Platform::linux("amd64", None));
    let options =
        oci::Options { platform, machine, spool: scratch(), limits: spool::Limits::default() };
    Ok(oci::open(&name.map_err(Failure::usage)?, &options)?)
}

/// Refuses an image that cannot start.
pub(super) fn refuse(report: &Report) -> Result<(), Failure> {
    if report.faults.is_empty() { Ok(()) } else { Err(failure(report, Some(HINT))) }
}

fn failure(report: &Report, hint: Option<&str>) -> Failure {
    let mut details = Vec::new();
    let message = match &report.faults[..] {
        [one] => format!("the image cannot start: {one}"),
        all => format!("the image cannot start: {} faults", all.len()),
    };
    for fault in &report.faults {
        if report.faults.len() > 1 {
            details.push(fault.to_string());
        }
        if !fault.searched().is_empty() {
            details.push(format!("searched: {}", fault.searched().join(", ")));
        }
    }
    Failure::new(ErrorKind::Build, message, details, hint)
}

fn as_json(image: &Image, start: &Start, report: &Report) -> Value {
    let findings = |all: &[Finding]| all.iter().map(finding).collect::<Vec<_>>();
    json!({
        "image": image.name,
        "names": image.names,
        "platform": image.platform.to_string(),
        "digest": image.manifest.as_ref().map(|manifest| manifest.digest.to_string()),
        "image_id": image.config_document.digest.to_string(),
        "starts": report.faults.is_empty(),
        "program": report.program.as_ref().map(ToString::to_string),
        "command": start.command(),
        "faults": findings(&report.faults),
        "warnings": findings(&report.warnings),
        "notes": image.notes,
    })
}

fn finding(finding: &Finding) -> Value {
    json!({
        "kind": finding.kind(),
        "path": finding.path().map(ToString::to_string),
        "text": finding.to_string(),
        "searched": finding.searched(),
    })
}
