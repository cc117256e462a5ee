//! A [`Recipe`] and the command line → the stages to build, with values for variables.
//!
//! Which variable holds what is Docker's rule: ARG holds from its line to the end of its stage and
//! of those that start from it, ENV also for the image; ENV goes before ARG of the same name. ARGs
//! before the first FROM hold for FROM, and in a stage that names them again. `--build-arg` sets
//! those that an ARG declares. Nothing comes from the environment of whoever runs imgb.

use std::collections::{BTreeMap, BTreeSet};

use crate::{image::DEFAULT_PATH, path::ImagePath, suggest};

use super::action::{Action, CopyFrom};
use super::expand::{Budget, Scope};
use super::fault::{Fault, FaultKind, Faults, Notice, NoticeKind};
use super::resolve::Resolver;
use super::source::Span;
use super::stages::StageNames;
use super::{Argument, Instruction, Recipe, Stage, Step, Word};

/// What the shell form runs where no SHELL and no base image says otherwise.
pub const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];
/// Arguments that may be given without an ARG: they would be for RUN.
const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];
/// Faults after which no more are looked for.
const MAX_FOUND: usize = 1000;
/// Variables without a value for which a similar name is sought.
const MAX_GUESSES: usize = 20;

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// `--target`: a stage by name or number; the last without.
    pub target: Option<String>,
    /// `TARGETPLATFORM`, `TARGETARCH` and their kin, which ARG may name.
    pub platform_args: BTreeMap<String, String>,
}

/// Which stages are built, from what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// Those that the target needs and the target itself, which is the last, in order.
    pub needed: Vec<NeededStage>,
    /// What is odd, though no fault.
    pub notices: Vec<Notice>,
    globals: BTreeMap<String, String>,
}

/// A stage to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeededStage {
    /// Its number in [`Recipe::stages`].
    pub index: usize,
    /// What it starts from.
    pub base: Base,
    /// `--platform`.
    pub platform: Option<String>,
}

/// What a stage starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// An earlier stage, by its number.
    Stage(usize),
    /// An image, as it was named; not empty.
    Image(String),
}

/// What a base image gives to the evaluation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inherited {
    /// Its variables.
    pub env: BTreeMap<String, String>,
    /// Its working directory.
    pub workdir: Option<ImagePath>,
    /// Its SHELL; empty if it has none.
    pub shell: Vec<String>,
}

/// The result of [`evaluate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// As [`Outline::needed`].
    pub stages: Vec<EvaluatedStage>,
    /// What is odd, though no fault.
    pub notices: Vec<Notice>,
}

/// A stage with nothing left to expand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluatedStage {
    /// Number, base and platform.
    pub needed: NeededStage,
    /// Its name, in lower case.
    pub alias: Option<String>,
    /// The instructions, in order.
    pub steps: Vec<EvaluatedStep>,
}

/// An instruction with nothing left to expand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluatedStep {
    /// Where it begins, counted from 1.
    pub line: usize,
    /// All of it, for [`Source::excerpt`](super::source::Source::excerpt).
    pub span: Span,
    /// As it was written, its lines joined.
    pub text: String,
    /// What it does.
    pub action: Action,
}

/// Which stages the target needs, and what each starts from.
///
/// # Errors
/// All faults of the FROM lines and the ARGs before them, or that there is no such target.
pub fn outline(recipe: &Recipe, arguments: &Arguments) -> Result<Outline, Faults> {
    let mut budget = Budget::default();
    let names = StageNames::new(&recipe.stages);
    let mut evaluator = Evaluator {
        recipe,
        arguments,
        names: &names,
        budget: &mut budget,
        faults: Vec::new(),
        notices: Vec::new(),
        guesses: 0,
    };
    let mut globals = Scope { args: arguments.platform_args.clone(), ..Scope::default() };
    let declared = recipe.global_args.iter().map(|argument| argument.name.text.clone()).collect();
    for argument in &recipe.global_args {
        let value = evaluator.argument(argument, &globals, None, &declared);
        globals.args.extend(value.map(|value| (argument.name.text.clone(), value)));
    }
    let mut needed = Vec::new();
    for (index, stage) in recipe.stages.iter().enumerate() {
        let base = evaluator.base(index, stage, &globals, &declared);
        let platform = stage
            .from
            .platform
            .as_ref()
            .and_then(|word| evaluator.platform(word, &globals, &declared));
        needed.extend(base.map(|base| NeededStage { index, base, platform }));
    }
    evaluator.unused_arguments();
    let target = match names.target(arguments.target.as_deref()) {
        Ok(target) => target,
        Err(kind) => {
            let span = recipe.stages.first().map(|stage| stage.from.base.span).unwrap_or_default();
            evaluator.faults.push(Fault { span, kind });
            0
        }
    };
    let notices = evaluator.finish()?.notices;
    let wanted = reachable(recipe, &names, &needed, target);
    needed.retain(|stage| wanted.contains(&stage.index));
    Ok(Outline { needed, notices, globals: globals.args })
}

/// Puts values for the variables of the stages that `outline` needs. `bases` has what those of
/// their bases give that are images, by the stage's number; one that is not there gives nothing.
///
/// # Errors
/// All faults of the stages' instructions.
pub fn evaluate(
    recipe: &Recipe,
    arguments: &Arguments,
    outline: &Outline,
    bases: &BTreeMap<usize, Inherited>,
) -> Result<Evaluation, Faults> {
    let mut budget = Budget::default();
    let names = StageNames::new(&recipe.stages);
    let mut evaluator = Evaluator {
        recipe,
        arguments,
        names: &names,
        budget: &mut budget,
        faults: Vec::new(),
        notices: Vec::new(),
        guesses: 0,
    };
    let mut states: BTreeMap<usize, State> = BTreeMap::new();
    let mut stages = Vec::new();
    for needed in &outline.needed {
        let Some(stage) = recipe.stages.get(needed.index) else { continue };
        let state = match &needed.base {
            Base::Stage(base) => states.get(base).cloned().unwrap_or_default(),
            Base::Image(_) => State::from(bases.get(&needed.index).cloned().unwrap_or_default()),
            Base::Scratch => State::from(Inherited::default()),
        };
        let mut run = StageRun { index: needed.index, state, globals: &outline.globals };
        run.state.own_workdir |= needed.base == Base::Scratch;
        let steps = stage.steps.iter().filter_map(|step| evaluator.step(step, &mut run)).collect();
        states.insert(needed.index, run.state);
        stages.push(EvaluatedStage {
            needed: needed.clone(),
            alias: stage.from.alias.clone(),
            steps,
        });
    }
    let notices = evaluator.finish()?.notices;
    Ok(Evaluation { stages, notices })
}

/// The stages that `target` needs, itself among them.
fn reachable(
    recipe: &Recipe,
    names: &StageNames<'_>,
    all: &[NeededStage],
    target: usize,
) -> BTreeSet<usize> {
    let mut wanted = BTreeSet::from([target]);
    // Each needs only earlier ones, so one pass from the back finds all.
    for stage in all.iter().rev() {
        if !wanted.contains(&stage.index) {
            continue;
        }
        if let Base::Stage(base) = stage.base {
            wanted.insert(base);
        }
        let steps = recipe.stages.get(stage.index).map_or(&[][..], |stage| &stage.steps);
        for step in steps {
            if let Instruction::Copy(transfer) = &step.kind
                && let Some(from) = &transfer.from
                && let Ok(CopyFrom::Stage(from)) = names.copy_from(stage.index, &from.text)
            {
                wanted.insert(from);
            }
        }
    }
    wanted
}

/// What holds at a line of a stage.
#[derive(Clone, Debug)]
struct State {
    scope: Scope,
    /// Names that ARG declared, with a value or not.
    declared: BTreeSet<String>,
    workdir: ImagePath,
    shell: Vec<String>,
    /// Whether the working directory hangs on nothing but the Buildfile.
    own_workdir: bool,
}

impl Default for State {
    fn default() -> Self {
        Self::from(Inherited::default())
    }
}

impl From<Inherited> for State {
    fn from(base: Inherited) -> Self {
        let Inherited { mut env, workdir, mut shell } = base;
        env.entry("PATH".into()).or_insert_with(|| DEFAULT_PATH.into());
        if shell.is_empty() {
            shell = DEFAULT_SHELL.map(String::from).to_vec();
        }
        let scope = Scope { env, args: BTreeMap::new() };
        let workdir = workdir.unwrap_or_else(ImagePath::root);
        Self { scope, declared: BTreeSet::new(), workdir, shell, own_workdir: false }
    }
}

/// A stage being evaluated.
struct StageRun<'a> {
    index: usize,
    state: State,
    globals: &'a BTreeMap<String, String>,
}

struct Evaluator<'a> {
    recipe: &'a Recipe,
    arguments: &'a Arguments,
    names: &'a StageNames<'a>,
    budget: &'a mut Budget,
    faults: Vec<Fault>,
    notices: Vec<Notice>,
    guesses: usize,
}

impl Evaluator<'_> {
    fn finish(mut self) -> Result<Self, Faults> {
        if self.faults.is_empty() {
            return Ok(self);
        }
        self.faults.sort_by_key(|fault| fault.span);
        Err(Faults { source: self.recipe.source.clone(), faults: self.faults })
    }

    fn base(
        &mut self,
        index: usize,
        stage: &Stage,
        globals: &Scope,
        declared: &BTreeSet<String>,
    ) -> Option<Base> {
        let word = &stage.from.base;
        let text = self.expand(word, globals, declared)?;
        if text.is_empty() {
            self.faults.push(Fault { span: word.span, kind: FaultKind::BlankBase });
            return None;
        }
        Some(match self.names.before(index, &text) {
            Some(stage) => Base::Stage(stage),
            None if text == "scratch" => Base::Scratch,
            None => Base::Image(text),
        })
    }

    fn platform(
        &mut self,
        word: &Word,
        globals: &Scope,
        declared: &BTreeSet<String>,
    ) -> Option<String> {
        let text = self.expand(word, globals, declared)?;
        if text.is_empty() {
            self.faults
                .push(Fault { span: word.span, kind: FaultKind::Empty { what: "the platform" } });
        }
        Some(text)
    }

    fn step(&mut self, step: &Step, run: &mut StageRun<'_>) -> Option<EvaluatedStep> {
        if self.faults.len() > MAX_FOUND {
            return None;
        }
        let action = match &step.kind {
            Instruction::Arg(arguments) => self.arg(arguments, run),
            kind => self.action(kind, run)?,
        };
        let state = &mut run.state;
        match (&action, &step.kind) {
            (Action::Env(pairs), _) => state.scope.env.extend(pairs.iter().cloned()),
            (Action::Shell(shell), _) => state.shell.clone_from(shell),
            (Action::Workdir(path), Instruction::Workdir(word)) => {
                let relative = !word.text.contains('$')
                    && !word.text.trim_start_matches(['"', '\'']).starts_with('/');
                if relative && !state.own_workdir {
                    let kind = NoticeKind::RelativeWorkdir;
                    self.notices.push(Notice { span: Some(step.span), kind });
                }
                state.own_workdir = true;
                state.workdir = path.clone();
            }
            _ => {}
        }
        Some(EvaluatedStep { line: step.line, span: step.span, text: step.text.clone(), action })
    }

    fn action(&mut self, kind: &Instruction, run: &StageRun<'_>) -> Option<Action> {
        let State { scope, declared, workdir, shell, .. } = &run.state;
        let names = self.names;
        let find_stage = |text: &str| names.copy_from(run.index, text);
        let mut resolver = Resolver {
            escape: self.recipe.directives.escape,
            scope: Some(scope),
            budget: self.budget,
            workdir,
            shell,
            find_stage: &find_stage,
            faults: &mut self.faults,
            unset: Vec::new(),
        };
        let action = resolver.action(kind);
        let unset = resolver.unset;
        self.tell_unset(unset, scope, declared);
        action
    }

    fn arg(&mut self, arguments: &[Argument], run: &mut StageRun<'_>) -> Action {
        let mut out = Vec::new();
        for argument in arguments {
            let name = &argument.name.text;
            let value =
                self.argument(argument, &run.state.scope, Some(run.globals), &run.state.declared);
            out.push((name.clone(), value.or_else(|| run.state.scope.args.get(name).cloned())));
        }
        // Only now: as with ENV, one line sees what was before it.
        run.state.declared.extend(out.iter().map(|(name, _)| name.clone()));
        let set = out.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
        run.state.scope.args.extend(set);
        Action::Arg(out)
    }

    /// A variable's value: from the command line, or else its default, or else from before the
    /// first FROM.
    fn argument(
        &mut self,
        argument: &Argument,
        scope: &Scope,
        globals: Option<&BTreeMap<String, String>>,
        declared: &BTreeSet<String>,
    ) -> Option<String> {
        let name = &argument.name.text;
        let given = self.arguments.build_args.get(name).cloned();
        given.or_else(|| match &argument.default {
            Some(default) => self.expand(default, scope, declared),
            None => globals.and_then(|globals| globals.get(name)).cloned(),
        })
    }

    fn expand(
        &mut self,
        word: &Word,
        scope: &Scope,
        declared: &BTreeSet<String>,
    ) -> Option<String> {
        let find_stage = |text: &str| Ok(CopyFrom::Image(text.into()));
        let mut resolver = Resolver {
            escape: self.recipe.directives.escape,
            scope: Some(scope),
            budget: self.budget,
            workdir: &ImagePath::root(),
            shell: &[],
            find_stage: &find_stage,
            faults: &mut self.faults,
            unset: Vec::new(),
        };
        let text = resolver.expand(word);
        let unset = resolver.unset;
        self.tell_unset(unset, scope, declared);
        text
    }

    fn tell_unset(
        &mut self,
        unset: Vec<(Span, String)>,
        scope: &Scope,
        declared: &BTreeSet<String>,
    ) {
        for (span, name) in unset {
            if declared.contains(&name) || self.notices.len() >= MAX_FOUND {
                continue;
            }
            self.guesses += 1;
            let names = scope.names().chain(declared.iter().map(String::as_str));
            let near = if self.guesses <= MAX_GUESSES {
                suggest::closest(&name, names).map(str::to_string)
            } else {
                None
            };
            self.notices.push(Notice { span: Some(span), kind: NoticeKind::Unset { name, near } });
        }
    }

    fn unused_arguments(&mut self) {
        let steps = self.recipe.stages.iter().flat_map(|stage| &stage.steps);
        let in_stages = steps.flat_map(|step| match &step.kind {
            Instruction::Arg(arguments) => arguments.as_slice(),
            _ => &[],
        });
        let all = self.recipe.global_args.iter().chain(in_stages);
        let declared: BTreeSet<&str> = all.map(|argument| argument.name.text.as_str()).collect();
        for name in self.arguments.build_args.keys() {
            if !declared.contains(name.as_str())
                && !PROXIES.contains(&name.to_ascii_lowercase().as_str())
            {
                self.notices.push(Notice {
                    span: None,
                    kind: NoticeKind::UnusedArgument { name: name.clone() },
                });
            }
        }
    }
}
