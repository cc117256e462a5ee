//! What leads to the paths of an image: the reasons that are attached to it, or else those that are
//! found again.

use std::cell::LazyCell;

use super::{
    recorded::{self, REASONS_TYPE, Recorded},
    resolve::{ResolveOptions, Resolved, resolve},
    why::{Graph, unreached},
};
use crate::{
    digest::Digest,
    error_kind::{ErrorKind, with_causes},
    image::Config,
    oci::{ImageError, UnpackedImage},
    path::ImagePath,
    plan::PlanError,
    tree::Tree,
};

/// What to do where an image starts no program that it has.
pub const NO_PROGRAM: (&str, &str) =
    ("the image starts no program that it has", "--from PATH names what it is for");

/// Artifacts of reasons that are read: anybody who may write to a registry may attach more.
const MAX_TRIED: usize = 10;

/// Reasons that a build attached to its image, with the digest of the artifact that has them.
pub type Attached = (Digest, Graph<Recorded>);

/// The artifacts of reasons that are attached to an image.
#[derive(Debug, Default)]
pub struct Attachments {
    /// The last one that can be used.
    pub used: Option<Attached>,
    /// Why others, which come after it, cannot be used, each in words; in the end, that there are
    /// older ones.
    pub unusable: Vec<String>,
}

/// The reasons that are attached to `unpacked`.
///
/// # Errors
/// [`ImageError`] if the artifacts cannot be listed, or a read of one fails.
pub fn attached(unpacked: &UnpackedImage) -> Result<Attachments, ImageError> {
    let image = &unpacked.image;
    let mut found = Attachments::default();
    let Some(subject) = image.manifest.as_ref().map(|manifest| manifest.digest) else {
        return Ok(found);
    };
    let all = image.referrers(subject)?;
    let of_reasons = all.iter().filter(|one| one.artifact_type.as_deref() == Some(REASONS_TYPE));
    let mut tried = of_reasons.rev();
    let tree = LazyCell::new(|| unpacked.merged());
    for one in tried.by_ref().take(MAX_TRIED) {
        let reasons = match image.artifact_blob(subject, one) {
            Ok(bytes) => reasons_of(&tree, &bytes),
            Err(error) if error.kind() == ErrorKind::Input => return Err(error),
            Err(error) => Err(with_causes(&error)),
        };
        match reasons {
            Ok(graph) => {
                found.used = Some((one.digest, graph));
                break;
            }
            Err(why) => found.unusable.push(format!("{}: {why}", one.digest)),
        }
    }
    if found.used.is_none() && tried.next().is_some() {
        found.unusable.push("older ones are not looked at".to_owned());
    }
    Ok(found)
}

/// The reasons in a document, if `tree`, the image's whole file system, has all of its paths.
fn reasons_of(tree: &Tree, document: &[u8]) -> Result<Graph<Recorded>, String> {
    let causes = recorded::parse(document).map_err(|error| error.to_string())?;
    match causes.keys().find(|path| !tree.contains(path) && tree.below(path).next().is_none()) {
        Some(path) => Err(format!("it is about another image, which has {path}")),
        None => {
            let graph = Graph::recorded(causes);
            // Each path of an image is there for some reason.
            let is_for_all = tree.is_empty() || graph.reaches(&ImagePath::root());
            is_for_all.then_some(graph).ok_or_else(|| "it has no start".to_owned())
        }
    }
}

/// What leads to the paths of an image.
#[derive(Debug)]
pub enum Reach {
    /// The reasons that the build attached, with the digest of the artifact that has them.
    Attached(Digest, Graph<Recorded>),
    /// What the image's programs need, found again inside the image alone.
    Found(Box<Resolved>, Graph),
}

impl Reach {
    /// The reasons that are `attached` to the image of `config`, whose whole file system is `tree`,
    /// or else those that are found again; `None` if the image starts no program that it has.
    ///
    /// # Errors
    /// [`PlanError`] if a file of the image is malformed or cannot be read.
    pub fn of(
        attached: Option<Attached>,
        tree: &Tree,
        config: &Config,
        options: &ResolveOptions,
    ) -> Result<Option<Self>, PlanError> {
        if let Some((digest, graph)) = attached {
            return Ok(Some(Self::Attached(digest, graph)));
        }
        let resolved = resolve(tree, config, options)?;
        if resolved.starts.is_empty() && options.from.is_empty() {
            return Ok(None);
        }
        let graph = Graph::new(&resolved.reached, &resolved.decision.reasons);
        Ok(Some(Self::Found(Box::new(resolved), graph)))
    }

    /// The digest of the artifact that has the reasons; `None` if they were found again.
    pub fn recorded(&self) -> Option<Digest> {
        match self {
            Self::Attached(digest, _) => Some(*digest),
            Self::Found(..) => None,
        }
    }

    /// Whether something leads to `path`.
    pub fn reaches(&self, path: &ImagePath) -> bool {
        match self {
            Self::Attached(_, graph) => graph.reaches(path),
            Self::Found(_, graph) => graph.reaches(path),
        }
    }

    /// The files and links of `tree` that nothing leads to, with the bytes that would go with
    /// each, largest first.
    pub fn unreached(&self, tree: &Tree) -> Vec<(ImagePath, u64)> {
        unreached(tree, |path| self.reaches(path))
    }
}
