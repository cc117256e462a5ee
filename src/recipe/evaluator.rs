//! Expands words with the values of variables, and collects faults and notices.

use std::collections::{BTreeMap, BTreeSet};

use crate::path::ImagePath;
use crate::suggest;

use super::action::CopyFrom;
use super::arguments::Arguments;
use super::budget::Budget;
use super::expand::Scope;
use super::fault::{Fault, Faults, Notice, NoticeKind};
use super::resolve::Resolver;
use super::source::Span;
use super::{Argument, Recipe, Word};

/// The number of faults, and of notices, after which no more are collected.
pub(super) const MAX_FOUND: usize = 1000;
/// The number of unset variables for which a similar name is looked for.
const MAX_SUGGESTIONS: usize = 20;

/// What all steps of an evaluation share.
pub(super) struct Evaluator<'a> {
    pub(super) recipe: &'a Recipe,
    arguments: &'a Arguments,
    pub(super) budget: Budget,
    pub(super) faults: Vec<Fault>,
    pub(super) notices: Vec<Notice>,
    suggestions: usize,
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(recipe: &'a Recipe, arguments: &'a Arguments) -> Self {
        Self {
            recipe,
            arguments,
            budget: Budget::default(),
            faults: Vec::new(),
            notices: Vec::new(),
            suggestions: 0,
        }
    }

    /// The notices, or all faults if there are any, in the order of the text.
    pub(super) fn finish(mut self) -> Result<Vec<Notice>, Faults> {
        if self.faults.is_empty() {
            return Ok(self.notices);
        }
        self.faults.sort_by_key(|fault| fault.span);
        Err(Faults { source: self.recipe.source.clone(), faults: self.faults })
    }

    /// The value of an ARG: from the command line, otherwise its default, otherwise the value from
    /// before the first FROM.
    pub(super) fn argument(
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

    /// The text of a word with all variables expanded. `None` after a fault.
    pub(super) fn expand(
        &mut self,
        word: &Word,
        scope: &Scope,
        declared: &BTreeSet<String>,
    ) -> Option<String> {
        let find_stage = |text: &str| Ok(CopyFrom::Image(text.into()));
        let mut resolver = Resolver {
            escape: self.recipe.directives.escape,
            scope: Some(scope),
            budget: &mut self.budget,
            workdir: &ImagePath::root(),
            shell: &[],
            find_stage: &find_stage,
            faults: &mut self.faults,
            unset: Vec::new(),
        };
        let text = resolver.expand(word);
        let unset = resolver.unset;
        self.report_unset(unset, scope, declared);
        text
    }

    /// Adds a notice for each variable that was used, but is neither set nor declared.
    pub(super) fn report_unset(
        &mut self,
        unset: Vec<(Span, String)>,
        scope: &Scope,
        declared: &BTreeSet<String>,
    ) {
        for (span, name) in unset {
            if declared.contains(&name) || self.notices.len() >= MAX_FOUND {
                continue;
            }
            self.suggestions += 1;
            let names = scope.names().chain(declared.iter().map(String::as_str));
            let near = if self.suggestions <= MAX_SUGGESTIONS {
                suggest::closest(&name, names).map(str::to_string)
            } else {
                None
            };
            self.notices.push(Notice { span: Some(span), kind: NoticeKind::Unset { name, near } });
        }
    }
}
