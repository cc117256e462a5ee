//! `imgb index`.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    failure::Failure,
    options::{
        image::open_options,
        output::targets,
        platforms::refuse_single,
        transfer::{FileArgs, TransferArgs, fallback_name},
    },
    overlap::{Inputs, output_paths},
    size,
    terminal::{print_data, print_json, print_lines},
    transfers::{self, Transfers},
    values::image_name,
};
use crate::{
    image::{Destination, ImageName},
    output::{PushOptions, Remotes},
    quantity,
    store::Durability,
    transfer::{Index, Indexed},
};

const EXAMPLES: &str = "Examples:\n  \
    imgb index create amd64.tar arm64.tar -o app.tar -t app:1.0\n  \
    imgb index create oci:layout:amd64 oci:layout:arm64 -o oci:layout:1.0\n\n\
    Manifests and layers keep their bytes, so that digests stay the same. Of an index, all images \
    are taken, and attestations are left out.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct IndexCommand {
    /// What to do
    #[command(subcommand)]
    action: IndexAction,
}

#[derive(Debug, Subcommand)]
enum IndexAction {
    /// Make an index of images for different platforms
    Create(Box<CreateArgs>),
}

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
struct CreateArgs {
    /// The images, as for `imgb inspect`
    #[arg(required = true, value_name = "IMAGE", value_parser = image_name)]
    images: Vec<ImageName>,

    /// Where the index goes (repeatable): FILE, DIR/, oci:DIR[:TAG], oci-archive:FILE,
    /// docker://NAME[:TAG], or - for stdout
    #[arg(short, long, required = true, value_name = "OUT")]
    output: Vec<String>,

    #[command(flatten)]
    files: FileArgs,

    #[command(flatten)]
    transfer: TransferArgs,
}

impl IndexCommand {
    /// Whether stdout is for JSON.
    pub(super) fn prints_json(&self) -> bool {
        let IndexAction::Create(args) = &self.action;
        args.transfer.verbosity.json
    }
}

pub(super) fn index(command: &IndexCommand) -> Result<(), Failure> {
    let IndexAction::Create(args) = &command.action;
    let transfer = &args.transfer;
    let targets = targets(&args.output, None)?;
    // Other outputs have no room for an index, not even for one of one image.
    refuse_single(&targets, args.images.len().max(2))?;
    for image in &args.images {
        let inputs = Inputs { files: Vec::new(), base: image.path().map(Into::into) };
        output_paths(&targets, &inputs, args.files.force)?;
    }
    let shown: Vec<String> = args.images.iter().map(ToString::to_string).collect();
    let named = args.output.iter().chain(&shown).map(String::as_str);
    let registries = transfer.registry.registries(named)?;
    let open = open_options(None, registries.clone());
    let fallback_name = match args.images.first() {
        Some(first) => fallback_name(first)?,
        None => return Ok(()),
    };
    let index = Index {
        images: &args.images,
        open: &open,
        names: &args.files.tag,
        fallback_name: &fallback_name,
        expected: transfer.expect_digest,
        durability: Durability::Synced,
    };
    let progress = Transfers::new(transfer.verbosity.progress, transfer.verbosity.quiet);
    let event = |transfer| progress.event(transfer);
    let push = PushOptions { immutable: transfer.immutable };
    let made = index.write(&targets, Remotes { registries: &registries, push, event: &event })?;
    drop(progress);
    if !transfer.verbosity.quiet {
        print_lines(&text(&made, &args.output));
    }
    match transfer.verbosity.json {
        _ if targets.iter().any(|target| target.destination == Destination::Stdout) => Ok(()),
        true => print_json(as_json(&made, &args.output)),
        false => print_data(&format!("{}\n", made.digest)),
    }
}

fn text(made: &Indexed, outputs: &[String]) -> String {
    let mut text = String::new();
    for image in &made.images {
        let layers = quantity::count(image.layers, "layer");
        let (platform, size) = (&image.platform, size::format(image.size));
        let _ = writeln!(text, "{platform}: {layers}, {size}\n  manifest {}", image.digest);
    }
    let count = quantity::count(made.images.len(), "platform");
    let _ = write!(text, "index of {count}\n  digest {}", made.digest);
    for ((written, moved), output) in made.written.iter().zip(&made.moved).zip(outputs) {
        let _ = write!(text, "\n{}", transfers::written_text(written, moved, output));
    }
    text
}

fn as_json(made: &Indexed, outputs: &[String]) -> Value {
    let images = made.images.iter().map(|image| {
        json!({
            "digest": image.digest.to_string(),
            "image_id": image.image_id.to_string(),
            "platform": image.platform.to_string(),
            "layers": image.layers,
            "size": image.size,
        })
    });
    let of_outputs =
        made.names.iter().zip(&made.moved).zip(outputs).map(|((names, moved), text)| {
            json!({
                "output": text,
                "names": names.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "sent": transfers::sent(moved),
                "blobs": transfers::blobs(moved),
            })
        });
    json!({
        "digest": made.digest.to_string(),
        "platforms": images.collect::<Vec<_>>(),
        "outputs": of_outputs.collect::<Vec<_>>(),
    })
}
