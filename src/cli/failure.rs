//! Why a command fails: the message, its details, a hint, and the exit code.

use serde_json::{Value, json};

use super::{
    hints::{image_hint, pipeline_hint, registry_hint},
    printable::printable,
};
use crate::{
    build::{BuildError, Cause},
    error_kind::{ErrorKind, with_causes},
    image::Platform,
    oci::ImageError,
    output::OutputError,
    pipeline,
    plan::{Missing, PlanError},
    quantity,
    registry::RegistryError,
    run,
    transfer::CopyError,
};

/// Why a command fails.
#[derive(Debug)]
pub(super) struct Failure {
    kind: ErrorKind,
    message: String,
    details: Vec<String>,
    hint: Option<String>,
    /// Whether the data on stdout describes it.
    in_output: bool,
}

/// The exit codes; `imgb --help` lists them.
pub(super) fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Build => 1,
        ErrorKind::Usage => 2,
        ErrorKind::Input => 3,
        ErrorKind::Refused => 4,
        ErrorKind::Local => 5,
        ErrorKind::Registry => 6,
        ErrorKind::Digest => 7,
        ErrorKind::Runner => run::RUNNER_FAILED,
        ErrorKind::ProgramNotFound => run::NOT_FOUND,
        // As a shell reports a program that SIGPIPE ended.
        ErrorKind::ClosedPipe => 128 + 13,
    }
}

impl Failure {
    pub(super) fn new(kind: ErrorKind, message: impl ToString) -> Self {
        let message = message.to_string();
        Self { kind, message, details: Vec::new(), hint: None, in_output: false }
    }

    pub(super) fn usage(message: impl ToString) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    pub(super) fn local(message: impl ToString) -> Self {
        Self::new(ErrorKind::Local, message)
    }

    /// A registry, the network or credentials for it failed.
    pub(super) fn registry(error: RegistryError) -> Self {
        Self { hint: registry_hint(&error), ..Self::new(error.kind(), with_causes(&error)) }
    }

    /// Outputs have not got the image: the first of `faults`, and the others as details.
    pub(super) fn of_outputs(faults: Vec<OutputError>) -> Option<Self> {
        let mut faults = faults.into_iter();
        let first = Self::from(pipeline::Error::from(faults.next()?));
        Some(first.with_details(faults.map(|fault| with_causes(&fault)).collect()))
    }

    /// The reader of stdout has stopped reading: nothing is said, as with SIGPIPE.
    pub(super) fn closed_pipe() -> Self {
        Self::new(ErrorKind::ClosedPipe, "the reader of stdout has stopped reading")
    }

    /// Adds lines below the message.
    pub(super) fn with_details(self, details: Vec<String>) -> Self {
        Self { details, ..self }
    }

    /// Adds what to do about it.
    pub(super) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same failure, which the JSON on stdout describes.
    pub(super) fn in_output(self) -> Self {
        Self { in_output: true, ..self }
    }

    /// The same failure with another kind.
    pub(super) fn with_kind(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
    }

    /// The same failure, which concerns the image for `platform` alone.
    pub(super) fn of_platform(self, platform: Option<&Platform>) -> Self {
        let Some(platform) = platform else { return self };
        Self { message: format!("{platform}: {}", self.message), ..self }
    }

    /// The lines for stderr.
    pub(super) fn text(&self) -> String {
        let mut text = format!("error: {}", printable(&self.message));
        for detail in &self.details {
            text += &format!("\n  {}", printable(detail));
        }
        if let Some(hint) = &self.hint {
            text += &format!("\n\nhint: {}", printable(hint));
        }
        text
    }

    /// The JSON that takes the place of a command's own; `None` where that has been printed.
    pub(super) fn json(&self) -> Option<Value> {
        let described = self.in_output || self.is_silent();
        let error = json!({
            "code": self.exit_code(),
            "message": self.message,
            "details": self.details,
            "hint": self.hint,
        });
        (!described).then(|| json!({"error": error}))
    }

    /// Whether the command ends without a message.
    pub(super) fn is_silent(&self) -> bool {
        self.kind == ErrorKind::ClosedPipe
    }

    pub(super) fn exit_code(&self) -> u8 {
        exit_code(self.kind)
    }
}

impl From<pipeline::Error> for Failure {
    fn from(mut error: pipeline::Error) -> Self {
        if let pipeline::Error::Output(OutputError::Several(faults)) = &mut error
            && let Some(failure) = Self::of_outputs(std::mem::take(faults))
        {
            return failure;
        }
        let (message, details) = match &error {
            pipeline::Error::Plan(PlanError::Missing(all)) => missing(all),
            pipeline::Error::Build(error) => build_lines(error),
            _ => (with_causes(&error), Vec::new()),
        };
        Self { details, hint: pipeline_hint(&error), ..Self::new(error.kind(), message) }
    }
}

impl From<CopyError> for Failure {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Image(error) => error.into(),
            CopyError::Index(_) => Self::new(error.kind(), error),
            CopyError::NoPlace { .. } => Self::new(error.kind(), error).with_hint(
                "registries, OCI layouts and archives have: `imgb copy IMAGE oci-archive:FILE`",
            ),
            CopyError::Output(error) => pipeline::Error::from(error).into(),
        }
    }
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        Self { hint: image_hint(&error), ..Self::new(error.kind(), with_causes(&error)) }
    }
}

/// The message of a Buildfile's error, the lines that show where it is, and what was searched.
fn build_lines(error: &BuildError) -> (String, Vec<String>) {
    let text = error.to_string();
    let mut lines = text.lines().map(str::to_owned);
    let message = lines.next().unwrap_or_default();
    let searched = match error.cause() {
        Some(Cause::Plan(PlanError::Missing(all))) => missing(all).1,
        _ => Vec::new(),
    };
    (message, lines.chain(searched).collect())
}

/// Files that were not found, and where each was searched.
fn missing(all: &[Missing]) -> (String, Vec<String>) {
    let message = match all {
        [one] => format!("cannot find `{}`, needed by `{}`", one.name, one.by),
        _ => format!("cannot find {} that are needed", quantity::count(all.len(), "file")),
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
