//! What an instruction does, with values in place of variables and paths made absolute.

use crate::image::{Ports, StopSignal};
use crate::path::ImagePath;

use super::mode::Mode;
use super::values::{Health, Owner};

/// One instruction of an [`EvaluatedStage`](super::evaluate::EvaluatedStage).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Annotations for the manifest, in order.
    Annotation(Vec<(String, String)>),
    /// Variables that are declared, with the values that they have now. Nothing of the image
    /// changes.
    Arg(Vec<(String, Option<String>)>),
    /// File capabilities.
    Cap {
        /// In the image.
        file: ImagePath,
        /// As setcap(8) takes them; not empty.
        capabilities: String,
    },
    /// The default arguments, with the shell in front where the shell form was used.
    Cmd(Vec<String>),
    /// ADD or COPY.
    Copy(CopyFiles),
    /// The program, as [`Action::Cmd`]. It takes away a CMD of the base image, not one of this
    /// stage.
    Entrypoint(Vec<String>),
    /// Variables of the image, in order. A name that is there already keeps its place.
    Env(Vec<(String, String)>),
    /// Ports, in order.
    Expose(Vec<Ports>),
    /// How to see whether it works.
    Healthcheck(Health),
    /// Labels, in order.
    Label(Vec<(String, String)>),
    /// The author.
    Maintainer(String),
    /// Directories, parents too.
    Mkdir(Mkdir),
    /// Programs with all that they need.
    Pack(Pack),
    /// The shell from here on.
    Shell(Vec<String>),
    /// What an engine sends to stop the program.
    StopSignal(StopSignal),
    /// A symbolic link.
    Symlink {
        /// What it holds; not empty.
        target: String,
        /// Where it is.
        link: ImagePath,
    },
    /// May be empty, which takes away that of a base image.
    User(String),
    /// Not empty, each; in order.
    Volume(Vec<String>),
    /// Where paths are relative to from here on; made if it is not there.
    Workdir(ImagePath),
}

/// ADD or COPY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyFiles {
    /// Where the sources are.
    pub from: CopyFrom,
    /// One at least.
    pub sources: Vec<CopySource>,
    /// Where they go.
    pub dest: Dest,
    /// Whose they are; root's without.
    pub owner: Option<Owner>,
    /// Their mode; without, each keeps its own.
    pub mode: Option<Mode>,
    /// Patterns of what stays behind, for [`Ignore::new`](crate::path::ignore::Ignore::new).
    pub exclude: Vec<String>,
    /// Whether the sources' directories are kept below the destination.
    pub parents: bool,
    /// Whether local tarballs are unpacked: ADD's way.
    pub unpack: bool,
}

/// Where the sources of a [`CopyFiles`] are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyFrom {
    /// In the build context.
    Context,
    /// In an earlier stage, by its index.
    Stage(usize),
    /// In an image.
    Image(String),
}

/// One source of a [`CopyFiles`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopySource {
    /// A path or a pattern, as it was written; it does not leave the context.
    Path(String),
    /// A file from a here-document.
    Inline {
        /// The file's name, if the destination is a directory.
        name: String,
        /// What it holds.
        content: String,
    },
}

/// Where things go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dest {
    /// In the image.
    pub path: ImagePath,
    /// Whether it was written as a directory: with a slash, `.` or `..` at its end.
    pub is_dir: bool,
}

/// MKDIR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mkdir {
    /// One at least, in order.
    pub dirs: Vec<ImagePath>,
    /// Of each that is named; 0755 without, and for parents.
    pub mode: Option<Mode>,
    /// Of each that is named.
    pub owner: Option<Owner>,
}

/// PACK. Of several words the last is the destination if it begins or ends with a slash, and the
/// others are programs; otherwise all are programs, and each keeps its own path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// Paths in the context or names to look up; one at least.
    pub programs: Vec<String>,
    /// Where they go.
    pub dest: Option<Dest>,
    /// Which files that are only perhaps needed come along; the command's own choice without.
    pub soft: Option<Soft>,
    /// Directories to search before others, in order.
    pub library_path: Vec<String>,
    /// Where libraries are looked up; the command's own choice without.
    pub sysroot: Option<String>,
}

/// `--soft`: see [`Pack::soft`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Soft {
    /// None.
    None,
    /// Those with evidence enough.
    Auto,
    /// Every one.
    All,
}
