//! Finds the stages that a target needs, and what each starts from.

use std::collections::{BTreeMap, BTreeSet};

use super::action::CopyFrom;
use super::arguments::Arguments;
use super::evaluator::Evaluator;
use super::expand::Scope;
use super::fault::{Fault, FaultKind, Faults, Notice};
use super::stage_names::StageNames;
use super::{Instruction, Recipe, Stage, Word};

/// The stages to build, and what each starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// The stages that the target needs, in order, and last the target itself.
    pub needed: Vec<NeededStage>,
    /// Warnings.
    pub notices: Vec<Notice>,
    /// The ARGs before the first FROM.
    pub(super) globals: BTreeMap<String, String>,
}

/// A stage to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeededStage {
    /// Its index in [`Recipe::stages`].
    pub index: usize,
    /// What it starts from.
    pub base: Base,
    /// `--platform`.
    pub platform: Option<String>,
    /// Whether a named context stands for the whole stage, so that its instructions do not count.
    pub is_replaced: bool,
}

/// What a stage starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// An earlier stage, by its index.
    Stage(usize),
    /// An image, as it was written; not empty.
    Image(String),
}

/// Finds the stages that the target needs, and what each starts from.
///
/// # Errors
/// All faults of the FROM lines and of the ARGs before them, or that the target does not exist.
pub fn outline(recipe: &Recipe, arguments: &Arguments) -> Result<Outline, Faults> {
    let names = StageNames::new(&recipe.stages);
    let mut evaluator = Evaluator::new(recipe, arguments);
    let mut globals = Scope { args: arguments.platform_args.clone(), ..Scope::default() };
    let declared = recipe.global_args.iter().map(|argument| argument.name.text.clone()).collect();
    for argument in &recipe.global_args {
        let value = evaluator.argument(argument, &globals, None, &declared);
        globals.args.extend(value.map(|value| (argument.name.text.clone(), value)));
    }
    let mut needed = Vec::new();
    for (index, stage) in recipe.stages.iter().enumerate() {
        let name = evaluator.expand(&stage.from.base, &globals, &declared);
        let base = name.and_then(|name| base(&mut evaluator, &names, index, stage, name));
        let alias = stage.from.alias.as_ref();
        let context = alias.filter(|alias| arguments.contexts.contains(*alias));
        let base = base.map(|base| context.map_or(base, |name| Base::Image(name.clone())));
        let platform = stage.from.platform.as_ref();
        let platform =
            platform.and_then(|word| platform_of(&mut evaluator, word, &globals, &declared));
        needed.extend(base.map(|base| NeededStage {
            index,
            base,
            platform,
            is_replaced: context.is_some(),
        }));
    }
    evaluator.notices.extend(arguments.unused(recipe));
    let target = match names.target(arguments.target.as_deref()) {
        Ok(target) => target,
        Err(kind) => {
            let span = recipe.stages.first().map(|stage| stage.from.base.span).unwrap_or_default();
            evaluator.faults.push(Fault { span, kind });
            0
        }
    };
    let notices = evaluator.finish()?;
    let wanted = reachable(recipe, &names, &needed, target);
    needed.retain(|stage| wanted.contains(&stage.index));
    Ok(Outline { needed, notices, globals: globals.args })
}

/// What the stage `index` starts from, by the expanded `name` in its FROM.
fn base(
    evaluator: &mut Evaluator<'_>,
    names: &StageNames<'_>,
    index: usize,
    stage: &Stage,
    name: String,
) -> Option<Base> {
    if name.is_empty() {
        let span = stage.from.base.span;
        evaluator.faults.push(Fault { span, kind: FaultKind::BlankBase });
        return None;
    }
    Some(match names.before(index, &name) {
        Some(stage) => Base::Stage(stage),
        None if name == "scratch" => Base::Scratch,
        None => Base::Image(name),
    })
}

/// The platform in a FROM.
fn platform_of(
    evaluator: &mut Evaluator<'_>,
    word: &Word,
    globals: &Scope,
    declared: &BTreeSet<String>,
) -> Option<String> {
    let text = evaluator.expand(word, globals, declared)?;
    if text.is_empty() {
        let kind = FaultKind::Empty { what: "the platform" };
        evaluator.faults.push(Fault { span: word.span, kind });
    }
    Some(text)
}

/// The stages that `target` needs, including itself.
fn reachable(
    recipe: &Recipe,
    names: &StageNames<'_>,
    all: &[NeededStage],
    target: usize,
) -> BTreeSet<usize> {
    let mut wanted = BTreeSet::from([target]);
    // Stages need only earlier ones, so one pass from the back finds all.
    for stage in all.iter().rev() {
        if !wanted.contains(&stage.index) {
            continue;
        }
        if let Base::Stage(base) = stage.base {
            wanted.insert(base);
        }
        let steps = recipe.stages.get(stage.index).filter(|_| !stage.is_replaced);
        let steps = steps.map_or(&[][..], |stage| &stage.steps);
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
