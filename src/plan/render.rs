//! A plan as text and as JSON. Pure.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Note, Plan};
use crate::quantity;

/// One line a path: its layer, mode and owner, path, link target or size, reason.
pub fn text(plan: &Plan) -> String {
    let mut out = String::new();
    let files: usize = plan.layers.iter().map(|layer| layer.tree.len()).sum();
    let (files, layers) =
        (quantity::count(files, "path"), quantity::count(plan.layers.len(), "layer"));
    let _ = writeln!(out, "# {}: {files} in {layers}", plan.config.platform);
    for layer in &plan.layers {
        for ((path, _), line) in layer.tree.iter().zip(layer.tree.to_string().lines()) {
            let reason =
                plan.reasons.get(path).map(|reason| reason.text(&plan.inputs)).unwrap_or_default();
            let _ = writeln!(out, "{}\t{line}\t{reason}", layer.name);
        }
    }
    out
}

/// The whole plan: `platform`, `entrypoint`, `cmd`, `inputs`, `layers` with their `files`, `notes`.
/// Each file has its first reason as text (`reason`, `because_of`) and all of them as objects
/// (`causes`). Paths that are not UTF-8 are escaped.
pub fn json(plan: &Plan) -> Value {
    let layers: Vec<_> = plan
        .layers
        .iter()
        .map(|layer| {
            let files = layer.tree.iter().map(|(path, node)| {
                let mut file = node.json();
                file["path"] = path.to_string().into();
                let reason = plan.reasons.get(path);
                let text = reason.map(|reason| reason.text(&plan.inputs)).unwrap_or_default();
                file["reason"] = text.into();
                let cause = reason.and_then(|reason| reason.cause());
                file["because_of"] = cause.map(ToString::to_string).into();
                let causes = plan.reasons.causes(path).map(|cause| cause.json(&plan.inputs));
                file["causes"] = causes.collect::<Vec<_>>().into();
                file
            });
            json!({"name": layer.name, "files": files.collect::<Vec<_>>()})
        })
        .collect();
    let notes: Vec<_> = plan.notes.iter().map(Note::json).collect();
    json!({
        "platform": plan.config.platform.to_string(),
        "entrypoint": plan.config.entrypoint,
        "cmd": plan.config.cmd,
        "inputs": plan.inputs,
        "layers": layers,
        "notes": notes,
    })
}

impl Note {
    /// `severity`, `text`, `about` and `hint`.
    pub fn json(&self) -> Value {
        json!({
            "severity": self.severity.to_string(),
            "text": self.text,
            "about": self.about,
            "hint": self.hint,
        })
    }
}
