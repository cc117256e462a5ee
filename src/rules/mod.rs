//! Soft dependencies: files that programs open only at run time, found from evidence in what is
//! packed.
//!
//! The rules are data ([`Table`]; the built-in ones are TOML beside this file, docs/rules.md says
//! what each field means). So are the facts about the closure's files ([`Facts`]): callers that can read
//! files gather them. [`evaluate`] decides which rules fire, each with its [`Evidence`], and which
//! patterns of files they name; its caller looks these up.

mod accounts;
mod evaluate;
mod evidence;
mod facts;
mod matching;
mod pattern;
mod table;
mod variables;
mod version;

pub use accounts::{group, passwd, shadow};
pub use evaluate::{Fired, NamedBy, evaluate};
pub use evidence::Evidence;
pub use facts::{Account, Facts, Libc, LibcKind, Opened, Paths, Symbol};
pub use table::{Level, Make, Rule, Table, TableError, Wanted, When};

use std::collections::BTreeSet;

/// How much is added without being asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Soft {
    /// Nothing.
    None,
    /// What is needed with high confidence and not too large: rules of [`Level::Auto`].
    #[default]
    Auto,
    /// Rules of [`Level::Auto`] and [`Level::All`], whatever the size.
    All,
}

/// Which rules the user wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The level.
    pub soft: Soft,
    /// Rules to follow whatever their level and the evidence.
    pub with: BTreeSet<String>,
    /// Rules that are not there.
    pub without: BTreeSet<String>,
}

impl Choice {
    /// Whether no evidence matters, since no rule is to be followed.
    pub fn is_nothing(&self) -> bool {
        self.soft == Soft::None && self.with.is_empty()
    }
}

/// What is to be done about a rule that fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its files join the image.
    Take,
    /// Its files join the image if they have no more than so many bytes.
    TakeUpTo(u64),
    /// The user is told.
    Suggest,
    /// Nothing.
    Ignore,
}

impl Choice {
    /// What is to be done about `rule`.
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

#[cfg(test)]
mod tests;
