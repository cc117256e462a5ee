//! `imgb inspect`.

use std::path::PathBuf;

use clap::Args;

use super::{
    document_file,
    failure::Failure,
    inspect_text::{as_text, directories, layer_text},
    options::{image::ImageArgs, reach::ReachArgs},
    terminal::{print_data, print_json},
};
use crate::{
    error_kind::with_causes,
    explain::{
        inspection::{InspectError, Inspection},
        page::page,
    },
    oci::UnpackedImage,
    quantity,
};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb inspect myapp.tar\n  \
    imgb inspect --files oci:layout:1.0\n  \
    imgb inspect --tree --depth 2 myapp.tar\n  \
    imgb inspect --layer 1 myapp.tar\n  \
    imgb inspect --html myapp.html myapp.tar\n  \
    imgb inspect --json myapp.tar | jq '.files | sort_by(-.size)[:10]'")]
pub(super) struct InspectArgs {
    #[command(flatten)]
    image: ImageArgs,

    /// List every file: mode, owner, path, size
    #[arg(long)]
    files: bool,

    /// Show what each directory takes, the largest first
    #[arg(long, conflicts_with = "files")]
    tree: bool,

    /// How many levels of directories --tree shows
    #[arg(long, value_name = "N", default_value_t = 3, requires = "tree")]
    depth: usize,

    /// Show only what one layer adds and removes; layers are counted from 1, the lowest
    #[arg(long, value_name = "N")]
    layer: Option<usize>,

    /// Write a page to this file that shows the image in a browser: what takes the space, why each
    /// file is there, what the programs need; it needs no network
    #[arg(long, value_name = "FILE", conflicts_with_all = ["files", "tree", "layer", "json"])]
    html: Option<PathBuf>,

    #[command(flatten)]
    reach: ReachArgs,

    /// Print JSON on stdout
    #[arg(long)]
    json: bool,
}

impl InspectArgs {
    /// Whether stdout is for JSON.
    pub(super) fn prints_json(&self) -> bool {
        self.json
    }
}

pub(super) fn inspect(args: &InspectArgs) -> Result<(), Failure> {
    let unpacked = args.image.open_with_progress(false)?;
    let merged = unpacked.merged();
    let layer = args.layer.map(|number| layer_index(number, &unpacked)).transpose()?;
    let tree = layer.and_then(|at| unpacked.layers.get(at));
    let tree = tree.map_or(&merged, |layer| &layer.change.tree);
    if args.files && !args.json && layer.is_none() {
        return print_data(&tree.to_string());
    }
    if args.tree && !args.json {
        return print_data(&directories(tree, args.depth));
    }
    if let Some(at) = layer.filter(|_| !args.json) {
        return print_data(&layer_text(&unpacked, at));
    }
    let options = args.reach.options()?;
    let attached = args.reach.attached(&unpacked)?;
    let shown =
        Inspection::new((&unpacked, attached), &merged, layer, &options).map_err(failure)?;
    if let Some(file) = &args.html {
        let page = page(&shown, &merged).map_err(|error| failure(error.into()))?;
        return document_file::write(file, page.as_bytes(), args.image.path());
    }
    match args.json {
        true => print_json(shown.json()),
        false => print_data(&as_text(&shown)),
    }
}

fn failure(error: InspectError) -> Failure {
    match error {
        InspectError::Image(error) => error.into(),
        error => Failure::new(error.kind(), with_causes(&error)),
    }
}

/// The index of the layer that the user calls `number`.
fn layer_index(number: usize, unpacked: &UnpackedImage) -> Result<usize, Failure> {
    let count = unpacked.layers.len();
    number.checked_sub(1).filter(|at| *at < count).ok_or_else(|| {
        let layers = quantity::count(count, "layer");
        let last = if count == 1 { "1" } else { &format!("1 to {count}") };
        Failure::usage(format!("there is no layer {number}: the image has {layers}"))
            .with_hint(format!("layers are counted from 1, the lowest: --layer {last}"))
    })
}
