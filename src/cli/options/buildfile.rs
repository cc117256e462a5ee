//! Which Buildfile is built, and how.

use std::{
    collections::BTreeSet,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{image::open_options, lookup::LookupArgs};
use crate::{
    build::{self, BuildError, BuildOptions},
    cli::{
        environment::{command_dirs, machine, scratch, timestamp},
        failure::{Failure, chain},
        file::{read_regular, read_stdin},
        values,
    },
    error_kind::ErrorKind,
    image::Platform,
    path::ignore::Ignore,
    pipeline,
    plan::{self, Layers, Settings},
    recipe::{self, Arguments, Recipe},
    source,
};

/// Bytes of an ignore file.
const MAX_IGNORE: usize = 1 << 20;

/// Which Buildfile is built, and with which arguments.
#[derive(Args, Debug)]
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
    /// How it is built.
    pub(in crate::cli) options: BuildOptions,
}

/// Reads the Buildfile and its ignore file. `outputs` are files of the host to leave out of the
/// context, and `jobs` threads read directories.
pub(in crate::cli) fn build_request(
    context: PathBuf,
    buildfile: BuildfileArgs,
    lookup: LookupArgs,
    platform: Option<Platform>,
    labels: Vec<(String, String)>,
    (outputs, jobs): (BTreeSet<PathBuf>, NonZeroUsize),
) -> Result<BuildRequest, Failure> {
    if !fs_err::metadata(&context).is_ok_and(|metadata| metadata.is_dir()) {
        let message = format!("the context `{}` is not a directory", context.display());
        return Err(Failure::new(ErrorKind::Input, message));
    }
    let file = match buildfile.file {
        Some(file) => file,
        None => default_file(&context)?,
    };
    let recipe = read_recipe(&file)?;
    let target = platform.clone().unwrap_or_else(machine);
    let options = BuildOptions {
        ignore: read_ignore(&context, &file)?,
        context,
        arguments: Arguments {
            build_args: buildfile.build_arg.into_iter().collect(),
            target: buildfile.target,
            platform_args: build::platform_arguments(&target, &machine()),
        },
        source: source::InputOptions {
            exclude: Vec::new(),
            preserve_mode: lookup.preserve_mode,
            owner: None,
            mtime: timestamp()?,
            outputs,
            command_dirs: command_dirs(&lookup.root.sysroot),
            as_file: false,
            spool: scratch(),
            jobs,
        },
        plan: plan::PlanOptions {
            dependencies: true,
            rules: lookup.runtime_deps.rule_set()?,
            strict: false,
            include: Vec::new(),
            allow_missing: lookup.allow_missing,
            library_path: lookup.root.library_path(),
            hwcaps_all: false,
            layers: Layers::Split,
            platform: platform.clone(),
            fallback_platform: machine(),
            settings: Settings { labels, ..Settings::default() },
            capabilities: Vec::new(),
        },
        sysroot: lookup.root.sysroot,
        image: open_options(platform),
        squash: buildfile.squash,
        deny_secrets: lookup.deny_secrets,
    };
    Ok(BuildRequest { recipe, options })
}

/// `Buildfile` or `Dockerfile` in the context.
fn default_file(context: &Path) -> Result<PathBuf, Failure> {
    let candidates = ["Buildfile", "Dockerfile"].map(|name| context.join(name));
    first_present(candidates)?.ok_or_else(|| {
        let message = format!("`{}` has neither a Buildfile nor a Dockerfile", context.display());
        Failure::new(ErrorKind::Input, message).with_hint("name the file with `-f FILE`")
    })
}

/// The first of `candidates` that exists. A link counts as itself.
fn first_present(candidates: [PathBuf; 2]) -> Result<Option<PathBuf>, Failure> {
    for path in candidates {
        let found = source::if_present(fs_err::symlink_metadata(&path));
        let fault = |error: std::io::Error| {
            let message = format!("cannot read `{}`: {}", path.display(), chain(&error));
            Failure::new(ErrorKind::Input, message)
        };
        if found.map_err(fault)?.is_some() {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn read_recipe(file: &Path) -> Result<Recipe, Failure> {
    let (name, bytes) = match file == Path::new("-") {
        true => ("stdin".into(), read_stdin(recipe::MAX_TEXT)?),
        false => (file.display().to_string(), read_regular(file, recipe::MAX_TEXT)?),
    };
    let recipe = recipe::parse(&name, &bytes);
    recipe.map_err(|faults| pipeline::Error::from(BuildError::from(faults)).into())
}

/// The ignore file next to the Buildfile, `NAME.dockerignore`, or else the context's.
fn read_ignore(context: &Path, file: &Path) -> Result<Ignore, Failure> {
    let mut own = file.as_os_str().to_owned();
    own.push(".dockerignore");
    let candidates = [PathBuf::from(own), context.join(".dockerignore")];
    let Some(path) = first_present(candidates)? else { return Ok(Ignore::default()) };
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
