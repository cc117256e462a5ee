//! `imgb cache`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    failure::Failure,
    options::cache::directory,
    size,
    terminal::{print_data, print_json},
};
use crate::{
    error_kind::with_causes,
    quantity,
    store::cache::{Cache, CacheError},
};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    imgb cache info\n  imgb cache prune --limit 1GB\n  imgb cache prune --limit 0")]
pub(super) struct CacheCommand {
    /// What to do
    #[command(subcommand)]
    action: CacheAction,

    /// The cache; otherwise $XDG_CACHE_HOME/imgb or ~/.cache/imgb
    #[arg(long = "cache", value_name = "DIR", global = true)]
    dir: Option<PathBuf>,

    /// Print JSON on stdout
    #[arg(long, global = true)]
    json: bool,
}

impl CacheCommand {
    /// Whether stdout is for JSON.
    pub(super) fn prints_json(&self) -> bool {
        self.json
    }
}

#[derive(Debug, Subcommand)]
enum CacheAction {
    /// Show where the cache is and how large
    Info,
    /// Remove damaged blobs, then least recently used entries until the cache is small enough
    Prune {
        /// How large the cache may be afterwards
        #[arg(long, value_name = "SIZE", value_parser = size::parse, default_value = "8GB")]
        limit: u64,
    },
}

pub(super) fn cache(args: &CacheCommand) -> Result<(), Failure> {
    let Some(dir) = args.dir.clone().or_else(directory) else {
        return Err(Failure::usage("there is no cache: neither XDG_CACHE_HOME nor HOME is set"));
    };
    let local = |error: std::io::Error| {
        Failure::local(format!("cannot use the cache: {}", with_causes(&error)))
    };
    let limit = match args.action {
        CacheAction::Info => 0,
        CacheAction::Prune { limit } => limit,
    };
    let opened = Cache::open(&dir, limit);
    let cache = opened.map_err(|error: CacheError| Failure::local(with_causes(&error)))?;
    let mut summary = json!({"path": dir.display().to_string()});
    let mut text = format!("{}: ", dir.display());
    if matches!(args.action, CacheAction::Prune { .. }) {
        let pruned = cache.prune(limit).map_err(local)?;
        summary["removed"] =
            json!({"layers": pruned.layers, "bytes": pruned.bytes, "damaged": pruned.damaged});
        let damaged = match pruned.damaged {
            0 => String::new(),
            count => format!(" ({})", quantity::count(count, "damaged blob")),
        };
        let freed = size::format(pruned.bytes);
        let entries = quantity::count(pruned.layers, "entry");
        text += &format!("removed {entries}, {freed}{damaged}; ");
    }
    let info = cache.info().map_err(local)?;
    summary["layers"] = info.layers.into();
    summary["blobs"] = info.blobs.into();
    summary["bytes"] = info.bytes.into();
    let (entries, blobs) =
        (quantity::count(info.layers, "entry"), quantity::count(info.blobs, "blob"));
    text += &format!("{entries} in {blobs}, {}", size::format(info.bytes));
    match args.json {
        true => print_json(summary),
        false => print_data(&format!("{text}\n")),
    }
}
