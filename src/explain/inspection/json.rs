//! An image as JSON.

use serde_json::{Value, json};

use super::{Inspection, database_name, history};
use crate::{
    explain::{
        contents::hard_links,
        usage::{self, InstalledPackage},
        waste::{Duplicates, Hidden},
    },
    oci::Layer,
    path::ImagePath,
    plan::{COMPONENTS_ANNOTATION, NAME_ANNOTATION},
    tree::Node,
};

/// As docs/json.md says.
pub(super) fn of(shown: &Inspection<'_>) -> Value {
    let (unpacked, tree) = (shown.unpacked, shown.tree);
    let image = &unpacked.image;
    let links = hard_links(tree);
    let layers = unpacked.layers.iter().zip(history(image)).map(|(layer, by)| {
        json!({
            "digest": layer.digest.to_string(),
            "diff_id": layer.diff_id.to_string(),
            "size": layer.size,
            "tar_size": layer.tar_size,
            "paths": layer.change.tree.len(),
            "whiteouts": layer.change.whiteouts.len() + layer.change.opaque.len(),
            "format": layer.format.to_string(),
            "created_by": by,
            "name": layer.annotations.get(NAME_ANNOTATION),
            "components": layer.annotations.get(COMPONENTS_ANNOTATION),
        })
    });
    let files = tree.iter().map(|(path, node)| {
        let mut value = file(&unpacked.layers, path, node);
        value["link_to"] = links.get(path).map(ToString::to_string).into();
        if let Some(layer) = shown.layer {
            value["layer"] = layer.into();
        }
        value
    });
    let directories = usage::directories(tree).into_iter().map(
        |(path, usage)| json!({"path": path.to_string(), "files": usage.files, "size": usage.size}),
    );
    let platforms = shown.platforms.iter().map(ToString::to_string);
    json!({
        "image": image.name,
        "names": image.names,
        "platform": image.config.platform.to_string(),
        "platforms": platforms.collect::<Vec<_>>(),
        "digest": image.manifest.as_ref().map(|manifest| manifest.digest.to_string()),
        "image_id": image.config_document.digest.to_string(),
        "config": image.config.original,
        "layers": layers.collect::<Vec<_>>(),
        "files": files.collect::<Vec<_>>(),
        "directories": directories.collect::<Vec<_>>(),
        "hidden": shown.hidden.iter().map(hidden).collect::<Vec<_>>(),
        "duplicates": shown.duplicates.iter().map(duplicates).collect::<Vec<_>>(),
        "unreached": shown.unreached().iter().map(unreached).collect::<Vec<_>>(),
        "unresolved": shown.unresolved(),
        "recorded": shown.recorded().map(|digest| digest.to_string()),
        "packages": shown.packages.iter().map(package).collect::<Vec<_>>(),
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

fn hidden(file: &Hidden) -> Value {
    json!({
        "path": file.path.to_string(),
        "layer": file.layer,
        "size": file.size,
        "replaced": file.is_replaced,
    })
}

fn duplicates(one: &Duplicates) -> Value {
    json!({
        "size": one.size,
        "digest": one.digest.to_string(),
        "paths": one.paths.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn unreached((path, size): &(ImagePath, u64)) -> Value {
    json!({"path": path.to_string(), "size": size})
}

fn package(one: &InstalledPackage) -> Value {
    json!({
        "name": one.package.name,
        "version": one.package.version,
        "architecture": one.package.architecture,
        "source": one.package.source,
        "database": database_name(one.database),
        "files": one.usage.files,
        "size": one.usage.size,
    })
}
