//! `imgb load`.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{
    failure::Failure,
    options::{
        image::open_options, messages::Verbosity, registry::RegistryArgs, transfer::fallback_name,
    },
    terminal::{print_data, print_json, print_lines},
    transfers::{self, Transfers},
    values,
};
use crate::{
    compress::Compression,
    engine::{self, EngineError},
    image::{
        Destination, Engine, EngineImage, ImageName, OutputFormat, Platform, Reference, Target,
    },
    output::{PushOptions, Remotes},
    store::Durability,
    transfer::Copy,
};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb load app.tar\n  \
    imgb load oci:layout:1.0 -t app:dev\n\n\
    Docker is not given the layers that it has, so that an image of which a small layer changed is \
    loaded quickly. Engines take one platform: this machine's, or that of --platform.")]
pub(super) struct LoadArgs {
    /// The images, as for `imgb inspect`
    #[arg(required = true, value_name = "IMAGE", value_parser = values::image_name)]
    images: Vec<ImageName>,

    /// The engine; otherwise docker if its daemon answers, or else podman
    #[arg(long, value_enum)]
    engine: Option<EngineArg>,

    /// The image's name in the engine (repeatable); otherwise its own
    #[arg(short, long, value_name = "NAME[:TAG]")]
    tag: Vec<Reference>,

    /// Load the image for this platform
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,

    #[command(flatten)]
    registry: RegistryArgs,

    #[command(flatten)]
    verbosity: Verbosity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EngineArg {
    Docker,
    Podman,
}

impl LoadArgs {
    /// Whether stdout is for JSON.
    pub(super) fn prints_json(&self) -> bool {
        self.verbosity.json
    }
}

pub(super) fn load(args: &LoadArgs) -> Result<(), Failure> {
    let engine = match args.engine {
        Some(EngineArg::Docker) => Engine::Docker,
        Some(EngineArg::Podman) => Engine::Podman,
        None => available()?,
    };
    let shown: Vec<String> = args.images.iter().map(ToString::to_string).collect();
    let registries = args.registry.registries(shown.iter().map(String::as_str))?;
    let open = open_options(args.platform.clone(), registries.clone());
    let progress = Transfers::new(args.verbosity.progress, args.verbosity.quiet);
    let event = |transfer| progress.event(transfer);
    let push = PushOptions::default();
    let remotes = Remotes { registries: &registries, push, event: &event };
    let mut all = Vec::new();
    for source in &args.images {
        let fallback_name = fallback_name(source)?;
        let image = EngineImage { engine, name: fallback_name.to_string() };
        let target = Target {
            format: OutputFormat::Archive,
            destination: Destination::Engine(image),
            tag: None,
            compression: Compression::None,
        };
        let copy = Copy {
            source,
            open: &open,
            all: false,
            referrers: false,
            names: &args.tag,
            fallback_name: &fallback_name,
            expected: None,
            durability: Durability::Cached,
        };
        all.push(copy.load(&target, remotes)?);
    }
    drop(progress);
    let loaded = || all.iter().flat_map(|copied| copied.written.loaded.iter().zip([copied]));
    if !args.verbosity.quiet {
        loaded().for_each(|(loaded, _)| print_lines(&transfers::loaded_text(loaded)));
    }
    if !args.verbosity.json {
        let ids: String = loaded().map(|(loaded, _)| format!("{}\n", loaded.id)).collect();
        return print_data(&ids);
    }
    let images = loaded().zip(&shown).map(|((loaded, copied), shown)| {
        let mut json = transfers::loaded_json(loaded);
        json["image"] = json!(shown);
        json["engine"] = json!(loaded.engine.command());
        json["digest"] = json!(copied.digest.to_string());
        json["image_id"] = json!(copied.image_id.to_string());
        json["names"] = copied.names.iter().map(ToString::to_string).collect();
        json
    });
    print_json(json!({"images": images.collect::<Vec<_>>()}))
}

/// The engine that is there: docker if its daemon answers, or else podman.
fn available() -> Result<Engine, Failure> {
    let answers = |engine: Engine, arguments: &[&str]| match engine::ask(
        engine.command(),
        "version",
        arguments,
    ) {
        Ok(answer) => Ok(answer.is_some()),
        Err(EngineError::Missing { .. }) => Ok(false),
        Err(error) => Err(Failure::new(error.kind(), crate::error_kind::with_causes(&error))),
    };
    if answers(Engine::Docker, &["--format", "{{.Server.Version}}"])? {
        return Ok(Engine::Docker);
    }
    if answers(Engine::Podman, &[])? {
        return Ok(Engine::Podman);
    }
    let failure = Failure::local("neither docker's daemon nor podman answers");
    Err(failure.with_hint("name one with `--engine` to see what it says"))
}
