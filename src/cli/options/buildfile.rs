//! Which Buildfile is built, and how.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{image::open_options, layers::LayersArgs, lookup::LookupArgs};
use crate::{
    build::{self, BuildError, BuildOptions, ContextDirectory, NamedContext, NamedContexts},
    cli::{
        environment::{command_dirs, machine, mtime, scratch, wanted_versions},
        failure::Failure,
        file::{read_regular, read_stdin},
        values,
    },
    error_kind::{ErrorKind, system_reason},
    image::Platform,
    path::ignore::Ignore,
    pipeline,
    plan::{self, Layers, Settings},
    recipe::{self, Arguments, Recipe},
    source, uninterrupted,
};

/// Bytes of an ignore file.
const MAX_IGNORE: usize = 1 << 20;

/// Which Buildfile is built, and with which arguments.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct BuildfileArgs {
    /// The Buildfile, or - for stdin
    #[arg(short, long, value_name = "FILE", help_heading = "Buildfile")]
    pub(in crate::cli) file: Option<PathBuf>,

    /// The value of an ARG (repeatable)
    #[arg(
        long,
        value_name = "NAME=VALUE",
        value_parser = values::build_arg,
        help_heading = "Buildfile"
    )]
    build_arg: Vec<(String, String)>,

    /// A directory or image for FROM and COPY --from (repeatable)
    #[arg(
        long,
        value_name = "NAME=PATH",
        value_parser = values::pair,
        help_heading = "Buildfile"
    )]
    build_context: Vec<(String, String)>,

    /// The stage to build, by name or number; otherwise the last
    #[arg(long, value_name = "STAGE", help_heading = "Buildfile")]
    target: Option<String>,

    /// Make one layer of all instructions
    #[arg(long, help_heading = "Buildfile")]
    squash: bool,
}

/// What the options of `imgb build` ask for.
pub(in crate::cli) struct BuildRequest {
    /// The Buildfile.
    pub(in crate::cli) recipe: Recipe,
    /// How it is built, for each platform.
    pub(in crate::cli) options: Vec<BuildOptions>,
}

/// Reads the Buildfile and its ignore file. `outputs` are files of the host to leave out of the
/// context, and `jobs` threads read directories.
pub(in crate::cli) fn build_request(
    context: PathBuf,
    buildfile: BuildfileArgs,
    lookup: &LookupArgs,
    platforms: &[Option<Platform>],
    (labels, layers): (Vec<(String, String)>, LayersArgs),
    (outputs, jobs): (BTreeSet<PathBuf>, NonZeroUsize),
) -> Result<BuildRequest, Failure> {
    if !is_directory(&context)? {
        let message = format!("the context `{}` is not a directory", context.display());
        return Err(Failure::new(ErrorKind::Input, message));
    }
    let file = match buildfile.file {
        Some(file) => file,
        None => default_file(&context)?,
    };
    let recipe = read_recipe(&file)?;
    let contexts = named_contexts(buildfile.build_context)?;
    let ignore = read_ignore(&context, Some(&file))?;
    let build_args: BTreeMap<_, _> = buildfile.build_arg.into_iter().collect();
    let plan = plan_options(lookup, labels, layers.layers())?;
    let registries = lookup.root.registry.registries(lookup.root.names())?;
    let options = |(platform, sysroot): (&Option<Platform>, Option<PathBuf>)| {
        let target = platform.clone().unwrap_or_else(machine);
        Ok(BuildOptions {
            ignore: ignore.clone(),
            context: context.clone(),
            arguments: Arguments {
                build_args: build_args.clone(),
                target: buildfile.target.clone(),
                contexts: contexts.names().map(Into::into).collect(),
                platform_args: build::platform_arguments(&target, &machine()),
            },
            source: source::InputOptions {
                exclude: Vec::new(),
                preserve_mode: lookup.preserve_mode,
                owner: None,
                mtime: mtime()?,
                outputs: outputs.clone(),
                command_dirs: command_dirs(sysroot.as_deref()),
                versions: wanted_versions(sysroot.as_deref()),
                as_file: false,
                spool: scratch(),
                jobs,
            },
            plan: plan::PlanOptions { platform: platform.clone(), ..plan.clone() },
            contexts: contexts.clone(),
            sysroot,
            image: open_options(platform.clone(), registries.clone()),
            squash: buildfile.squash,
            deny_secrets: lookup.deny_secrets,
        })
    };
    let sysroots = lookup.root.of(platforms)?;
    let options = platforms.iter().zip(sysroots).map(options).collect::<Result<_, Failure>>()?;
    Ok(BuildRequest { recipe, options })
}

/// How PACK decides, whatever the platform.
fn plan_options(
    lookup: &LookupArgs,
    labels: Vec<(String, String)>,
    layers: Layers,
) -> Result<plan::PlanOptions, Failure> {
    Ok(plan::PlanOptions {
        dependencies: true,
        rules: lookup.runtime_deps.rule_set()?,
        package_metadata: lookup.package_metadata.is_auto(),
        strict: false,
        include: Vec::new(),
        allow_missing: lookup.allow_missing.clone(),
        library_path: lookup.root.library_path(),
        hwcaps_all: false,
        layers,
        platform: None,
        fallback_platform: machine(),
        settings: Settings { labels, ..Settings::default() },
        capabilities: Vec::new(),
    })
}

/// `Buildfile`, `Dockerfile` or `Containerfile` in the context.
fn default_file(context: &Path) -> Result<PathBuf, Failure> {
    let candidates = ["Buildfile", "Dockerfile", "Containerfile"].map(|name| context.join(name));
    first_present(&candidates)?.ok_or_else(|| {
        let dir = context.display();
        let message = format!("`{dir}` has no Buildfile, Dockerfile or Containerfile");
        Failure::new(ErrorKind::Input, message).with_hint("name the file with `-f FILE`")
    })
}

/// The first of `candidates` that exists. A link counts as itself.
fn first_present(candidates: &[PathBuf]) -> Result<Option<PathBuf>, Failure> {
    for path in candidates {
        let found = source::if_present(uninterrupted::symlink_metadata(path));
        if found.map_err(|error| unreadable(path, &error))?.is_some() {
            return Ok(Some(path.clone()));
        }
    }
    Ok(None)
}

/// Whether `path` leads to a directory.
fn is_directory(path: &Path) -> Result<bool, Failure> {
    let found = source::if_present(uninterrupted::metadata(path));
    let found = found.map_err(|error| unreadable(path, &error))?;
    Ok(found.is_some_and(|found| found.is_dir()))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let message = format!("cannot read `{}`: {}", path.display(), system_reason(error));
    Failure::new(ErrorKind::Input, message)
}

/// What `--build-context` names. A directory is one of files, whatever is in it; what else can be
/// named is an image, as for FROM.
fn named_contexts(pairs: Vec<(String, String)>) -> Result<NamedContexts, Failure> {
    let mut contexts = Vec::new();
    for (name, value) in pairs {
        let layout = value.strip_prefix("oci-layout://").map(|layout| format!("oci:{layout}"));
        let image = value.strip_prefix("docker-image://").map(|name| format!("docker://{name}"));
        let is_directory = is_directory(Path::new(&value))?;
        let context = match layout.or(image) {
            Some(image) => NamedContext::Image(image),
            None if value.starts_with("docker://") => NamedContext::Image(value),
            None if is_directory => {
                let path = PathBuf::from(&value);
                let ignore = read_ignore(&path, None)?;
                NamedContext::Directory(ContextDirectory { path, ignore })
            }
            None if value.contains("://") => {
                let message = format!("--build-context {name}: `{value}` cannot be fetched");
                let hint = "name a directory, an archive or an OCI layout (`oci:DIR`)";
                return Err(Failure::usage(message).with_hint(hint));
            }
            None => NamedContext::Image(value),
        };
        contexts.push((name, context));
    }
    Ok(NamedContexts::new(contexts))
}

fn read_recipe(file: &Path) -> Result<Recipe, Failure> {
    let (name, bytes) = match file == Path::new("-") {
        true => ("stdin".into(), read_stdin(recipe::MAX_TEXT)?),
        false => (file.display().to_string(), read_regular(file, recipe::MAX_TEXT)?),
    };
    let recipe = recipe::parse(&name, &bytes);
    recipe.map_err(|faults| pipeline::Error::from(BuildError::from(faults)).into())
}

/// The ignore file: the Buildfile's own, `NAME.dockerignore`, or else the directory's. The names
/// that Docker knows come first, then those of podman and buildah.
fn read_ignore(context: &Path, file: Option<&Path>) -> Result<Ignore, Failure> {
    let endings = [".dockerignore", ".containerignore"];
    let own = file.iter().flat_map(|file| {
        endings.map(|ending| {
            let mut name = file.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        })
    });
    let candidates: Vec<_> = own.chain(endings.map(|ending| context.join(ending))).collect();
    let Some(path) = first_present(&candidates)? else { return Ok(Ignore::default()) };
    let bytes = read_regular(&path, MAX_IGNORE)?;
    if bytes.len() > MAX_IGNORE {
        let message = format!("`{}` has more than {MAX_IGNORE} bytes", path.display());
        return Err(Failure::usage(message));
    }
    let name = path.display().to_string();
    let ignore = Ignore::parse(&bytes);
    let ignore = ignore.map_err(|why| Failure::usage(format!("`{name}`: {why}")))?;
    Ok(ignore.named(name))
}
