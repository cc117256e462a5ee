//! Which of the rules that fire are followed.

use std::collections::BTreeSet;

use super::{Level, Rule, Table};

/// How much is added that the user did not ask for: `--soft`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Soft {
    /// Nothing.
    None,
    /// Rules of [`Level::Auto`], within their limits.
    #[default]
    Auto,
    /// Rules of [`Level::Auto`] and [`Level::All`], without limits.
    All,
}

/// Which rules the user wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The level.
    pub soft: Soft,
    /// Rules to follow regardless of level and evidence.
    pub with: BTreeSet<String>,
    /// Rules to ignore.
    pub without: BTreeSet<String>,
}

impl Choice {
    /// Whether no rule can be followed, so that no evidence is needed.
    pub fn is_nothing(&self) -> bool {
        self.soft == Soft::None && self.with.is_empty()
    }
}

/// What happens to a rule that fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its files are added.
    Take,
    /// Its files are added if they have at most this many bytes.
    TakeUpTo(u64),
    /// The user gets a hint.
    Suggest,
    /// Nothing.
    Ignore,
}

impl Choice {
    /// What to do about `rule` if it fires.
    pub fn verdict(&self, rule: &Rule) -> Verdict {
        if self.without.contains(&rule.name) {
            return Verdict::Ignore;
        }
        if self.with.contains(&rule.name) {
            return Verdict::Take;
        }
        match (self.soft, rule.level) {
            (Soft::None, _) => Verdict::Ignore,
            (Soft::Auto, Level::Auto) => Verdict::TakeUpTo(rule.limit),
            (Soft::All, Level::Auto | Level::All) => Verdict::Take,
            (Soft::Auto | Soft::All, _) => Verdict::Suggest,
        }
    }

    /// The names in [`Choice::with`] and [`Choice::without`] that `table` does not have.
    pub fn unknown<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = &'a String> {
        self.with.iter().chain(&self.without).filter(|name| table.get(name).is_none())
    }
}
