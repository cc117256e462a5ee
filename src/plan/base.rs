//! The image that new layers are put on, and its configuration merged with what the user wants.

use std::borrow::Cow;

use super::{Below, Decision, Plan, PlannedLayer, Settings};
use crate::{
    image::{Config, History, Platform},
    packages::{apk, dpkg, rpm},
    path::ImagePath,
    timestamp::Timestamp,
    tree::{Change, Tree},
};

/// An opened image, or scratch.
#[derive(Clone, Debug)]
pub struct Base {
    /// The files of its layers, with their parents.
    pub tree: Tree,
    /// Layers over these that are still to be packed: those of a root file system.
    pub layers: Vec<PlannedLayer>,
    /// Its configuration.
    pub config: Config,
    /// Whether the configuration's platform was given and not assumed.
    pub platform_known: bool,
    /// Whether there is no base image. The new image then has at least one layer.
    pub is_scratch: bool,
}

impl Base {
    /// No image. `platform` is assumed where no program tells it; `created` is the time of
    /// everything that is made.
    pub fn scratch(platform: Platform, created: Timestamp) -> Self {
        let config = Config::new(platform, created);
        let (tree, layers) = (Tree::new(), Vec::new());
        Self { tree, layers, config, platform_known: false, is_scratch: true }
    }

    /// All its files.
    pub fn files(&self) -> Cow<'_, Tree> {
        if self.layers.is_empty() {
            return Cow::Borrowed(&self.tree);
        }
        let mut tree = self.tree.clone();
        for layer in &self.layers {
            tree.apply(Change { tree: layer.tree.clone(), ..Change::default() });
        }
        Cow::Owned(tree)
    }

    /// What the planner depends on; `files` are [`Base::files`].
    pub fn below<'a>(&'a self, files: &'a Tree) -> Below<'a> {
        let config = &self.config;
        Below {
            tree: files,
            platform: self.platform_known.then(|| config.platform.clone()),
            env: &config.env,
            user: config.user.as_deref(),
            workdir: config.workdir.as_deref(),
        }
    }

    /// The plan of an image: the layers of `decision` over this base, and the base's configuration
    /// with `settings` over it.
    pub fn plan(self, decision: Decision, settings: &Settings) -> Plan {
        let Self { tree, mut layers, mut config, is_scratch, .. } = self;
        config.platform = decision.platform;
        if let Some(entrypoint) = decision.entrypoint {
            (config.entrypoint, config.cmd) = (Some(entrypoint), None);
        }
        settings.apply(&mut config);
        config.add_variables(&decision.variables);
        let what = history(&decision.places);
        for layer in decision.layers {
            let is_layer = is_scratch || !layer.tree.is_empty();
            config.history.push(History {
                created_by: format!("{what} ({})", layer.name),
                empty_layer: !is_layer,
            });
            layers.extend(is_layer.then_some(layer));
        }
        Plan {
            layers,
            config,
            reasons: decision.reasons,
            inputs: decision.inputs,
            named: decision.named,
            notes: decision.notes,
            base: tree,
        }
    }
}

/// Files that tell an operating system from other trees of files (os-release(5)).
const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// Whether these are the files of an operating system with a package manager. Minimal images may
/// say which distribution their few files are from.
pub fn is_system(tree: &Tree) -> bool {
    let has = |path: &str| tree.resolve(path.as_bytes()).is_ok();
    let has_packages = || {
        let databases = rpm::DIRECTORIES.iter().chain(&apk::FILES);
        has(&format!("{}/status", dpkg::DIRECTORY)) || databases.into_iter().any(|path| has(path))
    };
    OS_RELEASE.iter().any(|path| has(path)) && has_packages()
}

/// Inputs that the history names.
const MAX_NAMED: usize = 8;

/// What was packed, in terms of the image: the same files give the same image wherever they lie on
/// the host.
fn history(places: &[ImagePath]) -> String {
    let mut text = "imgb pack".to_owned();
    for place in places.iter().take(MAX_NAMED) {
        text.extend([" ", &place.to_string()]);
    }
    if let Some(more) = places.len().checked_sub(MAX_NAMED).filter(|more| *more > 0) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
