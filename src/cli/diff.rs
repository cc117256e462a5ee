//! `imgb diff`.

use std::{collections::BTreeMap, fmt::Write as _};

use clap::Args;
use serde_json::json;

use super::{
    failure::Failure,
    options::{image::ImageArgs, reach::ReachArgs},
    printable::printable,
    size,
    terminal::{print_data, print_json, print_message},
    values::image_name,
};
use crate::{
    error_kind::with_causes,
    explain::diff::{
        ByteDifference, DiffOptions, Difference, Field, FileDifference, LayerDifference,
        ReasonDifference, diff,
        names::{is_known, known},
    },
    image::ImageName,
    oci::UnpackedImage,
    path::escape,
    quantity, suggest,
};

/// How many lines of one kind are printed without `--verbose`.
const MOST: usize = 10;

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb diff old.tar new.tar || true\n  \
    imgb diff --ignore mtime --ignore created old.tar oci:layout:1.0 || true\n  \
    imgb diff --json old.tar new.tar | jq -r '.files[].path'\n\n\
    Compared are the configuration, layers, files, packages, and why files are there; names and \
    compression are not, and a missing field is the same as an empty one. Exit code 1: the images \
    differ; 0: they do not.")]
pub(super) struct DiffArgs {
    #[command(flatten)]
    image: ImageArgs,

    /// The image that it is compared with, in the same forms
    #[arg(value_name = "OTHER", value_parser = image_name)]
    other: ImageName,

    /// Compare the bytes of manifests, tars and compressed layers, too: why a build has another
    /// digest
    #[arg(long)]
    strict: bool,

    /// Ignore a field, such as mtime, created, history, config.Labels, layers, packages or reasons
    /// (repeatable)
    #[arg(long, value_name = "FIELD")]
    ignore: Vec<String>,

    #[command(flatten)]
    reach: ReachArgs,

    /// Print every difference, also where many are of one kind
    #[arg(short, long)]
    verbose: bool,

    /// Print JSON on stdout
    #[arg(long)]
    json: bool,
}

impl DiffArgs {
    /// Whether stdout is for JSON.
    pub(super) fn prints_json(&self) -> bool {
        self.json
    }
}

/// Compares the images; the exit code.
pub(super) fn run(args: &DiffArgs) -> Result<u8, Failure> {
    let a = args.image.open_with_progress(false)?;
    let b = args.image.open_another(&args.other)?;
    let mut names = args.ignore.iter();
    if let Some(name) = names.find(|name| !may_differ(name, &a) && !may_differ(name, &b)) {
        return Err(unknown(name));
    }
    let options = DiffOptions { strict: args.strict, ignore: args.ignore.clone() };
    let attached = (args.reach.attached(&a)?, args.reach.attached(&b)?);
    let with_reasons = [(&a, &attached.0), (&b, &attached.1)];
    let with_reasons = with_reasons.into_iter().filter(|(_, attached)| attached.is_some());
    let with_reasons: Vec<_> = with_reasons.map(|(image, _)| image.image.name.clone()).collect();
    let found = diff(&a, &b, &options, (attached, &args.reach.options()?))
        .map_err(|error| Failure::new(error.kind(), with_causes(&error)))?;
    if options.counts("reasons") {
        reason_notes(&with_reasons, &found);
    }
    if args.json {
        let side = |image: &UnpackedImage| {
            let image = &image.image;
            json!({
                "image": image.name,
                "platform": image.config.platform.to_string(),
                "digest": image.manifest.as_ref().map(|manifest| manifest.digest.to_string()),
                "image_id": image.config_document.digest.to_string(),
            })
        };
        let mut value = found.json(&a, &b);
        value["a"] = side(&a);
        value["b"] = side(&b);
        value["same"] = found.is_empty().into();
        print_json(value)?;
    } else {
        print_data(&text(&a, &b, &found, args))?;
    }
    Ok(u8::from(!found.is_empty()))
}

/// Says on stderr where reasons come from, if that may surprise: `with_reasons` are the images that
/// have some attached.
fn reason_notes(with_reasons: &[String], found: &Difference) {
    if let [only] = with_reasons
        && found.is_of_content()
    {
        let again = "those of both are found again in the images";
        let what = "has attached reasons that can be used";
        print_message(&format!("note: only {only} {what}; {again}"));
    }
    if let Some(why) = &found.reasons.unresolved {
        print_message(&format!("note: why files are there was not compared: {why}"));
    }
}

/// Whether `name` can be that of a field that differs. A configuration may have further fields.
fn may_differ(name: &str, image: &UnpackedImage) -> bool {
    let fields = &image.image.config.original;
    let inner = || fields.get("config")?.get(name.strip_prefix("config.")?);
    is_known(name) || fields.contains_key(name) || inner().is_some()
}

fn unknown(name: &str) -> Failure {
    let names = known();
    let near = suggest::closest(name, names.iter().map(String::as_str))
        .map_or_else(String::new, |near| format!(", did you mean `{near}`?"));
    Failure::usage(format!("--ignore: there is no field `{name}`{near}"))
        .with_hint(format!("the fields are {}", names.join(", ")))
}

fn text(a: &UnpackedImage, b: &UnpackedImage, found: &Difference, args: &DiffArgs) -> String {
    let digest = |image: &UnpackedImage| match &image.image.manifest {
        Some(manifest) => manifest.digest,
        None => image.image.config_document.digest,
    };
    let mut text = String::new();
    if found.is_empty() {
        let ids = |image: &UnpackedImage| {
            let manifest = image.image.manifest.as_ref().map(|manifest| manifest.digest);
            (manifest, image.image.config_document.digest)
        };
        let ((manifest_a, config_a), (manifest_b, config_b)) = (ids(a), ids(b));
        let same_manifests =
            manifest_a.is_none() || manifest_b.is_none() || manifest_a == manifest_b;
        let same_bytes = same_manifests && config_a == config_b;
        if !args.strict && !same_bytes {
            let _ = writeln!(
                text,
                "the images have the same content, in other bytes (--strict says which)"
            );
        }
        return text;
    }
    for (mark, image) in [("---", a), ("+++", b)] {
        let name = printable(&image.image.name);
        let _ = writeln!(text, "{mark} {name} {}", digest(image));
    }
    let mut section = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = writeln!(text, "\n{title}");
            lines.iter().for_each(|line| {
                let _ = writeln!(text, "  {}", printable(line));
            });
        }
    };
    let verbose = args.verbose;
    section("configuration", found.config.iter().map(Field::text).collect());
    section("layers", found.layers.iter().map(|one| layer(one, a, b)).collect());
    section("files", grouped(&found.files, verbose, file_kind, file));
    let packages = found.packages.iter().map(|one| {
        let side = |versions: &[String]| versions.join(", ");
        let name = format!("{}:{}", one.name, one.architecture);
        match one.change() {
            "added" => format!("+ {name} {}", side(&one.b)),
            "removed" => format!("- {name} {}", side(&one.a)),
            _ => format!("~ {name} {} → {}", side(&one.a), side(&one.b)),
        }
    });
    section("packages", packages.collect());
    section("reasons", grouped(&found.reasons.files, verbose, reason_kind, reason));
    section("bytes", grouped(&found.bytes, verbose, byte_kind, bytes));
    text
}

/// The lines of `all`; of more than [`MOST`] of one kind only the first, unless `verbose`.
fn grouped<T>(
    all: &[T],
    verbose: bool,
    kind: impl Fn(&T) -> String,
    line: impl Fn(&T) -> String,
) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    all.iter().for_each(|one| *counts.entry(kind(one)).or_default() += 1);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut lines = Vec::new();
    for one in all {
        let kind = kind(one);
        let total = counts.get(&kind).copied().unwrap_or_default();
        let number = seen.entry(kind.clone()).or_default();
        *number += 1;
        match *number {
            _ if verbose || total <= MOST || *number < MOST => lines.push(line(one)),
            MOST => {
                let left = total - MOST + 1;
                lines.push(format!("… and {left} more: {kind} (--verbose lists all)"));
            }
            _ => {}
        }
    }
    lines
}

fn names(fields: &[Field]) -> String {
    let names: Vec<&str> = fields.iter().map(|field| &*field.name).collect();
    names.join(", ")
}

fn file_kind(file: &FileDifference) -> String {
    match file.change() {
        "changed" => format!("{} differs", names(&file.fields)),
        change => change.to_owned(),
    }
}

fn file(one: &FileDifference) -> String {
    let len = |node: &Option<crate::tree::Node>| {
        let file = node.as_ref().and_then(|node| Some(node.file()?.len));
        file.map(|len| format!(" ({})", size::format(len))).unwrap_or_default()
    };
    match one.change() {
        "added" => format!("+ {}{}", one.path, len(&one.b)),
        "removed" => format!("- {}{}", one.path, len(&one.a)),
        _ => {
            let field = |field: &Field| match one.first_byte {
                Some(at) if field.name == "content" => format!("content from byte {at} on"),
                _ => field.text(),
            };
            let fields: Vec<String> = one.fields.iter().map(field).collect();
            format!("~ {}  {}", one.path, fields.join(", "))
        }
    }
}

fn reason_kind(_: &ReasonDifference) -> String {
    "other reasons".into()
}

fn reason(one: &ReasonDifference) -> String {
    let side = |mark: &str, all: &[String]| match all {
        [] => String::new(),
        [first] => format!("  {mark} {first}"),
        [first, rest @ ..] => format!("  {mark} {first} (and {} more)", rest.len()),
    };
    format!("~ {}{}{}", one.path, side("-", &one.a), side("+", &one.b))
}

fn layer(one: &LayerDifference, a: &UnpackedImage, b: &UnpackedImage) -> String {
    let describe = |image: &UnpackedImage, at: Option<usize>| {
        let at = at.unwrap_or_default();
        match image.layers.get(at) {
            Some(layer) => {
                format!("{} ({}, {})", at + 1, size::format(layer.size), layer.digest)
            }
            None => (at + 1).to_string(),
        }
    };
    match one.change.name() {
        "added" => format!("+ {}", describe(b, one.b)),
        "removed" => format!("- {}", describe(a, one.a)),
        change => {
            let paths = match one.paths.len() {
                0 => String::new(),
                len => format!(", {}", quantity::count(len, "path")),
            };
            format!("~ {} → {}: {change}{paths}", describe(a, one.a), describe(b, one.b))
        }
    }
}

fn byte_kind(one: &ByteDifference) -> String {
    let place = one.layer.map(|(a, _)| format!(" of layer {}", a + 1)).unwrap_or_default();
    format!("{}{place}: {} differs", one.part.name(), names(&one.fields))
}

fn bytes(one: &ByteDifference) -> String {
    let mut line = one.part.name().to_owned();
    if let Some((a, b)) = one.layer {
        let _ = match a == b {
            true => write!(line, " of layer {}", a + 1),
            false => write!(line, " of layers {} and {}", a + 1, b + 1),
        };
    }
    if let Some(member) = &one.member {
        let _ = write!(line, ", {}", escape(member));
    }
    let fields: Vec<String> = one.fields.iter().map(Field::text).collect();
    format!("{line}: {}", fields.join(", "))
}
