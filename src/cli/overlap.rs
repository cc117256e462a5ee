//! Outputs that would replace what they are made from, each other, or what is not an image.

use std::{
    collections::BTreeSet,
    fs::Metadata,
    io::{self, IsTerminal as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{failure::Failure, terminal::is_closed};
use crate::{
    error_kind::with_causes,
    image::{Destination, OutputFormat, Target},
    output, pipeline,
    source::if_present,
    uninterrupted,
};

/// Files and directories of the host that an image is made from.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    /// No output may replace them.
    pub(super) files: Vec<PathBuf>,
    /// An image in a layout may be the base of another in it. A base in an archive is as `files`.
    pub(super) base: Option<PathBuf>,
}

/// The outputs' paths, absolute and without symbolic links, so that a walk over an input can leave
/// them out. With `force`, any file may be replaced that is not an input.
///
/// # Errors
/// [`Failure`] if an output would replace an input, another output, or a file that is not an image,
/// and if the system does not say where an output would be.
pub(super) fn output_paths(
    targets: &[Target],
    inputs: &Inputs,
    force: bool,
) -> Result<BTreeSet<PathBuf>, Failure> {
    let mut paths = BTreeSet::new();
    for target in targets {
        if matches!(target.destination, Destination::Registry(_) | Destination::Engine(_)) {
            continue;
        }
        if target.destination == Destination::Stdout && std::io::stdout().is_terminal() {
            let failure = Failure::usage("stdout is a terminal, and the image would go there");
            return Err(failure.with_hint("redirect it, or pipe it to `docker load`"));
        }
        if target.destination == Destination::Stdout && is_closed(std::io::stdout()) {
            let failure = Failure::local("cannot write the image to stdout: it is closed");
            return Err(failure.with_hint("`>/dev/null` writes it without keeping it"));
        }
        let is_layout = target.format == OutputFormat::OciLayout;
        let base = inputs.base.iter().filter(|_| !is_layout);
        if let Some(input) = inputs.files.iter().chain(base).find(|input| replaces(target, input)) {
            return Err(would_replace(&name(target), input));
        }
        if !force && !output::is_replaceable(target).map_err(pipeline::Error::from)? {
            let message = format!("{} exists and is not an archive of an image", name(target));
            return Err(Failure::local(message).with_hint("use `--force` to replace it"));
        }
        if let Some(path) = absolute(target)?
            && !paths.insert(path)
            && !is_layout
        {
            return Err(Failure::usage(format!("two outputs go to {}", name(target))));
        }
    }
    Ok(paths)
}

/// The failure of an output, as it is shown, that would replace `input`.
pub(super) fn would_replace(output: &str, input: &Path) -> Failure {
    Failure::usage(format!("the output {output} would replace the input `{}`", input.display()))
}

/// Whether `target` is `input` itself, by whatever path or link, or a layout around it.
fn replaces(target: &Target, input: &Path) -> bool {
    let place = place(target);
    let id = |metadata: Metadata| (metadata.dev(), metadata.ino());
    let (Ok(output), Ok(other)) = (uninterrupted::metadata(place), uninterrupted::metadata(input))
    else {
        return false;
    };
    let is_inside = || {
        let real = (uninterrupted::canonicalize(place), uninterrupted::canonicalize(input));
        matches!(real, (Ok(place), Ok(input)) if input.starts_with(&place))
    };
    let is_one = output.is_file() || output.is_dir();
    (is_one && id(output) == id(other)) || (target.format == OutputFormat::OciLayout && is_inside())
}

/// The path of an output. That of stdout leads to the file that stdout is, if it is one.
fn place(target: &Target) -> &Path {
    target.path().unwrap_or(Path::new("/proc/self/fd/1"))
}

fn name(target: &Target) -> String {
    target.path().map_or("stdout".into(), |path| format!("`{}`", path.display()))
}

/// Where an output will be. `None` if its directory does not exist yet, and for a pipe or device.
fn absolute(target: &Target) -> Result<Option<PathBuf>, Failure> {
    absolute_path(place(target)).map_err(|error| {
        Failure::local(format!("cannot write {}: {}", name(target), with_causes(&error)))
    })
}

/// Where a file will be. `None` if its directory does not exist yet, and for a pipe or device.
///
/// # Errors
/// If the system does not say where.
pub(super) fn absolute_path(path: &Path) -> io::Result<Option<PathBuf>> {
    if ["/dev/fd", "/dev/stderr", "/proc/self/fd"].iter().any(|dir| path.starts_with(dir)) {
        return Ok(if_present(uninterrupted::canonicalize(path))?.filter(|real| real.is_file()));
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = if_present(uninterrupted::canonicalize(dir.unwrap_or(Path::new("."))))?;
    Ok(dir.zip(path.file_name()).map(|(dir, name)| dir.join(name)))
}
