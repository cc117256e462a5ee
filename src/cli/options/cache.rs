//! Which cache of compressed layers a command uses.

use std::path::PathBuf;

use clap::Args;

use crate::{
    cli::{environment::variable, size},
    store::cache::Cache,
};

/// Where compressed layers are kept from one run to the next.
#[derive(Args, Debug)]
pub(in crate::cli) struct CacheArgs {
    /// The cache of compressed layers; otherwise $XDG_CACHE_HOME/imgb or ~/.cache/imgb
    #[arg(long = "cache", value_name = "DIR", conflicts_with = "no_cache", help_heading = "Cache")]
    dir: Option<PathBuf>,

    /// Neither read nor fill the cache
    #[arg(long, help_heading = "Cache")]
    no_cache: bool,

    /// How large the cache may be, such as 8GB; least recently used layers are evicted
    #[arg(
        long = "cache-limit",
        value_name = "SIZE",
        value_parser = size::parse,
        default_value = "8GB",
        help_heading = "Cache"
    )]
    limit: u64,
}

impl CacheArgs {
    /// The cache; `None` if it is not wanted or cannot be used. A broken cache never stops a build.
    pub(in crate::cli) fn open(&self) -> Option<Cache> {
        let dir = self.dir.clone().or_else(directory).filter(|_| !self.no_cache)?;
        Cache::open(&dir, self.limit).ok()
    }
}

/// `$XDG_CACHE_HOME/imgb`, which must be absolute (XDG Base Directory Specification), or
/// `~/.cache/imgb`. `None` if neither is set, or the home directory does not exist.
pub(in crate::cli) fn directory() -> Option<PathBuf> {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || absolute("HOME").filter(|home| home.is_dir());
    let xdg = absolute("XDG_CACHE_HOME");
    xdg.or_else(|| Some(home()?.join(".cache"))).map(|dir| dir.join("imgb"))
}
