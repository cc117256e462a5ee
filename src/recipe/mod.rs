//! Buildfile text → [`Recipe`] → the stages to build, with nothing left to expand.
//!
//! [`parse`] takes what the text says, by Dockerfile's rules, and finds everything that is wrong
//! with it at once. [`outline`](evaluate::outline) then says which stages a target needs and what
//! they start from, and [`evaluate`](evaluate::evaluate), given the environments of those base
//! images, puts values for variables. All of it is pure: files are named here, never opened.

pub mod action;
mod arguments;
mod budget;
pub mod evaluate;
mod evaluator;
mod expand;
pub mod fault;
mod flags;
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
pub use outline::{Base, NeededStage, Outline, outline};
pub use parse::{MAX_TEXT, parse};

use fault::Notice;
use healthcheck::Health;
use source::{Source, Span};

/// What a Buildfile says, and nothing else: no variable is expanded, no file looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The text, for messages.
    pub source: Source,
    /// The comments at the top that rule how the text is read.
    pub directives: Directives,
    /// The ARGs before the first FROM, in order.
    pub global_args: Vec<Argument>,
    /// At least one, in order.
    pub stages: Vec<Stage>,
    /// What is odd, though no fault.
    pub notices: Vec<Notice>,
}

/// Parser directives: `# name=value` before anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives {
    /// What escapes and continues lines: a backslash or a backtick.
    pub escape: char,
    /// The image of a BuildKit frontend; not used.
    pub syntax: Option<String>,
    /// Options of BuildKit's linter; not used.
    pub check: Option<String>,
}

/// FROM and what follows it up to the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Where FROM stands, counted from 1.
    pub line: usize,
    /// The joined line of FROM.
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
    /// As given.
    pub platform: Option<Word>,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it begins, counted from 1.
    pub line: usize,
    /// All of it, without here-documents.
    pub span: Span,
    /// Its lines joined, as a history entry shows them.
    pub text: String,
    /// What it says.
    pub kind: Instruction,
}

/// A word of the text before expansion: quotes, escapes and variables are still in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The text.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// `name=value`, or `name value` as it was once written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Not empty.
    pub name: Word,
    /// May be.
    pub value: Word,
}

/// `name` or `name=default`; the name stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Not empty.
    pub name: Word,
    /// What it is without `--build-arg`.
    pub default: Option<Word>,
}

/// What an instruction says. Those that only imgb has are PACK, SYMLINK, CAP, MKDIR and ANNOTATION.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// As COPY, and tarballs are unpacked.
    Add(Transfer),
    /// For the manifest.
    Annotation(Vec<Pair>),
    /// Variables that the command line may set.
    Arg(Vec<Argument>),
    /// File capabilities.
    Cap {
        /// In the image.
        file: Word,
        /// As setcap(8) takes them.
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
    /// How to see whether it works.
    Healthcheck(Health),
    /// For the config.
    Label(Vec<Pair>),
    /// The author; deprecated.
    Maintainer(Word),
    /// Directories.
    Mkdir {
        /// One at least; parents are made too.
        dirs: Vec<Word>,
        /// Of the last component.
        mode: Option<Word>,
        /// Of the last component.
        chown: Option<Word>,
    },
    /// Programs with all that they need.
    Pack(Pack),
    /// What the shell form runs; not empty.
    Shell(Vec<String>),
    /// What `docker stop` sends.
    Stopsignal(Word),
    /// A symbolic link.
    Symlink {
        /// What it holds, as ln(1) takes it.
        target: Word,
        /// Where it is.
        link: Word,
    },
    /// Who runs the program.
    User(Word),
    /// Directories that containers keep outside the image.
    Volume(Vec<Word>),
    /// The directory that the program starts in and that relative paths are under.
    Workdir(Word),
}

/// The words of ADD and COPY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// One at least, in order.
    pub sources: Vec<TransferSource>,
    /// Where they go.
    pub dest: Word,
    /// A stage by name or number, or an image; COPY only.
    pub from: Option<Word>,
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`.
    pub chmod: Option<Word>,
    /// Patterns of what stays behind.
    pub exclude: Vec<Word>,
    /// Whether the layer is made without a look at what is below. It always is, here.
    pub link: bool,
    /// Whether sources keep their directories; COPY only.
    pub parents: bool,
    /// `--unpack`: whether tarballs are unpacked; ADD only, which does it unless told not to.
    pub unpack: Option<bool>,
}

/// One source of a [`Transfer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferSource {
    /// A path or a pattern.
    Path(Word),
    /// A file whose content stands in the Buildfile.
    Heredoc(Heredoc),
}

/// `<<NAME` and the lines up to `NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The file's name too.
    pub name: String,
    /// Where it is announced.
    pub span: Span,
    /// Whether variables in it are expanded: not if the name was in quotes.
    pub expand: bool,
    /// The lines with their ends; tabs in front are gone if it was `<<-`.
    pub content: String,
    /// Where the lines stand.
    pub body: Span,
}

/// The words of PACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// Programs, and perhaps a destination behind them: see [`action::Pack`].
    pub words: Vec<Word>,
    /// `--soft`.
    pub soft: Option<Word>,
    /// `--library-path`, in order.
    pub library_path: Vec<Word>,
    /// `--sysroot`.
    pub sysroot: Option<Word>,
}

/// A command in one of its two forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `["a", "b"]`: the words. None at all takes away what a base image has.
    Exec(Vec<String>),
    /// Text for the shell that SHELL names, or `/bin/sh -c`.
    Shell(String),
}

#[cfg(test)]
mod tests;
