//! What goes on record of one program's loading: requests, and what stops it.

use std::sync::Arc;

use super::{Edge, Fault, Outcome, Program, State, Tag, Tried, Warning, dirs::Room};

/// The requests and faults of one program.
#[derive(Debug, Default)]
pub(super) struct Record {
    edges: Vec<Edge>,
    faults: Vec<Fault>,
    room: Room,
    /// Whether what is looked at now is wanted only by what metadata recommends: the program starts without.
    pub(super) optional: bool,
}

impl Record {
    /// A request: who asks, by which tag, for what; what came of it; what was tried before, and how many places more.
    pub(super) fn request(
        &mut self,
        state: &mut State<'_>,
        (requester, tag, name): (usize, Tag, Arc<[u8]>),
        outcome: Outcome,
        tried: (Arc<[Tried]>, usize),
    ) {
        if self.optional && tag.is_hard() && outcome == Outcome::Missing {
            let library = state.out.files.get(requester).map(|file| file.opened.clone());
            state.out.warnings.insert(Warning::RecommendedNeeds(library.unwrap_or_default(), name.clone()));
        }
        let (tried, unlisted) = self.room.keep(tried);
        self.edges.push(Edge { requester, tag, optional: self.optional, name, outcome, tried, unlisted });
    }

    /// What stops the program, or one that it can do without.
    pub(super) fn fault(&mut self, state: &mut State<'_>, fault: Fault) {
        if self.optional {
            state.out.warnings.insert(Warning::Soft(fault.to_string()));
        } else {
            self.faults.push(fault);
        }
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
