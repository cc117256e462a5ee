//! Writing an image, with progress, and reporting what was written.

use super::{
    failure::Failure,
    options::messages::Verbosity,
    plan_text::print_notes,
    progress::Progress,
    summary,
    terminal::{print_data, print_json, print_lines},
    timing::Timing,
};
use crate::{
    image::Destination,
    oci,
    pipeline::{self, Delivery, Event},
    plan::{self, Plan},
};

/// Writes the image of `plan`, above the layers of `base`, and prints its digest or, with
/// `--json`, the whole summary. `timing` is printed if given.
pub(super) fn deliver(
    (plan, base): (&Plan, Option<&oci::UnpackedImage>),
    delivery: &Delivery,
    verbosity: &Verbosity,
    timing: Option<&Timing>,
) -> Result<(), Failure> {
    let progress = Progress::new(verbosity.progress, verbosity.quiet);
    let delivered = pipeline::deliver(plan, base, delivery, &|event| match event {
        Event::Phase(_) => timing.into_iter().for_each(|timing| timing.event(event)),
        Event::Packing(step) => progress.step(step),
    });
    progress.finish();
    let delivered = delivered?;
    if verbosity.verbose {
        print_lines(plan::text(plan).trim_end());
    }
    if !verbosity.quiet {
        print_notes(&plan.notes, verbosity);
        print_notes(&delivered.notes, verbosity);
        print_lines(&summary::text(plan, delivery, &delivered));
    }
    let to_stdout = delivery.targets.iter().any(|target| target.destination == Destination::Stdout);
    if let Some(timing) = timing.filter(|_| to_stdout || !verbosity.json) {
        print_lines(&timing.text(plan, &delivered));
    }
    if to_stdout {
        return Ok(());
    }
    if !verbosity.json {
        return print_data(&format!("{}\n", delivered.image.manifest.digest));
    }
    let mut summary = summary::json(plan, delivery, &delivered);
    if let Some(timing) = timing {
        summary["timing"] = timing.json(plan, &delivered);
    }
    print_json(summary)
}
