//! Why the files of two images are there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    error_kind::{ErrorKind, with_causes},
    explain::{
        reach::{Attached, NO_PROGRAM, Reach},
        recorded::Recorded,
        resolve::ResolveOptions,
        why::{Edge, Graph},
    },
    oci::UnpackedImage,
    path::ImagePath,
    plan::{PlanError, Reason},
    tree::{Node, Tree},
};

/// Fields of a reason in which it may differ and still be the same: another version of a package,
/// another place in the Buildfile.
const DETAILS: [&str; 3] = ["evidence", "line", "package"];

/// How the reasons of two images differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReasonDifferences {
    /// Whether they are those that the builds attached. Otherwise they follow from the images.
    pub recorded: bool,
    /// Files that both images have and that are there for other reasons, in order.
    pub files: Vec<ReasonDifference>,
    /// Why they were not compared.
    pub unresolved: Option<String>,
}

/// A file that is in two images for other reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReasonDifference {
    /// Where it is.
    pub path: ImagePath,
    /// The reasons that only the first image has, each as one phrase.
    pub a: Vec<String>,
    /// The reasons that only the second image has.
    pub b: Vec<String>,
}

/// Reasons by what tells them apart, each as one phrase.
type Phrases = BTreeMap<String, String>;

impl ReasonDifferences {
    /// As docs/json.md says.
    pub(super) fn json(&self) -> Value {
        let file =
            |one: &ReasonDifference| json!({"path": one.path.to_string(), "a": one.a, "b": one.b});
        json!({
            "recorded": self.recorded,
            "unresolved": self.unresolved,
            "files": self.files.iter().map(file).collect::<Vec<_>>(),
        })
    }
}

/// How the reasons that are attached to two images differ, if both have some; else those that are
/// found again in the images.
///
/// # Errors
/// If a file of an image cannot be read.
pub(super) fn compare(
    (a, b): (&UnpackedImage, &UnpackedImage),
    attached: (Option<Attached>, Option<Attached>),
    options: &ResolveOptions,
) -> Result<ReasonDifferences, PlanError> {
    let (attached_a, attached_b, recorded) = match attached {
        (Some(a), Some(b)) if a.0 == b.0 => {
            return Ok(ReasonDifferences { recorded: true, ..ReasonDifferences::default() });
        }
        (Some(a), Some(b)) => (Some(a), Some(b), true),
        _ => (None, None, false),
    };
    let (tree_a, tree_b) = (a.merged(), b.merged());
    let both = |path: &ImagePath, node: &Node| !node.is_directory() && tree_b.contains(path);
    let shared: BTreeSet<&ImagePath> =
        tree_a.iter().filter(|(path, node)| both(path, node)).map(|(path, _)| path).collect();
    let of = |image: &UnpackedImage, tree: &Tree, attached| match Reach::of(
        attached,
        tree,
        &image.image.config,
        options,
    ) {
        Ok(Some(reach)) => Ok(Ok(phrases(&reach, &shared))),
        Ok(None) => Ok(Err(NO_PROGRAM.0.to_owned())),
        Err(error) if error.kind() == ErrorKind::Input => Err(error),
        Err(error) => Ok(Err(with_causes(&error))),
    };
    let (a, b) = match (of(a, &tree_a, attached_a)?, of(b, &tree_b, attached_b)?) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(why), _) | (_, Err(why)) => {
            return Ok(ReasonDifferences { recorded, files: Vec::new(), unresolved: Some(why) });
        }
    };
    let nothing = Phrases::new();
    let files = shared.iter().filter_map(|path| {
        let of = |all: &'_ BTreeMap<&ImagePath, Phrases>| all.get(path).unwrap_or(&nothing).clone();
        let (of_a, of_b) = (of(&a), of(&b));
        let only = |one: &Phrases, other: &Phrases| -> Vec<String> {
            let left = one.iter().filter(|(key, _)| !other.contains_key(*key));
            left.map(|(_, text)| text.clone()).collect()
        };
        let (a, b) = (only(&of_a, &of_b), only(&of_b, &of_a));
        let differs = !a.is_empty() || !b.is_empty();
        differs.then(|| ReasonDifference { path: (*path).clone(), a, b })
    });
    Ok(ReasonDifferences { recorded, files: files.collect(), unresolved: None })
}

/// The reasons of the paths of `wanted`.
fn phrases<'p>(
    reach: &Reach,
    wanted: &BTreeSet<&'p ImagePath>,
) -> BTreeMap<&'p ImagePath, Phrases> {
    match reach {
        Reach::Attached(_, graph) => {
            let of = |one: &Recorded| (one.reason.clone(), one.text.clone());
            collect(graph, wanted, &of)
        }
        Reach::Found(resolved, graph) => {
            let inputs = &resolved.decision.inputs;
            let of = |one: &Reason| (one.json(inputs), resolved.text(one));
            collect(graph, wanted, &of)
        }
    }
}

fn collect<'p, R: Edge>(
    graph: &Graph<R>,
    wanted: &BTreeSet<&'p ImagePath>,
    of: &dyn Fn(&R) -> (Value, String),
) -> BTreeMap<&'p ImagePath, Phrases> {
    let phrase = |one: &R| {
        let (mut reason, text) = of(one);
        if let Some(fields) = reason.as_object_mut() {
            fields.retain(|name, _| !DETAILS.contains(&name.as_str()));
        }
        (reason.to_string(), text)
    };
    let all = |path: &&'p ImagePath| (*path, graph.causes(path).iter().map(phrase).collect());
    wanted.iter().map(all).collect()
}
