//! Everything that is decided about an image, as plain data: which paths, why, in which layer,
//! which configuration. After [`make`] nothing is decided.

mod base;
mod builder;
mod closure;
mod compiled;
mod denied;
mod deps;
mod ineffective;
mod interpreters;
mod leftovers;
mod libc_mismatch;
mod links;
mod make;
mod merge;
mod overlay;
mod package_metadata;
mod platform;
mod programs;
mod reason;
mod reasons;
mod render;
mod request;
mod runtime_deps;
mod settings;
mod split;
mod start;
mod summary;
mod users;
mod venv;

use crate::{
    elf::{ObjectError, ReadFailure},
    error_kind::ErrorKind,
    image::{Config, Platform},
    path::{ImagePath, PathError, escape, glob::Glob},
    source::{MisplacedDependency, SourceError},
    timestamp::Mtime,
    tree::{Kind, Meta, Node, ResolveError, Tree},
};

pub use base::{Base, is_system};
pub use compiled::set_times;
pub use deps::deps;
pub use ineffective::library_path as library_path_notes;
pub use make::make;
pub use overlay::Overlay;
pub use reason::{Generated, Instruction, Needed, PackageRecord, Reason, RuleMatch};
pub use reasons::Reasons;
pub use render::{json, text};
pub use request::{Below, Decision, Include, Request};
pub use runtime_deps::RuleSet;
pub use settings::Settings;
pub use split::{COMPONENTS_ANNOTATION, Layers, NAME_ANNOTATION, split_files};
pub use start::{Start, start};
pub use summary::summary;
pub use users::add_user;

/// An image before its bytes are read.
#[derive(Debug)]
pub struct Plan {
    /// Lowest first.
    pub layers: Vec<PlannedLayer>,
    /// The configuration, with one history entry for each layer.
    pub config: Config,
    /// Every reason why each path is there.
    pub reasons: Reasons,
    /// The inputs' names, by the numbers that reasons use.
    pub inputs: Vec<String>,
    /// The files and commands that the user named, in order.
    pub named: Vec<ImagePath>,
    /// What the user should know.
    pub notes: Vec<Note>,
    /// The files of the base image, whose layers lie below; empty without one.
    pub base: Tree,
}

/// A layer before its bytes are read.
#[derive(Clone, Debug)]
pub struct PlannedLayer {
    /// `system`, `common`, `inputs` or `all`; of a large image the component that it holds, or
    /// which of the layers of small ones it is; of a Buildfile: its number, from 1.
    pub name: String,
    /// The components that it holds, in order; empty where the image is not split by them.
    pub components: Vec<String>,
    /// Its files, with their parents.
    pub tree: Tree,
}

/// Something the user should know, though the image can be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// How much it matters.
    pub severity: Severity,
    /// The message.
    pub text: String,
    /// What the message is about: the part of `text` in which notes of one kind differ.
    pub about: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// How much a note matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something that is probably not needed was left out, and an option adds it.
    Info,
    /// Something that may be needed was left out, and an option adds it.
    Hint,
    /// Something is wrong with what is packed.
    Warning,
}

impl Note {
    /// A warning without advice.
    pub(crate) fn warning(text: String) -> Self {
        Self { severity: Severity::Warning, text, about: None, hint: None }
    }

    /// The same note; `about` is the part of its text in which notes of its kind differ.
    pub(crate) fn about(self, about: impl ToString) -> Self {
        Self { about: Some(about.to_string()), ..self }
    }

    /// The same note with advice.
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// What was left out, and what adds it.
    pub(crate) fn hint(text: String, hint: String) -> Self {
        Self { severity: Severity::Hint, text, about: None, hint: Some(hint) }
    }

    /// What was left out because it is probably not needed, and what adds it.
    pub(crate) fn info(text: String, hint: String) -> Self {
        Self { severity: Severity::Info, ..Self::hint(text, hint) }
    }
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Hint => "hint",
            Self::Warning => "warning",
        })
    }
}

/// How a plan is made.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// Find libraries, loaders and interpreters.
    pub dependencies: bool,
    /// The rules for run-time dependencies.
    pub rules: RuleSet,
    /// Record the packages that files come from, for scanners.
    pub package_metadata: bool,
    /// Files and directories of the sysroot to add.
    pub include: Vec<Include>,
    /// Names of libraries that may be missing.
    pub allow_missing: Vec<Glob>,
    /// Objects in directories for another machine or C library are errors.
    pub strict: bool,
    /// As `LD_LIBRARY_PATH`: paths in the sysroot.
    pub library_path: Vec<Vec<u8>>,
    /// Take all glibc-hwcaps variants of a library.
    pub hwcaps_all: bool,
    /// How paths are split into layers.
    pub layers: Layers,
    /// Instead of what the programs' headers say.
    pub platform: Option<Platform>,
    /// The platform if neither the user nor a program determines it.
    pub fallback_platform: Platform,
    /// The user's settings for the image's configuration.
    pub settings: Settings,
    /// File capabilities by path: the attribute's value.
    pub capabilities: Vec<(ImagePath, Vec<u8>)>,
}

/// Why no plan can be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Two inputs bring different files for one path.
    #[error(
        "`{}` and `{}` disagree about `{path}`",
        escape(first.as_bytes()),
        escape(second.as_bytes())
    )]
    Conflict {
        /// The path.
        path: ImagePath,
        /// The input that came first.
        first: String,
        /// The input that came later.
        second: String,
    },
    /// Links that never end.
    #[error("`{0}` goes through too many symbolic links")]
    LinkLoop(ImagePath),
    /// A file of the image below stands where an input needs a directory.
    #[error("cannot write to `{path}`: {why}")]
    Destination {
        /// Where to.
        path: ImagePath,
        /// The reason.
        why: ResolveError,
    },
    /// A path that no image can hold.
    #[error("`{path}`: {source}")]
    Path {
        /// The path it came from.
        path: ImagePath,
        /// Why.
        source: PathError,
    },
    /// A file of the sysroot cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The inputs are for different machines.
    #[error("the inputs are for different platforms: {}", platforms(.0))]
    MixedPlatforms(Vec<(Platform, ImagePath)>),
    /// All libraries, loaders and interpreters that cannot be found.
    #[error("{}", missing(.0))]
    Missing(Vec<Missing>),
    /// A script that runs in a virtual environment of Python, of which only the script is packed.
    #[error(
        "`{script}` runs in the virtual environment `{environment}`, which is not in the image"
    )]
    Environment {
        /// The script.
        script: ImagePath,
        /// The environment's directory in the sysroot.
        environment: ImagePath,
    },
    /// With `--strict`: all objects in directories for another machine or C library.
    #[error("{}", .0.join("; "))]
    Foreign(Vec<String>),
    /// All inputs that are damaged ELF objects.
    #[error("{}", broken(.0))]
    Broken(Vec<(ImagePath, ObjectError)>),
    /// All objects that the loader would refuse.
    #[error("{}", .0.join("; "))]
    Faults(Vec<String>),
    /// A file that an option adds does not exist.
    #[error("{option} `{path}`: no such file in the sysroot")]
    NotIncluded {
        /// The file.
        path: ImagePath,
        /// The option that names it.
        option: String,
    },
    /// `--cap` names a file that is not in the image.
    #[error("--cap `{0}`: no such file in the image")]
    NoSuchFile(ImagePath),
}

impl PlanError {
    /// What the error means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Source(error) => error.kind(),
            Self::Broken(_) => ErrorKind::Refused,
            Self::NotIncluded { .. } => ErrorKind::Input,
            Self::Missing(all)
                if all.iter().any(|one| matches!(one.remedy, Some(Remedy::Denied(_)))) =>
            {
                ErrorKind::Input
            }
            Self::Conflict { .. }
            | Self::LinkLoop(_)
            | Self::Destination { .. }
            | Self::Path { .. }
            | Self::MixedPlatforms(_)
            | Self::Missing(_)
            | Self::Environment { .. }
            | Self::Foreign(_)
            | Self::Faults(_)
            | Self::NoSuchFile(_) => ErrorKind::Build,
        }
    }
}

impl PlanError {
    /// What to do, if a script lacks its interpreter because its first line ends in CR LF.
    pub fn line_end_hint(&self) -> Option<String> {
        let Self::Missing(all) = self else { return None };
        let script = all.iter().find(|missing| missing.name.ends_with("\\x0d"))?;
        Some(format!(
            "`{}` has Windows line ends (CR LF): convert it with `sed -i 's/\\r$//' FILE`",
            script.by
        ))
    }

    /// The same error; where files were looked up in the base alone, with that as the reason.
    fn in_base(mut self) -> Self {
        if let Self::Missing(all) = &mut self {
            all.iter_mut().for_each(|missing| {
                missing.remedy.get_or_insert(Remedy::NotInBase);
            });
        }
        self
    }

    /// The error that nothing can be written to `path`.
    fn destination(path: &ImagePath, why: ResolveError) -> Self {
        let path = path.clone();
        match why {
            ResolveError::NotADirectory(_) => Self::Destination { path, why },
            ResolveError::TooLong => Self::Path { path, source: PathError::TooLong },
            ResolveError::Missing | ResolveError::Loop | ResolveError::OutOfSteps => {
                Self::LinkLoop(path)
            }
        }
    }
}

impl From<ReadFailure> for PlanError {
    fn from(failure: ReadFailure) -> Self {
        Self::Source(failure.into())
    }
}

/// A file that something needs and that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The name by which it is asked for.
    pub name: String,
    /// Who needs it.
    pub by: ImagePath,
    /// Each place that was searched, in order, with why it is one.
    pub searched: Vec<String>,
    /// What would help, if that is known.
    pub remedy: Option<Remedy>,
}

/// What helps with a missing file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// This user may not look at this path, where it may be.
    Denied(String),
    /// The needing file's `$ORIGIN` leads to it on the host: the input was taken out of its
    /// directory.
    Misplaced(MisplacedDependency),
    /// This directory of the sysroot has the command, but is not in the image's PATH.
    OutsidePath(ImagePath),
    /// This directory of the sysroot has the file at the same path below it: it is the root for
    /// another machine.
    Sysroot(ImagePath),
    /// Files are taken from the base alone, which lacks it.
    NotInBase,
}

fn platforms(files: &[(Platform, ImagePath)]) -> String {
    files
        .iter()
        .map(|(platform, path)| format!("{path} is {platform}"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn broken(files: &[(ImagePath, ObjectError)]) -> String {
    files
        .iter()
        .map(|(path, error)| format!("`{path}` is a damaged ELF file: {error}"))
        .collect::<Vec<_>>()
        .join("; ")
}

fn missing(all: &[Missing]) -> String {
    let one =
        |missing: &Missing| format!("cannot find `{}`, needed by `{}`", missing.name, missing.by);
    all.iter().map(one).collect::<Vec<_>>().join("; ")
}

impl Plan {
    /// The whole file system, all layers over each other.
    pub fn merged(&self) -> Tree {
        Tree::stacked([&self.base].into_iter().chain(self.layers.iter().map(|layer| &layer.tree)))
    }
}

impl PlanOptions {
    /// Whether a library of this name may be missing.
    fn allows_missing(&self, name: &[u8]) -> bool {
        self.allow_missing.iter().any(|glob| glob.matches(name))
    }
}

/// The metadata that generated files and unnamed parents get.
fn parent_meta(path: &ImagePath, mtime: Mtime) -> Meta {
    let mode = match path.as_bytes() {
        b"/tmp" | b"/var/tmp" => 0o1777,
        b"/root" => 0o700,
        _ => 0o755,
    };
    Meta { mtime, ..Meta::new(mode) }
}

/// A directory that no input lists.
pub fn parent(path: &ImagePath, mtime: Mtime) -> Node {
    Node { meta: parent_meta(path, mtime), kind: Kind::Directory }
}
