//! The layers of two images.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{DiffError, files::Comparison};
use crate::{digest::DiffId, oci::Layer, path::ImagePath, plan::NAME_ANNOTATION};

/// A layer that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerDifference {
    /// How.
    pub change: LayerChange,
    /// Its number in the first image, from 0.
    pub a: Option<usize>,
    /// Its number in the second image.
    pub b: Option<usize>,
    /// The paths in which a changed layer differs, and those that only one side removes.
    pub paths: BTreeSet<ImagePath>,
}

/// How a layer differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerChange {
    /// Only the second image has it.
    Added,
    /// Only the first image has it.
    Removed,
    /// It has other files.
    Changed,
    /// It has another place.
    Moved,
}

impl LayerChange {
    /// Its name in messages and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
            Self::Moved => "moved",
        }
    }
}

impl LayerDifference {
    pub(super) fn json(&self, a: &[Layer], b: &[Layer]) -> Value {
        let side = |layers: &[Layer], at: Option<usize>| {
            at.and_then(|at| Some((at, layers.get(at)?))).map(|(at, layer)| {
                json!({
                    "index": at,
                    "digest": layer.digest.to_string(),
                    "diff_id": layer.diff_id.to_string(),
                    "size": layer.size,
                    "tar_size": layer.tar_size,
                    "name": layer.annotations.get(NAME_ANNOTATION),
                })
            })
        };
        json!({
            "change": self.change.name(),
            "a": side(a, self.a),
            "b": side(b, self.b),
            "paths": self.paths.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }
}

/// Layers of both images that stand for each other, or of one that stand alone.
pub(super) type Pair = (Option<usize>, Option<usize>);

/// Pairs layers: those with the same content at both ends, then those with the same content
/// between, then what is left by its place.
pub(super) fn pair(a: &[Layer], b: &[Layer]) -> Vec<Pair> {
    let ids = |layers: &[Layer]| layers.iter().map(|layer| layer.diff_id).collect::<Vec<_>>();
    pairs(&ids(a), &ids(b))
}

fn pairs(a: &[DiffId], b: &[DiffId]) -> Vec<Pair> {
    let same = |(a, b): &(&DiffId, &DiffId)| a == b;
    let front = a.iter().zip(b).take_while(same).count();
    let (rest_a, rest_b) = (&a[front..], &b[front..]);
    let back = rest_a.iter().rev().zip(rest_b.iter().rev()).take_while(same).count();
    let mut left_a: Vec<usize> = (front..a.len() - back).collect();
    let mut left_b: Vec<usize> = (front..b.len() - back).collect();
    let mut pairs: Vec<Pair> = (0..front).map(|at| (Some(at), Some(at))).collect();
    left_a.retain(|&at| match left_b.iter().position(|&other| a[at] == b[other]) {
        Some(other) => {
            pairs.push((Some(at), Some(left_b.remove(other))));
            false
        }
        None => true,
    });
    for at in 0..left_a.len().max(left_b.len()) {
        pairs.push((left_a.get(at).copied(), left_b.get(at).copied()));
    }
    pairs.extend((1..=back).rev().map(|at| (Some(a.len() - at), Some(b.len() - at))));
    pairs.sort_by_key(|&(a, b)| (a.or(b), b));
    pairs
}

/// The layers that differ.
pub(super) fn compare(
    a: &[Layer],
    b: &[Layer],
    pairs: &[Pair],
    comparison: &mut Comparison<'_>,
) -> Result<Vec<LayerDifference>, DiffError> {
    let mut found = Vec::new();
    // The place in the second image that follows from the pair before.
    let mut next = 0;
    for &(at_a, at_b) in pairs {
        let change = |change, paths| LayerDifference { change, a: at_a, b: at_b, paths };
        let layers = (at_a.and_then(|at| a.get(at)), at_b.and_then(|at| b.get(at)));
        match layers {
            (Some(layer_a), Some(layer_b)) if layer_a.diff_id == layer_b.diff_id => {
                if at_b.is_some_and(|at| at < next) {
                    found.push(change(LayerChange::Moved, BTreeSet::new()));
                }
            }
            (Some(layer_a), Some(layer_b)) => {
                let paths = paths(layer_a, layer_b, comparison)?;
                if !paths.is_empty() {
                    found.push(change(LayerChange::Changed, paths));
                }
            }
            (Some(_), None) => found.push(change(LayerChange::Removed, BTreeSet::new())),
            (None, _) => found.push(change(LayerChange::Added, BTreeSet::new())),
        }
        next = next.max(at_b.map_or(0, |at| at + 1));
    }
    Ok(found)
}

/// The paths in which two layers differ.
fn paths(
    a: &Layer,
    b: &Layer,
    comparison: &mut Comparison<'_>,
) -> Result<BTreeSet<ImagePath>, DiffError> {
    let (a, b) = (&a.change, &b.change);
    let files = comparison.trees(&a.tree, &b.tree)?;
    let mut paths: BTreeSet<_> = files.into_iter().map(|file| file.path).collect();
    paths.extend(a.whiteouts.symmetric_difference(&b.whiteouts).cloned());
    paths.extend(a.opaque.symmetric_difference(&b.opaque).cloned());
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    #[test]
    fn layers_are_paired_by_content_and_then_by_place() {
        let ids = |text: &str| -> Vec<DiffId> {
            text.bytes().map(|byte| DiffId(Digest::of([byte]))).collect()
        };
        let check = |a: &str, b: &str, wanted: &[(i32, i32)]| {
            let number = |at: Option<usize>| at.map_or(-1, |at| at as i32);
            let found = pairs(&ids(a), &ids(b)).into_iter();
            let found: Vec<_> = found.map(|(a, b)| (number(a), number(b))).collect();
            assert_eq!(found, wanted, "{a} {b}");
        };
        check("", "", &[]);
        check("ab", "ab", &[(0, 0), (1, 1)]);
        check("ab", "xab", &[(-1, 0), (0, 1), (1, 2)]);
        check("axb", "ayb", &[(0, 0), (1, 1), (2, 2)]);
        check("ab", "ba", &[(0, 1), (1, 0)]);
        check("aa", "a", &[(0, 0), (1, -1)]);
        check("abx", "ya", &[(0, 1), (1, 0), (2, -1)]);
    }
}
