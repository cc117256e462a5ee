//! What a search came to.

use std::sync::Arc;

use super::{
    FaultKind, SearchRule,
    search_log::{ClosedLog, SearchLog},
};

/// The result of a search.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) result: Hit,
    pub(super) log: ClosedLog,
}

impl Answer {
    pub(super) fn new(result: Hit, log: SearchLog) -> Self {
        let log = log.close(matches!(result, Hit::Missing));
        Self { result, log }
    }
}

/// The end of a search.
#[derive(Clone, Debug)]
pub(super) enum Hit {
    /// A path that was opened, and how it came up.
    Found(Arc<[u8]>, SearchRule),
    /// Nothing.
    Missing,
    /// A file that the loader stops at.
    Fatal(Arc<[u8]>, FaultKind),
}
