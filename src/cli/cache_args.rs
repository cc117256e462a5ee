//! The arguments that have to do with the cache.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Where compressed layers are kept from one run to the next.
#[derive(Args, Debug)]
pub(super) struct CacheArgs {
    /// Keep compressed layers there; otherwise in $XDG_CACHE_HOME/imgb or ~/.cache/imgb
    #[arg(long = "cache", value_name = "DIR", conflicts_with = "no_cache", help_heading = "Cache")]
    pub(super) dir: Option<PathBuf>,

    /// Neither use nor fill the cache
    #[arg(long, help_heading = "Cache")]
    pub(super) no_cache: bool,

    /// How large the cache may be: bytes, or with k, M, G, T. What was used longest ago gives way
    #[arg(long = "cache-limit", value_name = "SIZE", default_value = "8G", help_heading = "Cache")]
    pub(super) limit: String,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  imgb cache info\n  imgb cache prune --limit 1G\n  imgb cache prune --limit 0"
)]
pub(super) struct CacheCommand {
    /// What to do
    #[command(subcommand)]
    pub(super) action: CacheAction,

    /// The cache; otherwise $XDG_CACHE_HOME/imgb or ~/.cache/imgb
    #[arg(long = "cache", value_name = "DIR", global = true)]
    pub(super) dir: Option<PathBuf>,

    /// JSON on stdout
    #[arg(long, global = true)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum CacheAction {
    /// Where it is and how large
    Info,
    /// Take out damaged blobs, and what was used longest ago until it is small enough
    Prune {
        /// Bytes that may stay, or with k, M, G, T
        #[arg(long, value_name = "SIZE", default_value = "8G")]
        limit: String,
    },
}
