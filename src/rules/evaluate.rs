//! Rules and facts → which rules fire, and which paths they name.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Choice, Evidence, Facts, Rule, Table, Verdict,
    matching::{Followed, Match, matches},
    variables::expand,
};
use crate::path::ImagePath;

/// A rule that fires.
#[derive(Clone, Debug)]
pub struct Fired<'t> {
    /// The rule.
    pub rule: &'t Rule,
    /// Whether its files are added.
    pub verdict: Verdict,
    /// The first evidence.
    pub evidence: Arc<Evidence>,
    /// The file that the evidence is in; `None` if the user asked for the rule or if the image's
    /// configuration is the evidence.
    pub by: Option<ImagePath>,
    /// The rule's files with their variables filled in, in order.
    pub files: Vec<NamedBy>,
    /// Files, likewise with variables filled in. At least one must exist, unless the list is empty.
    pub present: Vec<NamedBy>,
}

/// Files that a rule names.
#[derive(Clone, Debug)]
pub struct NamedBy {
    /// An absolute pattern of `crate::path::glob`.
    pub pattern: Vec<u8>,
    /// The evidence that filled it in, as [`Fired::evidence`].
    pub evidence: Arc<Evidence>,
    /// The file that has that evidence, as [`Fired::by`].
    pub by: Option<ImagePath>,
}

/// Paths of one rule: from much evidence come many.
const MAX_FILES: usize = 10_000;

/// Every rule that fires and is not to be ignored, in the table's order.
pub fn evaluate<'t>(table: &'t Table, facts: &Facts, choice: &Choice) -> Vec<Fired<'t>> {
    let mut fired: BTreeMap<usize, Fired<'t>> = BTreeMap::new();
    let mut followed = Followed::new();
    let libdirs = facts.library_dirs();
    // A rule may fire because another is followed: repeat until no further rule fires.
    loop {
        let before = fired.len();
        for (index, rule) in table.rules().iter().enumerate() {
            if choice.verdict(rule) == Verdict::Ignore || fired.contains_key(&index) {
                continue;
            }
            let Some(one) = fire(rule, choice, facts, &followed, &libdirs) else { continue };
            if one.verdict != Verdict::Suggest {
                followed.insert(&rule.name, one.by.clone());
            }
            fired.insert(index, one);
        }
        if fired.len() == before {
            return fired.into_values().collect();
        }
    }
}

fn fire<'t>(
    rule: &'t Rule,
    choice: &Choice,
    facts: &Facts,
    followed: &Followed<'_>,
    libdirs: &[ImagePath],
) -> Option<Fired<'t>> {
    let mut found: Vec<Match> =
        rule.when.iter().filter_map(|when| matches(when, facts, followed)).flatten().collect();
    if found.is_empty() && choice.with.contains(&rule.name) {
        found.push(Match::new(Evidence::Requested, None));
    }
    let first = found.first()?;
    Some(Fired {
        rule,
        verdict: choice.verdict(rule),
        evidence: first.evidence.clone(),
        by: first.by.clone(),
        files: fill(&rule.files, &found, libdirs),
        present: fill(&rule.present, &found, libdirs),
    })
}

/// `patterns` with their variables filled in from each of `matches`.
fn fill(patterns: &[String], matches: &[Match], libdirs: &[ImagePath]) -> Vec<NamedBy> {
    let mut files = Vec::new();
    let mut seen = BTreeSet::new();
    for pattern in patterns {
        for one in matches {
            for libdir in libdirs.iter().map(Some).chain(libdirs.is_empty().then_some(None)) {
                let Some(path) = expand(pattern, one, libdir) else { continue };
                if files.len() < MAX_FILES && seen.insert(path.clone()) {
                    files.push(NamedBy {
                        pattern: path,
                        evidence: one.evidence.clone(),
                        by: one.by.clone(),
                    });
                }
            }
        }
    }
    files
}
