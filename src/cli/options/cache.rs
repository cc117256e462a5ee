//! Which cache a command uses: for compressed layers, and for pieces of the layers that it reads.

use std::path::PathBuf;

use clap::Args;

use crate::{
    cli::{environment::variable, size, values::image_name},
    image::{Destination, ImageName, ImageNameError, StoredImage, Target, Transport},
    oci::Pieces,
    reuse::Place,
    store::cache::{Cache, DEFAULT_LIMIT},
};

/// Where what was made or read is kept from one run to the next.
#[derive(Args, Debug)]
pub(in crate::cli) struct CachePlace {
    /// The cache of compressed layers, and of what was read of images; otherwise
    /// $XDG_CACHE_HOME/imgb or ~/.cache/imgb
    #[arg(long = "cache", value_name = "DIR", conflicts_with = "no_cache", help_heading = "Cache")]
    dir: Option<PathBuf>,

    /// Neither read nor fill the cache
    #[arg(long, help_heading = "Cache")]
    no_cache: bool,
}

/// Where layers are kept and looked for.
#[derive(Args, Debug)]
pub(in crate::cli) struct CacheArgs {
    #[command(flatten)]
    place: CachePlace,

    /// Take layers from there instead of compressing them (repeatable): an earlier image, or a
    /// cache that --cache-to filled
    #[arg(long = "cache-from", value_name = "IMAGE", value_parser = place, help_heading = "Cache")]
    from: Vec<(String, Place)>,

    /// Keep layers for other machines in a layout or repository of their own, oci:DIR or
    /// docker://NAME (repeatable)
    #[arg(long = "cache-to", value_name = "WHERE", value_parser = cache, help_heading = "Cache")]
    pub(in crate::cli) to: Vec<String>,

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

/// What is read of images' layers. The cache gets it when this is dropped, so that it is there for
/// the next try of a command that fails.
#[derive(Debug)]
pub(in crate::cli) struct KeptPieces(Option<Pieces>);

impl KeptPieces {
    /// To open images with ([`crate::oci::OpenOptions::pieces`]).
    pub(in crate::cli) fn get(&self) -> Option<Pieces> {
        self.0.clone()
    }
}

impl Drop for KeptPieces {
    fn drop(&mut self) {
        self.0.iter().for_each(Pieces::remember);
    }
}

impl CachePlace {
    /// Where pieces of the layers of images are kept, if there is a cache.
    pub(in crate::cli) fn pieces(&self) -> KeptPieces {
        KeptPieces(self.open(DEFAULT_LIMIT).map(Pieces::new))
    }

    /// The cache of `limit` bytes; `None` if it is not wanted or cannot be used. A broken cache
    /// never stops a build.
    fn open(&self, limit: u64) -> Option<Cache> {
        let dir = self.dir.clone().or_else(directory).filter(|_| !self.no_cache)?;
        Cache::open(&dir, limit).ok()
    }
}

impl CacheArgs {
    /// Where layers are looked for: in the images that `targets` replace, too.
    pub(in crate::cli) fn places(&self, targets: &[Target]) -> Vec<Place> {
        let previous = targets.iter().filter_map(|target| match &target.destination {
            Destination::Registry(name) if name.digest.is_none() && !self.place.no_cache => {
                Some(Place::Previous(ImageName::Registry(name.clone())))
            }
            _ => None,
        });
        self.from.iter().map(|(_, place)| place.clone()).chain(previous).collect()
    }

    /// What `--cache-from` and `--cache-to` name, as it was written.
    pub(in crate::cli) fn names(&self) -> impl Iterator<Item = &str> {
        self.from.iter().map(|(name, _)| &**name).chain(self.to.iter().map(String::as_str))
    }

    /// The cache, if it is wanted and can be used.
    pub(in crate::cli) fn open(&self) -> Option<Cache> {
        self.place.open(self.limit)
    }

    /// As [`CachePlace::pieces`], in a cache of the size that was asked for.
    pub(in crate::cli) fn pieces(&self) -> KeptPieces {
        KeptPieces(self.open().map(Pieces::new))
    }
}

/// A cache, which has no tag of its own, or an image.
fn place(text: &str) -> Result<(String, Place), ImageNameError> {
    let name = image_name(text)?;
    let is_cache = match &name {
        ImageName::Stored(StoredImage { transport, tag, digest, .. }) => {
            *transport == Some(Transport::Oci) && tag.is_none() && digest.is_none()
        }
        ImageName::Registry(name) => name.tag.is_none() && name.digest.is_none(),
        ImageName::Engine(_) => false,
    };
    let place = if is_cache { Place::Cache(text.into()) } else { Place::Image(name) };
    Ok((text.into(), place))
}

/// A cache that layers are added to.
fn cache(text: &str) -> Result<String, String> {
    match place(text).map_err(|error| error.to_string())?.1 {
        Place::Cache(cache) => Ok(cache),
        Place::Image(_) | Place::Previous(_) => {
            Err("write oci:DIR or docker://NAME, without a tag".into())
        }
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
