//! The places where nothing was found: one log for each request, and a limit for all requests of a
//! program.

use std::sync::Arc;

use super::{Miss, SearchLogEntry, SearchRule};
use crate::elf::Absence;

/// Entries for one request that found nothing.
pub(super) const MAX_ENTRIES: usize = 4096;
/// Entries for one request that found something.
const MAX_ENTRIES_BEFORE: usize = 64;
/// Entries for all requests of one program. In hostile objects, search paths of thousands of
/// directories meet thousands of needs.
const MAX_ENTRIES_IN_ALL: usize = 32_768;

/// The miss of a name that is not in its directory.
pub(super) const NOT_THERE: Miss = Miss::Find(Absence::Missing);

impl SearchLogEntry {
    pub(super) fn new(path: &[u8], rule: &SearchRule, miss: Miss) -> Self {
        Self { path: path.into(), rule: rule.clone(), miss }
    }
}

/// The log of one request while it is searched for, in order.
#[derive(Debug, Default)]
pub(super) struct SearchLog {
    entries: Vec<SearchLogEntry>,
    count: usize,
}

/// The log of one request after the search.
#[derive(Clone, Debug, Default)]
pub(super) struct ClosedLog {
    pub(super) entries: Arc<[SearchLogEntry]>,
    /// How many places were searched after these.
    pub(super) unlisted: usize,
}

impl SearchLog {
    pub(super) fn push(&mut self, entry: impl FnOnce() -> SearchLogEntry) {
        self.count += 1;
        if self.entries.len() < MAX_ENTRIES {
            self.entries.push(entry());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Counts places without listing them.
    pub(super) fn count_unlisted(&mut self, count: usize) {
        self.count += count;
    }

    /// Appends another search's log.
    pub(super) fn extend(&mut self, log: &ClosedLog) {
        let room = MAX_ENTRIES - self.entries.len().min(MAX_ENTRIES);
        self.entries.extend(log.entries.iter().take(room).cloned());
        self.count += log.entries.len() + log.unlisted;
    }

    /// Ends the search. Of a search that found something only the first entries are kept.
    pub(super) fn close(mut self, is_missing: bool) -> ClosedLog {
        if !is_missing {
            self.entries.truncate(MAX_ENTRIES_BEFORE);
        }
        let unlisted = self.count - self.entries.len();
        ClosedLog { entries: self.entries.into(), unlisted }
    }
}

impl ClosedLog {
    pub(super) fn of(entry: SearchLogEntry) -> Self {
        Self { entries: [entry].into(), unlisted: 0 }
    }
}

/// How many more entries one program's requests may keep.
#[derive(Debug)]
pub(super) struct LogBudget(usize);

impl Default for LogBudget {
    fn default() -> Self {
        Self(MAX_ENTRIES_IN_ALL)
    }
}

impl LogBudget {
    /// Shortens a log to what is left of the budget.
    pub(super) fn take(&mut self, log: ClosedLog) -> ClosedLog {
        let ClosedLog { entries, unlisted } = log;
        match entries.get(..self.0) {
            Some(front) => {
                self.0 = 0;
                let unlisted = unlisted + entries.len() - front.len();
                ClosedLog { entries: front.into(), unlisted }
            }
            None => {
                self.0 -= entries.len();
                ClosedLog { entries, unlisted }
            }
        }
    }
}
