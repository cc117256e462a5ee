//! What was written, as text and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{next_step, plan_text::notes, printable::printable, size, transfers};
use crate::{
    image::{Image, Layer, LayerFormat},
    pipeline::{Delivered, Delivery},
    plan::{Note, Plan},
    quantity,
};

/// What was written, as text.
pub(super) fn text(plans: &[&Plan], delivery: &Delivery, delivered: &Delivered) -> String {
    let mut text = String::new();
    let images = delivered.bundle.images();
    images.iter().zip(plans).for_each(|(image, plan)| image_text(&mut text, image, plan));
    if let Some(index) = delivered.bundle.index() {
        let count = quantity::count(images.len(), "platform");
        let _ = writeln!(text, "index of {count}\n  digest {}", index.digest);
    }
    for (layout, replaced) in &delivered.replaced {
        let _ = writeln!(
            text,
            "  replaces {} as `{}` in {}",
            replaced.digest,
            replaced.tag,
            printable(&layout.display().to_string())
        );
    }
    let layers = || images.iter().flat_map(|image| &image.layers);
    let is_zstd = layers().any(|layer| layer.format == LayerFormat::Zstd);
    for (target, names) in delivery.targets.iter().zip(&delivered.names) {
        if let Some(line) = next_step::text(target, names, is_zstd) {
            let _ = writeln!(text, "{}", printable(&line));
        }
    }
    let pushed = delivered.pushed.iter().map(transfers::pushed_text);
    for line in pushed.chain(delivered.loaded.iter().map(transfers::loaded_text)) {
        let _ = writeln!(text, "{}", printable(&line));
    }
    text.truncate(text.trim_end().len());
    text
}

fn image_text(text: &mut String, image: &Image, plan: &Plan) {
    let files: usize = plan.layers.iter().map(|layer| layer.tree.len()).sum();
    let total: u64 = image.layers.iter().map(|layer| layer.size).sum();
    let files = quantity::count(files, "path");
    let _ = writeln!(text, "{}: {files}, {}", image.platform, size::format(total));
    for (layer, planned) in own_layers(image, plan).zip(&plan.layers) {
        let _ = writeln!(
            text,
            "  layer {:<8} {:>9}  {}, {}",
            planned.name,
            size::format(layer.size),
            quantity::count(planned.tree.len(), "path"),
            layer.digest
        );
    }
    if let Some(entrypoint) = &plan.config.entrypoint {
        let _ = writeln!(text, "  starts {}", printable(&entrypoint.join(" ")));
    }
    let _ = writeln!(text, "  image ID {}", image.config.digest);
    let _ = writeln!(text, "  manifest {}", image.manifest.digest);
}

/// The layers of the plan: those above the base's.
fn own_layers<'a>(image: &'a Image, plan: &Plan) -> impl Iterator<Item = &'a Layer> + use<'a> {
    image.layers.iter().skip(image.layers.len().saturating_sub(plan.layers.len()))
}

/// What was written, as JSON: the fields of the only image at the top, those of several in a list.
pub(super) fn json(plans: &[&Plan], delivery: &Delivery, delivered: &Delivered) -> Value {
    let outputs = delivery.targets.iter().zip(&delivered.names).map(|(target, names)| {
        let path = target.path().map(|path| path.display().to_string());
        json!({"path": path, "names": names.iter().map(ToString::to_string).collect::<Vec<_>>()})
    });
    let pushed = delivered.pushed.iter().map(transfers::pushed_json);
    let loaded = delivered.loaded.iter().map(transfers::loaded_json);
    let mut json = json!({
        "digest": delivered.bundle.digest().to_string(),
        "outputs": outputs.collect::<Vec<_>>(),
        "transfers": pushed.chain(loaded).collect::<Vec<_>>(),
    });
    let images = delivered.bundle.images().iter().zip(plans);
    let of_outputs = delivered.notes.iter().map(Note::json);
    if delivered.bundle.index().is_some() {
        let image = |(image, plan): (&Image, &&Plan)| {
            let mut json = image_json(image, plan);
            json["notes"] = plan.notes.iter().map(Note::json).collect();
            json
        };
        json["platforms"] = images.map(image).collect();
        json["notes"] = of_outputs.collect();
        return json;
    }
    for (image, plan) in images {
        if let (Some(all), Value::Object(own)) = (json.as_object_mut(), image_json(image, plan)) {
            all.extend(own);
        }
    }
    json["notes"] = notes(plans).iter().map(Note::json).chain(of_outputs).collect();
    json
}

fn image_json(image: &Image, plan: &Plan) -> Value {
    let layers = own_layers(image, plan).zip(&plan.layers).map(|(layer, planned)| {
        json!({
            "name": planned.name, "paths": planned.tree.len(), "size": layer.size,
            "digest": layer.digest.to_string(), "diff_id": layer.diff_id.to_string(),
        })
    });
    json!({
        "digest": image.manifest.digest.to_string(),
        "image_id": image.config.digest.to_string(),
        "platform": image.platform.to_string(),
        "layers": layers.collect::<Vec<_>>(),
    })
}
