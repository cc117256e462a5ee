//! Writing an image, with progress, and reporting what was written.

use serde_json::Value;

use super::{
    documents::{Documents, Making},
    failure::Failure,
    options::messages::Verbosity,
    plan_text::{notes, print_notes},
    progress::Progress,
    summary,
    terminal::{print_data, print_json, print_lines},
    timing::Timing,
    transfers::Transfers,
};
use crate::{
    image::{Bundle, Destination},
    pipeline::{self, Delivery, Event, Part},
    plan::{self, Plan},
};

/// Writes the image of `parts`, or the index of their images, and prints its digest or, with
/// `--json`, the whole summary. `timing` is printed if given.
/// `documents` about the images are made with them.
pub(super) fn deliver(
    parts: &[Part<'_>],
    delivery: &Delivery,
    verbosity: &Verbosity,
    timing: Option<&Timing>,
    documents: &Documents,
) -> Result<(), Failure> {
    deliver_with(parts, delivery, verbosity, timing, documents, None)
}

/// As [`deliver`]; `more` is a field of the summary in JSON.
pub(super) fn deliver_with(
    parts: &[Part<'_>],
    delivery: &Delivery,
    verbosity: &Verbosity,
    timing: Option<&Timing>,
    documents: &Documents,
    more: Option<(&str, Value)>,
) -> Result<(), Failure> {
    let progress = Progress::new(verbosity.progress, verbosity.quiet);
    let transfers = Transfers::new(verbosity.progress, verbosity.quiet);
    let making = Making::new(documents, parts, delivery);
    making.check_places(&delivery.targets)?;
    let artifacts = |bundle: &Bundle| making.artifacts(bundle);
    let delivered = pipeline::deliver_with(parts, delivery, &artifacts, &|event| match event {
        Event::Phase(_) => timing.into_iter().for_each(|timing| timing.event(event)),
        Event::Packing(step) => progress.step(step),
        Event::Moving(transfer) => {
            progress.finish();
            transfers.event(transfer);
        }
    });
    progress.finish();
    drop(transfers);
    let mut delivered = delivered?;
    let plans: Vec<&Plan> = parts.iter().map(|part| part.plan).collect();
    if verbosity.verbose {
        plans.iter().for_each(|plan| print_lines(plan::text(plan).trim_end()));
    }
    if !verbosity.quiet {
        print_notes(&notes(&plans), verbosity);
        print_notes(&delivered.notes, verbosity);
        print_lines(&summary::text(&plans, delivery, &delivered));
    }
    let published = making.publish(verbosity.quiet);
    if let Some(failure) = Failure::of_outputs(std::mem::take(&mut delivered.faults)) {
        return Err(failure);
    }
    published?;
    let to_stdout = delivery.targets.iter().any(|target| target.destination == Destination::Stdout);
    if let Some(timing) = timing.filter(|_| to_stdout || !verbosity.json) {
        print_lines(&timing.text(&plans, &delivered));
    }
    if to_stdout {
        return Ok(());
    }
    if !verbosity.json {
        return print_data(&format!("{}\n", delivered.bundle.digest()));
    }
    let mut summary = summary::json(&plans, delivery, &delivered);
    summary["referrers"] = making.json();
    if let Some(timing) = timing {
        summary["timing"] = timing.json(&plans, &delivered);
    }
    if let Some((name, value)) = more {
        summary[name] = value;
    }
    print_json(summary)
}
