//! `imgb pack`.

use std::path::Path;

use clap::Args;

use super::{
    advice::{Language, advise},
    deliver::deliver,
    environment::jobs,
    failure::Failure,
    options::{
        inputs::{ImageConfigArgs, InputArgs, pack_request},
        messages::Verbosity,
        output::OutputArgs,
    },
    overlap::output_paths,
    pack_trace::{self, TraceOptions},
    plan_text::print_plan,
    progress::Reading,
    refusal::{refuse, warn_of_health},
    timing::Timing,
};
use crate::pipeline::{self, Event, Phase, Planned};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb pack ./bin -o myapp.tar && docker load -i myapp.tar\n  \
    imgb pack ./target/release/app -o app.tar -t registry.example/app:1.0\n  \
    imgb pack curl -o - | docker load\n  \
    imgb pack ./rootfs.tar.xz --cmd bash -o oci:layout:debian\n  \
    imgb pack ./app ./etc:/etc --env RUST_LOG=info --user 65532 \\\n      \
      -o app.tar -o rootfs:app-rootfs.tar\n\n\
    Times in the image are SOURCE_DATE_EPOCH, or 0 if it is not set; see --created.")]
pub(super) struct PackArgs {
    #[command(flatten)]
    input: InputArgs,

    #[command(flatten)]
    trace: TraceOptions,

    #[command(flatten)]
    config: ImageConfigArgs,

    #[command(flatten)]
    out: OutputArgs,

    #[command(flatten)]
    verbosity: Verbosity,
}

impl PackArgs {
    /// Whether stdout is for JSON.
    pub(super) fn prints_json(&self) -> bool {
        self.verbosity.json && !self.out.is_stdout()
    }
}

pub(super) fn pack(args: PackArgs) -> Result<(), Failure> {
    let targets = args.out.targets()?;
    let first = args.input.inputs.first().map(|input| input.text.clone()).unwrap_or_default();
    let annotations = args.config.annotation.clone();
    let outputs = output_paths(&targets, &args.input.host_files(), args.out.force)?;
    let mut request = pack_request(args.input, args.config, outputs, jobs(args.out.jobs))?;
    request.plan.settings.created = args.out.created;
    let timing = Timing::new();
    let reading = Reading::new(&args.verbosity, &request.requests);
    let planned = pipeline::plan(&request, &|event| timing.event(event));
    drop(reading);
    let event = |event| timing.event(event);
    let is_quiet = args.verbosity.quiet;
    let planned = pack_trace::complete(planned?, &mut request, &args.trace, is_quiet, &event)?;
    let Planned { mut plan, base } = planned;
    advise(&mut plan, Language::Options)?;
    if args.out.dry_run {
        return print_plan(&plan, &args.verbosity, false);
    }
    let source = first.split(":/").next().unwrap_or(&first);
    let stem = Path::new(source).file_stem().unwrap_or_default().to_string_lossy();
    let delivery = args.out.delivery(targets, &stem, &annotations)?;
    // With `--no-deps` the image is not expected to start.
    if !args.out.no_check && request.plan.dependencies {
        timing.event(Event::Phase(Phase::Check));
        let report = pipeline::prove(&plan, &request.plan.allow_missing)?;
        warn_of_health(&report, &plan, Language::Options, &args.verbosity);
        refuse(&report, &plan, Language::Options)?;
    }
    let timing = args.out.timing.then_some(&timing);
    let delivered = deliver((&plan, base.as_deref()), &delivery, &args.verbosity, timing);
    // The process ends here, and its memory is freed faster by the system than node by node.
    std::mem::forget(plan);
    delivered
}
