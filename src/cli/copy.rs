//! `imgb copy`, `imgb push` and `imgb pull`.

use clap::Args;
use serde_json::{Value, json};

use super::{
    failure::Failure,
    options::{
        image::open_options,
        output::targets,
        transfer::{FileArgs, TransferArgs, fallback_name},
    },
    overlap::{self, output_paths},
    relayer::RelayerArgs,
    terminal::{print_data, print_json, print_lines},
    transfers::{self, Transfers},
    values,
};
use crate::{
    image::{Destination, ImageName, Platform, RegistryName},
    oci::OpenOptions,
    output::{PushOptions, Remotes},
    store::Durability,
    transfer::{self, Copied, Copy},
};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb copy app.tar oci:layout:1.0\n  \
    imgb copy docker://registry.example/app:1.0 oci-archive:copy.tar\n  \
    imgb copy docker://registry.example/app:1.0 \\\n      \
      docker://registry.example/stable:1.0\n  \
    imgb copy app.tar app-16.tar --layers auto\n\n\
    Manifests and layers keep their bytes, so that digests stay the same, unless --layers cuts \
    the image anew. All platforms of an index are copied unless --platform names one.")]
pub(super) struct CopyArgs {
    /// The image: PATH[:TAG], oci:DIR[:TAG], docker-archive:FILE[:NAME], docker://NAME,
    /// docker-daemon:NAME and others, as for `imgb inspect`
    #[arg(value_name = "IMAGE", value_parser = values::image_name)]
    source: ImageName,

    /// Where it goes (repeatable): FILE, DIR/, oci:DIR[:TAG], docker-archive:FILE,
    /// oci-archive:FILE, docker://NAME[:TAG], docker-daemon:NAME, containers-storage:NAME,
    /// rootfs:FILE, or - for stdout
    #[arg(required = true, value_name = "OUT")]
    outputs: Vec<String>,

    /// Copy the image for this platform only
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,

    #[command(flatten)]
    referrers: ReferrersArg,

    #[command(flatten)]
    relayer: RelayerArgs,

    #[command(flatten)]
    files: FileArgs,

    #[command(flatten)]
    transfer: TransferArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb push app.tar registry.example/app:1.0 registry.example/app:latest\n  \
    imgb push oci:layout:1.0 registry.example/once:1.0 --immutable\n\n\
    Blobs that the registry has are not sent, and a tag that leads to the image already is \
    success. `imgb pack -o docker://NAME` packs and pushes at once. Log in with `imgb login`.")]
pub(super) struct PushArgs {
    /// The image, as for `imgb inspect`
    #[arg(value_name = "IMAGE", value_parser = values::image_name)]
    source: ImageName,

    /// Its name in a registry: [docker://]HOST/NAME[:TAG] (repeatable)
    #[arg(required = true, value_name = "NAME", value_parser = values::registry_name)]
    names: Vec<RegistryName>,

    /// Push the image for this platform only
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,

    #[command(flatten)]
    referrers: ReferrersArg,

    #[command(flatten)]
    transfer: TransferArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb pull registry.example/app:1.0 -o pulled.tar\n  \
    imgb pull registry.example/app:1.0 -o pulled/ --all-platforms\n\n\
    Every byte is verified. The image for this machine is pulled, unless --platform names another \
    one.")]
pub(super) struct PullArgs {
    /// The image: [docker://]NAME[:TAG][@DIGEST]
    #[arg(value_name = "NAME", value_parser = values::registry_name)]
    source: RegistryName,

    /// Where it goes (repeatable), as for `imgb copy`
    #[arg(short, long, required = true, value_name = "OUT")]
    output: Vec<String>,

    /// Pull the image for this platform
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,

    /// Pull the images for all platforms, and the index that lists them
    #[arg(long, conflicts_with = "platform")]
    all_platforms: bool,

    #[command(flatten)]
    referrers: ReferrersArg,

    #[command(flatten)]
    files: FileArgs,

    #[command(flatten)]
    transfer: TransferArgs,
}

/// Whether artifacts are copied as well.
#[derive(Args, Debug)]
struct ReferrersArg {
    /// Copy what is attached as well: signatures, attestations, bills of materials
    #[arg(long)]
    referrers: bool,
}

/// What is copied where.
struct Job<'a> {
    source: &'a ImageName,
    outputs: Vec<String>,
    platform: Option<&'a Platform>,
    /// Whether all images of an index are copied.
    all: bool,
    /// Whether what is attached is copied as well.
    referrers: bool,
    files: &'a FileArgs,
}

impl CopyArgs {
    /// Whether stdout is for JSON.
    pub(super) fn prints_json(&self) -> bool {
        self.transfer.verbosity.json
    }
}

impl PushArgs {
    /// Whether stdout is for JSON.
    pub(super) fn prints_json(&self) -> bool {
        self.transfer.verbosity.json
    }
}

impl PullArgs {
    /// Whether stdout is for JSON.
    pub(super) fn prints_json(&self) -> bool {
        self.transfer.verbosity.json
    }
}

pub(super) fn copy(args: &CopyArgs) -> Result<(), Failure> {
    let (source, platform) = (&args.source, args.platform.as_ref());
    let outputs = args.outputs.clone();
    if let Some(layers) = args.relayer.layers() {
        return args.relayer.run(
            (source, platform),
            &outputs,
            (&args.transfer, &args.files),
            layers,
        );
    }
    let (all, referrers) = (platform.is_none(), args.referrers.referrers);
    let files = &args.files;
    args.transfer.run(&Job { source, outputs, platform, all, referrers, files })
}

pub(super) fn push(args: &PushArgs) -> Result<(), Failure> {
    let (source, platform) = (&args.source, args.platform.as_ref());
    let outputs = args.names.iter().map(|name| format!("docker://{name}")).collect();
    let (all, referrers) = (platform.is_none(), args.referrers.referrers);
    let files = &FileArgs::default();
    args.transfer.run(&Job { source, outputs, platform, all, referrers, files })
}

pub(super) fn pull(args: &PullArgs) -> Result<(), Failure> {
    let source = &ImageName::Registry(args.source.clone());
    let (outputs, platform) = (args.output.clone(), args.platform.as_ref());
    let (all, referrers) = (args.all_platforms, args.referrers.referrers);
    let files = &args.files;
    args.transfer.run(&Job { source, outputs, platform, all, referrers, files })
}

impl TransferArgs {
    fn run(&self, job: &Job<'_>) -> Result<(), Failure> {
        let targets = targets(&job.outputs, None)?;
        let base = job.source.path().map(Into::into);
        output_paths(&targets, &overlap::Inputs { files: Vec::new(), base }, job.files.force)?;
        let to_stdout = targets.iter().any(|target| target.destination == Destination::Stdout);
        let shown = job.source.to_string();
        let named = job.outputs.iter().map(String::as_str).chain([&*shown]);
        if let Some(output) = targets.iter().zip(&job.outputs).find_map(|(target, output)| {
            (job.referrers && !transfer::has_referrers(target)).then_some(output)
        }) {
            let failure = Failure::usage(format!("{output} has no place for what is attached"));
            return Err(
                failure.with_hint("--referrers is for registries, OCI layouts and archives")
            );
        }
        let registries = self.registry.registries(named)?;
        let open = open_options(job.platform.cloned(), registries.clone());
        let open = OpenOptions { any: job.all, ..open };
        let fallback_name = fallback_name(job.source)?;
        let copy = Copy {
            source: job.source,
            open: &open,
            all: job.all,
            referrers: job.referrers,
            names: &job.files.tag,
            fallback_name: &fallback_name,
            expected: self.expect_digest,
            durability: Durability::Synced,
        };
        let progress = Transfers::new(self.verbosity.progress, self.verbosity.quiet);
        let event = |transfer| progress.event(transfer);
        let push = PushOptions { immutable: self.immutable };
        let remotes = Remotes { registries: &registries, push, event: &event };
        let mut all = Vec::new();
        for target in &targets {
            all.push(copy.run(target, remotes)?);
        }
        drop(progress);
        if !self.verbosity.quiet {
            for (copied, output) in all.iter().zip(&job.outputs) {
                print_lines(&transfers::written_text(&copied.written, &copied.moved, output));
            }
        }
        match (all.first(), self.verbosity.json) {
            _ if to_stdout => Ok(()),
            (_, true) => print_json(as_json(&shown, &all, &job.outputs)),
            (Some(first), false) => print_data(&format!("{}\n", first.digest)),
            (None, false) => Ok(()),
        }
    }
}

fn as_json(source: &str, all: &[Copied], outputs: &[String]) -> Value {
    let output = |(copied, output): (&Copied, &String)| {
        let existed = copied.written.pushed.iter().any(|pushed| pushed.existed);
        json!({
            "output": output,
            "digest": copied.digest.to_string(),
            "image_id": copied.image_id.to_string(),
            "platform": copied.platform.as_ref().map(ToString::to_string),
            "names": copied.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "existed": existed,
            "referrers": copied.referrers.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "sent": transfers::sent(&copied.moved),
            "blobs": transfers::blobs(&copied.moved),
        })
    };
    json!({
        "image": source,
        "outputs": all.iter().zip(outputs).map(output).collect::<Vec<_>>(),
    })
}
