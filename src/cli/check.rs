//! `imgb check`.

use clap::Args;
use serde_json::{Value, json};

use super::{
    failure::Failure,
    options::image::ImageArgs,
    refusal::cannot_start,
    terminal::{print_json, print_message},
    values,
    warnings::{self, Message},
};
use crate::{
    check::{self, Finding, Report},
    oci::{Rest, UnpackedImage},
    path::{ImagePath, glob::Glob},
    pipeline, quantity,
};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb check myapp.tar\n  \
    imgb check oci:layout:1.0 --json | jq -r '.faults[].text'\n\n\
    Nothing is executed. Exit code 1: the image cannot start; 4: it is malformed; 7: a digest or \
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
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,

    /// Print every warning, also where many are of one kind
    #[arg(short, long)]
    verbose: bool,
}

impl CheckArgs {
    /// Whether stdout is for JSON.
    pub(super) fn prints_json(&self) -> bool {
        self.json
    }
}

pub(super) fn check(args: &CheckArgs) -> Result<(), Failure> {
    let unpacked = args.image.open_with_progress(args.quiet)?;
    let rest = unpacked.verify_rest()?;
    let image = &unpacked.image;
    let options = check::CheckOptions { allow_missing: &args.allow_missing, strict: args.strict };
    let report =
        check::prove(&unpacked.merged(), &image.config, options).map_err(pipeline::Error::from)?;
    if args.json {
        print_json(as_json(&unpacked, &rest, &report))?;
    } else if !args.quiet {
        for note in notes(&unpacked, &rest) {
            print_message(&format!("warning: {note}"));
        }
        let found = report.warnings.iter().map(|warning| Message::warning("", warning));
        warnings::print(found, args.verbose);
    }
    if !report.faults.is_empty() {
        let failure = cannot_start(&report);
        return Err(if args.json { failure.in_output() } else { failure });
    }
    if !args.json && !args.quiet {
        let blobs = image.layers.len() + 1 + usize::from(image.manifest.is_some()) + rest.verified;
        let starts = match &report.program {
            Some(program) if needs_capabilities(&report, program) => {
                format!("{program} starts if it gets its capabilities")
            }
            Some(program) => format!("{program} starts"),
            None => "no program is named".into(),
        };
        let blobs = quantity::count(blobs, "blob");
        print_message(&format!("{}: {blobs} verified, {starts}", image.name));
    }
    Ok(())
}

/// Whether engines refuse to start `program` unless they are told to.
fn needs_capabilities(report: &Report, program: &ImagePath) -> bool {
    report
        .warnings
        .iter()
        .any(|finding| matches!(finding, Finding::Capabilities { path, .. } if path == program))
}

/// What is odd about the image and what lies beside it.
fn notes(unpacked: &UnpackedImage, rest: &Rest) -> Vec<String> {
    unpacked.notes().into_iter().chain(rest.notes.iter().cloned()).collect()
}

fn as_json(unpacked: &UnpackedImage, rest: &Rest, report: &Report) -> Value {
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
        "notes": notes(unpacked, rest),
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
