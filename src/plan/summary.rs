//! A plan in few lines: paths that are in the image for one reason are one line. Pure.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{Plan, PlannedLayer, Reason};
use crate::{
    path::{ImagePath, escape},
    quantity,
    tree::Sizes,
};

/// Paths of a layer that have one reason.
struct Group<'a> {
    /// The reason, in words.
    why: String,
    /// In their order.
    paths: Vec<&'a ImagePath>,
    /// Bytes of the files, those of hard links once.
    size: u64,
}

/// What the paths of a group have in common. Libraries stay apart: each has a reason of its own.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Rule(&'a str),
    Links,
    Parents,
    Compiled,
    Interpreters,
    Other(String),
}

/// One line for each reason: how many paths, their size, where they are, and why.
pub fn summary(plan: &Plan) -> String {
    let mut out = String::new();
    let count: usize = plan.layers.iter().map(|layer| layer.tree.len()).sum();
    let sizes: Vec<u64> = plan.layers.iter().map(|layer| Sizes::of(&layer.tree)).collect();
    let _ = writeln!(
        out,
        "# {}: {} in {}, {}",
        plan.config.platform,
        quantity::count(count, "path"),
        quantity::count(plan.layers.len(), "layer"),
        quantity::bytes(sizes.iter().sum())
    );
    for (layer, bytes) in plan.layers.iter().zip(sizes) {
        let paths = quantity::count(layer.tree.len(), "path");
        let _ = writeln!(out, "\nlayer {}: {paths}, {}", layer.name, quantity::bytes(bytes));
        for group in groups(plan, layer) {
            // One path is printed itself.
            let count = match group.paths.len() {
                1 => String::new(),
                count => quantity::count(count, "path"),
            };
            let (size, place) = (quantity::bytes(group.size), place(&group.paths));
            let _ = writeln!(out, "  {count:>11}  {size:>9}  {place}  {}", group.why);
        }
    }
    out
}

/// The groups of a layer, in the order of their first paths, and the directories above the others'
/// paths at the end.
fn groups<'a>(plan: &'a Plan, layer: &'a PlannedLayer) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut known: BTreeMap<Key<'a>, usize> = BTreeMap::new();
    let mut parents = None;
    let mut sizes = Sizes::default();
    for (path, node) in layer.tree.iter() {
        let reason = plan.reasons.get(path);
        let key = reason.map_or(Key::Other(String::new()), |reason| key(reason, &plan.inputs));
        let at = *known.entry(key).or_insert_with_key(|key| {
            let why = match key {
                Key::Links => "links to other paths of the image".into(),
                Key::Parents => "directories above other paths".into(),
                Key::Compiled => "compiled forms of other paths".into(),
                Key::Interpreters => "interpreters of scripts".into(),
                Key::Rule(_) | Key::Other(_) => {
                    reason.map(|reason| reason.text(&plan.inputs)).unwrap_or_default()
                }
            };
            if *key == Key::Parents {
                parents = Some(groups.len());
            }
            groups.push(Group { why, paths: Vec::new(), size: 0 });
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(at) {
            group.paths.push(path);
            group.size += sizes.add(node);
        }
    }
    if let Some(at) = parents {
        let parents = groups.remove(at);
        groups.push(parents);
    }
    groups
}

fn key<'a>(reason: &'a Reason, inputs: &[String]) -> Key<'a> {
    match reason {
        Reason::Rule(found) => Key::Rule(&found.rule),
        Reason::Link(_) => Key::Links,
        Reason::Parent(_) => Key::Parents,
        Reason::Compiled(_) => Key::Compiled,
        Reason::Interpreter(_) => Key::Interpreters,
        other => Key::Other(other.text(inputs)),
    }
}

/// The path, or the deepest directory that is above all of several.
fn place(paths: &[&ImagePath]) -> String {
    let (Some(first), Some(last)) = (paths.first(), paths.last()) else { return String::new() };
    if paths.len() == 1 {
        return first.to_string();
    }
    // The paths are sorted, so what the first and the last share, all share.
    let names = |path: &'_ ImagePath| -> Vec<Vec<u8>> {
        path.as_bytes().split(|&byte| byte == b'/').map(<[u8]>::to_vec).collect()
    };
    let (first, last) = (names(first), names(last));
    let above = first.len().min(last.len().saturating_sub(1));
    let shared = first.iter().zip(&last).take(above).take_while(|(a, b)| a == b);
    let dir: Vec<&[u8]> = shared.map(|(name, _)| &**name).collect();
    format!("{}/…", escape(&dir.join(&b'/')))
}
