//! `imgb plan`.

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;

use super::{
    advice::{Language, advise},
    build::print_notices,
    environment::jobs,
    failure::Failure,
    options::{
        buildfile::{BuildRequest, BuildfileArgs, build_request},
        cache::CachePlace,
        inputs::{ImageConfigArgs, InputArgs, pack_requests},
        messages::Verbosity,
        platforms::wanted,
    },
    plan_text::print_plans,
    progress::Reading,
};
use crate::{
    pipeline::{self, PackRequest, Planned},
    plan::Plan,
};

/// Options of `pack` that `build` does not have.
const ONLY_FOR_INPUTS: [&str; 20] = [
    "base",
    "exclude",
    "include",
    "include_from",
    "no_deps",
    "strict",
    "hwcaps",
    "chown",
    "cap",
    "layers",
    "entrypoint",
    "cmd",
    "env",
    "workdir",
    "user",
    "expose",
    "volume",
    "stop-signal",
    "healthcheck",
    "annotation",
];

#[derive(Args, Debug)]
#[command(override_usage = "imgb plan [OPTIONS] <INPUT>...\n       \
    imgb plan [OPTIONS] --file <FILE> [CONTEXT]")]
#[command(after_help = "Examples:\n  \
    imgb plan curl\n  \
    imgb plan curl --all | grep libssl\n  \
    imgb plan ./app --base debian.tar\n  \
    imgb plan --file Buildfile .   # as `imgb build` would do\n  \
    imgb plan ./bin --json |\n      \
      jq '.layers[].files[] | select(.reason | test(\"needed\"))'")]
#[command(mut_arg("inputs", |arg| {
    arg.required(false)
        .required_unless_present_any(["file", "platform"])
        .help("What to pack: SRC[:DEST]; with --file, the build context")
}))]
#[command(mut_arg("file", |arg| arg.conflicts_with_all(ONLY_FOR_INPUTS)))]
#[command(mut_arg("build_arg", |arg| arg.requires("file")))]
#[command(mut_arg("target", |arg| arg.requires("file")))]
#[command(mut_arg("verbose", |arg| {
    arg.help("Print every path and all notes")
}))]
#[command(mut_arg("squash", |arg| arg.requires("file")))]
pub(super) struct PlanArgs {
    #[command(flatten)]
    input: InputArgs,

    #[command(flatten)]
    config: ImageConfigArgs,

    #[command(flatten)]
    buildfile: BuildfileArgs,

    /// Print every path: its layer, mode and owner, size or link target, and reason
    #[arg(long, help_heading = "Messages")]
    all: bool,

    #[command(flatten)]
    cache: CachePlace,

    #[command(flatten)]
    verbosity: Verbosity,
}

impl PlanArgs {
    /// Whether stdout is for JSON.
    pub(super) fn prints_json(&self) -> bool {
        self.verbosity.json
    }
}

pub(super) fn plan(args: PlanArgs) -> Result<(), Failure> {
    if args.buildfile.file.is_some() {
        return plan_buildfile(args);
    }
    let mut requests = pack_requests(&args.input, &args.config, &BTreeSet::new(), jobs(None))?;
    let pieces = args.cache.pieces();
    let is_one = requests.len() == 1;
    let mut plans = Vec::new();
    for request in &mut requests {
        request.image.pieces = pieces.get();
        let platform = request.plan.platform.as_ref().filter(|_| !is_one);
        plans.push(one(request, &args).map_err(|failure| failure.of_platform(platform))?);
    }
    print_plans(&plans.iter().collect::<Vec<_>>(), &args.verbosity, args.all)
}

fn one(request: &PackRequest, args: &PlanArgs) -> Result<Plan, Failure> {
    let Planned { mut plan, .. } = {
        let _reading = Reading::new(&args.verbosity, &request.requests);
        pipeline::plan(request, &|_| {})?
    };
    advise(&mut plan, Language::Options)?;
    Ok(plan)
}

/// Shows what `imgb build` would do. The input is the build context.
fn plan_buildfile(args: PlanArgs) -> Result<(), Failure> {
    let context = match &args.input.inputs[..] {
        [] => PathBuf::from("."),
        [context] => PathBuf::from(&context.text),
        _ => return Err(Failure::usage("--file: name only one input, the build context")),
    };
    if args.config.platform.iter().any(|arg| arg.input().is_some()) {
        return Err(Failure::usage("--file: write `--platform OS/ARCH`, without an input"));
    }
    let platforms = wanted(&args.config.platform);
    let pieces = args.cache.pieces();
    let BuildRequest { recipe, mut options } = build_request(
        context,
        args.buildfile,
        &args.input.lookup,
        &platforms,
        (args.config.settings.0.labels, args.config.layers),
        (BTreeSet::new(), jobs(None)),
    )?;
    let (mut plans, mut noticed) = (Vec::new(), Vec::new());
    for options in &mut options {
        options.image.pieces = pieces.get();
        let platform = options.plan.platform.as_ref().filter(|_| platforms.len() > 1);
        let built = pipeline::build(&recipe, options);
        let mut built = built.map_err(|error| Failure::from(error).of_platform(platform))?;
        advise(&mut built.plan, Language::Buildfile)?;
        built.notices.retain(|notice| !noticed.contains(notice));
        if !args.verbosity.quiet {
            print_notices(&recipe, &built.notices, args.verbosity.verbose);
        }
        noticed.extend(built.notices);
        plans.push(built.plan);
    }
    print_plans(&plans.iter().collect::<Vec<_>>(), &args.verbosity, args.all)
}
