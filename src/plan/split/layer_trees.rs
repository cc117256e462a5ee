//! The trees of layers.

use super::components::Components;
use crate::{
    path::ImagePath,
    plan::{PlannedLayer, parent},
    timestamp::Mtime,
    tree::{Node, Tree},
};

/// The layers of `tree` that are not empty, lowest first. `layers` are their names and components,
/// and `of` the layer of each component.
///
/// The directories on the way to a layer's paths look the same in each layer and each image: only
/// the last layer has those that are not as [`parent`] makes them, and as the highest it decides.
pub(super) fn build(
    tree: Tree,
    components: &Components,
    (layers, of): (Vec<(String, Vec<String>)>, Vec<usize>),
    mtime: Mtime,
) -> Vec<PlannedLayer> {
    let last = layers.len().saturating_sub(1);
    let mut counts = vec![0; layers.len()];
    for number in components.of.iter().flatten() {
        if let Some(count) = of.get(*number).and_then(|at| counts.get_mut(*at)) {
            *count += 1;
        }
    }
    let mut parts: Vec<Vec<(ImagePath, Node)>> =
        counts.into_iter().map(Vec::with_capacity).collect();
    for ((path, node), component) in tree.into_iter().zip(&components.of) {
        let at = match component.and_then(|number| of.get(number)) {
            Some(at) => *at,
            None if node == parent(&path, mtime) => continue,
            None => last,
        };
        if let Some(part) = parts.get_mut(at) {
            part.push((path, node));
        }
    }
    let layers = layers.into_iter().zip(parts).filter(|(_, part)| !part.is_empty());
    let layers = layers.map(|((name, components), part)| {
        let mut tree: Tree = part.into_iter().collect();
        tree.add_parents(|path| parent(path, mtime));
        PlannedLayer { name, components, tree }
    });
    let mut layers: Vec<_> = layers.collect();
    if layers.is_empty() {
        layers.push(PlannedLayer::new("inputs", Tree::new()));
    }
    layers
}
