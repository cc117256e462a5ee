//! What an image's programs need, found again inside the image alone.

use std::{collections::BTreeMap, num::NonZeroUsize, path::PathBuf};

use crate::{
    elf::{FoundKind, Lookup as _},
    image::Config,
    path::{ImagePath, glob::Glob},
    plan::{
        self, Below, Decision, Include, Layers, PlanError, PlanOptions, Reason, RuleSet, Settings,
    },
    process::locate,
    rules::{Choice, Soft, Table},
    source::{Input, InputKind, InputOptions, Sysroot},
    timestamp::{Mtime, Timestamp},
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
    /// The paths that are reached, and the reasons of each.
    pub decision: Decision,
    /// What starts each input of the decision, in words.
    pub starts: Vec<String>,
}

impl Resolved {
    /// The paths that the image's programs lead to.
    pub fn reached(&self) -> Tree {
        let layers = self.decision.layers.iter();
        layers.flat_map(|layer| layer.tree.iter()).map(|(p, n)| (p.clone(), n.clone())).collect()
    }

    /// A reason as text: what starts the image's programs, in words.
    pub fn text(&self, reason: &Reason) -> String {
        match reason {
            Reason::Listed(input) => self.starts.get(*input).cloned().unwrap_or_default(),
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
    let view = View::of_tree(tree);
    let workdir = config.workdir.as_deref().unwrap_or("/");
    let mut programs: BTreeMap<ImagePath, String> = BTreeMap::new();
    let mut include = Vec::new();
    let mut order = Vec::new();
    let mut add = |name: &[u8], how: String| -> Result<(), PlanError> {
        let Ok((opened, found)) = locate(&view, name, workdir, config.path())? else {
            return Ok(());
        };
        let Ok(path) = ImagePath::new(&opened) else { return Ok(()) };
        if matches!(found.kind, FoundKind::File(_)) && !programs.contains_key(&path) {
            programs.insert(path.clone(), how);
            order.push(path);
        }
        Ok(())
    };
    let command = config.command();
    if let Some(program) = command.first() {
        add(program.as_bytes(), "the image starts it".into())?;
    }
    // An init such as tini starts the program that follows, a shell the script.
    for word in command.iter().skip(1).filter(|word| word.starts_with('/')) {
        add(word.as_bytes(), format!("the image's command names it: {word}"))?;
    }
    let health = config.healthcheck.iter().flat_map(|check| check.test.get(1));
    for program in health {
        add(program.as_bytes(), "the health check runs it".into())?;
    }
    for path in &options.from {
        let found = view.find(path.as_bytes())?;
        match found.map(|found| found.kind) {
            Ok(FoundKind::File(_)) => add(path.as_bytes(), format!("--from {path}"))?,
            _ => include.extend(Include::new(path.as_bytes(), format!("--from {path}"))),
        }
    }
    let inputs = order
        .iter()
        .map(|path| Input::new(path.to_string(), Tree::new(), InputKind::Command(path.clone())));
    let (source, plan_options) =
        (input_options(config, options), plan_options(config, include, options));
    let nothing = Tree::new();
    let decision = plan::make(plan::Request {
        inputs: inputs.collect(),
        below: Below {
            tree: &nothing,
            platform: Some(config.platform.clone()),
            env: &config.env,
            user: config.user.as_deref(),
            workdir: None,
        },
        sysroot: Sysroot::from(tree),
        source: &source,
        options: &plan_options,
    })?;
    let starts = order.iter().map(|path| programs.remove(path).unwrap_or_default());
    Ok(Resolved { decision, starts: starts.collect() })
}

fn input_options(config: &Config, options: &ResolveOptions) -> InputOptions {
    let dirs = config.path().split(':').filter(|dir| dir.starts_with('/'));
    InputOptions {
        exclude: Vec::new(),
        preserve_mode: true,
        owner: None,
        mtime: Mtime::At(Timestamp::EPOCH),
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
