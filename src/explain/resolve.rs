//! What an image's programs need, found again inside the image alone.

use std::{num::NonZeroUsize, path::PathBuf};

use super::companions;
use crate::{
    elf::{FoundKind, Lookup as _},
    image::Config,
    needs::{Needs, Purpose},
    path::{ImagePath, glob::Glob},
    plan::{self, Decision, Include, Layers, PlanError, PlanOptions, Reason, RuleSet, Settings},
    rules::{Choice, Soft, Table},
    source::InputOptions,
    timestamp::Mtime,
    tree::Tree,
    view::View,
};

/// How an image is resolved again.
#[derive(Clone, Debug)]
pub struct ResolveOptions {
    /// The rules for run-time dependencies.
    pub rules: Table,
    /// Further files and directories that the image is for, in the image.
    pub from: Vec<ImagePath>,
    /// The directory for temporary files.
    pub spool: PathBuf,
    /// Threads.
    pub jobs: NonZeroUsize,
}

/// What was found: what is reached, and why.
#[derive(Debug)]
pub struct Resolved {
    /// The reasons of the paths that are reached.
    pub decision: Decision,
    /// What starts each input of the decision, in words.
    pub starts: Vec<String>,
    /// The paths that the image's programs lead to.
    pub reached: Tree,
}

impl Resolved {
    /// A reason as text: what starts the image's programs, in words.
    pub fn text(&self, reason: &Reason) -> String {
        match reason {
            Reason::Listed(input) => self.starts.get(*input).cloned().unwrap_or_default(),
            Reason::Included(option) if option.starts_with("--from ") => option.to_string(),
            other => other.text(&self.decision.inputs),
        }
    }
}

/// Finds what the programs of the image of `config`, whose whole file system is `tree`, need of it.
///
/// # Errors
/// [`PlanError`] if a file of the image is malformed or cannot be read.
pub fn resolve(
    tree: &Tree,
    config: &Config,
    options: &ResolveOptions,
) -> Result<Resolved, PlanError> {
    let mut files = tree.clone();
    files.add_parents(|path| plan::parent(path, Mtime::OfContent));
    let (mut more, mut include) = (Vec::new(), Vec::new());
    let view = View::of_tree(&files);
    for path in &options.from {
        let how = format!("--from {path}");
        match view.find(path.as_bytes())?.map(|found| found.kind) {
            Ok(FoundKind::File(_)) => more.push((path.to_string(), how)),
            _ => include.extend(Include::new(path.as_bytes(), how)),
        }
    }
    let purpose = Purpose::of(&files, config, &more)?;
    // A file that is not a program.
    for path in &purpose.unknown {
        include.extend(Include::new(path.as_bytes(), format!("--from {path}")));
    }
    let (source, options) =
        (input_options(config, options), plan_options(config, include, options));
    let Needs { mut tree, mut decision, .. } = purpose.needs(&files, config, &source, &options)?;
    for (path, reason) in companions::of(&files, &tree, &decision.reasons)? {
        tree.extend(files.get(&path).map(|node| (path.clone(), node.clone())));
        decision.reasons.add(path, reason);
    }
    Ok(Resolved { starts: decision.inputs.clone(), decision, reached: tree })
}

fn input_options(config: &Config, options: &ResolveOptions) -> InputOptions {
    let dirs = config.path().split(':').filter(|dir| dir.starts_with('/'));
    InputOptions {
        exclude: Vec::new(),
        preserve_mode: true,
        owner: None,
        // A compiled module is used if it was made of the source that lies beside it.
        mtime: Mtime::OfContent,
        outputs: Default::default(),
        command_dirs: dirs.filter_map(|dir| ImagePath::new(dir).ok()).collect(),
        versions: Default::default(),
        as_file: false,
        spool: options.spool.clone(),
        jobs: options.jobs,
    }
}

/// Every rule that fires is followed, whatever it adds, and what is missing is no error.
fn plan_options(config: &Config, include: Vec<Include>, options: &ResolveOptions) -> PlanOptions {
    let choice = Choice { soft: Soft::All, ..Choice::default() };
    PlanOptions {
        dependencies: true,
        rules: RuleSet { table: options.rules.clone(), choice },
        package_metadata: true,
        include,
        allow_missing: Glob::new(b"*").into_iter().collect(),
        strict: false,
        library_path: Vec::new(),
        hwcaps_all: true,
        layers: Layers::One,
        platform: Some(config.platform.clone()),
        fallback_platform: config.platform.clone(),
        settings: Settings {
            entrypoint: config.entrypoint.clone(),
            cmd: config.cmd.clone(),
            ..Settings::default()
        },
        capabilities: Vec::new(),
    }
}
