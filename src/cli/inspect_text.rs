//! An image as text, for `imgb inspect`.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use serde_json::Value;

use super::{printable::printable, size};
use crate::{
    explain::{
        contents::hard_links,
        inspection::{Inspection, Reached, database_name, history},
        usage::{self, Usage},
        waste::Duplicates,
    },
    image::Healthcheck,
    oci::UnpackedImage,
    path::{ImagePath, escape},
    plan::COMPONENTS_ANNOTATION,
    quantity,
    tree::Tree,
};

/// How many of the largest files, and others, the text lists.
const LARGEST: usize = 10;
/// Characters of a layer's components that the text shows.
const MAX_WIDTH: usize = 90;

pub(super) fn as_text(shown: &Inspection<'_>) -> String {
    let unpacked = shown.unpacked;
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
    let others: Vec<String> = shown
        .platforms
        .iter()
        .filter(|other| **other != config.platform)
        .map(ToString::to_string)
        .collect();
    row("others", &others.join(", "));
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
    files(&mut text, shown.tree);
    waste(&mut text, shown);
    packages(&mut text, shown);
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
    for ((number, layer), by) in (1..).zip(&unpacked.layers).zip(history(&unpacked.image)) {
        let _ = writeln!(
            text,
            "{number:>3}  {:>9}  {:>9} unpacked, {}  {}  {}",
            size::format(layer.size),
            size::format(layer.tar_size),
            quantity::count(layer.change.tree.len(), "path"),
            layer.digest,
            escape(by.as_bytes())
        );
        if let Some(components) = layer.annotations.get(COMPONENTS_ANNOTATION) {
            let _ = writeln!(text, "     of {}", shortened(components));
        }
    }
}

/// The beginning of a line that can be long.
fn shortened(line: &str) -> String {
    match line.char_indices().nth(MAX_WIDTH) {
        Some((end, _)) => format!("{}…", escape(line.get(..end).unwrap_or_default().as_bytes())),
        None => escape(line.as_bytes()),
    }
}

fn files(text: &mut String, tree: &Tree) {
    let links = hard_links(tree);
    let mut files: Vec<(u64, &ImagePath)> = tree
        .iter()
        .filter(|(path, _)| !links.contains_key(path))
        .filter_map(|(path, node)| Some((node.file()?.len, path)))
        .collect();
    let total: u64 = files.iter().map(|(len, _)| len).sum();
    let (paths, count) =
        (quantity::count(tree.len(), "path"), quantity::count(files.len(), "file"));
    let _ = writeln!(text, "\n{paths}, {count}, {}", size::format(total));
    files.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    let lines = files.iter().map(|(len, path)| (*len, path.to_string()));
    largest(text, lines, files.len(), "--files lists all");
}

/// The first [`LARGEST`] of `count` lines, each with a size before it.
fn largest(
    text: &mut String,
    lines: impl Iterator<Item = (u64, String)>,
    count: usize,
    hint: &str,
) {
    for (size, line) in lines.take(LARGEST) {
        let _ = writeln!(text, "  {:>9}  {line}", size::format(size));
    }
    if count > LARGEST {
        let _ = writeln!(text, "             and {} more: {hint}", count - LARGEST);
    }
}

/// What later layers hide, what is there twice, and what is not needed.
fn waste(text: &mut String, shown: &Inspection<'_>) {
    let hidden = &shown.hidden;
    if !hidden.is_empty() {
        let total = hidden.iter().map(|file| file.size).sum();
        let count = quantity::count(hidden.len(), "file");
        let total = size::format(total);
        let _ = writeln!(text, "\n{count} hidden by later layers, {total}");
        let line = |file: &crate::explain::waste::Hidden| {
            let how = if file.is_replaced { "replaced" } else { "removed" };
            (file.size, format!("{} (in layer {}, {how} later)", file.path, file.layer + 1))
        };
        largest(text, hidden.iter().map(line), hidden.len(), "--json lists all");
    }
    let duplicates = &shown.duplicates;
    if !duplicates.is_empty() {
        let total = size::format(duplicates.iter().map(Duplicates::waste).sum());
        let count: usize = duplicates.iter().map(|one| one.paths.len() - 1).sum();
        let count = quantity::count(count, "copy");
        let _ = writeln!(text, "\n{count} of other files, {total}");
        let line = |one: &Duplicates| {
            let names = one.paths.iter().take(3).map(ToString::to_string);
            let names = names.collect::<Vec<_>>().join(" = ");
            let more = one.paths.len().saturating_sub(3);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            (one.waste(), format!("{names}{more}"))
        };
        largest(text, duplicates.iter().map(line), duplicates.len(), "--json lists all");
    }
    unreached(text, &shown.reach);
}

/// What no program of the image leads to.
fn unreached(text: &mut String, reach: &Reached) {
    match reach {
        Reached::Known(_, files) if files.is_empty() => {}
        Reached::Known(reach, files) => {
            let total = size::format(files.iter().map(|(_, size)| size).sum());
            let count = quantity::count(files.len(), "path");
            let attached = reach.recorded().map(|_| ", by the reasons that are attached");
            let by = attached.unwrap_or_default();
            let _ = writeln!(text, "\n{count} that nothing leads to, {total}{by}");
            let lines = files.iter().map(|(path, size)| (*size, path.to_string()));
            largest(text, lines, files.len(), "`imgb why --unreached` lists all");
        }
        Reached::Unknown(why) => {
            let _ = writeln!(text, "\nnot known what is needed: {}", printable(why));
        }
    }
}

fn packages(text: &mut String, shown: &Inspection<'_>) {
    let mut packages: Vec<_> = shown.packages.iter().collect();
    let Some(first) = packages.first() else { return };
    let database = database_name(first.database);
    let total = size::format(packages.iter().map(|one| one.usage.size).sum());
    let count = quantity::count(packages.len(), "package");
    let _ = writeln!(text, "\n{count} ({database}), {total}");
    packages.sort_by_key(|one| std::cmp::Reverse(one.usage.size));
    let line = |one: &&usage::InstalledPackage| {
        (one.usage.size, escape(one.package.to_string().as_bytes()))
    };
    largest(text, packages.iter().map(line), packages.len(), "--json lists all");
}

/// The directories of `tree` up to `depth` levels below the root, the largest first in each.
pub(super) fn directories(tree: &Tree, depth: usize) -> String {
    let mut inside: BTreeMap<Option<ImagePath>, Vec<(ImagePath, Usage)>> = BTreeMap::new();
    for (path, usage) in usage::directories(tree) {
        inside.entry(path.parent()).or_default().push((path, usage));
    }
    for list in inside.values_mut() {
        list.sort_by(|(a, a_usage), (b, b_usage)| {
            b_usage.size.cmp(&a_usage.size).then_with(|| a.cmp(b))
        });
        list.reverse();
    }
    let mut text = String::new();
    let mut left: Vec<(usize, ImagePath, Usage)> = Vec::new();
    let root = inside.remove(&None).unwrap_or_default();
    left.extend(root.into_iter().map(|(path, usage)| (0, path, usage)));
    while let Some((level, path, usage)) = left.pop() {
        let name = if path.is_root() { "/".into() } else { escape(path.file_name()) };
        let (size, files) = (size::format(usage.size), quantity::count(usage.files, "file"));
        let indent = "  ".repeat(level);
        let _ = writeln!(text, "{size:>9}  {files:>12}  {indent}{name}");
        if level < depth {
            let below = inside.remove(&Some(path)).unwrap_or_default();
            left.extend(below.into_iter().map(|(path, usage)| (level + 1, path, usage)));
        }
    }
    text
}

/// What the layer of this index adds and removes.
pub(super) fn layer_text(unpacked: &UnpackedImage, at: usize) -> String {
    let mut text = String::new();
    let Some(layer) = unpacked.layers.get(at) else { return text };
    let (size, tar_size) = (size::format(layer.size), size::format(layer.tar_size));
    let _ = writeln!(text, "layer    {} of {}", at + 1, unpacked.layers.len());
    let _ = writeln!(text, "digest   {}", layer.digest);
    let _ = writeln!(text, "diff ID  {}", layer.diff_id);
    let _ = writeln!(text, "size     {size}, {tar_size} unpacked ({})", layer.format);
    if let Some(by) = history(&unpacked.image).nth(at).filter(|by| !by.is_empty()) {
        let _ = writeln!(text, "made by  {}", escape(by.as_bytes()));
    }
    for path in &layer.change.opaque {
        let _ = writeln!(text, "removes  what is in {path}");
    }
    for path in &layer.change.whiteouts {
        let _ = writeln!(text, "removes  {path}");
    }
    text.push('\n');
    text + &layer.change.tree.to_string()
}
