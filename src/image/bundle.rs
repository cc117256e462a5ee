//! What is written under one name: an image, or an index of images for several platforms.

use super::{
    Document, Image, Platform,
    documents::{self, Descriptor},
};
use crate::digest::Digest;

/// An image, or several images for different platforms and the index that lists them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    images: Vec<Image>,
    index: Option<Document>,
    local: usize,
}

/// Why images cannot be written under one name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// There is no image.
    #[error("an index needs at least one image")]
    Empty,
    /// Two images have one platform, so that nothing tells which one is meant.
    #[error("two images are for {0}; an index takes one for each platform")]
    Twice(Platform),
}

impl Bundle {
    /// One image, or an index of several in the given order. `docker load` takes the one for
    /// `machine`, or else the first.
    ///
    /// # Errors
    /// [`BundleError`]
    pub fn new(images: Vec<Image>, machine: &Platform) -> Result<Self, BundleError> {
        let index = (images.len() > 1).then(|| Self::index_of(&images));
        Self::with(images, index, machine)
    }

    fn with(
        images: Vec<Image>,
        index: Option<Document>,
        machine: &Platform,
    ) -> Result<Self, BundleError> {
        if images.is_empty() {
            return Err(BundleError::Empty);
        }
        for (at, image) in images.iter().enumerate() {
            if images.iter().take(at).any(|other| other.platform == image.platform) {
                return Err(BundleError::Twice(image.platform.clone()));
            }
        }
        let local = images.iter().position(|image| image.platform == *machine).unwrap_or(0);
        Ok(Self { images, index, local })
    }

    fn index_of(images: &[Image]) -> Document {
        let entries: Vec<_> = images.iter().map(|image| image.descriptor()).collect();
        Document::of(&documents::index(&entries))
    }

    /// The images, in the order of the index; at least one.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// The index, which lists the images' manifests.
    pub fn index(&self) -> Option<&Document> {
        self.index.as_ref()
    }

    /// The digest by which registries and containerd identify the whole: that of the index, or of
    /// the only image's manifest.
    pub fn digest(&self) -> Digest {
        self.index.as_ref().unwrap_or(&self.local().manifest).digest
    }

    /// The image that docker's `manifest.json` names, since it has no room for platforms.
    pub fn local(&self) -> &Image {
        self.images.get(self.local).unwrap_or_else(|| unreachable!("`with` found it"))
    }

    /// All documents: those that others name come before them, the index last.
    pub fn documents(&self) -> impl Iterator<Item = &Document> {
        let of_images = self.images.iter().flat_map(|image| [&image.config, &image.manifest]);
        of_images.chain(&self.index)
    }

    /// The entry of a layout's `index.json`, without a name.
    pub fn root(&self) -> Descriptor {
        match &self.index {
            None => self.local().descriptor(),
            Some(index) => Descriptor {
                media_type: documents::INDEX_TYPE,
                digest: index.digest,
                size: index.bytes.len() as u64,
                platform: None,
                name: None,
            },
        }
    }
}

impl Image {
    /// The entry of an index for this image, without a name.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor {
            media_type: self.manifest_type,
            digest: self.manifest.digest,
            size: self.manifest.bytes.len() as u64,
            platform: Some(self.platform.clone()),
            name: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{image::Config, timestamp::Timestamp};

    fn image(architecture: &str) -> Image {
        let config = Config::new(Platform::linux(architecture, None), Timestamp::EPOCH);
        super::super::assemble(&config, Vec::new(), &BTreeMap::new())
    }

    fn architecture(bundle: &Bundle) -> &str {
        &bundle.local().platform.architecture
    }

    #[test]
    fn one_image_needs_no_index() {
        let machine = Platform::linux("amd64", None);
        let bundle = Bundle::new(vec![image("arm64")], &machine).unwrap();
        assert_eq!((bundle.index(), architecture(&bundle)), (None, "arm64"));
        assert_eq!(bundle.digest(), bundle.local().manifest.digest);
        assert_eq!(bundle.root().platform, Some(Platform::linux("arm64", None)));
    }

    #[test]
    fn an_index_lists_each_platform_once() {
        let images = vec![image("arm64"), image("amd64")];
        let bundle = Bundle::new(images.clone(), &Platform::linux("amd64", None)).unwrap();
        assert_eq!(architecture(&bundle), "amd64");
        let other = Bundle::new(images, &Platform::linux("s390x", None)).unwrap();
        assert_eq!(architecture(&other), "arm64");
        assert_eq!(bundle.digest(), other.digest(), "the machine is not in the index");
        let index: serde_json::Value =
            serde_json::from_slice(&bundle.index().unwrap().bytes).unwrap();
        assert_eq!(index["manifests"][0]["platform"]["architecture"], "arm64");
        assert_eq!(index["manifests"][1]["annotations"], serde_json::Value::Null);
        let twice = Bundle::new(vec![image("arm"), image("arm")], &Platform::linux("arm", None));
        assert_eq!(twice, Err(BundleError::Twice(Platform::linux("arm", None))));
    }
}
