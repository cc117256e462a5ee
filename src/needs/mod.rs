//! What an image's programs need of it: an image that exists → the paths that are reached, and why.
//!
//! The planner is asked as for `pack`: its sysroot are the image's files, its inputs the programs
//! that the configuration starts. What only the configuration, its user or its packages tell
//! (arguments, volumes, directories that a server writes to) is added.

mod commands;
mod configuration;
mod directories;
mod mentions;
mod subcommands;

use std::collections::{BTreeMap, BTreeSet};

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
use configuration::Configuration;
use subcommands::Subcommands;

/// Files that tell a program who its users are and how names are looked up. A server asks for them
/// in the C library, whatever its image was made with.
const ACCOUNTS: [&str; 3] = ["/etc/passwd", "/etc/group", "/etc/nsswitch.conf"];

/// Directories of PATH in which the commands of scripts are looked for.
const MAX_PATH: usize = 64;

/// How often what configuration names may bring more configuration.
const MAX_ROUNDS: usize = 4;

/// What belongs to the accounts, for programs that ask PAM.
const PASSWORDS: [&str; 2] = ["/etc/shadow", "/etc/gshadow"];

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
        let dirs: Vec<&str> = config.path().split(':').take(MAX_PATH).collect();
        let path = &dirs.join(":");
        let mut subcommands = Subcommands::of(files, (&of_image, &view), path);
        for words in command_lines(config) {
            for (path, words) in subcommands.named_by(&words)? {
                let name = format!("{words} (the image's command)");
                started.programs.entry(path).or_insert(name);
            }
        }
        mentions::follow(&mut started, &mut subcommands, (&of_image, &view), config.path())?;
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
        let Started { mut programs, mut include, arguments, .. } = self.started;
        include.extend(options.include.iter().cloned());
        for path in ACCOUNTS.iter().filter(|path| files.resolve(path.as_bytes()).is_ok()) {
            include.extend(Include::new(*path, "accounts of the image"));
        }
        let of_image = View::of_tree(files);
        let mut configuration =
            Configuration::of(files, config, (&of_image, &view)).map_err(unreadable)?;
        let mut options = PlanOptions { include, layers: Layers::One, ..options.clone() };
        let (mut tree, mut decision) = plan(files, config, (&programs, source, &options))?;
        for _ in 0..MAX_ROUNDS {
            let named = configuration.named(&tree).map_err(unreadable)?;
            if named.is_empty() {
                break;
            }
            programs.extend(named.programs);
            options.include.extend(named.include);
            (tree, decision) = plan(files, config, (&programs, source, &options))?;
        }
        // A generated one knows fewer users than the image's accounts.
        for path in PASSWORDS.iter().filter_map(|path| ImagePath::new(*path).ok()) {
            if let (true, Some(node)) = (tree.contains(&path), files.get(&path)) {
                tree.insert(path, node.clone());
            }
        }
        let packages = packages(&tree, &view).map_err(unreadable)?;
        let known = directories::Known {
            files,
            view: &view,
            config,
            arguments: &arguments,
            packages: &packages,
        };
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

/// What the planner takes of an image's files for `programs`, as one tree, and why.
fn plan(
    files: &Tree,
    config: &Config,
    (programs, source, options): (&BTreeMap<ImagePath, String>, &InputOptions, &PlanOptions),
) -> Result<(Tree, Decision), PlanError> {
    let input = |(path, name): (&ImagePath, &String)| {
        Input::new(name.clone(), Tree::new(), InputKind::Command(path.clone()))
    };
    let below = Below {
        tree: &Tree::new(),
        platform: Some(config.platform.clone()),
        env: &config.env,
        user: config.user.as_deref(),
        workdir: None,
    };
    let inputs = programs.iter().map(input).collect();
    let mut decision =
        plan::make(plan::Request { inputs, below, sysroot: files.into(), source, options })?;
    let mut tree = Tree::new();
    for PlannedLayer { tree: layer, .. } in std::mem::take(&mut decision.layers) {
        tree.extend(layer);
    }
    Ok((tree, decision))
}

/// The command lines of a configuration as words, and the words of each line for a shell.
fn command_lines(config: &Config) -> Vec<Vec<&[u8]>> {
    let check = config.healthcheck.iter().flat_map(|check| check.test.iter().skip(1));
    let lines = [config.command(), check.map(|word| &**word).collect()];
    let is_line = |word: &&&str| word.contains(char::is_whitespace);
    let for_shells: Vec<Vec<&[u8]>> = lines
        .iter()
        .flatten()
        .filter(is_line)
        .map(|line| line.split_whitespace().map(str::as_bytes).collect())
        .collect();
    let whole = lines.iter().map(|words| words.iter().map(|word| word.as_bytes()).collect());
    whole.chain(for_shells).collect()
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
