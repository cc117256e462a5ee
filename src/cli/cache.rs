//! `imgb cache`, and which cache a command uses.

use std::path::PathBuf;

use serde_json::json;

use super::{
    cache_args::{CacheAction, CacheArgs, CacheCommand},
    report::{Failure, bytes, chain, print},
    variable,
};
use crate::store::cache::{Cache, CacheError};

/// The cache that `args` name. One that cannot be used is none: it must never be what stops a
/// build.
///
/// # Errors
/// Where the limit is no size.
pub(super) fn open(args: &CacheArgs) -> Result<Option<Cache>, Failure> {
    let limit = size(&args.limit).ok_or_else(|| no_size("--cache-limit", &args.limit))?;
    let Some(dir) = args.dir.clone().or_else(directory).filter(|_| !args.no_cache) else {
        return Ok(None);
    };
    Ok(Cache::open(&dir, limit).ok())
}

/// `$XDG_CACHE_HOME/imgb`, which must be absolute (XDG Base Directory Specification), or
/// `~/.cache/imgb`.
fn directory() -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let xdg = variable("XDG_CACHE_HOME").map(PathBuf::from).and_then(absolute);
    // A home that is not there, as services have it, is not made.
    let home =
        || variable("HOME").map(PathBuf::from).and_then(absolute).filter(|home| home.is_dir());
    xdg.or_else(|| home().map(|home| home.join(".cache"))).map(|dir| dir.join("imgb"))
}

pub(super) fn cache(args: &CacheCommand) -> Result<(), Failure> {
    let Some(dir) = args.dir.clone().or_else(directory) else {
        return Err(Failure::usage("there is no cache: neither XDG_CACHE_HOME nor HOME is set"));
    };
    let local =
        |error: std::io::Error| Failure::local(format!("cannot use the cache: {}", chain(&error)));
    let limit = match &args.action {
        CacheAction::Info => 0,
        CacheAction::Prune { limit } => size(limit).ok_or_else(|| no_size("--limit", limit))?,
    };
    let opened = Cache::open(&dir, limit);
    let cache = opened.map_err(|error: CacheError| Failure::local(chain(&error)))?;
    let mut summary = json!({"path": dir.display().to_string()});
    let mut text = format!("{}: ", dir.display());
    if matches!(args.action, CacheAction::Prune { .. }) {
        let pruned = cache.prune(limit).map_err(local)?;
        summary["removed"] =
            json!({"layers": pruned.layers, "bytes": pruned.bytes, "damaged": pruned.damaged});
        let damaged = if pruned.damaged > 0 {
            format!(" ({} damaged blobs)", pruned.damaged)
        } else {
            String::new()
        };
        text += &format!("removed {} layers, {}{damaged}; ", pruned.layers, bytes(pruned.bytes));
    }
    let info = cache.info().map_err(local)?;
    summary["layers"] = info.layers.into();
    summary["blobs"] = info.blobs.into();
    summary["bytes"] = info.bytes.into();
    text += &format!("{} layers in {} blobs, {}", info.layers, info.blobs, bytes(info.bytes));
    if args.json { print(&format!("{summary}\n")) } else { print(&format!("{text}\n")) }
}

fn no_size(option: &str, text: &str) -> Failure {
    Failure::usage(format!("{option} `{text}`: write a number of bytes, or one with k, M, G or T"))
}

/// A size as people write it, in powers of 1000.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let power = match text.get(digits.len()..)? {
        "" | "B" => 0,
        "k" | "K" | "kB" => 1,
        "M" | "MB" => 2,
        "G" | "GB" => 3,
        "T" | "TB" => 4,
        _ => return None,
    };
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(1000_u64.pow(power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_write_them() {
        for (text, wanted) in [
            ("0", Some(0)),
            ("17", Some(17)),
            ("2k", Some(2000)),
            ("8G", Some(8_000_000_000)),
            ("1TB", Some(10_u64.pow(12))),
        ] {
            assert_eq!(size(text), wanted, "{text}");
        }
        for text in ["", "G", "1.5G", "-1", "1X", "99999999T", "1 G", "1é"] {
            assert_eq!(size(text), None, "{text}");
        }
    }
}
