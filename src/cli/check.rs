//! `imgb check`.

use clap::Args;
use serde_json::{Value, json};

use super::{
    failure::Failure,
    options::image::ImageArgs,
    refusal::cannot_start,
    terminal::{print_data, print_message},
    values,
};
use crate::{
    check::{self, Finding, Report},
    oci::UnpackedImage,
    path::glob::Glob,
    pipeline,
};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb check myapp.tar\n  \
    imgb check oci:layout:1.0 --json | jq -r '.faults[].text'\n\n\
    Nothing is executed. Exit code 1: the image cannot start; 4: it is malformed; 7: a digest or\n\
    size is wrong.")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    image: ImageArgs,

    /// Continue if libraries with matching names are missing (repeatable)
    #[arg(long, value_name = "GLOB", value_parser = values::glob)]
    allow_missing: Vec<Glob>,

    /// Treat anything broken in the image as a fault, not only what keeps its own program from
    /// starting
    #[arg(long)]
    strict: bool,

    /// Print JSON on stdout
    #[arg(long)]
    json: bool,

    /// Print only faults
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn check(args: &CheckArgs) -> Result<(), Failure> {
    let unpacked = args.image.open()?;
    let image = &unpacked.image;
    let options = check::CheckOptions { allow_missing: &args.allow_missing, strict: args.strict };
    let report =
        check::prove(&unpacked.merged(), &image.config, options).map_err(pipeline::Error::from)?;
    if args.json {
        print_data(&format!("{}\n", as_json(&unpacked, &report)))?;
    } else if !args.quiet {
        for note in unpacked.notes() {
            print_message(&format!("warning: {note}"));
        }
        for warning in &report.warnings {
            print_message(&format!("warning: {warning}"));
        }
    }
    if !report.faults.is_empty() {
        return Err(cannot_start(&report));
    }
    if !args.json && !args.quiet {
        let blobs = image.layers.len() + 1 + usize::from(image.manifest.is_some());
        let starts = match &report.program {
            Some(program) => format!("{program} starts"),
            None => "no program is named".into(),
        };
        print_message(&format!("{}: {blobs} blobs verified, {starts}", image.name));
    }
    Ok(())
}

fn as_json(unpacked: &UnpackedImage, report: &Report) -> Value {
    let image = &unpacked.image;
    let findings = |all: &[Finding]| all.iter().map(describe).collect::<Vec<_>>();
    json!({
        "image": image.name,
        "names": image.names,
        "platform": image.config.platform.to_string(),
        "digest": image.manifest.as_ref().map(|manifest| manifest.digest.to_string()),
        "image_id": image.config_document.digest.to_string(),
        "starts": report.faults.is_empty(),
        "program": report.program.as_ref().map(ToString::to_string),
        "command": image.config.command(),
        "faults": findings(&report.faults),
        "warnings": findings(&report.warnings),
        "notes": unpacked.notes(),
    })
}

fn describe(finding: &Finding) -> Value {
    json!({
        "kind": finding.kind(),
        "path": finding.path().map(ToString::to_string),
        "text": finding.to_string(),
        "searched": finding.searched(),
    })
}
