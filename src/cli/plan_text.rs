//! Printing a plan and its notes.

use super::{
    failure::Failure,
    options::messages::Verbosity,
    terminal::{print_data, print_message},
};
use crate::plan::{self, Plan};

/// Prints every path of the plan on stdout.
pub(super) fn print_plan(plan: &Plan, verbosity: &Verbosity) -> Result<(), Failure> {
    if verbosity.json {
        return print_data(&format!("{}\n", plan::json(plan)));
    }
    if !verbosity.quiet {
        print_notes(plan);
    }
    print_data(&plan::text(plan))
}

/// Prints the plan's notes on stderr.
pub(super) fn print_notes(plan: &Plan) {
    for note in &plan.notes {
        print_message(&format!("{}: {}", note.severity, note.text));
        if let Some(hint) = &note.hint {
            print_message(&format!("  {hint}"));
        }
    }
}
