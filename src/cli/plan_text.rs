//! Printing a plan and its notes.

use super::{
    failure::Failure,
    options::messages::Verbosity,
    terminal::{print_data, print_json},
    warnings::{self, Message},
};
use crate::plan::{self, Note, Plan, Severity};

/// Prints the plan on stdout: every path if `all` or with `--verbose`, else one line for each
/// reason.
pub(super) fn print_plan(plan: &Plan, verbosity: &Verbosity, all: bool) -> Result<(), Failure> {
    if verbosity.json {
        return print_json(plan::json(plan));
    }
    if !verbosity.quiet {
        print_notes(&plan.notes, verbosity);
    }
    match all || verbosity.verbose {
        true => print_data(&plan::text(plan)),
        false => print_data(&plan::summary(plan)),
    }
}

/// Prints notes on stderr: all of them with `--verbose`.
pub(super) fn print_notes(notes: &[Note], verbosity: &Verbosity) {
    let wanted = |severity| verbosity.verbose || severity != Severity::Info;
    let notes = notes.iter().filter(|note| wanted(note.severity));
    warnings::print(notes.map(Message::from), verbosity.verbose);
}
