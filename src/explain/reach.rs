//! What leads to the paths of an image: the reasons that its build attached, or those that are
//! found again.

use super::{
    recorded::{self, REASONS_TYPE, Recorded},
    resolve::{ResolveOptions, Resolved, resolve},
    why::{Graph, unreached},
};
use crate::{
    digest::Digest,
    error_kind::with_causes,
    image::Config,
    oci::{Image, ImageError},
    path::ImagePath,
    plan::PlanError,
    tree::Tree,
};

/// What to do where an image starts no program that it has.
pub const NO_PROGRAM: (&str, &str) =
    ("the image starts no program that it has", "--from PATH names what it is for");

/// Reasons that a build attached to its image, with the digest of the artifact that has them.
pub type Attached = (Digest, Graph<Recorded>);

/// The reasons that are attached to `image`; `None` if there are none.
///
/// # Errors
/// Why they cannot be read, in words.
pub fn attached(image: &Image) -> Result<Option<Attached>, String> {
    let Some(subject) = image.manifest.as_ref().map(|manifest| manifest.digest) else {
        return Ok(None);
    };
    let read = || {
        let mut all = image.referrers(subject)?.into_iter();
        let found = all.rfind(|one| one.artifact_type.as_deref() == Some(REASONS_TYPE));
        let Some(found) = found else { return Ok(None) };
        Ok(Some((found.digest, image.artifact_blob(subject, &found)?)))
    };
    let Some((digest, bytes)) = read().map_err(|error: ImageError| with_causes(&error))? else {
        return Ok(None);
    };
    let causes = recorded::parse(&bytes).ok_or("the document is malformed")?;
    Ok(Some((digest, Graph::recorded(causes))))
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
