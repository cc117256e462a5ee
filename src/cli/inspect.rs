//! `imgb inspect`.

use std::{fmt::Write as _, time::Duration};

use clap::Args;
use serde_json::{Value, json};

use super::{
    failure::Failure,
    options::image::ImageArgs,
    size,
    terminal::{print_data, print_json},
};
use crate::{
    image::Healthcheck,
    oci::{Image, Layer, UnpackedImage},
    path::{ImagePath, escape},
    quantity,
    tree::{Node, Tree},
};

/// How many of the largest files the text lists.
const LARGEST: usize = 10;

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb inspect myapp.tar\n  \
    imgb inspect --files oci:layout:1.0\n  \
    imgb inspect --json myapp.tar | jq '.files | sort_by(-.size)[:10]'")]
pub(super) struct InspectArgs {
    #[command(flatten)]
    image: ImageArgs,

    /// List every file: mode, owner, path, size
    #[arg(long)]
    files: bool,

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
    let image = args.image.open_with_progress(false)?;
    let tree = image.merged();
    if args.json {
        return print_json(as_json(&image, &tree));
    }
    if args.files {
        return print_data(&tree.to_string());
    }
    print_data(&as_text(&image, &tree))
}

fn as_text(unpacked: &UnpackedImage, tree: &Tree) -> String {
    let image = &unpacked.image;
    let config = &image.config;
    let mut text = String::new();
    let mut row = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "{name:<11} {}", escape(value.as_bytes()));
        }
    };
    row("name", &image.names.join(", "));
    row("platform", &config.platform.to_string());
    row(
        "manifest",
        &image.manifest.as_ref().map(|manifest| manifest.digest.to_string()).unwrap_or_default(),
    );
    row("image ID", &image.config_document.digest.to_string());
    row("created", config.original.get("created").and_then(Value::as_str).unwrap_or_default());
    for (name, words) in [("entrypoint", &config.entrypoint), ("cmd", &config.cmd)] {
        row(name, &shell_words::join(words.iter().flatten()));
    }
    for (name, value) in
        [("user", &config.user), ("workdir", &config.workdir), ("stops by", &config.stop_signal)]
    {
        row(name, value.as_deref().unwrap_or_default());
    }
    if let Some(health) = &config.healthcheck {
        row("healthcheck", &health_text(health));
    }
    for entry in &config.env {
        row("env", entry);
    }
    for (name, items) in [("exposes", &config.exposed_ports), ("volume", &config.volumes)] {
        for item in items {
            row(name, item);
        }
    }
    for (name, value) in &config.labels {
        row("label", &format!("{name}={value}"));
    }
    for note in unpacked.notes() {
        row("note", &note);
    }
    layers(&mut text, unpacked);
    files(&mut text, tree);
    text
}

/// A health check as the instruction of a Buildfile has it.
fn health_text(health: &Healthcheck) -> String {
    let seconds = |value: u64| Duration::from_nanos(value).as_secs_f64();
    let times = [
        ("interval", health.interval),
        ("timeout", health.timeout),
        ("start-period", health.start_period),
        ("start-interval", health.start_interval),
    ];
    let mut words: Vec<String> = times
        .into_iter()
        .filter_map(|(name, value)| Some(format!("--{name}={}s", seconds(value?))))
        .collect();
    words.extend(health.retries.map(|retries| format!("--retries={retries}")));
    match &health.test[..] {
        [kind, line] if kind == "CMD-SHELL" => words.push(format!("CMD {line}")),
        [kind, rest @ ..] if kind == "CMD" => {
            words.push(format!("CMD {}", Value::from(rest.to_vec())));
        }
        other => words.extend(other.iter().cloned()),
    }
    words.join(" ")
}

fn layers(text: &mut String, unpacked: &UnpackedImage) {
    let total: u64 = unpacked.layers.iter().map(|layer| layer.size).sum();
    let count = quantity::count(unpacked.layers.len(), "layer");
    let _ = writeln!(text, "\n{count}, {}", size::format(total));
    for (layer, by) in unpacked.layers.iter().zip(history(&unpacked.image)) {
        let _ = writeln!(
            text,
            "  {:>9}  {:>9} unpacked, {}  {}  {}",
            size::format(layer.size),
            size::format(layer.tar_size),
            quantity::count(layer.change.tree.len(), "path"),
            layer.digest,
            escape(by.as_bytes())
        );
    }
}

/// How each layer was made, from the configuration's history; empty if it does not say.
fn history(image: &Image) -> impl Iterator<Item = String> {
    let steps = image.config.original.get("history").and_then(Value::as_array);
    let steps = steps.cloned().unwrap_or_default().into_iter();
    let with_layer = steps.filter(|step| step.get("empty_layer") != Some(&Value::Bool(true)));
    let by = |step: Value| {
        let text = step.get("created_by").and_then(Value::as_str).unwrap_or_default();
        text.chars().take(80).collect()
    };
    with_layer.map(by).chain(std::iter::repeat(String::new()))
}

fn files(text: &mut String, tree: &Tree) {
    let mut files: Vec<(u64, &ImagePath)> =
        tree.iter().filter_map(|(path, node)| Some((node.file()?.len, path))).collect();
    let total: u64 = files.iter().map(|(len, _)| len).sum();
    let (paths, count) =
        (quantity::count(tree.len(), "path"), quantity::count(files.len(), "file"));
    let _ = writeln!(text, "\n{paths}, {count}, {}", size::format(total));
    files.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    for (len, path) in files.iter().take(LARGEST) {
        let _ = writeln!(text, "  {:>9}  {path}", size::format(*len));
    }
    if files.len() > LARGEST {
        let _ =
            writeln!(text, "             and {} more: --files lists all", files.len() - LARGEST);
    }
}

fn as_json(unpacked: &UnpackedImage, tree: &Tree) -> Value {
    let image = &unpacked.image;
    let layers = unpacked.layers.iter().zip(history(image)).map(|(layer, by)| {
        json!({
            "digest": layer.digest.to_string(),
            "diff_id": layer.diff_id.to_string(),
            "size": layer.size,
            "tar_size": layer.tar_size,
            "paths": layer.change.tree.len(),
            "whiteouts": layer.change.whiteouts.len() + layer.change.opaque.len(),
            "created_by": by,
        })
    });
    let files = tree.iter().map(|(path, node)| file(&unpacked.layers, path, node));
    json!({
        "image": image.name,
        "names": image.names,
        "platform": image.config.platform.to_string(),
        "digest": image.manifest.as_ref().map(|manifest| manifest.digest.to_string()),
        "image_id": image.config_document.digest.to_string(),
        "config": image.config.original,
        "layers": layers.collect::<Vec<_>>(),
        "files": files.collect::<Vec<_>>(),
        "notes": unpacked.notes(),
    })
}

fn file(layers: &[Layer], path: &ImagePath, node: &Node) -> Value {
    let has = |layer: &Layer| layer.change.tree.contains(path);
    let mut value = node.json();
    value["path"] = path.to_string().into();
    value["layer"] = layers.iter().rposition(has).into();
    value
}
