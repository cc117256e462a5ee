//! `imgb pack` and `imgb plan`: what was typed → what is wanted, and what came of it.

use std::{
    collections::BTreeSet,
    num::NonZeroUsize,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use super::{
    args::{
        ConfigArgs, FormatArg, Hwcaps, InputArgs, LayersArg, OutputArgs, PackArgs, PlanArgs,
        TalkArgs,
    },
    build::read,
    cache, check,
    progress::{Progress, line},
    report::{self, Failure, print},
    rules,
    timing::Timing,
    variable,
};
use crate::{
    archive::spool,
    image::{Platform, Reference},
    oci,
    output::{Format, Place, Target},
    path::{ImagePath, glob::Glob},
    pipeline::{self, Delivery, Event, PackRequest, Phase},
    plan::{self, Layers, Plan, Settings},
    source::{self, Exclude, Request},
    store::Durability,
    timestamp::Timestamp,
    trace,
    tree::capability,
};

/// Where container runtimes look for commands when the image sets no PATH, and `imgb` in a foreign
/// sysroot.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn pack(args: &PackArgs) -> Result<(), Failure> {
    let targets = targets(&args.out)?;
    let ingredients = ingredients(&args.input, &args.config, &targets, jobs(args.out.jobs))?;
    let timing = Timing::new();
    let (plan, base) = match &args.base {
        None => (pipeline::plan(&ingredients, &|event| timing.event(event))?, None),
        Some(name) => {
            let image = image_options(ingredients.plan.platform.clone());
            let built = pipeline::onto(name, &ingredients, &image, &|event| timing.event(event))?;
            (built.plan, built.base)
        }
    };
    if args.dry_run {
        return show(&plan, args.talk.json, args.talk.quiet);
    }
    let first =
        args.input.inputs.first().map_or("", |input| input.split(":/").next().unwrap_or(input));
    let stem = Path::new(first).file_stem().unwrap_or_default().to_string_lossy();
    let delivery = delivery(&args.out, targets, &stem, &args.config.annotation)?;
    // An image of the inputs alone is not meant to start by itself.
    if !args.no_check && ingredients.plan.dependencies {
        timing.event(Event::Phase(Phase::Check));
        check::refuse(&pipeline::prove(&plan, &ingredients.plan.allow_missing))?;
    }
    let delivered =
        deliver((&plan, base.as_deref()), &delivery, &args.talk, timing.wanted(args.out.timing));
    // The process ends here, and the system takes a large tree back faster than it is taken apart.
    std::mem::forget(plan);
    delivered
}

/// Writes the image and says what was written; what it cost only to a `timing`.
pub(super) fn deliver(
    (plan, base): (&Plan, Option<&oci::Image>),
    delivery: &Delivery,
    talk: &TalkArgs,
    timing: Option<&Timing>,
) -> Result<(), Failure> {
    let progress = Progress::new(talk.progress, talk.quiet);
    let delivered = pipeline::deliver(plan, base, delivery, &|event| match event {
        Event::Phase(_) => timing.into_iter().for_each(|timing| timing.event(event)),
        Event::Packing(step) => progress.step(step),
    });
    progress.finish();
    let delivered = delivered?;
    if !talk.quiet {
        notes(plan);
        report::summary(plan, delivery, &delivered);
    }
    let to_stdout = delivery.targets.iter().any(|target| target.place == Place::Stdout);
    if let Some(timing) = timing.filter(|_| to_stdout || !talk.json) {
        line(&timing.text(plan, &delivered));
    }
    if to_stdout {
        return Ok(());
    }
    if !talk.json {
        return print(&format!("{}\n", delivered.image.manifest.digest));
    }
    let mut summary = report::summary_json(plan, delivery, &delivered);
    if let Some(timing) = timing {
        summary["timing"] = timing.json(plan, &delivered);
    }
    print(&format!("{summary}\n"))
}

pub(super) fn plan(args: &PlanArgs) -> Result<(), Failure> {
    let plan = pipeline::plan(&ingredients(&args.input, &args.config, &[], jobs(None))?, &|_| {})?;
    show(&plan, args.talk.json, args.talk.quiet)
}

pub(super) fn show(plan: &Plan, json: bool, quiet: bool) -> Result<(), Failure> {
    if json {
        return print(&format!("{}\n", plan::json(plan)));
    }
    if !quiet {
        notes(plan);
    }
    print(&plan::text(plan))
}

fn notes(plan: &Plan) {
    for note in &plan.notes {
        line(&format!("{}: {}", note.severity, note.text));
        if let Some(hint) = &note.hint {
            line(&format!("  {hint}"));
        }
    }
}

pub(super) fn targets(args: &OutputArgs) -> Result<Vec<Target>, Failure> {
    let default = args.format.map(|format| match format {
        FormatArg::Archive => Format::Archive,
        FormatArg::Docker => Format::DockerArchive,
        FormatArg::Oci => Format::OciLayout,
        FormatArg::Rootfs => Format::Rootfs,
    });
    let parse =
        |text: &String| Target::parse(text, default, |path| path.is_dir()).map_err(Failure::usage);
    let targets = args.output.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    if targets.iter().filter(|target| target.place == Place::Stdout).count() > 1 {
        return Err(Failure::usage("only one output can go to stdout"));
    }
    let mut files = BTreeSet::new();
    for path in
        targets.iter().filter(|target| target.format != Format::OciLayout).filter_map(Target::path)
    {
        if !files.insert(path) {
            return Err(Failure::usage(format!("two outputs go to `{}`", path.display())));
        }
    }
    Ok(targets)
}

/// `stem` is what the image's name is made of where nothing names it.
pub(super) fn delivery(
    args: &OutputArgs,
    targets: Vec<Target>,
    stem: &str,
    annotations: &[String],
) -> Result<Delivery, Failure> {
    let names = args.tag.iter().map(|tag| tag.parse::<Reference>().map_err(Failure::usage));
    let fallback = Reference::repository_from(stem).parse().map_err(Failure::usage)?;
    Ok(Delivery {
        targets,
        names: names.collect::<Result<_, _>>()?,
        fallback_name: fallback,
        compression: args.compress.parse().map_err(Failure::usage)?,
        jobs: jobs(args.jobs),
        cache: cache::open(&args.cache)?,
        annotations: plan::pairs("--annotation", annotations).map_err(Failure::usage)?,
        scratch: scratch(),
        durability: if args.no_fsync { Durability::Cached } else { Durability::Synced },
    })
}

/// As many threads as the user wants, or as the machine has processors for this process.
pub(super) fn jobs(wanted: Option<NonZeroUsize>) -> NonZeroUsize {
    wanted.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
}

pub(super) fn scratch() -> PathBuf {
    variable("TMPDIR").map_or_else(|| "/tmp".into(), PathBuf::from)
}

/// `jobs` threads walk the inputs.
pub(super) fn ingredients(
    input: &InputArgs,
    config: &ConfigArgs,
    targets: &[Target],
    jobs: NonZeroUsize,
) -> Result<PackRequest, Failure> {
    let created = timestamp()?;
    let excludes = input.exclude.iter().map(|text| {
        Exclude::new(text).map_err(|error| Failure::usage(format!("--exclude `{text}`: {error}")))
    });
    let source = source::InputOptions {
        exclude: excludes.collect::<Result<_, _>>()?,
        preserve_mode: input.preserve_mode,
        owner: input.chown.as_deref().map(owner).transpose()?,
        mtime: created,
        outputs: outputs(targets),
        command_dirs: command_dirs(&input.sysroot),
        spool: scratch(),
        jobs,
    };
    let plan = plan::PlanOptions {
        dependencies: !input.no_deps,
        rules: rules::soft(&input.soft)?,
        include: include(input)?,
        allow_missing: globs(&input.allow_missing)?,
        library_path: library_path(&input.library_path),
        strict: input.strict,
        hwcaps_all: input.hwcaps == Hwcaps::All,
        layers: match config.layers {
            LayersArg::One => Layers::One,
            LayersArg::Split => Layers::Split,
        },
        platform: config.platform.as_deref().map(str::parse).transpose().map_err(Failure::usage)?,
        fallback_platform: fallback_platform(),
        settings: settings(config),
        capabilities: input.cap.iter().map(|text| capabilities(text)).collect::<Result<_, _>>()?,
    };
    let requests = input.inputs.iter().map(|text| Request::parse(text).map_err(Failure::usage));
    Ok(PackRequest {
        requests: requests.collect::<Result<_, _>>()?,
        sysroot: input.sysroot.clone(),
        source,
        plan,
        deny_secrets: input.deny_secrets,
    })
}

/// How base images are opened.
pub(super) fn image_options(platform: Option<Platform>) -> oci::Options {
    oci::Options {
        platform,
        machine: fallback_platform(),
        spool: scratch(),
        limits: spool::Limits::default(),
    }
}

/// What `--include` and the lists of `--include-from` name.
fn include(input: &InputArgs) -> Result<Vec<(ImagePath, String)>, Failure> {
    let own = |text: &String| Ok((image_path("--include", text)?, "--include".to_owned()));
    let mut all = input.include.iter().map(own).collect::<Result<Vec<_>, Failure>>()?;
    for file in &input.include_from {
        let option = format!("--include-from {}", file.display());
        let bytes = read(file, trace::MAX_LIST)?;
        if bytes.len() > trace::MAX_LIST {
            return Err(Failure::usage(format!(
                "{option}: it has more than {} bytes",
                trace::MAX_LIST
            )));
        }
        let paths = trace::parse_list(&bytes)
            .map_err(|error| Failure::usage(format!("{option}: {error}")))?;
        all.extend(paths.into_iter().map(|path| (path, option.clone())));
    }
    Ok(all)
}

/// The patterns of `texts`.
pub(super) fn globs(texts: &[String]) -> Result<Vec<Glob>, Failure> {
    let glob = |text: &String| {
        Glob::new(text.as_bytes()).map_err(|error| Failure::usage(format!("`{text}`: {error}")))
    };
    texts.iter().map(glob).collect()
}

fn settings(config: &ConfigArgs) -> Settings {
    Settings {
        entrypoint: config.entrypoint.clone(),
        cmd: config.cmd.clone(),
        env: config.env.clone(),
        workdir: config.workdir.clone(),
        user: config.user.clone(),
        labels: config.label.clone(),
        expose: config.expose.clone(),
        volumes: config.volume.clone(),
        stop_signal: config.stop_signal.clone(),
    }
}

/// The machine that imgb itself was built for.
pub(super) fn fallback_platform() -> Platform {
    std::env::consts::ARCH.parse().unwrap_or_else(|_| Platform::linux("amd64", None))
}

pub(super) fn timestamp() -> Result<Timestamp, Failure> {
    let Some(text) = variable("SOURCE_DATE_EPOCH") else { return Ok(Timestamp::EPOCH) };
    let text = text.to_string_lossy();
    Timestamp::from_source_date_epoch(&text).ok_or_else(|| {
        Failure::usage(format!("SOURCE_DATE_EPOCH `{text}` is no number of seconds"))
    })
}

fn owner(text: &str) -> Result<(u32, u32), Failure> {
    let (uid, gid) = text.split_once(':').unwrap_or((text, text));
    match (uid.parse(), gid.parse()) {
        (Ok(uid), Ok(gid)) => Ok((uid, gid)),
        _ => Err(Failure::usage(format!("--chown `{text}`: write UID or UID:GID, as numbers"))),
    }
}

fn image_path(option: &str, text: &str) -> Result<ImagePath, Failure> {
    ImagePath::new(text).map_err(|error| Failure::usage(format!("{option} `{text}`: {error}")))
}

fn capabilities(text: &str) -> Result<(ImagePath, Vec<u8>), Failure> {
    let Some((file, names)) = text.split_once('=') else {
        return Err(Failure::usage(format!(
            "--cap `{text}`: write FILE=CAPS, such as /app=cap_net_raw+ep"
        )));
    };
    let value =
        capability::parse(names).map_err(|error| Failure::usage(format!("--cap: {error}")))?;
    Ok((image_path("--cap", file)?, value))
}

/// An absolute directory is a path in the sysroot; a relative one is the host's and is made
/// absolute, since what the loader searches never depends on where imgb was started.
pub(super) fn library_path(dirs: &[String]) -> Vec<Vec<u8>> {
    let absolute = |dir: &String| std::path::absolute(dir).unwrap_or_else(|_| dir.into());
    dirs.iter()
        .flat_map(|dir| dir.split(':').map(str::to_owned).collect::<Vec<_>>())
        .filter(|dir| !dir.is_empty())
        .map(|dir| absolute(&dir).as_os_str().as_bytes().to_vec())
        .collect()
}

pub(super) fn command_dirs(sysroot: &Path) -> Vec<ImagePath> {
    let own = variable("PATH").filter(|_| sysroot == Path::new("/"));
    let path = own.map_or_else(|| DEFAULT_PATH.into(), |path| path.to_string_lossy().into_owned());
    let absolute =
        path.split(':').chain(DEFAULT_PATH.split(':')).filter(|dir| dir.starts_with('/'));
    absolute.filter_map(|dir| ImagePath::new(dir).ok()).collect()
}

/// The outputs' places, absolute and without links, so that a walk over an input knows them.
pub(super) fn outputs(targets: &[Target]) -> BTreeSet<PathBuf> {
    let place = |target: &Target| match &target.place {
        Place::Path(path) => {
            let dir =
                path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Some(fs_err::canonicalize(dir).ok()?.join(path.file_name()?))
        }
        Place::Stdout => None,
    };
    targets.iter().filter_map(place).collect()
}
