//! The findings of a proof as they are collected.

use super::Finding;

/// Faults and warnings in the order in which they were found. No finding is in it twice, and none
/// is both a fault and a warning that came after it.
#[derive(Debug, Default)]
pub(super) struct Findings {
    faults: Vec<Finding>,
    warnings: Vec<Finding>,
}

impl Findings {
    /// Adds what keeps the image's program from starting.
    pub(super) fn fault(&mut self, finding: Finding) {
        if !self.faults.contains(&finding) {
            self.faults.push(finding);
        }
    }

    /// Adds what is broken or unusual elsewhere, unless it is a fault already.
    pub(super) fn warn(&mut self, finding: Finding) {
        if !self.faults.contains(&finding) && !self.warnings.contains(&finding) {
            self.warnings.push(finding);
        }
    }

    /// Faults and warnings.
    pub(super) fn lists(self) -> (Vec<Finding>, Vec<Finding>) {
        (self.faults, self.warnings)
    }

    /// Faults and warnings, with everything that is broken among the faults.
    pub(super) fn strict(self) -> (Vec<Finding>, Vec<Finding>) {
        let (broken, unusual): (Vec<_>, Vec<_>) =
            self.warnings.into_iter().partition(Finding::is_broken);
        ([self.faults, broken].concat(), unusual)
    }
}
