//! A recipe's stages → a plan. Each instruction changes a tree that says where bytes are. No
//! program is executed.

mod base;
mod config;
mod contexts;
mod copy;
mod error;
mod execute;
mod layer_writer;
mod owner;
mod programs;
mod secrets;
mod stage;
mod suggest;
mod sysroot;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use crate::{
    digest::Digest,
    oci,
    path::ignore::Ignore,
    plan::{self, Plan},
    recipe::{Arguments, Base, Recipe, evaluate, fault::Notice, outline},
    source,
};

pub use base::{BaseContext, open_base};
pub use contexts::{ContextDirectory, NamedContext, NamedContexts};
pub use error::{BuildError, Cause};
use execute::Builder;
pub use secrets::{is_secret_file, note as secret_note, suspects};
pub use stage::OpenBase;
pub use sysroot::OpenSysroot;

/// How a recipe is built.
#[derive(Debug)]
pub struct BuildOptions {
    /// The directory that COPY, ADD and PACK take files from.
    pub context: PathBuf,
    /// Patterns of files in it that are left out.
    pub ignore: Ignore,
    /// Other directories and images that have a name.
    pub contexts: NamedContexts,
    /// `--build-arg`, `--target` and the platform's variables.
    pub arguments: Arguments,
    /// Where PACK looks libraries up without `--sysroot` of its own ([`OpenSysroot::open`]).
    pub sysroot: Option<PathBuf>,
    /// How files become trees.
    pub source: source::InputOptions,
    /// How PACK decides; of the settings, the labels.
    pub plan: plan::PlanOptions,
    /// How base images are opened.
    pub image: oci::OpenOptions,
    /// Make one layer of all.
    pub squash: bool,
    /// Refuse what looks like a secret.
    pub deny_secrets: bool,
}

impl BuildOptions {
    fn base_context(&self) -> BaseContext<'_> {
        BaseContext {
            context: &self.context,
            source: &self.source,
            platform: self.plan.platform.as_ref(),
            fallback_platform: &self.plan.fallback_platform,
            image: &self.image,
        }
    }
}

/// The result of building a recipe.
#[derive(Debug)]
pub struct Built {
    /// The image.
    pub plan: Plan,
    /// The image whose layers lie below the plan's.
    pub base: Option<Arc<oci::UnpackedImage>>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// The images that bases, `--from` and sysroots name, with their digests.
    pub images: BTreeMap<String, Digest>,
    /// What is odd about the recipe but not an error.
    pub notices: Vec<Notice>,
}

/// Builds the target's stages.
///
/// # Errors
/// [`BuildError`]: all faults of the text, or the first instruction that cannot be done.
pub fn build(recipe: &Recipe, options: &BuildOptions) -> Result<Built, BuildError> {
    let outline = outline(recipe, &options.arguments)?;
    let mut builder = Builder::new(recipe, options);
    let mut inherited = BTreeMap::new();
    for needed in &outline.needed {
        if let Base::Image(name) = &needed.base {
            let span = recipe.stages.get(needed.index).map(|stage| stage.from.base.span);
            let stage = builder.image(name, needed.platform.as_deref());
            let stage = stage.and_then(base::without_triggers);
            let stage = stage.map_err(|cause| BuildError::at(recipe, span, cause))?;
            inherited.insert(needed.index, base::inherited(&stage));
            builder.bases.insert(needed.index, stage);
        }
    }
    let evaluation = evaluate::evaluate(recipe, &options.arguments, &outline, &inherited)?;
    for stage in &evaluation.stages {
        builder.stage(stage)?;
    }
    let target = outline.needed.last().map(|needed| needed.index);
    let stage = target.and_then(|target| builder.stages.remove(&target));
    let Some(mut stage) = stage else { return Err(BuildError::at(recipe, None, Cause::Nothing)) };
    options.plan.settings.apply(&mut stage.config);
    let mut notices = recipe.notices.clone();
    notices.extend(outline.notices);
    notices.extend(evaluation.notices);
    if options.squash {
        stage.squash();
    }
    let plan = Plan {
        layers: stage.layers,
        config: stage.config,
        reasons: stage.reasons,
        inputs: stage.inputs,
        named: stage.named,
        notes: builder.notes,
        base: stage.image_tree,
    };
    let annotations = stage.annotations.into_iter().collect();
    let images = builder.opened;
    Ok(Built { plan, base: stage.image, annotations, images, notices })
}

/// The values of `TARGETPLATFORM`, `BUILDARCH` and their kin: what is built for, and what builds.
pub fn platform_arguments(
    target: &crate::image::Platform,
    own: &crate::image::Platform,
) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for (prefix, platform) in [("TARGET", target), ("BUILD", own)] {
        let variant = platform.variant.clone().unwrap_or_default();
        out.insert(format!("{prefix}PLATFORM"), platform.to_string());
        out.insert(format!("{prefix}OS"), platform.os.clone());
        out.insert(format!("{prefix}ARCH"), platform.architecture.clone());
        out.insert(format!("{prefix}VARIANT"), variant);
    }
    out
}
