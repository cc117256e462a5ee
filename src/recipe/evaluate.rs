//! Evaluates the stages of a [`Recipe`] that are to be built: expands all variables.
//!
//! The scope of variables is Docker's. ARG is visible from its line to the end of its stage, and in
//! the stages that start from it; ENV is also set in the image. ENV overrides an ARG of the same
//! name. ARGs before the first FROM are visible in FROM, and in stages that declare them again.
//! `--build-arg` sets variables that an ARG declares. The environment of imgb itself has no effect.

use std::collections::{BTreeMap, BTreeSet};

use crate::image::DEFAULT_PATH;
use crate::path::ImagePath;

use super::action::Action;
use super::arguments::Arguments;
use super::evaluator::{Evaluator, MAX_FOUND};
use super::expand::Scope;
use super::fault::{Faults, Notice, NoticeKind};
use super::outline::{Base, NeededStage, Outline};
use super::resolve::Resolver;
use super::source::Span;
use super::stage_names::StageNames;
use super::{Argument, Instruction, Recipe, Step};

/// The shell of the shell form, unless SHELL or the base image sets another.
pub const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];
/// What a stage inherits from its base image.
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
    /// In the order of [`Outline::needed`].
    pub stages: Vec<EvaluatedStage>,
    /// Warnings.
    pub notices: Vec<Notice>,
}

/// A stage with all variables expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluatedStage {
    /// Index, base and platform.
    pub needed: NeededStage,
    /// Its name, in lower case.
    pub alias: Option<String>,
    /// The instructions, in order.
    pub steps: Vec<EvaluatedStep>,
}

/// An instruction with all variables expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluatedStep {
    /// The line that it starts in, counted from 1.
    pub line: usize,
    /// The whole instruction, for [`Source::excerpt`](super::source::Source::excerpt).
    pub span: Span,
    /// As it was written, with its lines joined.
    pub text: String,
    /// What it does.
    pub action: Action,
}

/// Evaluates the stages that `outline` needs. `bases` holds what the base images provide, by the
/// index of the stage; a missing one provides nothing.
///
/// # Errors
/// All faults of the stages' instructions.
pub fn evaluate(
    recipe: &Recipe,
    arguments: &Arguments,
    outline: &Outline,
    bases: &BTreeMap<usize, Inherited>,
) -> Result<Evaluation, Faults> {
    let names = StageNames::new(&recipe.stages);
    let mut evaluator = Evaluator::new(recipe, arguments);
    let mut states: BTreeMap<usize, State> = BTreeMap::new();
    let mut stages = Vec::new();
    for needed in &outline.needed {
        let Some(stage) = recipe.stages.get(needed.index) else { continue };
        let mut state = match &needed.base {
            Base::Stage(base) => states.get(base).cloned().unwrap_or_default(),
            Base::Image(_) => State::from(bases.get(&needed.index).cloned().unwrap_or_default()),
            Base::Scratch => State::from(Inherited::default()),
        };
        state.own_workdir |= needed.base == Base::Scratch;
        let mut stage_evaluator = StageEvaluator {
            evaluator: &mut evaluator,
            names: &names,
            index: needed.index,
            state,
            globals: &outline.globals,
        };
        let steps = stage.steps.iter().filter(|_| !needed.is_replaced);
        let steps = steps.filter_map(|step| stage_evaluator.step(step)).collect();
        states.insert(needed.index, stage_evaluator.state);
        let alias = stage.from.alias.clone();
        stages.push(EvaluatedStage { needed: needed.clone(), alias, steps });
    }
    Ok(Evaluation { stages, notices: evaluator.finish()? })
}

/// The state of a stage at one line of it.
#[derive(Clone, Debug)]
struct State {
    scope: Scope,
    /// The names that ARG has declared, with or without a value.
    declared: BTreeSet<String>,
    workdir: ImagePath,
    shell: Vec<String>,
    /// Whether the working directory depends on the Buildfile alone.
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

/// A stage that is being evaluated.
struct StageEvaluator<'a, 'e> {
    evaluator: &'e mut Evaluator<'a>,
    names: &'a StageNames<'a>,
    index: usize,
    state: State,
    globals: &'a BTreeMap<String, String>,
}

impl StageEvaluator<'_, '_> {
    fn step(&mut self, step: &Step) -> Option<EvaluatedStep> {
        if self.evaluator.faults.len() > MAX_FOUND {
            return None;
        }
        let action = match &step.kind {
            Instruction::Arg(arguments) => self.arg(arguments),
            kind => self.action(kind)?,
        };
        let state = &mut self.state;
        match (&action, &step.kind) {
            (Action::Env(pairs), _) => state.scope.env.extend(pairs.iter().cloned()),
            (Action::Shell(shell), _) => state.shell.clone_from(shell),
            (Action::Workdir(path), Instruction::Workdir(word)) => {
                let relative = !word.text.contains('$')
                    && !word.text.trim_start_matches(['"', '\'']).starts_with('/');
                if relative && !state.own_workdir {
                    let kind = NoticeKind::RelativeWorkdir;
                    self.evaluator.notices.push(Notice { span: Some(step.span), kind });
                }
                state.own_workdir = true;
                state.workdir = path.clone();
            }
            _ => {}
        }
        Some(EvaluatedStep { line: step.line, span: step.span, text: step.text.clone(), action })
    }

    fn action(&mut self, kind: &Instruction) -> Option<Action> {
        let State { scope, declared, workdir, shell, .. } = &self.state;
        let find_stage = |text: &str| self.names.copy_from(self.index, text);
        let mut resolver = Resolver {
            escape: self.evaluator.recipe.directives.escape,
            scope: Some(scope),
            budget: &mut self.evaluator.budget,
            workdir,
            shell,
            find_stage: &find_stage,
            faults: &mut self.evaluator.faults,
            unset: Vec::new(),
        };
        let action = resolver.action(kind);
        let unset = resolver.unset;
        self.evaluator.report_unset(unset, scope, declared);
        action
    }

    fn arg(&mut self, arguments: &[Argument]) -> Action {
        let State { scope, declared, .. } = &mut self.state;
        let mut out = Vec::new();
        for argument in arguments {
            let name = &argument.name.text;
            let value = self.evaluator.argument(argument, scope, Some(self.globals), declared);
            out.push((name.clone(), value.or_else(|| scope.args.get(name).cloned())));
        }
        // After the loop: as with ENV, one line does not see its own variables.
        declared.extend(out.iter().map(|(name, _)| name.clone()));
        let set = out.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
        scope.args.extend(set);
        Action::Arg(out)
    }
}
