//! The findings of a proof as they are collected.

use std::collections::BTreeMap;

use super::Finding;

/// Faults and warnings in the order in which they were found. No finding is in it twice, and none
/// is both a fault and a warning that came after it.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Each with the number of faults found before it.
    faults: BTreeMap<Finding, usize>,
    /// Each with the number of warnings found before it.
    warnings: BTreeMap<Finding, usize>,
}

impl Findings {
    /// Adds what keeps the image's program from starting.
    pub(super) fn fault(&mut self, finding: Finding) {
        let number = self.faults.len();
        self.faults.entry(finding).or_insert(number);
    }

    /// Adds what is broken or unusual elsewhere, unless it is a fault already.
    pub(super) fn warn(&mut self, finding: Finding) {
        if !self.faults.contains_key(&finding) {
            let number = self.warnings.len();
            self.warnings.entry(finding).or_insert(number);
        }
    }

    /// Faults and warnings.
    pub(super) fn lists(self) -> (Vec<Finding>, Vec<Finding>) {
        (in_order(self.faults), in_order(self.warnings))
    }

    /// Faults and warnings, with everything that is broken among the faults.
    pub(super) fn strict(self) -> (Vec<Finding>, Vec<Finding>) {
        let (faults, warnings) = self.lists();
        let (broken, unusual): (Vec<_>, Vec<_>) =
            warnings.into_iter().partition(Finding::is_broken);
        ([faults, broken].concat(), unusual)
    }
}

fn in_order(findings: BTreeMap<Finding, usize>) -> Vec<Finding> {
    let mut numbered: Vec<_> = findings.into_iter().collect();
    numbered.sort_unstable_by_key(|&(_, number)| number);
    numbered.into_iter().map(|(finding, _)| finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_findings_stay_in_order_without_repetition() {
        let user = |number: u32| Finding::User(number.to_string());
        let mut findings = Findings::default();
        for number in (0..100_000).rev().chain(0..100_000) {
            findings.warn(user(number));
        }
        findings.fault(user(2));
        findings.fault(user(1));
        findings.fault(user(2));
        findings.fault(Finding::NoCommand);
        findings.warn(Finding::NoCommand);
        let (faults, warnings) = findings.lists();
        assert_eq!(faults, [user(2), user(1), Finding::NoCommand]);
        assert!(warnings.into_iter().eq((0..100_000).rev().map(user)));
    }
}
