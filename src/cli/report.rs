//! What people read: errors with their hints, summaries, sizes.

use std::{fmt::Write as _, io::Write as _};

use serde_json::{Value, json};

use super::progress::line;
use crate::{
    build::{BuildError, Cause},
    error_kind::ErrorKind,
    image::{Image, Layer},
    oci::ImageError,
    output::{Format, Place, Target},
    pipeline::{Delivered, Delivery, Error},
    plan::{Missing, Note, Plan, PlanError},
    run,
    source::{MisplacedDependency, SourceError},
};

/// Why a command ends without success.
#[derive(Debug)]
pub(super) struct Failure {
    kind: ErrorKind,
    message: String,
    details: Vec<String>,
    hint: Option<String>,
}

/// The exit codes; `imgb --help` lists them.
pub(super) fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Build => 1,
        ErrorKind::Usage => 2,
        ErrorKind::Input => 3,
        ErrorKind::Refused => 4,
        ErrorKind::Local => 5,
        ErrorKind::Digest => 7,
        ErrorKind::Runner => run::RUNNER_FAILED,
        ErrorKind::ProgramNotFound => run::NOT_FOUND,
    }
}

impl Failure {
    pub(super) fn usage(message: impl ToString) -> Self {
        Self {
            kind: ErrorKind::Usage,
            message: message.to_string(),
            details: Vec::new(),
            hint: None,
        }
    }

    /// Missing and broken files, which the command has shown already.
    pub(super) fn shown(message: String, kind: ErrorKind) -> Self {
        Self { kind, message, details: Vec::new(), hint: None }
    }

    /// A failure with the lines that belong to it, and what to do about it.
    pub(super) fn new(
        kind: ErrorKind,
        message: String,
        details: Vec<String>,
        hint: Option<&str>,
    ) -> Self {
        Self { kind, message, details, hint: hint.map(Into::into) }
    }

    /// The same failure with another kind.
    pub(super) fn with_kind(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
    }

    pub(super) fn local(message: String) -> Self {
        Self { kind: ErrorKind::Local, message, details: Vec::new(), hint: None }
    }

    /// Prints the failure to stderr and returns its exit code.
    pub(super) fn report(&self) -> u8 {
        line(&format!("error: {}", printable(&self.message)));
        for detail in &self.details {
            line(&format!("  {}", printable(detail)));
        }
        if let Some(hint) = &self.hint {
            line(&format!("\nhint: {hint}"));
        }
        exit_code(self.kind)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (message, details) = match &error {
            Error::Plan(PlanError::Missing(all)) => missing(all),
            Error::Build(error) => lines(error),
            _ => (chain(&error), Vec::new()),
        };
        Self { kind: error.kind(), message, details, hint: hint(&error) }
    }
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        let hint = match &error {
            ImageError::SeveralImages { .. } => Some("say which one: IMAGE:TAG, or --platform"),
            ImageError::OtherPlatform { .. } => Some("leave --platform out"),
            _ => None,
        };
        Self::new(error.kind(), chain(&error), Vec::new(), hint)
    }
}

/// What is wrong with a Buildfile, and the lines that show where.
fn lines(error: &BuildError) -> (String, Vec<String>) {
    let text = error.to_string();
    let mut lines = text.lines().map(str::to_owned);
    let message = lines.next().unwrap_or_default();
    let searched = match error.cause() {
        Some(Cause::Plan(PlanError::Missing(all))) => missing(all).1,
        _ => Vec::new(),
    };
    (message, lines.chain(searched).collect())
}

/// What to do about `error`.
fn hint(error: &Error) -> Option<String> {
    let text = match error {
        Error::Build(error) => return error.hint(),
        Error::Secrets(_) => {
            "leave them out with `--exclude`, or name each one as an input of its own"
        }
        Error::Source(SourceError::NoRegularFiles { .. }) => "leave them out with `--exclude GLOB`",
        Error::Source(SourceError::WhiteoutName { .. }) => {
            "rename it, or leave it out with `--exclude '.wh.*'`"
        }
        Error::Source(SourceError::NotFound { .. }) => {
            "check the spelling; inputs are files, directories, tarballs or commands"
        }
        Error::Plan(PlanError::Conflict { .. }) => {
            "give one of them another place with `SRC:DEST`, or leave one out with `--exclude`"
        }
        Error::Plan(PlanError::MixedPlatforms(_)) => {
            "build one image for each platform, or say `--platform` to keep the others as data"
        }
        Error::Plan(PlanError::Missing(all)) => {
            if let Some(misplaced) = all.iter().find_map(|missing| missing.misplaced.as_ref()) {
                return Some(misplaced_hint(misplaced));
            }
            "name its directory with `--library-path DIR`, pack it with an input, or go on without it with `--allow-missing NAME`"
        }
        _ => return None,
    };
    Some(text.into())
}

/// A program taken out of its directory: what it needs has stayed there.
fn misplaced_hint(misplaced: &MisplacedDependency) -> String {
    let file = misplaced.file.display();
    match &misplaced.tree {
        Some(tree) => format!(
            "`{file}` stands beside the program here, and in the image nothing does: pack the directory that holds \
             both, `imgb pack {}:/opt/app --entrypoint /opt/app/{}`",
            tree.display(),
            misplaced.program.display()
        ),
        None => format!(
            "`{file}` is where the program's `$ORIGIN` leads to here: pack it too, at the same place beside the program"
        ),
    }
}

fn missing(all: &[Missing]) -> (String, Vec<String>) {
    let message = match all {
        [one] => format!("cannot find `{}`, needed by `{}`", one.name, one.by),
        _ => format!("cannot find {} files that are needed", all.len()),
    };
    let mut details = Vec::new();
    for one in all {
        if all.len() > 1 {
            details.push(format!("`{}`, needed by `{}`", one.name, one.by));
        }
        if !one.searched.is_empty() {
            details.push(format!("searched: {}", one.searched.join(", ")));
        }
    }
    (message, details)
}

/// `error` and all that caused it, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        source = cause.source();
        // Libraries wrap the system's errors in others that say the path once more.
        let wraps =
            cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.raw_os_error().is_none());
        if wraps && source.is_some() {
            continue;
        }
        let cause = cause.to_string();
        text = format!("{text}: {}", cause.split(" (os error ").next().unwrap_or(&cause));
    }
    text
}

/// `text` as one line that no file's name can break or colour.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char.is_control() {
            true => out.extend(char.to_string().bytes().map(|byte| format!("\\x{byte:02x}"))),
            false => out.push(char),
        }
    }
    out
}

/// Writes to stdout, whose being closed or full is a failure of its own.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

/// [`print`] for what may be no text: paths.
pub(super) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| Failure {
        kind: ErrorKind::Local,
        message: format!("cannot write to stdout: {error}"),
        details: Vec::new(),
        hint: None,
    })
}

/// What was written, for people, on stderr.
pub(super) fn summary(plan: &Plan, delivery: &Delivery, delivered: &Delivered) {
    let image = &delivered.image;
    let files: usize = plan.layers.iter().map(|layer| layer.tree.len()).sum();
    let total: u64 = image.layers.iter().map(|layer| layer.size).sum();
    let mut text = format!("{}: {files} paths, {}\n", image.platform, bytes(total));
    for (layer, planned) in own_layers(image, plan).zip(&plan.layers) {
        let _ = writeln!(
            text,
            "  layer {:<8} {:>9}  {} paths, {}",
            planned.name,
            bytes(layer.size),
            planned.tree.len(),
            layer.digest
        );
    }
    if let Some(entrypoint) = &plan.config.entrypoint {
        let _ = writeln!(text, "  starts {}", entrypoint.join(" "));
    }
    let _ = writeln!(text, "  image ID {}", image.config.digest);
    let _ = writeln!(text, "  manifest {}", image.manifest.digest);
    for (target, names) in delivery.targets.iter().zip(&delivered.names) {
        let _ = writeln!(
            text,
            "{}",
            next_step(target, names.first().map(|name| name.familiar()).as_deref())
        );
    }
    line(text.trim_end());
}

/// Where an output is and the command that takes it.
fn next_step(target: &Target, name: Option<&str>) -> String {
    let Place::Path(path) = &target.place else { return "wrote to stdout".into() };
    let (path, name) = (path.display(), name.unwrap_or("image"));
    match target.format {
        Format::Archive | Format::DockerArchive => {
            format!("wrote {path}; load it with: docker load -i {path}   ({name})")
        }
        Format::OciArchive => {
            format!("wrote {path}; load it with: podman load -i {path}   ({name})")
        }
        Format::OciLayout => {
            let tag = target.tag.as_deref().or_else(|| name.rsplit(':').next()).unwrap_or("latest");
            format!(
                "wrote {path}; copy it with: skopeo copy oci:{}:{tag} docker-daemon:{name}",
                path.to_string().trim_end_matches('/')
            )
        }
        Format::Rootfs => format!("wrote {path}; import it with: docker import {path} {name}"),
    }
}

/// The image's layers that are the plan's: those above the base's.
fn own_layers<'a>(image: &'a Image, plan: &Plan) -> impl Iterator<Item = &'a Layer> + use<'a> {
    image.layers.iter().skip(image.layers.len().saturating_sub(plan.layers.len()))
}

/// What was written, as JSON.
pub(super) fn summary_json(plan: &Plan, delivery: &Delivery, delivered: &Delivered) -> Value {
    let image = &delivered.image;
    let layers = own_layers(image, plan).zip(&plan.layers).map(|(layer, planned)| {
        json!({
            "name": planned.name, "paths": planned.tree.len(), "size": layer.size,
            "digest": layer.digest.to_string(), "diff_id": layer.diff_id.to_string(),
        })
    });
    let outputs = delivery.targets.iter().zip(&delivered.names).map(|(target, names)| {
        let path = match &target.place {
            Place::Path(path) => Some(path.display().to_string()),
            Place::Stdout => None,
        };
        json!({"path": path, "names": names.iter().map(ToString::to_string).collect::<Vec<_>>()})
    });
    let notes = plan.notes.iter().map(Note::json);
    json!({
        "digest": image.manifest.digest.to_string(),
        "image_id": image.config.digest.to_string(),
        "platform": image.platform.to_string(),
        "layers": layers.collect::<Vec<_>>(),
        "outputs": outputs.collect::<Vec<_>>(),
        "notes": notes.collect::<Vec<_>>(),
    })
}

/// A number of bytes as people say it, in powers of 1000.
pub(super) fn bytes(count: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    let mut value = count as f64 / 1000.0;
    if count < 1000 {
        return format!("{count} B");
    }
    for unit in units {
        if value < 999.95 {
            return format!("{value:.1} {unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.1} PB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_say_them() {
        for (count, wanted) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (1_234_567_890, "1.2 GB"),
        ] {
            assert_eq!(bytes(count), wanted);
        }
    }
}
