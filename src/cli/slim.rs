//! `imgb slim`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Value, json};

use super::{
    advice::{Language, advise},
    build::prove,
    deliver::deliver_with,
    documents::Documents,
    environment::{jobs, machine, mtime},
    failure::Failure,
    options::{
        image::open_options,
        inputs::included,
        layers::LayersArgs,
        lookup::{PackageMetadata, lookup_options},
        messages::Verbosity,
        output::OutputArgs,
        registry::RegistryArgs,
        runtime_deps::RuntimeDepsArgs,
    },
    overlap::{self, output_paths},
    plan_text::print_plans,
    size,
    terminal::print_lines,
    timing::Timing,
    values,
};
use crate::{
    image::{ImageName, Platform},
    oci,
    path::glob::Glob,
    pipeline::{self, Event, Part, Phase},
    plan::{self, Settings},
    quantity,
    slim::{self, Extent, SlimError, SlimRequest, Slimmed},
    source,
};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb slim app.tar -o small.tar\n  \
    imgb slim oci:layout:1.0 --include /app -o small.tar -t app:slim\n  \
    imgb slim app.tar --layers one -o small.tar\n  \
    imgb slim app.tar --json -o small.tar | jq .slim\n\n\
    Nothing of the image is executed. It keeps its configuration, and files keep their owners,\n\
    modes, times and capabilities. docs/slim.md says what is kept and why.")]
pub(super) struct SlimArgs {
    /// The image: PATH[:TAG], oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME],
    /// dir:DIR, docker://NAME[:TAG], docker-daemon:NAME or containers-storage:NAME; each may end in
    /// @sha256:DIGEST
    #[arg(value_name = "IMAGE", value_parser = values::image_name)]
    image: ImageName,

    /// Which image to take where there are several; otherwise the one for this machine
    #[arg(long, value_name = "OS/ARCH", help_heading = "Inputs")]
    platform: Option<Platform>,

    /// Keep this program too, with all it needs (repeatable): a name in the image's PATH, or a path
    #[arg(long, value_name = "PROGRAM", help_heading = "Inputs")]
    program: Vec<String>,

    /// Keep this file or directory too, with its libraries (repeatable); patterns have *, ?, [] and
    /// **
    #[arg(long, value_name = "PATH|GLOB", help_heading = "Inputs")]
    include: Vec<String>,

    /// Keep the files of a list too, one absolute path per line (repeatable); `imgb trace -o FILE`
    /// writes such lists
    #[arg(long, value_name = "FILE", help_heading = "Inputs")]
    include_from: Vec<PathBuf>,

    /// Continue if libraries with matching names are missing (repeatable)
    #[arg(long, value_name = "GLOB", value_parser = values::glob, help_heading = "Inputs")]
    allow_missing: Vec<Glob>,

    /// What scanners get to know of the packages that files come from: which they are, their
    /// licences, and the distribution
    #[arg(long, value_enum, value_name = "WHICH", default_value = "auto", help_heading = "Inputs")]
    package_metadata: PackageMetadata,

    #[command(flatten)]
    runtime_deps: RuntimeDepsArgs,

    /// A label (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::pair, help_heading = "Image")]
    label: Vec<(String, String)>,

    #[command(flatten)]
    layers: LayersArgs,

    #[command(flatten)]
    registry: RegistryArgs,

    #[command(flatten)]
    out: OutputArgs,

    #[command(flatten)]
    verbosity: Verbosity,
}

impl SlimArgs {
    /// Whether stdout is for JSON.
    pub(super) fn prints_json(&self) -> bool {
        self.verbosity.json && !self.out.is_stdout()
    }
}

pub(super) fn slim(args: SlimArgs) -> Result<(), Failure> {
    let targets = args.out.targets()?;
    let lists = args.include_from.iter().chain(args.runtime_deps.files()).cloned().collect();
    let inputs = overlap::Inputs { files: lists, base: args.image.path().map(Path::to_owned) };
    let mut outputs = output_paths(&targets, &inputs, args.out.force)?;
    let mut documents = Documents::of::<SlimArgs>(
        &args.out.documents,
        &targets,
        (&inputs, &mut outputs),
        &[],
        args.out.force,
    )?;
    let stem = args.image.path().and_then(Path::file_stem).unwrap_or_default();
    let stem = stem.to_string_lossy().into_owned();
    let registries = args.registry.registries([&*args.image.to_string()])?;
    let pieces = args.out.pieces();
    let open = open_options(args.platform.clone(), registries);
    let request = SlimRequest {
        open: oci::OpenOptions { pieces: pieces.get(), ..open },
        image: args.image,
        programs: args.program,
        include: args.include,
        source: source::InputOptions { mtime: mtime()?, ..lookup_options(None) },
        plan: plan::PlanOptions {
            dependencies: true,
            rules: args.runtime_deps.rule_set()?,
            package_metadata: args.package_metadata.is_auto(),
            include: included(Vec::new(), &args.include_from)?,
            allow_missing: args.allow_missing,
            strict: false,
            library_path: Vec::new(),
            hwcaps_all: false,
            layers: args.layers.layers(),
            platform: args.platform,
            fallback_platform: machine(),
            settings: Settings {
                labels: args.label,
                created: args.out.created,
                ..Settings::default()
            },
            capabilities: Vec::new(),
        },
    };
    let timing = Timing::new();
    timing.event(Event::Phase(Phase::Plan));
    let mut slimmed = slim::slim(&request)?;
    advise(&mut slimmed.plan, Language::Options)?;
    let summary = args.verbosity.json.then(|| json(&slimmed));
    if args.out.dry_run {
        if !args.verbosity.quiet {
            print_lines(&text(&slimmed));
        }
        return print_plans(&[&slimmed.plan], &args.verbosity, false);
    }
    if !args.out.no_check {
        timing.event(Event::Phase(Phase::Check));
        let language = Language::Options;
        prove(&slimmed.plan, &request.plan.allow_missing, &args.verbosity, language)?;
    }
    documents.add_images([(request.image.to_string(), slimmed.image)]);
    let mut delivery = args.out.delivery(targets, &stem, &[], &args.registry)?;
    delivery.jobs = jobs(args.out.jobs);
    if !args.verbosity.quiet {
        print_lines(&text(&slimmed));
    }
    let timing = args.out.timing.then_some(&timing);
    let part = Part { plan: &slimmed.plan, base: None, annotations: BTreeMap::new() };
    let more = summary.map(|summary| ("slim", summary));
    deliver_with(&[part], &delivery, &args.verbosity, timing, &documents, more)
}

impl From<SlimError> for Failure {
    fn from(error: SlimError) -> Self {
        let hint = match error {
            SlimError::Plan(error) => return pipeline::Error::Plan(error).into(),
            SlimError::Image(error) => return error.into(),
            SlimError::NoProgram => "name the programs to keep: `--program NAME`",
            SlimError::Missing(_) => "names are looked up in the PATH of the image",
            SlimError::Pattern { .. } | SlimError::NoMatch(_) | SlimError::Path(_) => {
                "`imgb inspect --files IMAGE` lists the image's files"
            }
        };
        Self::new(error.kind(), &error).with_hint(hint)
    }
}

/// What the image held, and what is left.
fn text(slimmed: &Slimmed) -> String {
    let Slimmed { before, after, .. } = slimmed;
    let part = match before.bytes {
        0 => String::new(),
        all => format!(", {:.1} % of the bytes", after.bytes as f64 * 100.0 / all as f64),
    };
    format!("slimmed {} to {}{part}", extent(before), extent(after))
}

fn extent(extent: &Extent) -> String {
    let files = quantity::count(extent.files, "file");
    let packages = match extent.packages {
        0 => String::new(),
        packages => format!(" of {}", quantity::count(packages, "package")),
    };
    format!("{files}{packages} ({})", size::format(extent.bytes))
}

fn json(slimmed: &Slimmed) -> Value {
    let extent = |extent: &Extent| {
        let Extent { files, bytes, packages } = extent;
        json!({"files": files, "bytes": bytes, "packages": packages})
    };
    json!({
        "before": extent(&slimmed.before),
        "after": extent(&slimmed.after),
        "removed_packages": slimmed.removed_packages,
    })
}
