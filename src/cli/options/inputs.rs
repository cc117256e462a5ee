//! What goes into an image, and how it is looked up.

use std::{
    collections::BTreeSet,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use super::{
    image::open_options,
    layers::LayersArgs,
    lookup::LookupArgs,
    platforms::{self, PlatformArg},
};
use crate::{
    cli::{
        environment::{command_dirs, machine, mtime, scratch, wanted_versions},
        failure::Failure,
        file::read_regular,
        options::settings::SettingsArgs,
        overlap::Inputs,
        values,
    },
    image::{ImageName, Platform},
    path::ImagePath,
    pipeline::PackRequest,
    plan::{self, Include},
    source::{self, Exclude, Request},
    trace,
};

/// What goes in, and how it is looked up.
#[derive(Args, Debug)]
pub(in crate::cli) struct InputArgs {
    /// What to pack: SRC[:DEST]
    ///
    /// SRC is placed as `cp -a SRC /` would: a file ./hello becomes /hello, a directory ./bin
    /// becomes /bin, and the contents of ./rootfs/ (with the slash) go to /; a tarball (tar, gzip,
    /// bzip2, xz, zstd) is unpacked at /. A bare name such as curl that is not a file here is
    /// looked up on PATH and keeps its own path; so does an installed program given by its absolute
    /// path, /usr/bin/curl, with a link to it where cp would put it. :DEST puts the input
    /// elsewhere; a DEST that ends in / is a directory.
    #[arg(
        required_unless_present = "platform",
        value_name = "INPUT",
        value_parser = Request::parse
    )]
    pub(in crate::cli) inputs: Vec<Request>,

    /// Add the inputs to this image, whose layers are kept as they are: FILE, DIR, oci:DIR[:TAG],
    /// docker-archive:FILE, dir:DIR, docker://NAME[:TAG], docker-daemon:NAME
    #[arg(long, value_name = "IMAGE", help_heading = "Inputs")]
    pub(in crate::cli) base: Option<String>,

    #[command(flatten)]
    pub(in crate::cli) lookup: LookupArgs,

    /// Leave out what matches (repeatable): a name such as '*.pyc' at any depth, or a path such as
    /// 'opt/**/test'
    #[arg(long, value_name = "GLOB", value_parser = Exclude::new, help_heading = "Inputs")]
    exclude: Vec<Exclude>,

    /// Pack tarballs as the files that they are, instead of unpacking them
    #[arg(long, help_heading = "Inputs")]
    as_file: bool,

    /// Add a file or directory of the sysroot under its own path, with its libraries (repeatable);
    /// DIR/. is the directory without its content
    #[arg(long, value_name = "PATH", value_parser = values::include, help_heading = "Inputs")]
    include: Vec<Include>,

    /// Add the files of a list, one absolute path per line (repeatable); `imgb trace -o FILE`
    /// writes such lists
    #[arg(long, value_name = "FILE", help_heading = "Inputs")]
    include_from: Vec<PathBuf>,

    /// Pack only the inputs: no libraries, loaders or interpreters
    #[arg(long, help_heading = "Inputs")]
    pub(in crate::cli) no_deps: bool,

    /// Refuse directories that hold objects for another machine or C library, which are otherwise
    /// packed as data
    #[arg(long, help_heading = "Inputs")]
    strict: bool,

    /// Which glibc-hwcaps variants of libraries to pack
    #[arg(
        long,
        value_enum,
        value_name = "WHICH",
        default_value = "baseline",
        help_heading = "Inputs"
    )]
    hwcaps: Hwcaps,

    /// Owner of everything packed, as numbers
    #[arg(
        long,
        value_name = "UID[:GID]",
        value_parser = values::owner,
        help_heading = "Inputs"
    )]
    chown: Option<(u32, u32)>,

    /// File capabilities, in the syntax of setcap(8) (repeatable)
    #[arg(
        long,
        value_name = "FILE=CAPS",
        value_parser = values::file_capabilities,
        help_heading = "Inputs"
    )]
    cap: Vec<(ImagePath, Vec<u8>)>,
}

impl InputArgs {
    /// The files and directories of the host that are named.
    pub(in crate::cli) fn host_files(&self, config: &ImageConfigArgs) -> Inputs {
        let of_platforms = config.platform.iter().filter_map(PlatformArg::input);
        let requests = self.inputs.iter().chain(of_platforms).map(Request::source);
        let lists = self.include_from.iter().chain(self.lookup.runtime_deps.files());
        let files = requests.chain(lists.map(PathBuf::as_path)).map(Path::to_owned).collect();
        let base = self.base.as_deref().map(|name| {
            let tarball = name.strip_prefix("rootfs:").map(PathBuf::from);
            let image = || Some(ImageName::parse(name, Path::exists).ok()?.path()?.to_owned());
            tarball.or_else(image).unwrap_or_default()
        });
        Inputs { files, base }
    }
}

/// What the image says about itself.
#[derive(Args, Debug)]
pub(in crate::cli) struct ImageConfigArgs {
    /// OS and architecture, if the programs' own headers should not decide; of several, each gets
    /// an image, and an index lists them (repeatable)
    ///
    /// OS/ARCH=INPUT names what only that image gets. Inputs without a platform go to all.
    #[arg(
        long,
        value_name = "OS/ARCH[=INPUT]",
        value_parser = PlatformArg::parse,
        help_heading = "Image"
    )]
    pub(in crate::cli) platform: Vec<PlatformArg>,

    #[command(flatten)]
    pub(in crate::cli) settings: SettingsArgs,

    /// An annotation of the manifest (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::pair, help_heading = "Image")]
    pub(in crate::cli) annotation: Vec<(String, String)>,

    #[command(flatten)]
    pub(in crate::cli) layers: LayersArgs,
}

/// Which variants of a library are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Hwcaps {
    /// What every CPU can run
    Baseline,
    /// All variants
    All,
}

/// What the inputs and the configuration ask for, for each platform. `outputs` are files of the
/// host to leave out, and `jobs` threads read directories.
pub(in crate::cli) fn pack_requests(
    input: &InputArgs,
    config: &ImageConfigArgs,
    outputs: &BTreeSet<PathBuf>,
    jobs: NonZeroUsize,
) -> Result<Vec<PackRequest>, Failure> {
    let plan = plan_options(input, config)?;
    let platforms = platforms::wanted(&config.platform);
    let sysroots = input.lookup.root.of(&platforms)?;
    let names = input.base.as_deref().into_iter().chain(input.lookup.root.names());
    let registries = input.lookup.root.registry.registries(names)?;
    let request = |(platform, sysroot): (Option<Platform>, Option<PathBuf>)| {
        let requests = platforms::inputs_for(platform.as_ref(), &config.platform, &input.inputs)?;
        let image = open_options(platform.clone(), registries.clone());
        Ok(PackRequest {
            requests,
            base: input.base.clone(),
            image,
            source: source::InputOptions {
                exclude: input.exclude.clone(),
                preserve_mode: input.lookup.preserve_mode,
                owner: input.chown,
                mtime: mtime()?,
                outputs: outputs.clone(),
                command_dirs: command_dirs(sysroot.as_deref()),
                versions: wanted_versions(sysroot.as_deref()),
                as_file: input.as_file,
                spool: scratch(),
                jobs,
            },
            sysroot,
            plan: plan::PlanOptions { platform, ..plan.clone() },
            deny_secrets: input.lookup.deny_secrets,
        })
    };
    platforms.iter().cloned().zip(sysroots).map(request).collect()
}

/// How plans are made, whatever their platform.
fn plan_options(input: &InputArgs, config: &ImageConfigArgs) -> Result<plan::PlanOptions, Failure> {
    Ok(plan::PlanOptions {
        dependencies: !input.no_deps,
        rules: input.lookup.runtime_deps.rule_set()?,
        package_metadata: input.lookup.package_metadata.is_auto(),
        include: included(input.include.clone(), &input.include_from)?,
        allow_missing: input.lookup.allow_missing.clone(),
        library_path: input.lookup.root.library_path(),
        strict: input.strict,
        hwcaps_all: input.hwcaps == Hwcaps::All,
        layers: config.layers.layers(),
        platform: None,
        fallback_platform: machine(),
        settings: config.settings.0.clone(),
        capabilities: input.cap.clone(),
    })
}

/// The paths of `--include` and of the lists of `--include-from`.
pub(in crate::cli) fn included(
    mut all: Vec<Include>,
    lists: &[PathBuf],
) -> Result<Vec<Include>, Failure> {
    for list in lists {
        let option = format!("--include-from {}", list.display());
        let bytes = read_regular(list, trace::MAX_LIST)?;
        if bytes.len() > trace::MAX_LIST {
            let message = format!("{option}: it has more than {} bytes", trace::MAX_LIST);
            return Err(Failure::usage(message));
        }
        let fault = |error: &dyn std::fmt::Display| Failure::usage(format!("{option}: {error}"));
        for path in trace::parse_list(&bytes).map_err(|error| fault(&error))? {
            all.push(Include::new(path, &*option).map_err(|error| fault(&error))?);
        }
    }
    Ok(all)
}
