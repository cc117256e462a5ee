//! What an instruction does, with all variables expanded and all paths absolute.

use crate::image::{Ports, StopSignal};
use crate::path::ImagePath;

use super::healthcheck::Health;
use super::mode::Mode;
use super::owner::Owner;

/// One instruction of an [`EvaluatedStage`](super::evaluate::EvaluatedStage).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Annotations for the manifest, in order.
    Annotation(Vec<(String, String)>),
    /// Declares variables, with their current values. Does not change the image.
    Arg(Vec<(String, Option<String>)>),
    /// File capabilities.
    Cap {
        /// In the image.
        file: ImagePath,
        /// In the syntax of setcap(8); not empty.
        capabilities: String,
    },
    /// The default arguments; in the shell form, preceded by the shell.
    Cmd(Vec<String>),
    /// ADD or COPY.
    Copy(CopyFiles),
    /// The program, as [`Action::Cmd`]. Clears a CMD of the base image, but not one of this stage.
    Entrypoint(Vec<String>),
    /// Variables of the image, in order. A variable that is already set keeps its place.
    Env(Vec<(String, String)>),
    /// Ports, in order.
    Expose(Vec<Ports>),
    /// How to check whether the program works.
    Healthcheck(Health),
    /// Labels, in order.
    Label(Vec<(String, String)>),
    /// The author.
    Maintainer(String),
    /// Directories, and their parents.
    Mkdir(Mkdir),
    /// Programs with everything that they need.
    Pack(Pack),
    /// The shell from here on.
    Shell(Vec<String>),
    /// What an engine sends to stop the program.
    StopSignal(StopSignal),
    /// A symbolic link.
    Symlink {
        /// Not empty.
        target: String,
        /// The path of the link itself.
        link: ImagePath,
    },
    /// Empty to clear the user of a base image.
    User(String),
    /// In order; none of them empty.
    Volume(Vec<String>),
    /// The directory that later paths are relative to; created if it does not exist.
    Workdir(ImagePath),
}

/// ADD or COPY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyFiles {
    /// Where the sources are.
    pub from: CopyFrom,
    /// At least one.
    pub sources: Vec<CopySource>,
    /// The destination.
    pub dest: Dest,
    /// Their owner; root if `None`.
    pub owner: Option<Owner>,
    /// Their mode; if `None`, each keeps its own.
    pub mode: Option<Mode>,
    /// Patterns of files to leave out, for [`Ignore::new`](crate::path::ignore::Ignore::new).
    pub exclude: Vec<String>,
    /// `--parents`: whether the directories of the sources are kept below the destination.
    pub parents: bool,
    /// Whether local tarballs are unpacked, as ADD does.
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
    /// A path or a pattern, as written. It does not leave the context.
    Path(String),
    /// A file from a here-document.
    Inline {
        /// The name of the file, if the destination is a directory.
        name: String,
        /// The content of the file.
        content: String,
    },
}

/// A destination in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dest {
    /// In the image.
    pub path: ImagePath,
    /// Whether it was written as a directory: empty, `.`, or with a slash at the end.
    pub is_dir: bool,
}

/// MKDIR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mkdir {
    /// At least one, in order.
    pub dirs: Vec<ImagePath>,
    /// The mode of each directory that is named; 0755 if `None`, and for parents.
    pub mode: Option<Mode>,
    /// The owner of each directory that is named.
    pub owner: Option<Owner>,
}

/// PACK. The last of several words is the destination if it starts or ends with a slash. Otherwise
/// all words are programs, and each program keeps its own path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// Paths in the context, or names to look up; at least one.
    pub programs: Vec<String>,
    /// The destination.
    pub dest: Option<Dest>,
    /// Which run-time dependencies to include; the command's own choice if `None`.
    pub soft: Option<Soft>,
    /// Directories to search before others, in order.
    pub library_path: Vec<String>,
    /// Where libraries are looked up; the command's own choice if `None`.
    pub sysroot: Option<String>,
}

/// `--soft`: see [`Pack::soft`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Soft {
    /// None.
    None,
    /// Those with enough evidence.
    Auto,
    /// All of them.
    All,
}
