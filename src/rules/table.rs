//! The rule table: TOML → rules, checked.

use std::{collections::BTreeSet, sync::OnceLock};

use serde::Deserialize;

use super::{Rule, TableError, claims::claims, pattern, validate::validate};
use crate::path::{ImagePath, glob_set::GlobSet};

/// All rules, in the order they were read.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rules: Vec<Rule>,
    /// What the specific rules claim, once it is asked for.
    claimed: OnceLock<GlobSet>,
}

/// The evidence that rules ask for; nothing else needs to be gathered.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    /// Symbols.
    pub symbols: BTreeSet<&'a [u8]>,
    /// Paths without stars.
    pub literals: BTreeSet<&'a [u8]>,
    /// Paths with stars.
    pub patterns: BTreeSet<&'a [u8]>,
    /// Words of programs.
    pub words: BTreeSet<&'a str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: Vec<Rule>,
}

impl Table {
    /// The built-in rules.
    ///
    /// # Errors
    /// None: a test reads the built-in rules.
    pub fn builtin() -> Result<Self, TableError> {
        let mut table = Self::default();
        for text in [
            include_str!("table/libc.toml"),
            include_str!("table/security.toml"),
            include_str!("table/languages.toml"),
            include_str!("table/programs.toml"),
            include_str!("table/desktop.toml"),
            include_str!("table/general.toml"),
        ] {
            table.add(text)?;
        }
        Ok(table)
    }

    /// Adds the rules in `text`. A rule replaces an earlier one of the same name.
    ///
    /// # Errors
    /// [`TableError`]; the table is then unchanged.
    pub fn add(&mut self, text: &str) -> Result<(), TableError> {
        let file: File = toml::from_str(text).map_err(|error| TableError::toml(text, &error))?;
        let mut rules = file.rule;
        rules.iter_mut().try_for_each(validate)?;
        self.claimed = OnceLock::new();
        for rule in rules {
            match self.rules.iter_mut().find(|known| known.name == rule.name) {
                Some(known) => *known = rule,
                None => self.rules.push(rule),
            }
        }
        Ok(())
    }

    /// Whether `rule` does not take `path`: it excludes `path` or a directory above it or, if it is
    /// generic, another rule of the table claims one of these.
    pub fn excludes(&self, rule: &Rule, path: &ImagePath) -> bool {
        if path.is_root() {
            return false;
        }
        let path = path.relative();
        rule.excluded.matches_above(path)
            || self.claimed(rule).is_some_and(|claimed| claimed.matches_above(path))
    }

    /// As [`Table::excludes`], for a `path` in a directory that is not excluded.
    pub fn excludes_entry(&self, rule: &Rule, path: &ImagePath) -> bool {
        let path = path.relative();
        rule.excluded.matches(path)
            || self.claimed(rule).is_some_and(|claimed| claimed.matches(path))
    }

    /// What a generic rule leaves to others.
    fn claimed(&self, rule: &Rule) -> Option<&GlobSet> {
        let specific = || self.rules.iter().filter(|rule| !rule.generic);
        rule.generic.then(|| self.claimed.get_or_init(|| claims(specific())))
    }

    /// The rules, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule of this name.
    pub fn get(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.name == name)
    }

    /// All that the rules ask for.
    pub fn wanted(&self) -> Wanted<'_> {
        let mut wanted = Wanted::default();
        for when in self.rules.iter().flat_map(|rule| &rule.when) {
            wanted
                .symbols
                .extend(when.symbols.iter().chain(&when.own_symbols).map(|name| name.as_bytes()));
            wanted.words.extend(when.words.iter().map(|word| &**word));
            for path in &when.paths {
                let set = if pattern::is_wild(path) {
                    &mut wanted.patterns
                } else {
                    &mut wanted.literals
                };
                set.insert(path.as_bytes());
            }
        }
        wanted
    }
}
