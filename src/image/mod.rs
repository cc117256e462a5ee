//! The documents of an image: configuration, manifest and index, with their bytes and digests.
//! Nothing here touches files.
//!
//! The documents are built from `oci_spec`'s types and serialized through [`serde_json::Value`],
//! whose maps are sorted. `oci_spec` itself keeps annotations and labels in a `HashMap`, whose
//! order differs from run to run.

mod artifact;
mod bundle;
mod config;
mod documents;
mod engine_image;
pub(crate) mod fields;
mod image_name;
mod loss;
mod platform;
mod port;
mod reference;
mod registry_name;
pub(crate) mod shape;
mod signal;
mod target;
mod transport;

use std::collections::BTreeMap;

use crate::digest::{DiffId, Digest};

pub use artifact::{
    Artifact, ArtifactParts, EMPTY_CONFIG, EMPTY_TYPE, REFERRERS_ANNOTATION, referrers_lists,
    set_referrers,
};
pub use bundle::{Bundle, BundleError};
pub use config::{Config, Healthcheck, History};
pub use documents::{
    Descriptor, INDEX_TYPE, MANIFEST_TYPE, Replaced, docker_manifest, index, merge_index,
};
pub use engine_image::{Engine, EngineImage, EngineImageError};
pub use image_name::{ImageName, ImageNameError, StoredImage, as_registry_name};
pub use loss::Loss;
pub use platform::Platform;
pub use port::{PortError, Ports};
pub use reference::{Reference, ReferenceError};
pub use registry_name::{RegistryName, RegistryNameError};
pub use shape::ShapeError;
pub use signal::{SignalError, StopSignal};
pub use target::{Destination, OutputFormat, Target, TargetError};
pub use transport::Transport;

/// The PATH that Docker and other engines give a process if the image does not set one.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How a layer's blob is compressed; determines its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerFormat {
    /// `application/vnd.oci.image.layer.v1.tar`
    Tar,
    /// `application/vnd.oci.image.layer.v1.tar+gzip`
    Gzip,
    /// `application/vnd.oci.image.layer.v1.tar+zstd`
    Zstd,
}

/// A layer whose bytes have been written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Digest of the blob, as stored.
    pub digest: Digest,
    /// Digest of the uncompressed tar archive.
    pub diff_id: DiffId,
    /// Size of the blob in bytes.
    pub size: u64,
    /// How the blob is compressed.
    pub format: LayerFormat,
    /// Annotations of its descriptor in the manifest.
    pub annotations: BTreeMap<String, String>,
}

/// A document and its digest. Exactly the bytes that are hashed are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Compact JSON with sorted keys.
    pub bytes: Vec<u8>,
    /// Digest of `bytes`.
    pub digest: Digest,
}

/// A complete image, except for the bytes of its layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The configuration; its digest is the image ID of docker's classic store and podman.
    pub config: Document,
    /// The manifest; registries and containerd identify the image by its digest.
    pub manifest: Document,
    /// The manifest's media type.
    pub manifest_type: &'static str,
    /// The platform, as in the configuration.
    pub platform: Platform,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
}

/// Builds the image that consists of `layers`, lowest first, and `config`.
pub fn assemble(
    config: &Config,
    layers: Vec<Layer>,
    annotations: &BTreeMap<String, String>,
) -> Image {
    let document = Document::of(&config.to_json(&layers));
    let manifest = Document::of(&documents::manifest(&document, &layers, annotations));
    Image {
        config: document,
        manifest,
        manifest_type: MANIFEST_TYPE,
        platform: config.platform.clone(),
        layers,
    }
}

/// The image of an existing configuration, which names the diff ids of `layers`.
pub fn with_config(config: Document, platform: Platform, layers: Vec<Layer>) -> Image {
    let manifest = Document::of(&documents::manifest(&config, &layers, &BTreeMap::new()));
    Image { config, manifest, manifest_type: MANIFEST_TYPE, platform, layers }
}

impl Document {
    /// Serializes `value` and computes its digest.
    pub fn of(value: &serde_json::Value) -> Self {
        let bytes = value.to_string().into_bytes();
        Self { digest: Digest::of(&bytes), bytes }
    }
}
