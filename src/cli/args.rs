//! The command line as clap reads it: what the user typed, nothing looked up.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{
    build_args::BuildArgs,
    cache_args::{CacheArgs, CacheCommand},
    image_args::{CheckArgs, InspectArgs, RunArgs, TraceArgs},
};

/// Pack programs, directories and tarballs into the smallest container image that runs them.
///
/// No base image, no daemon, no root; nothing that is packed is ever executed.
#[derive(Debug, Parser)]
#[command(name = "imgb", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "Exit codes:\n  \
    0         success\n  \
    1         no working image: a library is missing, inputs disagree\n  \
    2         usage error in an option, a Buildfile or a rules file\n  \
    3         an input is missing or unreadable\n  \
    4         an input is refused: malformed, hostile, over a limit\n  \
    5         cannot write an output, or a local resource is exhausted\n  \
    7         content does not match its recorded digest or size\n  \
    130, 143  interrupted or terminated by a signal\n\n\
    `imgb run` and `imgb trace` exit with the program's own code, or with\n  \
    124       after --timeout\n  \
    125       imgb could not start the program\n  \
    126, 127  the program cannot be executed, or does not exist\n\n\
    Start with `imgb pack --help`.")]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Programs, directories and tarballs → an image
    Pack(PackArgs),
    /// Buildfile → an image
    Build(Box<BuildArgs>),
    /// What `pack` would do: every path, its layer, its reason
    Plan(PlanArgs),
    /// The libraries of programs as a tree: how each was found, and what was searched for a missing
    /// one
    Deps(DepsArgs),
    /// The cache of compressed layers: what is in it, and taking it out
    Cache(CacheCommand),
    /// Verify every digest of an image and prove that it will start
    Check(CheckArgs),
    /// Run an image's program once, without root, in a throw-away copy
    Run(RunArgs),
    /// Watch a program run, and say which files it opens and which its image lacks
    Trace(TraceArgs),
    /// What `run` and `trace` start themselves
    #[command(name = crate::run::RUNNER, hide = true)]
    Runner {
        /// Which stage
        stage: std::ffi::OsString,
        /// What it is told
        file: PathBuf,
    },
    /// An image's configuration, layers, files and sizes
    Inspect(InspectArgs),
    /// The rules by which soft dependencies are found
    Rules(RulesArgs),
    /// Shell completions on stdout
    #[command(
        after_help = "Example:\n  imgb completions bash > ~/.local/share/bash-completion/completions/imgb"
    )]
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Manual pages into a directory
    #[command(after_help = "Example:\n  imgb man /usr/local/share/man/man1")]
    Man {
        /// Where the pages go
        dir: PathBuf,
    },
}

/// Which soft dependencies come along.
#[derive(Args, Debug)]
pub(super) struct SoftArgs {
    /// How much to add that programs open only at run time: certificates, time zones, plugins,
    /// standard libraries
    #[arg(
        long,
        value_enum,
        value_name = "LEVEL",
        default_value = "auto",
        help_heading = "Soft dependencies"
    )]
    pub(super) soft: SoftArg,

    /// Follow this rule whatever its evidence says (repeatable); `imgb rules` lists them
    #[arg(long, value_name = "RULE", help_heading = "Soft dependencies")]
    pub(super) with: Vec<String>,

    /// Do not follow this rule (repeatable)
    #[arg(long, value_name = "RULE", help_heading = "Soft dependencies")]
    pub(super) without: Vec<String>,

    /// A file with further rules (repeatable); docs/rules.md describes it
    #[arg(long, value_name = "FILE", help_heading = "Soft dependencies")]
    pub(super) rules: Vec<PathBuf>,
}

/// What goes in, and how it is looked up.
#[derive(Args, Debug)]
pub(super) struct InputArgs {
    /// What to pack: SRC[:DEST]
    ///
    /// SRC is placed as `cp -a SRC /` would: a file ./hello becomes /hello, a directory ./bin
    /// becomes /bin, ./rootfs/ (with the slash) its contents at /; a tarball (tar, gzip, bzip2, xz,
    /// zstd) is unpacked at /. A bare name that is no file here, such as curl, is looked up on PATH
    /// and keeps its own path; so does an installed program that is named by its whole path,
    /// /usr/bin/curl, with a link to it where cp would put it. :DEST puts it elsewhere; a DEST that
    /// ends in / is a directory.
    #[arg(required = true, value_name = "INPUT")]
    pub(super) inputs: Vec<String>,

    /// Where libraries and system files are looked up; they keep their path below it
    #[arg(long, value_name = "DIR", default_value = "/", help_heading = "Inputs")]
    pub(super) sysroot: PathBuf,

    /// A directory to look for libraries in first, as LD_LIBRARY_PATH would (repeatable)
    ///
    /// An absolute DIR is a path in the sysroot. Libraries found only through it are listed in the
    /// image's own /etc/ld.so.cache, so that it starts without LD_LIBRARY_PATH.
    #[arg(long, value_name = "DIR", help_heading = "Inputs")]
    pub(super) library_path: Vec<String>,

    /// Leave out what matches (repeatable): a name such as '*.pyc' at any depth, or a path such as
    /// 'opt/**/test'
    #[arg(long, value_name = "GLOB", help_heading = "Inputs")]
    pub(super) exclude: Vec<String>,

    /// Add a file or directory of the sysroot under its own path, with its libraries (repeatable)
    #[arg(long, value_name = "PATH", help_heading = "Inputs")]
    pub(super) include: Vec<String>,

    /// Add the files of a list, one absolute path a line (repeatable); `imgb trace -o FILE` writes
    /// such lists
    #[arg(long, value_name = "FILE", help_heading = "Inputs")]
    pub(super) include_from: Vec<PathBuf>,

    /// Go on although libraries whose names match are missing (repeatable)
    #[arg(long, value_name = "GLOB", help_heading = "Inputs")]
    pub(super) allow_missing: Vec<String>,

    #[command(flatten)]
    pub(super) soft: SoftArgs,

    /// Pack the inputs alone: no libraries, loaders or interpreters
    #[arg(long, help_heading = "Inputs")]
    pub(super) no_deps: bool,

    /// Refuse directories with objects for another machine or C library, which otherwise are packed
    /// as data
    #[arg(long, help_heading = "Inputs")]
    pub(super) strict: bool,

    /// Fail where files that look like secrets come along with a directory
    #[arg(long, help_heading = "Inputs")]
    pub(super) deny_secrets: bool,

    /// Pack all glibc-hwcaps variants of libraries too, not the baseline alone
    #[arg(
        long,
        value_enum,
        value_name = "WHICH",
        default_value = "baseline",
        help_heading = "Inputs"
    )]
    pub(super) hwcaps: Hwcaps,

    /// Keep every permission bit; otherwise a umask of 022 is applied
    #[arg(long, help_heading = "Inputs")]
    pub(super) preserve_mode: bool,

    /// Owner of everything packed, as numbers
    #[arg(long, value_name = "UID[:GID]", help_heading = "Inputs")]
    pub(super) chown: Option<String>,

    /// File capabilities, in the words of setcap(8) (repeatable)
    #[arg(long, value_name = "FILE=CAPS", help_heading = "Inputs")]
    pub(super) cap: Vec<String>,
}

/// What the image says of itself.
#[derive(Args, Debug)]
pub(super) struct ConfigArgs {
    /// OS and architecture, where the programs' own headers should not decide
    #[arg(long, value_name = "OS/ARCH", help_heading = "Image")]
    pub(super) platform: Option<String>,

    /// The program to start: words, or a JSON array. One executable input is the entrypoint by
    /// itself
    #[arg(long, value_name = "WORDS", help_heading = "Image")]
    pub(super) entrypoint: Option<String>,

    /// The default arguments: words, or a JSON array
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true, help_heading = "Image")]
    pub(super) cmd: Option<String>,

    /// An environment variable (repeatable)
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Image")]
    pub(super) env: Vec<String>,

    /// The working directory; made if it is not there
    #[arg(long, value_name = "DIR", help_heading = "Image")]
    pub(super) workdir: Option<String>,

    /// The user to run as
    #[arg(long, value_name = "USER[:GROUP]", help_heading = "Image")]
    pub(super) user: Option<String>,

    /// A label (repeatable)
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Image")]
    pub(super) label: Vec<String>,

    /// An annotation of the manifest (repeatable)
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Image")]
    pub(super) annotation: Vec<String>,

    /// A port the program listens on (repeatable)
    #[arg(long, value_name = "PORT[/PROTO]", help_heading = "Image")]
    pub(super) expose: Vec<String>,

    /// A directory that holds data (repeatable)
    #[arg(long, value_name = "DIR", help_heading = "Image")]
    pub(super) volume: Vec<String>,

    /// The signal that stops the program
    #[arg(long, value_name = "SIGNAL", help_heading = "Image")]
    pub(super) stop_signal: Option<String>,

    /// The image's layers: all in one, or what the system gave below what you gave
    #[arg(long, value_enum, value_name = "HOW", default_value = "split", help_heading = "Image")]
    pub(super) layers: LayersArg,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb pack ./bin -o myapp.tar && docker load -i myapp.tar\n  \
    imgb pack ./target/release/app -o app.tar -t registry.example/app:1.0\n  \
    imgb pack curl -o - | docker load\n  \
    imgb pack ./rootfs.tar.xz --cmd bash -o oci:layout:debian\n  \
    imgb pack ./app ./etc:/etc --env RUST_LOG=info --user 65532 -o app.tar -o rootfs:app-rootfs.tar\n\n\
    Times in the image are SOURCE_DATE_EPOCH, or 0 where it is not set.")]
pub(super) struct PackArgs {
    #[command(flatten)]
    pub(super) input: InputArgs,

    #[command(flatten)]
    pub(super) config: ConfigArgs,

    /// Put the inputs on this image, whose layers stay as they are: FILE, DIR, oci:DIR[:TAG],
    /// docker-archive:FILE
    #[arg(long, value_name = "IMAGE", help_heading = "Inputs")]
    pub(super) base: Option<String>,

    #[command(flatten)]
    pub(super) out: OutputArgs,

    /// Write the image even if it cannot start
    #[arg(long, help_heading = "Output")]
    pub(super) no_check: bool,

    /// Show what would be packed and write nothing
    #[arg(long, help_heading = "Output")]
    pub(super) dry_run: bool,

    #[command(flatten)]
    pub(super) talk: TalkArgs,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  imgb plan curl\n  imgb plan ./bin --json | jq '.files[] | select(.reason | test(\"needed\"))'"
)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    pub(super) input: InputArgs,

    #[command(flatten)]
    pub(super) config: ConfigArgs,

    #[command(flatten)]
    pub(super) talk: TalkArgs,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  imgb deps /usr/bin/git\n  imgb deps --list ./app --library-path /opt/lib\n  \
    imgb deps --sysroot ./arm64-root /usr/bin/curl\n  imgb deps --dot curl | dot -Tsvg > curl.svg"
)]
pub(super) struct DepsArgs {
    /// Programs or libraries: files, or bare names to look up on PATH
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<String>,

    /// Where libraries are looked up
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(super) sysroot: PathBuf,

    /// A directory to look for libraries in first, as LD_LIBRARY_PATH would (repeatable)
    #[arg(long, value_name = "DIR")]
    pub(super) library_path: Vec<String>,

    /// List all glibc-hwcaps variants of libraries too
    #[arg(long, value_enum, value_name = "WHICH", default_value = "baseline")]
    pub(super) hwcaps: Hwcaps,

    /// One path a line, in load order
    #[arg(long, conflicts_with_all = ["json", "dot"])]
    pub(super) list: bool,

    /// Every edge as JSON: who asked, for which name, how it was found, what was tried
    #[arg(long, conflicts_with = "dot")]
    pub(super) json: bool,

    /// A graph for Graphviz
    #[arg(long)]
    pub(super) dot: bool,
}

/// Where an image goes, and in which form.
#[derive(Args, Debug)]
pub(super) struct OutputArgs {
    /// Where the image goes (repeatable)
    ///
    /// FILE: an archive that docker, podman, containerd and skopeo load; DIR/ or oci:DIR[:TAG]: an
    /// OCI layout; docker-archive:FILE; oci-archive:FILE; rootfs:FILE for `docker import`; - for
    /// stdout.
    #[arg(
        short,
        long,
        value_name = "OUT",
        required_unless_present = "dry_run",
        help_heading = "Output"
    )]
    pub(super) output: Vec<String>,

    /// The format of outputs that do not say it themselves
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Output")]
    pub(super) format: Option<FormatArg>,

    /// The image's name (repeatable); otherwise the output's name without its ending
    #[arg(short, long, value_name = "NAME[:TAG]", help_heading = "Output")]
    pub(super) tag: Vec<String>,

    /// How layers are compressed: none, gzip[:1-12], zstd[:1-19]
    #[arg(long, value_name = "HOW", default_value = "gzip", help_heading = "Output")]
    pub(super) compress: String,

    /// Threads; the bytes are the same for any number
    #[arg(short, long, value_name = "N", help_heading = "Output")]
    pub(super) jobs: Option<std::num::NonZeroUsize>,

    #[command(flatten)]
    pub(super) cache: CacheArgs,

    /// Do not wait until the disk has the outputs: quicker, and after a power cut they may be empty
    #[arg(long, help_heading = "Output")]
    pub(super) no_fsync: bool,

    /// Say how long each part took, what it cost and what was read: on stderr, or with --json on
    /// stdout
    #[arg(long, help_heading = "Messages")]
    pub(super) timing: bool,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  imgb rules\n  imgb rules --json | jq '.[] | select(.level == \"auto\")'"
)]
pub(super) struct RulesArgs {
    /// A file with further rules (repeatable)
    #[arg(long, value_name = "FILE")]
    pub(super) rules: Vec<PathBuf>,

    /// Everything in the rules, as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// How much is said, and how.
#[derive(Args, Debug)]
pub(super) struct TalkArgs {
    /// JSON on stdout
    #[arg(long, help_heading = "Messages")]
    pub(super) json: bool,

    /// Say nothing but errors
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Messages")]
    pub(super) quiet: bool,

    /// Say more
    #[arg(short, long, help_heading = "Messages")]
    pub(super) verbose: bool,

    /// Progress on stderr
    #[arg(long, value_enum, value_name = "HOW", default_value = "auto", help_heading = "Messages")]
    pub(super) progress: ProgressArg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Hwcaps {
    /// What every CPU can run
    Baseline,
    /// All variants
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum SoftArg {
    /// Nothing
    None,
    /// What is needed with high confidence and not too large
    Auto,
    /// Whatever there is evidence for
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LayersArg {
    /// One layer
    One,
    /// The system's files below yours
    Split,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatArg {
    /// OCI layout and manifest.json in one tar: every engine loads it
    Archive,
    /// docker-archive
    Docker,
    /// OCI: a layout directory, or an oci-archive where OUT is a file
    Oci,
    /// A tar of the root file system, for `docker import`
    Rootfs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ProgressArg {
    /// A bar on a terminal, lines otherwise
    Auto,
    /// Lines
    Plain,
    /// None
    None,
}
