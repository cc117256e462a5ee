//! What is printed, and how.

use clap::{Args, ValueEnum};

/// How much is printed, and in which form.
#[derive(Args, Debug)]
pub(in crate::cli) struct Verbosity {
    /// Print JSON on stdout
    #[arg(long, help_heading = "Messages")]
    pub(in crate::cli) json: bool,

    /// Print only errors and the digest
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Messages")]
    pub(in crate::cli) quiet: bool,

    /// Print every path of the image, every warning and what was left out, on stderr
    #[arg(short, long, help_heading = "Messages")]
    pub(in crate::cli) verbose: bool,

    /// How to show progress on stderr
    #[arg(long, value_enum, value_name = "HOW", default_value = "auto", help_heading = "Messages")]
    pub(in crate::cli) progress: ProgressStyle,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ProgressStyle {
    /// A bar on a terminal, lines otherwise
    Auto,
    /// Lines
    Plain,
    /// None
    None,
}
