//! `imgb build`: the Buildfile and the ignore file that are meant, and what came of them.

use std::{
    collections::BTreeMap,
    io::Read as _,
    path::{Path, PathBuf},
};

use super::{
    build_args::BuildArgs, check, pack, progress::line, report::Failure, rules, timing::Timing,
};
use crate::{
    build::{self, BuildOptions},
    error_kind::ErrorKind,
    image::Platform,
    path::ignore::Ignore,
    pipeline::{self, Event, Phase},
    plan::{self, Layers, Plan, Settings},
    recipe::{self, Recipe, evaluate::Arguments},
    source,
};

/// Bytes of an ignore file.
const MAX_IGNORE: usize = 1 << 20;

pub(super) fn build(args: &BuildArgs) -> Result<(), Failure> {
    let targets = pack::targets(&args.out)?;
    let is_context = fs_err::metadata(&args.context).is_ok_and(|metadata| metadata.is_dir());
    if !is_context {
        let message = format!("the context `{}` is no directory", args.context.display());
        return Err(Failure::new(ErrorKind::Input, message, Vec::new(), None));
    }
    let file = file(args)?;
    let recipe = recipe(&file)?;
    let options = options(args, &file, pack::outputs(&targets))?;
    let timing = Timing::new();
    timing.event(Event::Phase(Phase::Plan));
    let built = pipeline::build(&recipe, &options)?;
    if !args.talk.quiet {
        for notice in &built.notices {
            notice_lines(&notice.show(&recipe.source));
        }
    }
    if args.dry_run {
        return pack::show(&built.plan, args.talk.json, args.talk.quiet);
    }
    if !args.no_check {
        prove(&built.plan, &options, args.talk.quiet)?;
    }
    let stem = fs_err::canonicalize(&args.context).ok();
    let stem = stem.as_deref().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let mut delivery = pack::delivery(&args.out, targets, &stem, &args.annotation)?;
    for (name, value) in built.annotations {
        delivery.annotations.entry(name).or_insert(value);
    }
    pack::deliver(
        (&built.plan, built.base.as_deref()),
        &delivery,
        &args.talk,
        timing.wanted(args.out.timing),
    )
}

/// Refuses what is broken in the files. Of a program or user that is not there it only warns:
/// Docker builds such a Dockerfile, and both can be given or mounted when the image is started.
fn prove(plan: &Plan, options: &BuildOptions, quiet: bool) -> Result<(), Failure> {
    let before = pipeline::prove(plan, &options.plan.allow_missing);
    let known = before.warnings.len();
    let report = before.trusting_configuration();
    if !quiet {
        let count = report.warnings.len().saturating_sub(known);
        for warning in report.warnings.iter().take(count) {
            line(&format!("warning: the image does not start as it is: {warning}"));
        }
    }
    check::refuse(&report)
}

fn notice_lines(text: &str) {
    for (at, text) in text.lines().enumerate() {
        line(&if at == 0 { format!("warning: {text}") } else { format!("  {text}") });
    }
}

/// The Buildfile: the one that is named, or the first that the context has.
fn file(args: &BuildArgs) -> Result<PathBuf, Failure> {
    if let Some(file) = &args.file {
        return Ok(file.clone());
    }
    let candidates = ["Buildfile", "Dockerfile"].map(|name| args.context.join(name));
    candidates.into_iter().find(|path| fs_err::symlink_metadata(path).is_ok()).ok_or_else(|| {
        let message =
            format!("`{}` has neither a Buildfile nor a Dockerfile", args.context.display());
        Failure::new(ErrorKind::Input, message, Vec::new(), Some("name the file with `-f FILE`"))
    })
}

fn recipe(file: &Path) -> Result<Recipe, Failure> {
    let bytes = match file == Path::new("-") {
        true => {
            let mut bytes = Vec::new();
            let limit = recipe::MAX_TEXT as u64 + 1;
            let read = std::io::stdin().lock().take(limit).read_to_end(&mut bytes);
            read.map_err(|error| {
                Failure::new(
                    ErrorKind::Input,
                    format!("cannot read stdin: {error}"),
                    Vec::new(),
                    None,
                )
            })?;
            bytes
        }
        false => read(file, recipe::MAX_TEXT)?,
    };
    let name = if file == Path::new("-") { "stdin".into() } else { file.display().to_string() };
    recipe::parse(&name, &bytes)
        .map_err(|faults| pipeline::Error::from(build::BuildError::from(faults)).into())
}

/// A regular file's bytes, one more than `limit` at most.
pub(super) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let fault = |why: String| {
        Failure::new(
            ErrorKind::Input,
            format!("cannot read `{}`: {why}", path.display()),
            Vec::new(),
            None,
        )
    };
    let words = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => fault("no such file or directory".into()),
        _ => fault(error.to_string()),
    };
    // Looked at before it is opened: a FIFO would wait for ever.
    if !fs_err::metadata(path).map_err(words)?.is_file() {
        return Err(fault("it is no regular file".into()));
    }
    let mut bytes = Vec::new();
    let file = fs_err::File::open(path).map_err(words)?;
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(words)?;
    Ok(bytes)
}

/// The ignore file beside the Buildfile, `NAME.dockerignore`, or else the context's.
fn ignore(context: &Path, file: &Path) -> Result<Ignore, Failure> {
    let mut own = file.as_os_str().to_owned();
    own.push(".dockerignore");
    let candidates = [PathBuf::from(own), context.join(".dockerignore")];
    let Some(path) = candidates.iter().find(|path| fs_err::symlink_metadata(path).is_ok()) else {
        return Ok(Ignore::default());
    };
    let bytes = read(path, MAX_IGNORE)?;
    if bytes.len() > MAX_IGNORE {
        return Err(Failure::usage(format!(
            "`{}` has more than {MAX_IGNORE} bytes",
            path.display()
        )));
    }
    Ignore::parse(&bytes).map_err(|why| Failure::usage(format!("`{}`: {why}", path.display())))
}

fn options(
    args: &BuildArgs,
    file: &Path,
    outputs: std::collections::BTreeSet<PathBuf>,
) -> Result<BuildOptions, Failure> {
    let platform: Option<Platform> =
        args.platform.as_deref().map(str::parse).transpose().map_err(Failure::usage)?;
    let machine = pack::fallback_platform();
    let mut build_args = BTreeMap::new();
    for text in &args.build_arg {
        let wrong = || {
            let message = format!("--build-arg `{text}`: write NAME=VALUE");
            let hint = "the environment is not looked at, so that a build is the same everywhere";
            Failure::new(ErrorKind::Usage, message, Vec::new(), Some(hint))
        };
        let (name, value) =
            text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
        build_args.insert(name.to_owned(), value.to_owned());
    }
    let target = platform.clone().unwrap_or_else(|| machine.clone());
    Ok(BuildOptions {
        context: args.context.clone(),
        ignore: ignore(&args.context, file)?,
        arguments: Arguments {
            build_args,
            target: args.target.clone(),
            platform_args: build::platform_arguments(&target, &machine),
        },
        sysroot: args.sysroot.clone(),
        source: source::InputOptions {
            exclude: Vec::new(),
            preserve_mode: args.preserve_mode,
            owner: None,
            mtime: pack::timestamp()?,
            outputs,
            command_dirs: pack::command_dirs(&args.sysroot),
            spool: pack::scratch(),
            jobs: pack::jobs(args.out.jobs),
        },
        plan: plan::PlanOptions {
            dependencies: true,
            rules: rules::soft(&args.soft)?,
            strict: false,
            include: Vec::new(),
            allow_missing: pack::globs(&args.allow_missing)?,
            library_path: pack::library_path(&args.library_path),
            hwcaps_all: false,
            layers: Layers::Split,
            platform: platform.clone(),
            fallback_platform: machine.clone(),
            settings: Settings { labels: args.label.clone(), ..Settings::default() },
            capabilities: Vec::new(),
        },
        image: pack::image_options(platform),
        squash: args.squash,
        deny_secrets: args.deny_secrets,
    })
}
