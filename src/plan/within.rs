//! Programs for an image that has files already: what PACK adds to a stage.

use super::{
    Note, PlanError, PlanOptions, PlannedLayer, Reason, Reasons, View,
    builder::{ImageBuilder, add_parents},
    libc_mismatch,
    make::{platform, take_named, take_needed},
    programs, split,
};
use crate::{
    image::Platform,
    source::{self, HostView, Input, InputKind},
    tree::Tree,
};

/// What programs add to an image.
#[derive(Debug)]
pub struct Addition {
    /// Lowest first; each holds its paths' parents, as they are in the image where it has them.
    pub layers: Vec<PlannedLayer>,
    /// What the programs run on.
    pub platform: Platform,
    /// What the user should know.
    pub notes: Vec<Note>,
}

/// Decides what `inputs` add to an image whose files are `stage`: the inputs over it and what they
/// need, from the stage where it has it, else from the sysroot. The inputs' parents are real
/// directories of `stage`, or not there.
///
/// # Errors
/// [`PlanError`]; missing files are collected and reported together.
pub fn within(
    inputs: Vec<Input>,
    stage: &Tree,
    host: &HostView,
    source: &source::InputOptions,
    options: &PlanOptions,
) -> Result<Addition, PlanError> {
    let mut reasons = Reasons::new();
    let (mut own, mut changes) = (stage.clone(), Tree::new());
    let mut kinds = Vec::new();
    for (number, input) in inputs.into_iter().enumerate() {
        for (path, node) in input.tree {
            reasons.insert(path.clone(), Reason::Listed(number));
            own.insert(path.clone(), node.clone());
            changes.insert(path, node);
        }
        kinds.push(input.kind);
    }
    add_parents(&mut own, &mut reasons, source.mtime);
    let view = View::new(&own, host, source);
    let mut builder =
        ImageBuilder { view: &view, added: Tree::new(), reasons, mtime: source.mtime };
    let named = take_named(&kinds, options, &mut builder)?;
    let mut found = programs::find(&changes, &view)?;
    found.append(programs::find(&builder.added, &view)?);
    if !found.broken.is_empty() {
        return Err(PlanError::Broken(found.broken));
    }
    let (platform, mut notes) = platform(&mut found, &named, options)?;
    notes.extend(libc_mismatch::take_out(&mut found, &named, &view)?);
    let commands: Vec<_> = kinds.iter().filter_map(InputKind::command).cloned().collect();
    notes.extend(take_needed(&found, (&named, &commands), source, options, &mut builder)?);
    let ImageBuilder { added, mut reasons, .. } = builder;
    changes.extend(added);
    let mut parents = Vec::new();
    changes.add_parents(|path| {
        parents.push(path.clone());
        let known = own.get(path).filter(|node| node.is_directory()).cloned();
        known.unwrap_or_else(|| super::parent(path, source.mtime))
    });
    for path in parents {
        if let Some((child, _)) = changes.below(&path).next() {
            reasons.insert(path.clone(), Reason::Parent(child.clone()));
        }
    }
    Ok(Addition { layers: split::split(changes, &reasons, options.layers), platform, notes })
}
