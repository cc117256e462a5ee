//! An image → the plan of one with the same files and configuration, in other layers.

use serde_json::Value;

use crate::{
    elf::ReadFailure,
    image::History,
    oci::UnpackedImage,
    plan::{self, Layers, Note, Plan, Reason, Reasons},
    timestamp::Mtime,
    tree::Tree,
};

/// Plans the image with the files of `image` in other layers. Whiteouts are resolved: what a layer
/// hides is gone. Packages are those of the image's own database. The history keeps all its steps,
/// none of which makes a layer any more.
///
/// # Errors
/// [`ReadFailure`] if a file that tells of packages cannot be read.
pub fn relayer(image: &UnpackedImage, layers: Layers) -> Result<Plan, ReadFailure> {
    let mut tree = image.merged();
    tree.add_parents(|path| plan::parent(path, Mtime::OfContent));
    let all = tree.clone();
    let layers = plan::split_files(tree, &all, layers, Mtime::OfContent)?;
    let mut config = image.image.config.clone();
    let steps = config.original.get_mut("history").and_then(Value::as_array_mut);
    for step in steps.into_iter().flatten().filter_map(Value::as_object_mut) {
        step.insert("empty_layer".into(), true.into());
    }
    let step = |name: &str| History {
        created_by: format!("imgb copy --layers ({name})"),
        empty_layer: false,
    };
    config.history = layers.iter().map(|layer| step(&layer.name)).collect();
    Ok(Plan {
        layers,
        config,
        reasons: Reasons::all(Reason::Base),
        inputs: Vec::new(),
        named: Vec::new(),
        notes: image.notes().iter().map(|note| of_source(note)).collect(),
        base: Tree::new(),
    })
}

/// Some of what is odd about the source is gone in the copy.
fn of_source(note: &str) -> Note {
    Note::warning(format!("in the source, {note}"))
}
