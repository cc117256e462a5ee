//! The proof that an image will start: everything is resolved again inside the image alone.
//!
//! Nothing is executed, and nothing outside the tree is read. What keeps the image's own program
//! from starting is a fault. What is broken elsewhere in the image may never be used and is a
//! warning.

mod capabilities;
mod filesystem;
mod finding;
mod findings;
mod health;
mod loader;
mod programs;
mod runtime_files;
mod start;

use std::collections::BTreeSet;

use crate::{
    elf::ReadFailure,
    image::Config,
    path::{ImagePath, glob::Glob},
    tree::Tree,
    view::View,
};

pub use finding::Finding;
use findings::Findings;

/// How strict a proof is.
#[derive(Clone, Copy, Debug)]
pub struct CheckOptions<'a> {
    /// Names of libraries and interpreters that may be missing.
    pub allow_missing: &'a [Glob],
    /// Whether a warning about something broken is a fault.
    pub strict: bool,
}

/// What was found. Each finding is in one of the lists, once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The program that the image starts, with links resolved.
    pub program: Option<ImagePath>,
    /// The files that are executed or loaded when it starts, with links resolved.
    pub started: BTreeSet<ImagePath>,
    /// What keeps it from starting.
    pub faults: Vec<Finding>,
    /// What is broken or unusual elsewhere.
    pub warnings: Vec<Finding>,
}

/// Proves that the image of `config` starts; `tree` is its whole file system.
///
/// # Errors
/// [`ReadFailure`] if a file of the tree cannot be read.
pub fn prove(
    tree: &Tree,
    config: &Config,
    options: CheckOptions<'_>,
) -> Result<Report, ReadFailure> {
    let view = View::of_tree(tree);
    let subject = Subject { view: &view, config, allow_missing: options.allow_missing };
    let mut findings = Findings::default();
    let started = start::prove(&subject, &mut findings)?;
    programs::prove(&subject, &started, &mut findings)?;
    health::prove(&subject, &mut findings)?;
    filesystem::prove(&view, &mut findings)?;
    capabilities::prove(tree, started.program.as_ref(), &mut findings);
    let (faults, warnings) = if options.strict { findings.strict() } else { findings.lists() };
    Ok(Report { program: started.program, started: started.files, faults, warnings })
}

impl Report {
    /// The same report for a configuration that its author insists on, as in a Dockerfile: a fault
    /// of the configuration alone becomes a warning.
    #[must_use]
    pub fn trusting_configuration(self) -> Self {
        let (odd, faults) = self.faults.into_iter().partition(Finding::is_of_configuration);
        let warnings = [odd, self.warnings].concat();
        Self { faults, warnings, ..self }
    }
}

/// What engines refuse to start among the files of `tree`, by their capabilities alone: part of
/// [`prove`].
pub fn capabilities(tree: &Tree) -> Vec<Finding> {
    let mut findings = Findings::default();
    capabilities::prove(tree, None, &mut findings);
    findings.lists().1
}

/// What is proved: an image and what may be missing from it.
struct Subject<'a> {
    view: &'a View<'a>,
    config: &'a Config,
    allow_missing: &'a [Glob],
}

impl Subject<'_> {
    /// Whether the user allowed a file of this name to be missing.
    fn may_be_missing(&self, name: &[u8]) -> bool {
        self.allow_missing.iter().any(|glob| glob.matches(name))
    }
}
