//! Buildfile text → [`Recipe`] → the stages to build, with all variables expanded.
//!
//! [`parse`] reads the text by the rules of Dockerfiles, and reports all errors in it at once.
//! [`outline`](outline()) then finds the stages that a target needs and what they start from.
//! [`evaluate`](evaluate::evaluate) expands the variables, given the environments of the base
//! images. All of this is pure: it names files, but never opens them.

pub mod action;
mod arguments;
mod budget;
pub mod evaluate;
mod evaluator;
mod expand;
pub mod fault;
mod flags;
mod health_option;
pub mod healthcheck;
mod heredoc;
mod instructions;
mod lines;
pub mod mode;
mod outline;
pub mod owner;
mod parse;
mod pattern;
mod resolve;
mod secrets;
pub mod source;
mod stage_names;
mod words;

pub use arguments::Arguments;
pub use health_option::parse_health;
pub use outline::{Base, NeededStage, Outline, outline};
pub use parse::{MAX_TEXT, parse};

use fault::Notice;
use healthcheck::Health;
use source::{Source, Span};

/// A parsed Buildfile. No variable is expanded, and no file is accessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The text, for messages.
    pub source: Source,
    /// The parser directives at the top.
    pub directives: Directives,
    /// The ARGs before the first FROM, in order.
    pub global_args: Vec<Argument>,
    /// The stages in order; at least one.
    pub stages: Vec<Stage>,
    /// Warnings.
    pub notices: Vec<Notice>,
}

/// Parser directives: `# name=value` before anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives {
    /// The character that escapes others and continues lines: a backslash or a backtick.
    pub escape: char,
    /// The image of a BuildKit frontend; not used.
    pub syntax: Option<String>,
    /// Options of BuildKit's linter; not used.
    pub check: Option<String>,
}

/// FROM and the instructions up to the next FROM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The line of FROM, counted from 1.
    pub line: usize,
    /// The text of FROM, with its lines joined.
    pub text: String,
    /// What it starts from.
    pub from: From,
    /// The instructions, in order.
    pub steps: Vec<Step>,
}

/// `FROM [--platform=...] BASE [AS NAME]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// `scratch`, an earlier stage, or an image.
    pub base: Word,
    /// The stage's name, in lower case.
    pub alias: Option<String>,
    /// `--platform`.
    pub platform: Option<Word>,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The line that it starts in, counted from 1.
    pub line: usize,
    /// The whole instruction, without here-documents.
    pub span: Span,
    /// The text with its lines joined, as in a history entry.
    pub text: String,
    /// The instruction.
    pub kind: Instruction,
}

/// A word of the text before expansion: quotes, escapes and variables are still in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The text.
    pub text: String,
    /// Its position.
    pub span: Span,
}

/// `name=value`, or the old form `name value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Not empty.
    pub name: Word,
    /// May be empty.
    pub value: Word,
}

/// `name` or `name=default`. The name is literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Not empty.
    pub name: Word,
    /// The value without `--build-arg`.
    pub default: Option<Word>,
}

/// The words of an instruction. PACK, SYMLINK, CAP, MKDIR and ANNOTATION exist only in imgb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// Like COPY, but unpacks tarballs.
    Add(Transfer),
    /// Annotations for the manifest.
    Annotation(Vec<Pair>),
    /// Variables that the command line may set.
    Arg(Vec<Argument>),
    /// File capabilities.
    Cap {
        /// In the image.
        file: Word,
        /// In the syntax of setcap(8).
        capabilities: Word,
    },
    /// The default arguments, or the command.
    Cmd(Command),
    /// Files from the context, a stage, an image or the Buildfile itself.
    Copy(Transfer),
    /// The program.
    Entrypoint(Command),
    /// Environment variables.
    Env(Vec<Pair>),
    /// Ports that the program listens on.
    Expose(Vec<Word>),
    /// How to check whether the program works.
    Healthcheck(Health),
    /// Labels for the configuration.
    Label(Vec<Pair>),
    /// The author; deprecated.
    Maintainer(Word),
    /// Directories.
    Mkdir {
        /// At least one. Parents are created too.
        dirs: Vec<Word>,
        /// The mode of the last component.
        mode: Option<Word>,
        /// The owner of the last component.
        chown: Option<Word>,
    },
    /// Programs with everything that they need.
    Pack(Pack),
    /// The shell for the shell form; not empty.
    Shell(Vec<String>),
    /// The signal that `docker stop` sends.
    Stopsignal(Word),
    /// A symbolic link.
    Symlink {
        /// The target, as in ln(1).
        target: Word,
        /// The path of the link itself.
        link: Word,
    },
    /// The user that the program runs as.
    User(Word),
    /// Directories that containers store outside the image.
    Volume(Vec<Word>),
    /// The directory in which the program starts, and that relative paths refer to.
    Workdir(Word),
}

/// The words of ADD and COPY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// At least one, in order.
    pub sources: Vec<TransferSource>,
    /// The destination.
    pub dest: Word,
    /// A stage by name or number, or an image; COPY only.
    pub from: Option<Word>,
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`.
    pub chmod: Option<Word>,
    /// Patterns of files to leave out.
    pub exclude: Vec<Word>,
    /// `--link`: whether the layer is made independently of the layers below, as imgb always does.
    pub link: bool,
    /// `--parents`: whether sources keep their directories; COPY only.
    pub parents: bool,
    /// `--unpack`: whether tarballs are unpacked; ADD only, true by default.
    pub unpack: Option<bool>,
}

/// One source of a [`Transfer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferSource {
    /// A path or a pattern.
    Path(Word),
    /// A file whose content is in the Buildfile.
    Heredoc(Heredoc),
}

/// `<<NAME` and the lines up to `NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// Also the name of the file.
    pub name: String,
    /// The position of the word that announces it.
    pub span: Span,
    /// Whether variables in the content are expanded: not if the name was in quotes.
    pub expand: bool,
    /// The lines with their ends; for `<<-` without tabs at their start.
    pub content: String,
    /// The position of the lines.
    pub body: Span,
}

/// The words of PACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// Programs, and an optional destination at the end: see [`action::Pack`].
    pub words: Vec<Word>,
    /// `--soft`.
    pub soft: Option<Word>,
    /// `--library-path`, in order.
    pub library_path: Vec<Word>,
    /// `--sysroot`.
    pub sysroot: Option<Word>,
}

/// A command in exec form or shell form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `["a", "b"]`: the words. An empty list clears the command of a base image.
    Exec(Vec<String>),
    /// Text for the shell that SHELL names, or `/bin/sh -c`.
    Shell(String),
}

#[cfg(test)]
mod tests;
