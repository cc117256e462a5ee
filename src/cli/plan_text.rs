//! Printing a plan and its notes.

use serde_json::{Value, json};

use super::{
    failure::Failure,
    options::messages::Verbosity,
    terminal::{print_data, print_json},
    warnings::{self, Message},
};
use crate::plan::{self, Note, Plan, Severity};

/// Prints plans on stdout: every path if `all` or with `--verbose`, else one line for each reason.
pub(super) fn print_plans(
    plans: &[&Plan],
    verbosity: &Verbosity,
    all: bool,
) -> Result<(), Failure> {
    if verbosity.json {
        return match plans {
            [plan] => print_json(plan::json(plan)),
            _ => {
                let all: Vec<Value> = plans.iter().map(|plan| plan::json(plan)).collect();
                print_json(json!({"platforms": all}))
            }
        };
    }
    if !verbosity.quiet {
        print_notes(&notes(plans), verbosity);
    }
    let text = |plan: &&Plan| match all || verbosity.verbose {
        true => plan::text(plan),
        false => plan::summary(plan),
    };
    print_data(&plans.iter().map(text).collect::<Vec<_>>().join("\n"))
}

/// The notes of all plans. What not all of them say is marked with the platform.
pub(super) fn notes(plans: &[&Plan]) -> Vec<Note> {
    let mut notes: Vec<Note> = Vec::new();
    for plan in plans {
        for note in &plan.notes {
            let of_platform = || {
                let text = format!("{}: {}", plan.config.platform, note.text);
                Note { text, ..note.clone() }
            };
            let is_shared = plans.iter().all(|plan| plan.notes.contains(note));
            let note = if is_shared { note.clone() } else { of_platform() };
            if !is_shared || plans.len() == 1 || !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    notes
}

/// Prints notes on stderr: all of them with `--verbose`.
pub(super) fn print_notes(notes: &[Note], verbosity: &Verbosity) {
    let wanted = |severity| verbosity.verbose || severity != Severity::Info;
    let notes = notes.iter().filter(|note| wanted(note.severity));
    warnings::print(notes.map(Message::from), verbosity.verbose);
}
