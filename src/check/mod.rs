//! The proof that an image will start: everything is resolved again inside the image alone.
//!
//! Nothing is executed and nothing outside the tree is looked at. What stops the image's own
//! program is a fault; what is broken elsewhere in the image may never be used and is a warning.

mod around;
mod finding;
mod parts;
mod programs;
mod start;

use std::collections::BTreeSet;

use crate::{
    elf::ReadFailure,
    path::{ImagePath, glob::Glob},
    process::Start,
    tree::Tree,
    view::View,
};

pub use finding::Finding;

/// What is looked at, and how strictly.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Names of libraries and interpreters that may be missing.
    pub allow_missing: &'a [Glob],
    /// Whether warnings that tell of something broken are faults.
    pub strict: bool,
}

/// What was found. Each finding stands in one of the lists, once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The program that the image starts, where it really is.
    pub program: Option<ImagePath>,
    /// What keeps it from starting.
    pub faults: Vec<Finding>,
    /// What is broken or odd, and does not.
    pub warnings: Vec<Finding>,
}

/// Proves that `start` works in `tree`, the whole file system of an image.
///
/// # Errors
/// [`ReadFailure`] where a file of the tree cannot be read.
pub fn prove(tree: &Tree, start: &Start, options: Options<'_>) -> Result<Report, ReadFailure> {
    let view = View::of_tree(tree);
    let mut proof = Proof {
        view: &view,
        start,
        options,
        report: Report::default(),
        on_the_way: BTreeSet::new(),
    };
    let user = proof.user()?;
    proof.workdir();
    let whole = proof.program(&user)?;
    proof.others(whole)?;
    proof.around()?;
    let mut report = proof.report;
    if options.strict {
        let (broken, odd) = report.warnings.into_iter().partition(Finding::is_broken);
        report.warnings = odd;
        report.faults.extend::<Vec<_>>(broken);
    }
    Ok(report)
}

impl Report {
    /// The same report where the author's configuration stands as it is, as a Dockerfile's does:
    /// what it alone is to blame for is a warning.
    #[must_use]
    pub fn trusting_configuration(self) -> Self {
        let (odd, faults) = self.faults.into_iter().partition(Finding::is_of_configuration);
        let warnings = [odd, self.warnings].concat();
        Self { faults, warnings, ..self }
    }
}

/// A proof on the way.
struct Proof<'a> {
    view: &'a View<'a>,
    start: &'a Start,
    options: Options<'a>,
    report: Report,
    /// Files that the start loads: what is said of them is not said again of the image.
    on_the_way: BTreeSet<ImagePath>,
}

impl Proof<'_> {
    fn fault(&mut self, finding: Finding) {
        if !self.report.faults.contains(&finding) {
            self.report.faults.push(finding);
        }
    }

    fn warn(&mut self, finding: Finding) {
        if !self.report.faults.contains(&finding) && !self.report.warnings.contains(&finding) {
            self.report.warnings.push(finding);
        }
    }

    /// Whether the user said that a file of this name may be missing.
    fn may_be_missing(&self, name: &[u8]) -> bool {
        self.options.allow_missing.iter().any(|glob| glob.matches(name))
    }
}
