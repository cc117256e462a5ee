//! What an image's programs need of it: an image that exists → the paths that are reached, and why.
//!
//! The planner is asked as for `pack`: its sysroot are the image's files, its inputs the programs
//! that the configuration starts. What only the configuration, its user or its packages tell
//! (arguments, volumes, directories that a server writes to) is added.

mod commands;
mod directories;
mod mentions;

use std::collections::BTreeSet;

use crate::{
    elf::ReadFailure,
    image::Config,
    packages::PackageId,
    path::ImagePath,
    plan::{self, Below, Decision, Include, Layers, PlanError, PlanOptions, PlannedLayer, Reason},
    source::{Input, InputKind, InputOptions, SourceError},
    tree::Tree,
    view::View,
};

use commands::Started;

/// Files that tell a program who its users are and how names are looked up. A server asks for them
/// in the C library, whatever its image was made with.
const ACCOUNTS: [&str; 3] = ["/etc/passwd", "/etc/group", "/etc/nsswitch.conf"];

/// What an image is for: the programs that it starts, and the files that are named besides.
#[derive(Debug)]
pub struct Purpose {
    /// The program that the configuration starts and the image does not have.
    pub missing: Option<String>,
    /// Those of the further names that no program of the image has.
    pub unknown: Vec<String>,
    started: Started,
}

/// What is reached.
#[derive(Debug)]
pub struct Needs {
    /// The paths, as the planner made them.
    pub tree: Tree,
    /// What was decided; its layers are empty.
    pub decision: Decision,
    /// The packages that own a file of `tree`.
    pub packages: BTreeSet<PackageId>,
}

impl Purpose {
    /// What the image of `config` starts and names, and the programs `more`, each with what names
    /// it. `files` are all files of the image, with their parents.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn of(
        files: &Tree,
        config: &Config,
        more: &[(String, String)],
    ) -> Result<Self, ReadFailure> {
        let (of_image, view) = (View::of_tree(files), View::of_sysroot(files));
        let (mut started, missing) = commands::find(&of_image, config, more)?;
        let unknown = std::mem::take(&mut started.unknown);
        mentions::follow(&mut started, &of_image, &view)?;
        Ok(Self { missing, unknown, started })
    }

    /// Whether the configuration starts no program, and none was asked for.
    pub fn is_empty(&self) -> bool {
        !self.started.has_purpose
    }

    /// What the programs need of `files`, which hold their parents. `options` are the planner's,
    /// and what they include is kept as well.
    ///
    /// # Errors
    /// [`PlanError`] if something is missing or broken, or cannot be read.
    pub fn needs(
        self,
        files: &Tree,
        config: &Config,
        source: &InputOptions,
        options: &PlanOptions,
    ) -> Result<Needs, PlanError> {
        let unreadable = |failure: ReadFailure| PlanError::Source(SourceError::from(failure));
        let view = View::of_sysroot(files);
        let Started { programs, mut include, .. } = self.started;
        include.extend(options.include.iter().cloned());
        for path in ACCOUNTS.iter().filter(|path| files.resolve(path.as_bytes()).is_ok()) {
            include.extend(Include::new(*path, "accounts of the image"));
        }
        let options = PlanOptions { include, layers: Layers::One, ..options.clone() };
        let input = |(path, name)| Input::new(name, Tree::new(), InputKind::Command(path));
        let inputs = programs.into_iter().map(|(path, name): (_, String)| input((path, name)));
        let below = Below {
            tree: &Tree::new(),
            platform: Some(config.platform.clone()),
            env: &config.env,
            user: config.user.as_deref(),
            workdir: None,
        };
        let mut decision = plan::make(plan::Request {
            inputs: inputs.collect(),
            below,
            sysroot: files.into(),
            source,
            options: &options,
        })?;
        let mut tree = Tree::new();
        for PlannedLayer { tree: layer, .. } in std::mem::take(&mut decision.layers) {
            tree.extend(layer);
        }
        let packages = packages(&tree, &view).map_err(unreadable)?;
        let known = directories::Known { files, view: &view, config, packages: &packages };
        for (path, why) in known.directories().map_err(unreadable)? {
            if !tree.contains(&path)
                && let Some(node) = files.get(&path)
            {
                tree.insert(path.clone(), node.clone());
                decision.reasons.add(path, Reason::Included(why.into()));
            }
        }
        Ok(Needs { tree, decision, packages })
    }
}

/// The packages that own a file of `tree`.
///
/// # Errors
/// [`ReadFailure`]
pub fn packages(tree: &Tree, view: &View<'_>) -> Result<BTreeSet<PackageId>, ReadFailure> {
    let Some(database) = view.packages()? else { return Ok(BTreeSet::new()) };
    let files = tree.iter().filter(|(_, node)| !node.is_directory());
    Ok(files.flat_map(|(path, _): (&ImagePath, _)| database.owners(path)).collect())
}
