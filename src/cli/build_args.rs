//! The arguments of `imgb build`.

use std::path::PathBuf;

use clap::Args;

use super::args::{OutputArgs, SoftArgs, TalkArgs};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb build -o app.tar -t app:1.0\n  \
    imgb build ./src -f Buildfile.debug --target debug --build-arg VERSION=2.0 -o - | docker load\n\n\
    The syntax is Dockerfile's, without RUN; docs/buildfile.md has each instruction.")]
pub(super) struct BuildArgs {
    /// The directory that files are taken from
    #[arg(value_name = "CONTEXT", default_value = ".")]
    pub(super) context: PathBuf,

    /// The Buildfile, or - for stdin; otherwise Buildfile or Dockerfile in the context
    #[arg(short, long, value_name = "FILE", help_heading = "Buildfile")]
    pub(super) file: Option<PathBuf>,

    /// What an ARG of this name holds (repeatable)
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Buildfile")]
    pub(super) build_arg: Vec<String>,

    /// The stage to build, by name or number; otherwise the last
    #[arg(long, value_name = "STAGE", help_heading = "Buildfile")]
    pub(super) target: Option<String>,

    /// Make one layer of all instructions
    #[arg(long, help_heading = "Buildfile")]
    pub(super) squash: bool,

    /// Fail where files that look like secrets come along with a directory or a pattern
    #[arg(long, help_heading = "Buildfile")]
    pub(super) deny_secrets: bool,

    /// Keep every permission bit of the context's files; otherwise a umask of 022 is applied
    #[arg(long, help_heading = "Buildfile")]
    pub(super) preserve_mode: bool,

    /// Where PACK looks up libraries and system files
    #[arg(long, value_name = "DIR", default_value = "/", help_heading = "Buildfile")]
    pub(super) sysroot: PathBuf,

    /// A directory where PACK looks for libraries first (repeatable)
    #[arg(long, value_name = "DIR", help_heading = "Buildfile")]
    pub(super) library_path: Vec<String>,

    /// PACK goes on although libraries whose names match are missing (repeatable)
    #[arg(long, value_name = "GLOB", help_heading = "Buildfile")]
    pub(super) allow_missing: Vec<String>,

    #[command(flatten)]
    pub(super) soft: SoftArgs,

    /// OS and architecture of the image, and which of several a base image is
    #[arg(long, value_name = "OS/ARCH", help_heading = "Image")]
    pub(super) platform: Option<String>,

    /// A label (repeatable)
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Image")]
    pub(super) label: Vec<String>,

    /// An annotation of the manifest (repeatable)
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Image")]
    pub(super) annotation: Vec<String>,

    #[command(flatten)]
    pub(super) out: OutputArgs,

    /// Write the image even if it cannot start
    #[arg(long, help_heading = "Output")]
    pub(super) no_check: bool,

    /// Show what would be in the image and write nothing
    #[arg(long, help_heading = "Output")]
    pub(super) dry_run: bool,

    #[command(flatten)]
    pub(super) talk: TalkArgs,
}
