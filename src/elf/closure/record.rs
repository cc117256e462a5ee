//! The record of one program's loading: its requests and faults.

use std::sync::Arc;

use crate::elf::{Dlopen, Priority};

use super::{
    Edge, Fault, FaultKind, Outcome, Program, Tag, Warning,
    search_log::{ClosedLog, LogBudget, SearchLog},
    state::State,
};

/// How strongly the current object is required.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Requirement {
    /// The program does not start without it.
    #[default]
    Hard,
    /// Metadata recommends it, or a library that metadata recommends needs it.
    Recommended,
    /// A name among constants leads to it: it may never be opened.
    Named,
}

impl Requirement {
    /// The requirement of what metadata names with this priority.
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
    /// How strongly the current object is required.
    pub(super) requirement: Requirement,
}

impl Record {
    /// Records a request: requester, tag and name, the outcome, and the places searched before.
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

    /// Records a dependency of dlopen metadata for which no alternative was found.
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

    /// Records a fault; one that does not stop the program becomes a warning.
    pub(super) fn fault(&mut self, state: &mut State<'_>, fault: Fault) {
        match self.requirement {
            Requirement::Hard => self.faults.push(fault),
            Requirement::Recommended => {
                _ = state.warnings.insert(Warning::Soft(fault.to_string()));
            }
            Requirement::Named => {}
        }
    }

    /// Whether a request for `name` failed.
    pub(super) fn failed(&self, name: &[u8]) -> bool {
        let nothing = |edge: &Edge| matches!(edge.outcome, Outcome::Missing | Outcome::Fatal(_));
        self.edges.iter().any(|edge| *edge.name == *name && nothing(edge))
    }

    /// The number of requests.
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
