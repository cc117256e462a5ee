//! The command line as a whole.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::{
    attach::AttachArgs,
    build::BuildArgs,
    cache::CacheCommand,
    check::CheckArgs,
    copy::{CopyArgs, PullArgs, PushArgs},
    deps::DepsArgs,
    diff::DiffArgs,
    index::IndexCommand,
    inspect::InspectArgs,
    load::LoadArgs,
    login::{LoginArgs, LogoutArgs},
    pack::PackArgs,
    plan::PlanArgs,
    referrers::ReferrersArgs,
    rules::RulesArgs,
    run::RunArgs,
    sbom::SbomArgs,
    slim::SlimArgs,
    trace::TraceArgs,
    why::WhyArgs,
};

/// Pack programs, directories and tarballs into the smallest container image that runs them.
///
/// No base image, no daemon, no root; nothing that is packed is executed unless you ask for it.
#[derive(Debug, Parser)]
#[command(name = "imgb", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "Exit codes:\n  \
    0         success\n  \
    1         no working image: a library is missing, inputs disagree; `diff`, `why`: no\n  \
    2         usage error in an option, a Buildfile or a rules file\n  \
    3         an input is missing or unreadable\n  \
    4         an input is refused: malformed, hostile, over a limit\n  \
    5         cannot write an output, or a local resource is exhausted\n  \
    6         a registry or the network failed, or a registry refuses\n  \
    7         content does not match its recorded digest or size\n  \
    130, 143  interrupted or terminated by a signal\n  \
    141       the reader of stdout stopped reading (5 if an image goes there)\n\n\
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
    /// Pack programs, directories and tarballs into an image
    Pack(Box<PackArgs>),
    /// Build an image from a Buildfile
    Build(Box<BuildArgs>),
    /// Cut an image down to what its programs need, without running it
    Slim(Box<SlimArgs>),
    /// Show what `pack` or `build` would do: what goes in, how large it is, and why
    Plan(Box<PlanArgs>),
    /// Show the libraries of programs as a tree, how each was found, and where missing ones were
    /// searched
    Deps(DepsArgs),
    /// Show or prune the cache of compressed layers
    Cache(CacheCommand),
    /// Make an index of images for several platforms
    Index(IndexCommand),
    /// Verify every digest of an image and check that it can start
    Check(CheckArgs),
    /// Run an image's program once, without root, in a temporary copy
    Run(RunArgs),
    /// Run a program and list the files it opens and those its image lacks
    Trace(TraceArgs),
    /// Show an image's configuration, layers, files and sizes
    Inspect(InspectArgs),
    /// Copy an image to a registry
    Push(PushArgs),
    /// Copy an image from a registry to a file, a layout or an engine
    Pull(PullArgs),
    /// Copy an image from anywhere to anywhere, byte for byte
    Copy(CopyArgs),
    /// Load images into docker or podman, without the layers that docker has
    Load(LoadArgs),
    /// Show how two images differ: configuration, layers, files, packages
    Diff(DiffArgs),
    /// Show why a path is in an image: what leads to it, and what would go with it
    Why(WhyArgs),
    /// List what an image is made of: packages, crates, modules and files, as SPDX or CycloneDX
    Sbom(SbomArgs),
    /// Put a signature, an attestation or another artifact beside an image
    Attach(AttachArgs),
    /// List what is attached to an image, or get it
    Referrers(ReferrersArgs),
    /// Store credentials for a registry
    Login(LoginArgs),
    /// Remove the stored credentials for a registry
    Logout(LogoutArgs),
    /// List the rules that find run-time dependencies
    Rules(RulesArgs),
    /// Print shell completions
    #[command(after_help = "Example:\n  \
        imgb completions bash > ~/.local/share/bash-completion/completions/imgb")]
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages into a directory
    #[command(after_help = "Example:\n  imgb man /usr/local/share/man/man1")]
    Man {
        /// Where the pages go
        dir: PathBuf,
    },
}

impl Command {
    /// Whether stdout is for JSON, also if the command fails.
    pub(super) fn prints_json(&self) -> bool {
        match self {
            Self::Pack(args) => args.prints_json(),
            Self::Build(args) => args.prints_json(),
            Self::Slim(args) => args.prints_json(),
            Self::Plan(args) => args.prints_json(),
            Self::Deps(args) => args.prints_json(),
            Self::Cache(args) => args.prints_json(),
            Self::Index(args) => args.prints_json(),
            Self::Check(args) => args.prints_json(),
            Self::Trace(args) => args.prints_json(),
            Self::Diff(args) => args.prints_json(),
            Self::Why(args) => args.prints_json(),
            Self::Inspect(args) => args.prints_json(),
            Self::Rules(args) => args.prints_json(),
            Self::Push(args) => args.prints_json(),
            Self::Pull(args) => args.prints_json(),
            Self::Copy(args) => args.prints_json(),
            Self::Load(args) => args.prints_json(),
            Self::Attach(args) => args.prints_json(),
            Self::Referrers(args) => args.prints_json(),
            Self::Run(_)
            | Self::Login(_)
            | Self::Logout(_)
            | Self::Sbom(_)
            | Self::Completions { .. }
            | Self::Man { .. } => false,
        }
    }
}
