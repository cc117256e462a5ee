//! Run-time dependencies: facts about the closure's files → files that rules add to the image, and
//! hints about what they leave out.

mod commands;
mod depends;
mod embedded;
mod extras;
mod files;
mod gather;
mod meant;
mod notes;
mod opens;
mod owners;
mod perl;
mod python;
mod registered;
mod scan;
mod scripts;
mod startable;
mod started;
mod starters;
mod survey;
mod texts;
mod typelibs;
mod unowned;

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::Arc,
};

use super::{
    Note, PlanError, PlanOptions, Reason, RuleMatch,
    builder::ImageBuilder,
    programs::{self, Programs},
};
use crate::{
    elf::{self, Closure, Lookup as _, ReadFailure, script::Shebang},
    languages::{Languages, TextKind, Variables},
    path::{ImagePath, escape, glob::Glob, glob_set::GlobSet},
    rules::{self, Choice, Fired, NamedBy, Table, Verdict},
    tree::{Kind, Meta, Node, Tree},
};

use files::RuleFile;
use gather::Gatherer;
use perl::PerlModules;

pub(super) use gather::accounts;
pub(super) use notes::lacks;
pub(super) use scripts::is_for_shell;

/// Which rules there are, and which of them the user wants.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    /// The rules.
    pub table: Table,
    /// The user's choice.
    pub choice: Choice,
}

/// The rules at work on one image.
#[derive(Debug)]
pub(super) struct RuntimeDeps<'t> {
    set: &'t RuleSet,
    /// Where commands are looked for.
    command_dirs: &'t [ImagePath],
    gatherer: Gatherer<'t>,
    /// Rules that fired so far, by name, each as it fired last.
    fired: BTreeMap<&'t str, Fired<'t>>,
    /// The patterns of each rule that were followed: another rule may take what one leaves out.
    followed: BTreeSet<(&'t str, Vec<u8>)>,
    /// Bytes that each rule has added.
    bytes: BTreeMap<&'t str, u64>,
    /// Rules whose files were too large.
    large: BTreeMap<&'t str, u64>,
    /// Plugins and commands that were too large with what they need, each with the rule and the
    /// bytes of that.
    heavy: BTreeMap<ImagePath, (&'t str, u64)>,
    /// What programs mention of their own packages, and not everybody may read.
    private: BTreeSet<ImagePath>,
    /// Scripts that others can do without.
    optional: BTreeSet<ImagePath>,
    /// Notes on scripts that run commands which do not exist.
    absent: Vec<Note>,
    /// Variables of the scripts that the user names, which they may export to others.
    exported: Variables,
}

impl<'t> RuntimeDeps<'t> {
    /// `names` are the programs and scripts that the user names, among those that the inputs bring.
    /// Files are looked through on up to `jobs` threads.
    pub(super) fn new(
        options: &'t PlanOptions,
        (programs, names): (&Programs, Vec<ImagePath>),
        (command_dirs, jobs): (&'t [ImagePath], NonZeroUsize),
        builder: &ImageBuilder<'_>,
    ) -> Result<Self, ReadFailure> {
        let set = &options.rules;
        let is_named = |path: &ImagePath| names.contains(path);
        let perl = PerlModules::new(programs, &is_named, command_dirs, builder)?;
        let mut gatherer = Gatherer::new(&set.table, builder.view, (options, perl), jobs)?;
        for name in names {
            let resolved = builder.view.resolve(name.as_bytes())?;
            let real = resolved.map_or_else(|_| name.clone(), |resolved| resolved.path);
            gatherer.facts.programs.insert(name, real);
        }
        Ok(Self {
            set,
            command_dirs,
            gatherer,
            fired: BTreeMap::new(),
            followed: BTreeSet::new(),
            bytes: BTreeMap::new(),
            large: BTreeMap::new(),
            heavy: BTreeMap::new(),
            private: BTreeSet::new(),
            optional: BTreeSet::new(),
            absent: Vec::new(),
            exported: Variables::default(),
        })
    }

    /// The names by which objects open libraries that are in the image.
    pub(super) fn opens(&self, builder: &ImageBuilder<'_>) -> Result<elf::Opens, ReadFailure> {
        let mut opens = elf::Opens::new();
        let Gatherer { openings, needed, .. } = &self.gatherer;
        for (by, name, path) in openings.found.iter().chain(&needed.found) {
            if builder.view.find(path)?.is_ok_and(|found| builder.has(&found.path)) {
                opens.entry(by.clone()).or_default().insert(name.clone());
            }
        }
        Ok(opens)
    }

    /// The names of libraries that objects open by name, whether they are there or not.
    pub(super) fn opened_names(&self) -> BTreeSet<Arc<[u8]>> {
        self.gatherer.openings.asked.iter().map(|(_, name)| name.clone()).collect()
    }

    /// Notes the facts in the scripts that the user names, and the libraries in other texts of the
    /// inputs.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub(super) fn add_scripts(
        &mut self,
        named: &[&(ImagePath, Shebang)],
        builder: &ImageBuilder<'_>,
    ) -> Result<(), ReadFailure> {
        for (path, line) in named {
            let Gatherer { facts, owners, .. } = &mut self.gatherer;
            let known = (facts, owners);
            let dirs = (self.command_dirs, &mut self.exported);
            let absent = scripts::record((path, line), dirs, known, builder)?;
            let Gatherer { facts, perl, .. } = &mut self.gatherer;
            perl.add_script((path, line), facts, builder)?;
            let absent: Vec<_> = absent.iter().map(|name| format!("`{}`", escape(name))).collect();
            if !absent.is_empty() {
                let text =
                    format!("the script {path} runs what does not exist: {}", absent.join(", "));
                self.absent.push(Note::warning(text));
            }
        }
        for tree in [builder.inputs, &builder.added] {
            let kinds = [TextKind::Source, TextKind::Configuration];
            texts::note(tree, &kinds, (&mut self.gatherer.facts, builder.view))?;
            for (path, imports) in self.gatherer.look_into(tree, builder.view)? {
                let Gatherer { facts, owners, .. } = &mut self.gatherer;
                scripts::record_imports(&path, &imports, (facts, owners), builder)?;
            }
            self.gatherer.perl.add_sources(tree, &mut self.gatherer.facts, builder)?;
        }
        Ok(())
    }

    /// Takes the files that rules add for the files of `closure`, whose first `hard` programs are
    /// the user's. Returns the objects among them, whose libraries still have to be found; empty if
    /// nothing new was added.
    ///
    /// # Errors
    /// [`PlanError::Source`] if a file of the sysroot cannot be read.
    pub(super) fn follow(
        &mut self,
        closure: &Closure,
        hard: usize,
        search: &elf::LoaderOptions,
        builder: &mut ImageBuilder<'_>,
    ) -> Result<Vec<ImagePath>, PlanError> {
        self.gatherer.add(closure, hard, search, builder.view)?;
        self.gatherer.resolve_texts(closure, search, builder.view)?;
        let machines: BTreeSet<_> =
            closure.files.iter().map(|file| file.object.header.machine.arch).collect();
        let mut objects = Vec::new();
        loop {
            let known = self.gatherer.facts.of_texts();
            commands::record_lines(self.command_dirs, &mut self.gatherer.facts, builder)?;
            let all = rules::evaluate(&self.set.table, &self.gatherer.facts, &self.set.choice);
            for fired in all.clone() {
                let asked = fired.verdict == Verdict::Take || fired.rule.present.is_empty();
                if !asked && !files::any(&fired.present, builder)? {
                    continue;
                }
                objects.extend(self.add_files(fired, &all, (&machines, search), builder)?);
            }
            self.gatherer.resolve_texts(closure, search, builder.view)?;
            // Texts that one rule added may be evidence for another.
            if self.gatherer.facts.of_texts() == known {
                if self.gatherer.started_helpers().is_empty() {
                    return Ok(objects);
                }
                self.gatherer.add(closure, hard, search, builder.view)?;
            }
        }
    }

    /// Takes the files of a rule that fired, one of `all`, if the rule is followed. Returns the
    /// objects among them.
    fn add_files(
        &mut self,
        fired: Fired<'t>,
        all: &[Fired<'t>],
        (machines, search): (&BTreeSet<u16>, &elf::LoaderOptions),
        builder: &mut ImageBuilder<'_>,
    ) -> Result<Vec<ImagePath>, PlanError> {
        let new: Vec<_> = match fired.verdict {
            Verdict::Take | Verdict::TakeUpTo(_) => {
                let name = fired.rule.name.as_str();
                let is_new = |file: &&NamedBy| self.followed.insert((name, file.pattern.clone()));
                fired.files.iter().filter(is_new).collect()
            }
            Verdict::Suggest | Verdict::Ignore => Vec::new(),
        };
        let mut found =
            files::find(&new, fired.rule, &self.set.table, (builder, &mut self.private))?;
        if fired.rule.generic {
            found.retain(|one| one.is_named || !self.is_left_out(&one.path, all));
        }
        if let (Verdict::TakeUpTo(_), Some(limit)) = (fired.verdict, fired.rule.file_limit) {
            let (limit, known) = ((limit, fired.rule.starts), (self.command_dirs, &self.optional));
            let large = started::leave_large(&mut found, limit, known, builder)?;
            let named = |(path, bytes)| (path, (fired.rule.name.as_str(), bytes));
            self.heavy.extend(large.into_iter().map(named));
        }
        if let (Verdict::TakeUpTo(_), Some(limit)) = (fired.verdict, fired.rule.match_limit) {
            let large = files::larger(&found, limit, builder);
            found.retain(|one| !large.contains_key(&one.named.pattern));
            if let Some(bytes) = large.values().max() {
                self.large.insert(&fired.rule.name, *bytes);
            }
        }
        if let Verdict::TakeUpTo(_) = fired.verdict {
            if fired.rule.asked {
                let Gatherer { facts, owners, .. } = &mut self.gatherer;
                let by = fired.files.iter().filter_map(|file| file.by.as_ref());
                let scripts: BTreeSet<_> = facts.programs.values().chain(by).cloned().collect();
                let scripts: Vec<_> = scripts.into_iter().collect();
                extras::leave_unasked(&mut found, &scripts, owners, builder)?;
            }
            self.leave_heavy(&fired, &mut found, search, builder)?;
            self.leave_weak(&fired, &mut found, builder);
        }
        let mut objects = Vec::new();
        let found = self.within_limit(&fired, found, builder)?;
        let tree = take(&fired, &found, builder)?;
        let known = (&mut self.gatherer.facts, builder.view);
        texts::note(&tree, &[TextKind::Configuration], known)?;
        let programs = programs::find(&tree, builder.view)?;
        let Gatherer { facts, perl, helpers, .. } = &mut self.gatherer;
        helpers.extend(started::helpers(fired.rule, (&found, &programs)));
        if fired.rule.starts {
            let found = (&found[..], &programs);
            self.optional.extend(started::optional(found, &self.optional, builder)?);
            let dirs = (self.command_dirs, &mut self.exported);
            let known = (&mut *facts, &mut *perl);
            objects.extend(started::start(fired.rule, found, dirs, known, builder)?);
        }
        perl.add_sources(&tree, facts, builder)?;
        let ours = programs.objects.into_iter().filter(|(_, object)| {
            machines.is_empty() || machines.contains(&object.header.machine.arch)
        });
        objects.extend(ours.map(|(path, _)| path));
        self.fired.insert(&fired.rule.name, fired);
        Ok(objects)
    }

    /// Whether a specific rule of `all` that is followed takes what is around `path`, and excludes
    /// `path`.
    fn is_left_out(&self, path: &ImagePath, all: &[Fired<'t>]) -> bool {
        let takes = |file: &NamedBy| {
            let pattern = file.pattern.strip_prefix(b"/").unwrap_or(&file.pattern);
            let glob = Glob::new(pattern).ok();
            glob.is_some_and(|glob| GlobSet::from_iter([glob]).matches_above(path.relative()))
        };
        let specific = all.iter().filter(|fired| !fired.rule.generic);
        let mut followed = specific.filter(|fired| fired.verdict != Verdict::Suggest);
        followed
            .any(|fired| self.set.table.excludes(fired.rule, path) && fired.files.iter().any(takes))
    }

    /// Takes plugins out of `found` whose libraries are too large.
    fn leave_heavy(
        &mut self,
        fired: &Fired<'t>,
        found: &mut Vec<RuleFile<'_>>,
        search: &elf::LoaderOptions,
        builder: &ImageBuilder<'_>,
    ) -> Result<(), ReadFailure> {
        let programs: Vec<_> = self.gatherer.facts.programs.values().cloned().collect();
        let known = (&mut self.gatherer.owners, &programs[..]);
        let heavy = extras::heavy(fired.rule, found, known, search, builder)?;
        found.retain(|one| !heavy.contains_key(&one.path));
        let named = |(path, bytes)| (path, (fired.rule.name.as_str(), bytes));
        self.heavy.extend(heavy.into_iter().map(named));
        Ok(())
    }

    /// Takes out of `found` what is large and what only helpers ask for. Other evidence may follow.
    fn leave_weak(
        &mut self,
        fired: &Fired<'t>,
        found: &mut Vec<RuleFile<'_>>,
        builder: &ImageBuilder<'_>,
    ) {
        let (of_helpers, rule) = (&self.gatherer.of_helpers, fired.rule.name.as_str());
        let is_weak =
            |one: &&RuleFile<'_>| one.named.by.as_ref().is_some_and(|by| of_helpers.contains(by));
        let weak: Vec<_> = found.iter().filter(is_weak).cloned().collect();
        for (pattern, bytes) in files::larger(&weak, extras::MAX_BYTES, builder) {
            self.followed.remove(&(rule, pattern.clone()));
            let (out, rest): (Vec<_>, Vec<_>) =
                std::mem::take(found).into_iter().partition(|one| one.named.pattern == *pattern);
            *found = rest;
            let named = out.into_iter().filter(|one| one.is_named);
            self.heavy.extend(named.map(|one| (one.path, (rule, bytes))));
        }
    }

    /// Those of `found` that the rule may add within its limit, which counts everything that it
    /// adds.
    fn within_limit<'f>(
        &mut self,
        fired: &Fired<'t>,
        found: Vec<RuleFile<'f>>,
        builder: &ImageBuilder<'_>,
    ) -> Result<Vec<RuleFile<'f>>, ReadFailure> {
        let before = self.bytes.get(&*fired.rule.name).copied().unwrap_or_default();
        let all = files::size(&found, builder);
        let found = match fired.verdict {
            Verdict::TakeUpTo(limit) if before.saturating_add(all) > limit => {
                let left = (fired.rule, limit.saturating_sub(before));
                let programs: Vec<_> = self.gatherer.facts.programs.values().cloned().collect();
                let known = (&mut self.gatherer.owners, &programs[..]);
                let core = extras::core(found, left, known, builder)?;
                let out = all.saturating_sub(files::size(&core, builder));
                *self.large.entry(&fired.rule.name).or_default() += out;
                core
            }
            _ => found,
        };
        let bytes = self.bytes.entry(&fired.rule.name).or_default();
        *bytes = bytes.saturating_add(files::size(&found, builder));
        Ok(found)
    }

    /// Generates the files of the rules that were followed. Returns notes about what was left out,
    /// and the variables that these rules set.
    ///
    /// # Errors
    /// [`PlanError::Source`] if a file of the sysroot cannot be read.
    pub(super) fn finish(
        self,
        builder: &mut ImageBuilder<'_>,
    ) -> Result<(Vec<Note>, Vec<String>), PlanError> {
        let taken = || self.fired.values().filter(|fired| fired.verdict != Verdict::Suggest);
        let users: BTreeSet<String> =
            taken().flat_map(|fired| &fired.rule.users).cloned().collect();
        let facts = &self.gatherer.facts;
        let shell =
            first_there(Languages::builtin().shell.login.iter().map(String::as_str), builder)?;
        for fired in taken() {
            for make in &fired.rule.make {
                let kind = if let Some(text) = &make.text {
                    let text = match &**text {
                        "{passwd}" => rules::passwd(facts, &users, shell),
                        "{shadow}" => rules::shadow(facts, &users),
                        "{group}" => rules::group(facts, &users),
                        text => text.to_owned(),
                    };
                    Node::inline(0o644, text.into_bytes()).kind
                } else if make.directory {
                    Kind::Directory
                } else {
                    match first_there(make.link.iter().map(|target| &**target), builder)? {
                        Some(target) => Kind::Symlink(target.as_bytes().into()),
                        None => continue,
                    }
                };
                let mode = match (&kind, make.mode) {
                    (Kind::Symlink(_), _) => 0o777,
                    (_, Some(mode)) => mode,
                    (Kind::Directory, None) => 0o755,
                    (_, None) => 0o644,
                };
                let node = Node { meta: Meta { mtime: builder.mtime, ..Meta::new(mode) }, kind };
                builder.make(make.path.as_bytes(), node, reason(fired))?;
            }
        }
        let mut variables = Vec::new();
        for fired in taken().filter(|fired| !fired.rule.env.is_empty()) {
            if files::any_taken(&fired.files, builder)? {
                variables.extend(fired.rule.env.iter().cloned());
            }
        }
        Ok((self.notes(builder)?, variables))
    }
}

/// The first of `targets` that is in the image, with all links on the way to it.
fn first_there<'a>(
    targets: impl IntoIterator<Item = &'a str>,
    builder: &ImageBuilder<'_>,
) -> Result<Option<&'a str>, ReadFailure> {
    for target in targets {
        let Ok(found) = builder.view.resolve(target.as_bytes())? else { continue };
        if found.links.iter().chain([&found.path]).all(|path| builder.has(path)) {
            return Ok(Some(target));
        }
    }
    Ok(None)
}

fn reason(fired: &Fired<'_>) -> Reason {
    Reason::Rule(Arc::new(RuleMatch {
        rule: fired.rule.name.as_str().into(),
        evidence: fired.evidence.clone(),
        by: fired.by.clone(),
    }))
}

/// Takes `found`, and returns it as a tree.
fn take(
    fired: &Fired<'_>,
    found: &[RuleFile<'_>],
    builder: &mut ImageBuilder<'_>,
) -> Result<Tree, PlanError> {
    let mut tree = Tree::new();
    for one in found {
        let reason = Reason::Rule(Arc::new(RuleMatch {
            rule: fired.rule.name.as_str().into(),
            evidence: one.named.evidence.clone(),
            by: one.named.by.clone(),
        }));
        builder.add_path_components(&one.path, &one.links, &one.dotdot_dirs)?;
        builder.add(&one.path, reason)?;
        tree.insert(one.path.clone(), one.node.clone());
    }
    Ok(tree)
}
