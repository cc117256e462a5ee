//! `imgb pack`.

use std::{collections::BTreeMap, path::Path};

use clap::Args;

use super::{
    advice::{Language, advise},
    deliver::deliver,
    documents::Documents,
    environment::jobs,
    failure::Failure,
    options::{
        inputs::{ImageConfigArgs, InputArgs, pack_requests},
        messages::Verbosity,
        output::OutputArgs,
        platforms::{refuse_single, wanted},
    },
    overlap::output_paths,
    pack_trace::{self, TraceOptions},
    plan_text::print_plans,
    progress::Reading,
    refusal::{refuse, warn_of_health},
    timing::Timing,
};
use crate::{
    digest::Digest,
    pipeline::{self, Event, PackRequest, Part, Phase, Planned},
    plan::Plan,
};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb pack ./bin -o myapp.tar && docker load -i myapp.tar\n  \
    imgb pack ./target/release/app -o app.tar -t registry.example/app:1.0\n  \
    imgb pack curl -o - | docker load\n  \
    imgb pack ./rootfs.tar.xz --cmd bash -o oci:layout:debian\n  \
    imgb pack curl --sysroot debian.tar -o curl.tar\n  \
    imgb pack ./app ./etc:/etc --env RUST_LOG=info --user 65532 \\\n      \
      -o app.tar -o rootfs:app-rootfs.tar\n  \
    imgb pack --platform linux/amd64=x86/app --platform linux/arm64=arm/app \\\n      \
      -o app.tar\n\n\
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
    let inputs = args.input.host_files(&args.config);
    let mut outputs = output_paths(&targets, &inputs, args.out.force)?;
    let mut documents = Documents::of::<PackArgs>(
        &args.out.documents,
        &targets,
        (&inputs, &mut outputs),
        &wanted(&args.config.platform),
        args.out.force,
    )?;
    let mut requests = pack_requests(&args.input, &args.config, &outputs, jobs(args.out.jobs))?;
    refuse_single(&targets, requests.len())?;
    let pieces = args.out.pieces();
    let timing = Timing::new();
    let is_one = requests.len() == 1;
    let mut planned = Vec::new();
    for request in &mut requests {
        request.plan.settings.created = args.out.created;
        request.image.pieces = pieces.get();
        let platform = request.plan.platform.clone().filter(|_| !is_one);
        let one = plan(request, &args, &timing);
        planned.push(one.map_err(|failure| failure.of_platform(platform.as_ref()))?);
    }
    let plans: Vec<&Plan> = planned.iter().map(|one| &one.plan).collect();
    if args.out.dry_run {
        return print_plans(&plans, &args.verbosity, false);
    }
    let first = requests.iter().flat_map(|request| &request.requests).next();
    let first = first.map_or("", |input| &input.text);
    let source = first.split(":/").next().unwrap_or(first);
    let stem = Path::new(source).file_stem().unwrap_or_default().to_string_lossy();
    let registry = &args.input.lookup.root.registry;
    let delivery = args.out.delivery(targets, &stem, &args.config.annotation, registry)?;
    if documents.have_provenance() {
        let images = requests.iter().zip(&planned).flat_map(|(request, one)| images(request, one));
        documents.add_images(images);
    }
    let parts = planned.iter().map(|one| Part {
        plan: &one.plan,
        base: one.base.as_deref(),
        annotations: BTreeMap::new(),
    });
    let parts: Vec<Part<'_>> = parts.collect();
    let timing = args.out.timing.then_some(&timing);
    let delivered = deliver(&parts, &delivery, &args.verbosity, timing, &documents);
    drop(parts);
    // The process ends here, and its memory is freed faster by the system than node by node.
    std::mem::forget(planned);
    delivered
}

/// The images that one is made of, by the names that the user gave them.
fn images(request: &PackRequest, planned: &Planned) -> impl Iterator<Item = (String, Digest)> {
    let base = request.base.clone().zip(planned.base.as_ref().map(|base| base.image.digest()));
    let sysroot = request.sysroot.as_ref().map(|sysroot| sysroot.display().to_string());
    base.into_iter().chain(sysroot.zip(planned.sysroot.digest()))
}

/// Decides what one image holds, and proves that it starts.
fn plan(request: &mut PackRequest, args: &PackArgs, timing: &Timing) -> Result<Planned, Failure> {
    let event = |event| timing.event(event);
    let reading = Reading::new(&args.verbosity, &request.requests);
    let planned = pipeline::plan(request, &event);
    drop(reading);
    let is_quiet = args.verbosity.quiet;
    let mut planned = pack_trace::complete(planned?, request, &args.trace, is_quiet, &event)?;
    advise(&mut planned.plan, Language::Options)?;
    // With `--no-deps` the image is not expected to start.
    if !args.out.dry_run && !args.out.no_check && request.plan.dependencies {
        timing.event(Event::Phase(Phase::Check));
        let report = pipeline::prove(&planned.plan, &request.plan.allow_missing)?;
        warn_of_health(&report, &planned.plan, Language::Options, &args.verbosity);
        refuse(&report, &planned.plan, Language::Options)?;
    }
    Ok(planned)
}
