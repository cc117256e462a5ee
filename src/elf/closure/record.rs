//! What goes on record of one program's loading: requests, and what stops it.

use std::sync::Arc;

use crate::elf::{Dlopen, Priority};

use super::{
    Edge, Fault, FaultKind, Outcome, Program, Tag, Warning,
    search_log::{ClosedLog, LogBudget, SearchLog},
    state::State,
};

/// Who wants what is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Requirement {
    /// The program does not start without.
    #[default]
    Hard,
    /// Metadata recommends it, or what metadata recommends wants it.
    Recommended,
    /// A name among constants leads to it: it may never be opened.
    Named,
}

impl Requirement {
    /// Of what metadata names with this priority.
    pub(super) fn of(priority: Priority) -> Self {
        if priority == Priority::Required { Self::Hard } else { Self::Recommended }
    }
}

/// The requests and faults of one program.
#[derive(Debug, Default)]
pub(super) struct Record {
    edges: Vec<Edge>,
    faults: Vec<Fault>,
    log_budget: LogBudget,
    /// Of what is looked at now.
    pub(super) requirement: Requirement,
}

impl Record {
    /// A request: who asks, by which tag, for what; what came of it; what was tried before, and how
    /// many places more.
    pub(super) fn request(
        &mut self,
        state: &mut State<'_>,
        (requester, tag, name): (usize, Tag, Arc<[u8]>),
        outcome: Outcome,
        log: ClosedLog,
    ) {
        if self.requirement == Requirement::Recommended
            && tag.is_hard()
            && outcome == Outcome::Missing
        {
            let library = state.files.get(requester).map(|file| file.opened.clone());
            state
                .warnings
                .insert(Warning::RecommendedNeeds(library.unwrap_or_default(), name.clone()));
        }
        let Some(left) = state.requests_left else { return };
        state.requests_left = left.checked_sub(1);
        if left == 0 {
            self.faults.push(Fault { path: name, kind: FaultKind::TooManyRequests });
            return;
        }
        let ClosedLog { entries: search_log, unlisted } = self.log_budget.take(log);
        let optional = self.requirement != Requirement::Hard;
        self.edges.push(Edge { requester, tag, optional, name, outcome, search_log, unlisted });
    }

    /// A dependency of dlopen metadata of which no alternative was found.
    pub(super) fn unanswered(
        &mut self,
        state: &mut State<'_>,
        requester: usize,
        entry: &Dlopen,
        log: SearchLog,
    ) {
        let name: Arc<[u8]> = entry.sonames.join(&b" | "[..]).into();
        if entry.priority != Priority::Required
            && let Some(file) = state.files.get(requester)
        {
            let warning = Warning::Recommended(file.opened.clone(), name.clone());
            state.warnings.insert(warning);
        }
        let request = (requester, Tag::Dlopen(entry.priority), name);
        self.request(state, request, Outcome::Missing, log.close(true));
    }

    /// What stops the program, or what it can do without.
    pub(super) fn fault(&mut self, state: &mut State<'_>, fault: Fault) {
        match self.requirement {
            Requirement::Hard => self.faults.push(fault),
            Requirement::Recommended => {
                _ = state.warnings.insert(Warning::Soft(fault.to_string()));
            }
            Requirement::Named => {}
        }
    }

    /// Whether a request for `name` came to nothing.
    pub(super) fn failed(&self, name: &[u8]) -> bool {
        let nothing = |edge: &Edge| matches!(edge.outcome, Outcome::Missing | Outcome::Fatal(_));
        self.edges.iter().any(|edge| *edge.name == *name && nothing(edge))
    }

    /// How many requests there are.
    pub(super) fn len(&self) -> usize {
        self.edges.len()
    }

    /// Forgets the requests after the first `len`.
    pub(super) fn truncate(&mut self, len: usize) {
        self.edges.truncate(len);
    }

    pub(super) fn end(self, program: &mut Program) {
        program.edges = self.edges;
        program.faults.extend(self.faults);
    }
}
