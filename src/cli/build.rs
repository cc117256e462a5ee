//! `imgb build`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{
    advice::{Language, advise},
    deliver::deliver,
    documents::Documents,
    environment::jobs,
    failure::Failure,
    options::{
        buildfile::{BuildRequest, BuildfileArgs, build_request},
        layers::LayersArgs,
        lookup::LookupArgs,
        messages::Verbosity,
        output::OutputArgs,
        platforms::{distinct, refuse_single},
    },
    overlap::{self, output_paths},
    plan_text::print_plans,
    refusal::{fix, refuse, warn_of_health},
    terminal::print_message,
    timing::Timing,
    values,
    warnings::{self, Message},
};
use crate::{
    build::{BuildOptions, Built},
    check::Finding,
    image::Platform,
    path::glob::Glob,
    pipeline::{self, Event, Part, Phase},
    plan::Plan,
    recipe::{Recipe, fault::Notice},
    uninterrupted,
};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb build -o app.tar -t app:1.0\n  \
    imgb build ./src -f src/Buildfile.debug --target debug \\\n      \
      --build-arg VERSION=2.0 -o - | docker load\n  \
    imgb build --platform linux/amd64,linux/arm64 -o app.tar\n\n\
    Without --file, the Buildfile is Buildfile, Dockerfile or Containerfile in \
    CONTEXT.\n\n\
    The syntax is Dockerfile's, without RUN; docs/buildfile.md describes each instruction.")]
pub(super) struct BuildArgs {
    /// The directory that files are taken from
    #[arg(value_name = "CONTEXT", default_value = ".")]
    context: PathBuf,

    #[command(flatten)]
    buildfile: BuildfileArgs,

    #[command(flatten)]
    lookup: LookupArgs,

    /// OS and architecture of the image, and of a base image that has several; of several in a
    /// list, each gets an image, and an index lists them (repeatable)
    #[arg(long, value_name = "OS/ARCH", value_delimiter = ',', help_heading = "Image")]
    platform: Vec<Platform>,

    /// A label (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::pair, help_heading = "Image")]
    label: Vec<(String, String)>,

    /// An annotation of the manifest (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::pair, help_heading = "Image")]
    annotation: Vec<(String, String)>,

    #[command(flatten)]
    layers: LayersArgs,

    #[command(flatten)]
    out: OutputArgs,

    #[command(flatten)]
    verbosity: Verbosity,
}

impl BuildArgs {
    /// Whether stdout is for JSON.
    pub(super) fn prints_json(&self) -> bool {
        self.verbosity.json && !self.out.is_stdout()
    }
}

pub(super) fn build(args: BuildArgs) -> Result<(), Failure> {
    let targets = args.out.targets()?;
    let stem = uninterrupted::canonicalize(&args.context).ok();
    let stem = stem.as_deref().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let own = [args.context.clone()].into_iter().chain(args.buildfile.file.clone());
    let files = own.chain(args.lookup.runtime_deps.files().iter().cloned()).collect();
    let inputs = overlap::Inputs { files, base: None };
    let mut outputs = output_paths(&targets, &inputs, args.out.force)?;
    let platforms = distinct(args.platform.iter().cloned());
    let mut documents = Documents::of::<BuildArgs>(
        &args.out.documents,
        &targets,
        (&inputs, &mut outputs),
        &platforms,
        args.out.force,
    )?;
    refuse_single(&targets, platforms.len())?;
    let BuildRequest { recipe, mut options } = build_request(
        args.context.clone(),
        args.buildfile.clone(),
        &args.lookup,
        &platforms,
        (args.label.clone(), args.layers),
        (outputs, jobs(args.out.jobs)),
    )?;
    let pieces = args.out.pieces();
    let timing = Timing::new();
    timing.event(Event::Phase(Phase::Plan));
    let (mut all, mut noticed) = (Vec::new(), Vec::new());
    for options in &mut options {
        options.plan.settings.created = args.out.created;
        options.image.pieces = pieces.get();
        let platform = options.plan.platform.as_ref().filter(|_| platforms.len() > 1);
        let built = one(&recipe, options, &args, &mut noticed);
        all.push(built.map_err(|failure| failure.of_platform(platform))?);
    }
    if args.out.dry_run {
        let plans: Vec<&Plan> = all.iter().map(|built| &built.plan).collect();
        return print_plans(&plans, &args.verbosity, false);
    }
    let registry = &args.lookup.root.registry;
    let delivery = args.out.delivery(targets, &stem, &args.annotation, registry)?;
    documents.add_images(all.iter().flat_map(|built| built.images.clone()));
    documents.add_buildfile(&recipe.source.name, &recipe.source.text);
    let parts = all.iter().map(|built| Part {
        plan: &built.plan,
        base: built.base.as_deref(),
        annotations: built.annotations.clone(),
    });
    let parts: Vec<Part<'_>> = parts.collect();
    let timing = args.out.timing.then_some(&timing);
    deliver(&parts, &delivery, &args.verbosity, timing, &documents)
}

/// Builds one image and proves that it starts. What is odd about the Buildfile and is not among
/// `noticed` is printed, and added to it.
fn one(
    recipe: &Recipe,
    options: &BuildOptions,
    args: &BuildArgs,
    noticed: &mut Vec<Notice>,
) -> Result<Built, Failure> {
    let mut built = pipeline::build(recipe, options)?;
    advise(&mut built.plan, Language::Buildfile)?;
    let is_new = |notice: &Notice| !noticed.contains(notice);
    let new: Vec<Notice> = built.notices.iter().filter(|one| is_new(one)).cloned().collect();
    if !args.verbosity.quiet {
        print_notices(recipe, &new, args.verbosity.verbose);
    }
    noticed.extend(new);
    if !args.out.dry_run && !args.out.no_check {
        let language = Language::Buildfile;
        prove(&built.plan, &options.plan.allow_missing, &args.verbosity, language)?;
    }
    Ok(built)
}

/// Refuses an image whose files are broken. A program or user that does not exist is a warning
/// only: Docker builds such a Dockerfile, and both can be given or mounted when the image is run.
pub(super) fn prove(
    plan: &Plan,
    allow_missing: &[Glob],
    verbosity: &Verbosity,
    language: Language,
) -> Result<(), Failure> {
    let strict = pipeline::prove(plan, allow_missing)?;
    let known = strict.warnings.len();
    let report = strict.trusting_configuration();
    if !verbosity.quiet {
        let count = report.warnings.len().saturating_sub(known);
        let odd = report.warnings.iter().take(count);
        let prefix = "the image does not start as it is: ";
        let message = |odd: &Finding| Message {
            hint: fix(odd, plan, language),
            ..Message::warning(prefix, odd)
        };
        warnings::print(odd.map(message), verbosity.verbose);
    }
    warn_of_health(&report, plan, language, verbosity);
    refuse(&report, plan, language)
}

/// Prints what is odd about a Buildfile, with the lines that it is about: each notice if `verbose`,
/// else the first of those that say the same.
pub(super) fn print_notices(recipe: &Recipe, notices: &[Notice], verbose: bool) {
    for (number, notice) in notices.iter().enumerate() {
        let same = |other: &&Notice| !verbose && other.kind == notice.kind;
        if notices.iter().take(number).any(|earlier| same(&earlier)) {
            continue;
        }
        for (at, text) in notice.show(&recipe.source).lines().enumerate() {
            let prefix = if at == 0 { "warning: " } else { "  " };
            print_message(&format!("{prefix}{text}"));
        }
        let others = notices.iter().skip(number + 1).filter(same).filter_map(|other| other.span);
        let lines: Vec<String> =
            others.map(|span| recipe.source.position(span.start).line.to_string()).collect();
        if !lines.is_empty() {
            print_message(&format!("  also in line {}", lines.join(", ")));
        }
    }
}
