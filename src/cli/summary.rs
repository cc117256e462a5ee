//! What was written, as text and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{next_step, printable::printable, size};
use crate::{
    image::{Destination, Image, Layer, LayerFormat},
    pipeline::{Delivered, Delivery},
    plan::{Note, Plan},
    quantity,
};

/// What was written, as text.
pub(super) fn text(plan: &Plan, delivery: &Delivery, delivered: &Delivered) -> String {
    let image = &delivered.image;
    let files: usize = plan.layers.iter().map(|layer| layer.tree.len()).sum();
    let total: u64 = image.layers.iter().map(|layer| layer.size).sum();
    let files = quantity::count(files, "path");
    let mut text = format!("{}: {files}, {}\n", image.platform, size::format(total));
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
    for (layout, replaced) in &delivered.replaced {
        let _ = writeln!(
            text,
            "  replaces {} as `{}` in {}",
            replaced.digest,
            replaced.tag,
            printable(&layout.display().to_string())
        );
    }
    let is_zstd = image.layers.iter().any(|layer| layer.format == LayerFormat::Zstd);
    for (target, names) in delivery.targets.iter().zip(&delivered.names) {
        let _ = writeln!(text, "{}", printable(&next_step::text(target, names, is_zstd)));
    }
    text.truncate(text.trim_end().len());
    text
}

/// The layers of the plan: those above the base's.
fn own_layers<'a>(image: &'a Image, plan: &Plan) -> impl Iterator<Item = &'a Layer> + use<'a> {
    image.layers.iter().skip(image.layers.len().saturating_sub(plan.layers.len()))
}

/// What was written, as JSON.
pub(super) fn json(plan: &Plan, delivery: &Delivery, delivered: &Delivered) -> Value {
    let image = &delivered.image;
    let layers = own_layers(image, plan).zip(&plan.layers).map(|(layer, planned)| {
        json!({
            "name": planned.name, "paths": planned.tree.len(), "size": layer.size,
            "digest": layer.digest.to_string(), "diff_id": layer.diff_id.to_string(),
        })
    });
    let outputs = delivery.targets.iter().zip(&delivered.names).map(|(target, names)| {
        let path = match &target.destination {
            Destination::Path(path) => Some(path.display().to_string()),
            Destination::Stdout => None,
        };
        json!({"path": path, "names": names.iter().map(ToString::to_string).collect::<Vec<_>>()})
    });
    let notes = plan.notes.iter().chain(&delivered.notes).map(Note::json);
    json!({
        "digest": image.manifest.digest.to_string(),
        "image_id": image.config.digest.to_string(),
        "platform": image.platform.to_string(),
        "layers": layers.collect::<Vec<_>>(),
        "outputs": outputs.collect::<Vec<_>>(),
        "notes": notes.collect::<Vec<_>>(),
    })
}
