//! Puts an artifact that another tool made beside an image.

use std::{fs::File, io::Read as _, path::Path};

use super::{CopyError, names_manifest};
use crate::{
    compress::{Compression, Format, MAX_SNIFF},
    digest::Digest,
    image::{ArtifactParts, Descriptor, ImageName},
    oci::{self, ImageError},
    output::{
        OutputError, Shipment, ShippedBlob, ShippedReferrer, Transfer,
        attach::{self, Member},
    },
    store::Blob,
};

/// An artifact, and the image that it is about.
#[derive(Debug)]
pub struct Attach<'a> {
    /// The image.
    pub image: &'a ImageName,
    /// How it is opened.
    pub open: &'a oci::OpenOptions,
    /// Whether the artifact is about the index that the name leads to, if it leads to one.
    pub all: bool,
    /// What the artifact is.
    pub parts: ArtifactParts,
    /// Its only blob.
    pub blob: &'a Blob,
}

/// An artifact that was put beside an image.
#[derive(Clone, Debug)]
pub struct Attached {
    /// The digest of its manifest.
    pub digest: Digest,
    /// The digest of the manifest or index that it is about.
    pub subject: Digest,
}

impl Attach<'_> {
    /// Writes the artifact.
    ///
    /// # Errors
    /// [`CopyError`]
    pub fn run(&self, event: &(dyn Fn(Transfer) + Sync)) -> Result<Attached, CopyError> {
        let no_place = |why| CopyError::NoPlace { name: self.image.to_string(), why };
        let image = oci::open(self.image, self.open)?;
        let subject = image.subject(self.all && !names_manifest(self.image, &image));
        let subject = subject.ok_or_else(|| no_place("an archive of `docker save` has none"))?;
        let manifest = self.parts.manifest(&subject);
        let ArtifactParts { artifact_type, annotations, .. } = &self.parts;
        let artifact = ShippedReferrer {
            blobs: vec![ShippedBlob::of(self.blob)],
            ..ShippedReferrer::new(subject.digest, artifact_type, annotations.clone(), &manifest)
        };
        let root = image.entry().unwrap_or_else(|| subject.clone());
        let shipment = shipment(root, artifact);
        match self.image {
            ImageName::Registry(name) => {
                let registries = &self.open.registries;
                let repository = registries
                    .repository(&name.registry, &name.repository)
                    .map_err(ImageError::from)?;
                attach::to_registry(&shipment, &repository, event)?;
            }
            ImageName::Engine(_) => return Err(no_place("engines keep images alone")),
            ImageName::Stored(stored) => match image.archive()? {
                _ if !image.has_index()? => return Err(no_place("it has no index.json")),
                None => attach::to_layout(&shipment, &stored.path)?,
                Some(archive) => {
                    let members = archive.members.into_iter();
                    let members = members.map(|(name, content)| Member { name, content });
                    let members: Vec<Member> = members.collect();
                    let to = (&*stored.path, compression(&stored.path)?);
                    let index = (&archive.index, &archive.known[..]);
                    attach::to_archive(&shipment, to, &members, index)?;
                }
            },
        }
        Ok(Attached { digest: manifest.digest, subject: subject.digest })
    }
}

fn shipment<'a>(root: Descriptor, artifact: ShippedReferrer<'a>) -> Shipment<'a> {
    let local = (root.digest, Vec::new());
    Shipment { root, documents: Vec::new(), blobs: Vec::new(), local, referrers: vec![artifact] }
}

/// What an archive is compressed with, as a whole.
fn compression(path: &Path) -> Result<Compression, CopyError> {
    let unreadable = |source| OutputError::Io { action: "read", path: path.into(), source };
    let mut front = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_SNIFF as u64).read_to_end(&mut front).map_err(unreadable)?;
    match Format::sniff(&front) {
        Format::Plain => Ok(Compression::None),
        Format::Gzip => Ok(Compression::GZIP),
        Format::Zstd => Ok(Compression::ZSTD),
        format => {
            let why = "imgb does not write its compression";
            let name = format!("{} ({format:?})", path.display());
            Err(CopyError::NoPlace { name, why })
        }
    }
}
