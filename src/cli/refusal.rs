//! The failure of a command whose image cannot start.

use super::failure::Failure;
use crate::{check::Report, error_kind::ErrorKind, quantity};

/// Refuses to write an image that cannot start.
pub(super) fn refuse(report: &Report) -> Result<(), Failure> {
    match report.faults.is_empty() {
        true => Ok(()),
        false => Err(cannot_start(report).with_hint("use `--no-check` to write it anyway")),
    }
}

/// The faults of an image, and where each missing file was searched.
pub(super) fn cannot_start(report: &Report) -> Failure {
    let message = match &report.faults[..] {
        [one] => format!("the image cannot start: {one}"),
        all => format!("the image cannot start: {}", quantity::count(all.len(), "fault")),
    };
    let mut details = Vec::new();
    for fault in &report.faults {
        if report.faults.len() > 1 {
            details.push(fault.to_string());
        }
        if !fault.searched().is_empty() {
            details.push(format!("searched: {}", fault.searched().join(", ")));
        }
    }
    Failure::new(ErrorKind::Build, message).with_details(details)
}
