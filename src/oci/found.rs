//! What is known of an image when its documents have been found.

use std::collections::BTreeMap;

use super::document::Descriptor;
use crate::{
    digest::Digest,
    image::{self, Platform},
};

/// The documents of an image. Digests are verified, the configuration is not parsed yet.
pub(super) struct Found {
    pub(super) names: Vec<String>,
    pub(super) manifest: Option<image::Document>,
    /// The manifest's media type; OCI's if there is no manifest.
    pub(super) manifest_type: &'static str,
    pub(super) config: image::Document,
    pub(super) layers: Vec<FoundLayer>,
    /// The platform in the index.
    pub(super) platform: Option<Platform>,
    /// The entries of the index that have the wanted name.
    pub(super) roots: Vec<Descriptor>,
    /// What is odd and harmless, as sentences.
    pub(super) notes: Vec<String>,
}

/// A layer as a manifest lists it.
pub(super) struct FoundLayer {
    /// The name of the blob in the source.
    pub(super) path: String,
    /// Digest and size of the blob, if the manifest has them.
    pub(super) blob: Option<(Digest, u64)>,
    pub(super) media_type: Option<String>,
    /// The annotations of its descriptor.
    pub(super) annotations: BTreeMap<String, String>,
}
