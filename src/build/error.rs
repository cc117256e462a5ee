//! What can go wrong while a recipe is built, and where.

use std::{fmt, path::PathBuf};

use crate::{
    elf::ReadFailure,
    error_kind::{ErrorKind, with_causes},
    image::{ImageNameError, as_registry_name},
    oci::ImageError,
    path::{ImagePath, glob::GlobError},
    plan::PlanError,
    recipe::{
        Recipe,
        fault::Faults,
        source::{Source, Span},
    },
    source::{SourceError, content::ContentError},
    suggest,
    tree::{ResolveError, capability::CapabilityError},
};

/// Why a recipe cannot be built. As text: what is wrong, then the line.
#[derive(Debug)]
pub enum BuildError {
    /// The text is wrong, in one place or several.
    Faults(Box<Faults>),
    /// The base image cannot be used.
    Base {
        /// What the user wrote.
        name: String,
        /// The reason.
        cause: Box<Cause>,
    },
    /// The sysroot cannot be used.
    Sysroot {
        /// What the user wrote.
        name: PathBuf,
        /// The reason.
        cause: Box<Cause>,
    },
    /// An instruction failed.
    Step {
        /// The text.
        source: Box<Source>,
        /// The place of the instruction.
        span: Option<Span>,
        /// The reason.
        cause: Box<Cause>,
        /// What the user may have meant.
        hint: Option<String>,
    },
}

/// Why an instruction failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// A source that does not exist, or that the ignore file excludes.
    #[error("`{}`: no such file or directory", crate::path::escape(name.as_bytes()))]
    NotFound {
        /// The text as written.
        name: String,
        /// What the user may have meant, or why it is missing.
        hint: Option<String>,
    },
    /// A pattern that cannot be read.
    #[error("the pattern `{}` cannot be read: {why}", crate::path::escape(pattern.as_bytes()))]
    Pattern {
        /// The text as written.
        pattern: String,
        /// The reason.
        why: GlobError,
    },
    /// `--exclude` that cannot be read.
    #[error("--exclude: {0}")]
    Exclude(String),
    /// Files that no unprivileged layer can carry.
    #[error("`{0}` is a device or FIFO, which cannot be packed")]
    Unpackable(ImagePath),
    /// A name that means a deletion in a layer.
    #[error("`{0}`: names that start with `.wh.` mean a deletion in a layer")]
    Whiteout(ImagePath),
    /// A path that no image can hold.
    #[error("`{0}` becomes too long")]
    TooLong(ImagePath),
    /// A destination whose links cannot be resolved.
    #[error("cannot write to `{path}`: {why}")]
    Destination {
        /// The destination.
        path: ImagePath,
        /// The reason.
        why: ResolveError,
    },
    /// A name that the image's tables do not have.
    #[error("the image has no {kind} `{name}`")]
    Unknown {
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// SYMLINK or MKDIR would replace a file of another kind.
    #[error("`{0}` already exists")]
    Exists(ImagePath),
    /// CAP names no file.
    #[error("`{0}` is not a file in the image")]
    NoFile(ImagePath),
    /// Capabilities that cannot be read.
    #[error(transparent)]
    Capability(#[from] CapabilityError),
    /// Files that look like secrets, with `--deny-secrets`.
    #[error("these look like secrets: {}", .0.join(", "))]
    Secrets(Vec<String>),
    /// A base image that is neither a file nor an image in a registry.
    #[error("`{}` is not a file here", crate::path::escape(.0.as_bytes()))]
    NoImage(String),
    /// A platform that cannot be read.
    #[error("--platform: {0}")]
    Platform(String),
    /// A layer of the base image that no manifest can describe.
    #[error("the base image has a layer compressed with {0}")]
    Layer(String),
    /// ONBUILD of the base image; the first one.
    #[error("the base image has ONBUILD instructions: `{}`", crate::path::escape(.0.as_bytes()))]
    Triggers(String),
    /// The Buildfile has no stage.
    #[error("there is nothing to build")]
    Nothing,
    /// The base image's name.
    #[error(transparent)]
    Name(#[from] ImageNameError),
    /// The base image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A file of the host.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Content that cannot be read.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// PACK.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl From<ReadFailure> for Cause {
    fn from(failure: ReadFailure) -> Self {
        Self::Source(failure.into())
    }
}

impl Cause {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } | Self::NoImage(_) | Self::Content(_) => ErrorKind::Input,
            Self::Unpackable(_) | Self::Whiteout(_) | Self::Layer(_) | Self::Triggers(_) => {
                ErrorKind::Refused
            }
            Self::Pattern { .. }
            | Self::Exclude(_)
            | Self::Platform(_)
            | Self::Name(_)
            | Self::Capability(_)
            | Self::Nothing => ErrorKind::Usage,
            Self::TooLong(_)
            | Self::Destination { .. }
            | Self::Unknown { .. }
            | Self::Exists(_)
            | Self::NoFile(_)
            | Self::Secrets(_) => ErrorKind::Build,
            Self::Source(error) => error.kind(),
            Self::Plan(error) => error.kind(),
            Self::Image(error) => error.kind(),
        }
    }
}

impl Cause {
    pub(super) fn not_found(name: impl Into<String>) -> Self {
        Self::NotFound { name: name.into(), hint: None }
    }
}

impl BuildError {
    pub(super) fn at(recipe: &Recipe, span: Option<Span>, cause: Cause) -> Self {
        let hint = match &cause {
            Cause::NotFound { hint, .. } => hint.clone(),
            Cause::NoImage(name) => {
                let stages = recipe.stages.iter().filter_map(|stage| stage.from.alias.as_deref());
                let near = suggest::closest(name, stages.chain(["scratch"]));
                near.map(|near| format!("did you mean `{near}`?"))
            }
            _ => None,
        };
        Self::Step { source: Box::new(recipe.source.clone()), span, cause: Box::new(cause), hint }
    }

    /// What the error means to the caller.
    pub fn kind(&self) -> ErrorKind {
        self.cause().map_or(ErrorKind::Usage, Cause::kind)
    }

    /// Why, if it is not the text.
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Faults(_) => None,
            Self::Base { cause, .. } | Self::Sysroot { cause, .. } | Self::Step { cause, .. } => {
                Some(cause)
            }
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let cause = self.cause()?;
        if let Self::Step { hint: Some(hint), .. } = self {
            return Some(hint.clone());
        }
        if let Cause::Plan(error) = cause
            && let Some(hint) = error.line_end_hint()
        {
            return Some(hint);
        }
        let in_recipe = matches!(self, Self::Step { .. });
        let fixed = match cause {
            Cause::NoImage(name) => {
                let name = as_registry_name(name)?;
                return Some(format!("write `docker://{name}` to take it from a registry"));
            }
            _ if !in_recipe => return None,
            Cause::NotFound { .. } => {
                "sources are paths in the context, the stage or the image; \
                 an ignore file may leave this one out"
            }
            Cause::Secrets(_) => {
                "leave them out with .dockerignore or --exclude, or name each one in a COPY"
            }
            Cause::Unpackable(_) | Cause::Whiteout(_) => {
                "leave it out with .dockerignore or --exclude"
            }
            Cause::Triggers(_) => "write what they do here, and start from an image without them",
            Cause::Plan(PlanError::Missing(_)) => {
                "name its directory with PACK --library-path=DIR, \
                 or COPY it to where the loader looks"
            }
            Cause::Unknown { .. } => "write a number, or COPY /etc/passwd and /etc/group before",
            _ => return None,
        };
        Some(fixed.into())
    }
}

impl From<Faults> for BuildError {
    fn from(faults: Faults) -> Self {
        Self::Faults(Box::new(faults))
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Faults(faults) => faults.fmt(f),
            Self::Base { name, cause } => {
                write!(f, "--base {}: {}", crate::path::escape(name.as_bytes()), with_causes(cause))
            }
            Self::Sysroot { name, cause } => {
                use std::os::unix::ffi::OsStrExt as _;
                let name = crate::path::escape(name.as_os_str().as_bytes());
                write!(f, "--sysroot {name}: {}", with_causes(cause))
            }
            Self::Step { source, span, cause, .. } => {
                f.write_str(&with_causes(cause))?;
                match span {
                    Some(span) => write!(f, "\n{}", source.excerpt(*span)),
                    None => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for BuildError {}
