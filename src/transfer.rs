//! An image from anywhere to anywhere, byte for byte: its manifests and blobs keep their digests.

mod attach;
mod index;
mod referrers;

use std::sync::{Mutex, PoisonError};

use referrers::{Found, gather};

use crate::{
    digest::Digest,
    error_kind::ErrorKind,
    image::{BundleError, Destination, ImageName, OutputFormat, Platform, Reference, Target},
    oci::{self, Contents, ImageError},
    output::{
        self, Moved, OutputError, Remotes, Shipment, ShippedBlob, ShippedDocument, Transfer,
        Written,
    },
    store::Durability,
    tree::Tree,
};

pub use attach::{Attach, Attached};
pub use index::{Index, Indexed, IndexedImage};

/// Which image is copied, and as what.
#[derive(Debug)]
pub struct Copy<'a> {
    /// The image.
    pub source: &'a ImageName,
    /// How it is opened.
    pub open: &'a oci::OpenOptions,
    /// Take all images of an index and the artifacts about them, not only the one for a platform.
    pub all: bool,
    /// Copy the artifacts about it as well, where the target has a place for them.
    pub referrers: bool,
    /// Names for the copies, instead of the image's own. Registries get the name in the target.
    pub names: &'a [Reference],
    /// The name of a copy that has no other.
    pub fallback_name: &'a Reference,
    /// The only digest that the image or index may have.
    pub expected: Option<Digest>,
    /// Whether files are on the disk at the end.
    pub durability: Durability,
}

/// What was copied.
#[derive(Debug)]
pub struct Copied {
    /// The digest of the manifest or index.
    pub digest: Digest,
    /// The image ID: the digest of the configuration of the image that was chosen.
    pub image_id: Digest,
    /// The platform of a single image; `None` for an index.
    pub platform: Option<Platform>,
    /// The names of the copy.
    pub names: Vec<Reference>,
    /// What became of each blob. Documents are not counted, except in registries, which take
    /// configurations as blobs.
    pub moved: Vec<Moved>,
    /// The digests of the artifacts about it that were copied.
    pub referrers: Vec<Digest>,
    /// What was written.
    pub written: Written,
}

/// Why an image cannot be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// With the image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Images that no index can list.
    #[error(transparent)]
    Index(#[from] BundleError),
    /// An image that artifacts cannot be put beside.
    #[error("{name} has no place for artifacts: {why}")]
    NoPlace {
        /// The image.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// With the copy.
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl CopyError {
    /// What the error means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Image(error) => error.kind(),
            Self::Index(_) => ErrorKind::Build,
            Self::NoPlace { .. } => ErrorKind::Refused,
            Self::Output(error) => error.kind(),
        }
    }
}

impl Copy<'_> {
    /// Copies the image to `target`. A target that has no place for an index gets the image for the
    /// platform.
    ///
    /// # Errors
    /// [`CopyError`]
    pub fn run(&self, target: &Target, remotes: Remotes<'_>) -> Result<Copied, CopyError> {
        let image = oci::open(self.source, self.open)?;
        let own = whole_names(&image);
        let given = if self.names.is_empty() { &own[..] } else { self.names };
        let names = target.names(given, self.fallback_name);
        self.write(&image, target, names, remotes)
    }

    /// Hands the image to the engine of `target` under all of its names.
    ///
    /// # Errors
    /// [`CopyError`]
    pub fn load(&self, target: &Target, remotes: Remotes<'_>) -> Result<Copied, CopyError> {
        let image = oci::open(self.source, self.open)?;
        let names = match self.names {
            [] => whole_names(&image),
            names => names.to_vec(),
        };
        let names = if names.is_empty() { vec![self.fallback_name.clone()] } else { names };
        self.write(&image, target, names, remotes)
    }

    fn write(
        &self,
        image: &oci::Image,
        target: &Target,
        names: Vec<Reference>,
        remotes: Remotes<'_>,
    ) -> Result<Copied, CopyError> {
        let all = self.all && has_indexes(target) && !names_manifest(self.source, image);
        let contents = image.contents(all)?;
        let (digest, platform) = (contents.root.digest, contents.root.platform.clone());
        if let Some(wanted) = self.expected.filter(|wanted| *wanted != digest) {
            return Err(OutputError::OtherDigest { wanted, found: digest }.into());
        }
        let artifacts = match self.referrers && has_referrers(target) {
            true => gather(image, &contents)?,
            false => Vec::new(),
        };
        let mut shipment = shipment(image, &contents);
        shipment.referrers = artifacts.iter().map(Found::shipped).collect();
        let tree = || Ok(oci::open(self.source, self.open)?.unpack()?.merged());
        let to = (target, self.durability);
        let (moved, written) = send(&shipment, to, &names, remotes, tree)?;
        let image_id = image.config_document.digest;
        let referrers = artifacts.iter().map(Found::digest).collect();
        Ok(Copied { digest, image_id, platform, names, moved, referrers, written })
    }
}

/// Writes `shipment` to the target under `names`, and says what became of each blob, in the order
/// of digests. `tree` returns the merged file system, for [`OutputFormat::Rootfs`].
fn send(
    shipment: &Shipment<'_>,
    (target, durability): (&Target, Durability),
    names: &[Reference],
    remotes: Remotes<'_>,
    tree: impl FnOnce() -> Result<Tree, CopyError>,
) -> Result<(Vec<Moved>, Written), CopyError> {
    let moved = Mutex::new(Vec::new());
    let event = |transfer| {
        if let Transfer::Done(one) = transfer {
            moved.lock().unwrap_or_else(PoisonError::into_inner).push(one);
        }
        (remotes.event)(transfer);
    };
    let remotes = Remotes { event: &event, ..remotes };
    let written = output::copy(shipment, target, durability, names, remotes, tree)?;
    let mut moved = moved.into_inner().unwrap_or_else(PoisonError::into_inner);
    moved.sort_by_key(|one| one.digest);
    Ok((moved, written))
}

/// The image's own names, each once. A tag alone is not one: layouts have both.
pub fn whole_names(image: &oci::Image) -> Vec<Reference> {
    let mut names = Vec::new();
    for name in image.names.iter().filter(|name| name.contains(['/', ':'])) {
        names.extend(name.parse().ok().filter(|name| !names.contains(name)));
    }
    names
}

/// Whether `name` has the digest of the image's own manifest, and not that of an index.
fn names_manifest(name: &ImageName, image: &oci::Image) -> bool {
    let digest = match name {
        ImageName::Stored(stored) => stored.digest,
        ImageName::Registry(name) => name.digest,
        ImageName::Engine(_) => None,
    };
    digest.is_some_and(|digest| digest == image.digest())
}

/// Whether an index can be written to `target`.
pub fn has_indexes(target: &Target) -> bool {
    !matches!(target.format, OutputFormat::Rootfs | OutputFormat::DockerArchive)
        && !matches!(target.destination, Destination::Engine(_))
}

/// Whether artifacts about an image can be written to `target`.
pub fn has_referrers(target: &Target) -> bool {
    has_indexes(target)
}

/// The documents and blobs of an image.
fn parts<'a>(contents: &'a Contents<'a>) -> (Vec<ShippedDocument<'a>>, Vec<ShippedBlob<'a>>) {
    let documents = contents.documents.iter().map(|document| ShippedDocument {
        media_type: document.media_type,
        digest: document.digest,
        bytes: &document.bytes,
        origin: contents.repository(),
    });
    let origin = || contents.repository().map(|(host, name)| (host.to_owned(), name.to_owned()));
    let blobs = contents.blobs.iter().map(|blob| ShippedBlob {
        digest: blob.digest,
        size: blob.size,
        open: Box::new(move |offset| contents.open(blob, offset)),
        origin: origin(),
    });
    (documents.collect(), blobs.collect())
}

fn shipment<'a>(image: &oci::Image, contents: &'a Contents<'a>) -> Shipment<'a> {
    let (documents, blobs) = parts(contents);
    let local = (image.config_document.digest, contents.layers.clone());
    Shipment { root: contents.root.clone(), documents, blobs, local, referrers: Vec::new() }
}
