//! An index of images that exist, whose documents and blobs keep their digests.

use std::collections::BTreeSet;

use super::{CopyError, parts, send};
use crate::{
    digest::Digest,
    image::{
        self, BundleError, Descriptor, Document, INDEX_TYPE, ImageName, Platform, Reference, Target,
    },
    oci::{self, Contents, OpenOptions},
    output::{Moved, OutputError, Remotes, Shipment, ShippedDocument, Written},
    store::Durability,
    tree::Tree,
};

/// Which images an index lists.
#[derive(Debug)]
pub struct Index<'a> {
    /// The images. Of an index, all its images are taken, without what is beside them.
    pub images: &'a [ImageName],
    /// How they are opened; without a platform.
    pub open: &'a OpenOptions,
    /// Names for the index in files. Registries get the name in the target.
    pub names: &'a [Reference],
    /// The name of an index that has no other.
    pub fallback_name: &'a Reference,
    /// The only digest that the index may have.
    pub expected: Option<Digest>,
    /// Whether files are on the disk at the end.
    pub durability: Durability,
}

/// An index that was written.
#[derive(Debug)]
pub struct Indexed {
    /// The digest of the index.
    pub digest: Digest,
    /// Its images, in order.
    pub images: Vec<IndexedImage>,
    /// The index's names in each target.
    pub names: Vec<Vec<Reference>>,
    /// What became of each blob, for each target.
    pub moved: Vec<Vec<Moved>>,
    /// What was written to each target.
    pub written: Vec<Written>,
}

/// An image in an index.
#[derive(Clone, Debug)]
pub struct IndexedImage {
    /// Its platform.
    pub platform: Platform,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The digest of its configuration.
    pub image_id: Digest,
    /// How many layers it has.
    pub layers: usize,
    /// The bytes of its layers, as stored.
    pub size: u64,
}

impl Index<'_> {
    /// Writes the index to `targets`, which have room for one. The images stay where they are.
    ///
    /// # Errors
    /// [`CopyError`]
    pub fn write(&self, targets: &[Target], remotes: Remotes<'_>) -> Result<Indexed, CopyError> {
        let mut images = Vec::new();
        for name in self.images {
            images.extend(oci::open_all(name, self.open)?);
        }
        let contents =
            images.iter().map(|image| image.contents(false)).collect::<Result<Vec<_>, _>>()?;
        let roots: Vec<Descriptor> = contents.iter().map(|one| one.root.clone()).collect();
        check(&images)?;
        let document = Document::of(&image::index(&roots));
        if let Some(wanted) = self.expected.filter(|wanted| *wanted != document.digest) {
            return Err(OutputError::OtherDigest { wanted, found: document.digest }.into());
        }
        let shipment = self.shipment(&images, &contents, &document);
        let listed = images.iter().zip(&contents).map(|(image, contents)| IndexedImage {
            platform: image.config.platform.clone(),
            digest: contents.root.digest,
            image_id: image.config_document.digest,
            layers: contents.layers.len(),
            size: contents.blobs.iter().map(|blob| blob.size).sum(),
        });
        let mut made = Indexed {
            digest: document.digest,
            images: listed.collect(),
            names: Vec::new(),
            moved: Vec::new(),
            written: Vec::new(),
        };
        for target in targets {
            let names = target.names(self.names, self.fallback_name);
            let to = (target, self.durability);
            let (moved, written) = send(&shipment, to, &names, remotes, || Ok(Tree::new()))?;
            made.names.push(names);
            made.written.push(written);
            made.moved.push(moved);
        }
        Ok(made)
    }

    fn shipment<'a>(
        &self,
        images: &[oci::Image],
        contents: &'a [Contents<'a>],
        index: &'a Document,
    ) -> Shipment<'a> {
        let (mut documents, mut blobs, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
        for one in contents {
            let (own, layers) = parts(one);
            documents.extend(own.into_iter().filter(|document| seen.insert(document.digest)));
            blobs.extend(layers.into_iter().filter(|blob| seen.insert(blob.digest)));
        }
        let (digest, bytes) = (index.digest, &index.bytes[..]);
        let media_type = Some(INDEX_TYPE);
        documents.push(ShippedDocument { media_type, digest, bytes, origin: None });
        let machine = &self.open.machine;
        let local = images.iter().zip(contents);
        let first = local.clone().next();
        let own = local.clone().find(|(image, _)| image.config.platform == *machine);
        let local = own
            .or(first)
            .map(|(image, contents)| (image.config_document.digest, contents.layers.clone()));
        Shipment {
            root: Descriptor {
                media_type: INDEX_TYPE,
                digest,
                size: bytes.len() as u64,
                platform: None,
                name: None,
            },
            documents,
            blobs,
            local: local.unwrap_or((digest, Vec::new())),
            referrers: Vec::new(),
        }
    }
}

/// Checks that there are images, and one for each platform.
fn check(images: &[oci::Image]) -> Result<(), BundleError> {
    let platform = |image: &oci::Image| image.config.platform.clone();
    if images.is_empty() {
        return Err(BundleError::Empty);
    }
    for (at, image) in images.iter().enumerate() {
        if images.iter().take(at).any(|other| platform(other) == platform(image)) {
            return Err(BundleError::Twice(platform(image)));
        }
    }
    Ok(())
}
