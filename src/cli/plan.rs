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
        inputs::{ImageConfigArgs, InputArgs, pack_request},
        messages::Verbosity,
    },
    plan_text::print_plan,
    progress::Reading,
};
use crate::pipeline::{self, Planned};

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
        .required_unless_present("file")
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
    let request = pack_request(args.input, args.config, BTreeSet::new(), jobs(None))?;
    let Planned { mut plan, .. } = {
        let _reading = Reading::new(&args.verbosity, &request.requests);
        pipeline::plan(&request, &|_| {})?
    };
    advise(&mut plan, Language::Options)?;
    print_plan(&plan, &args.verbosity, args.all)
}

/// Shows what `imgb build` would do. The input is the build context.
fn plan_buildfile(args: PlanArgs) -> Result<(), Failure> {
    let context = match &args.input.inputs[..] {
        [] => PathBuf::from("."),
        [context] => PathBuf::from(&context.text),
        _ => return Err(Failure::usage("--file: name only one input, the build context")),
    };
    let BuildRequest { recipe, options } = build_request(
        context,
        args.buildfile,
        args.input.lookup,
        args.config.platform,
        args.config.settings.0.labels,
        (BTreeSet::new(), jobs(None)),
    )?;
    let mut built = pipeline::build(&recipe, &options)?;
    advise(&mut built.plan, Language::Buildfile)?;
    if !args.verbosity.quiet {
        print_notices(&recipe, &built.notices, args.verbosity.verbose);
    }
    print_plan(&built.plan, &args.verbosity, args.all)
}
