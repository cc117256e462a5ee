//! An image as documents: configuration, manifest and index, their bytes and digests. Pure.
//!
//! The documents are built from `oci_spec`'s types and written through [`serde_json::Value`], whose
//! maps are sorted: `oci_spec` keeps annotations and labels in a `HashMap`, whose order differs
//! from run to run.

mod config;
mod documents;
mod image_name;
mod platform;
mod port;
mod reference;
mod signal;
mod target;
mod transport;

use std::collections::BTreeMap;

use crate::digest::{DiffId, Digest};

pub use config::{Config, Healthcheck, History};
pub use documents::{Descriptor, docker_manifest, index, merge_index};
pub use image_name::{ImageName, ImageNameError};
pub use platform::Platform;
pub use port::{PortError, Ports};
pub use reference::{Reference, ReferenceError};
pub use signal::{SignalError, StopSignal};
pub use target::{Destination, OutputFormat, Target, TargetError};
pub use transport::Transport;

/// PATH of a process whose image sets none: what Docker and other engines give it.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How a layer's blob is compressed, which its media type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerFormat {
    /// `application/vnd.oci.image.layer.v1.tar`
    Tar,
    /// `application/vnd.oci.image.layer.v1.tar+gzip`
    Gzip,
    /// `application/vnd.oci.image.layer.v1.tar+zstd`
    Zstd,
}

/// A layer whose bytes exist: nothing about it is still to be computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Of the blob, as stored.
    pub digest: Digest,
    /// Of the tar within.
    pub diff_id: DiffId,
    /// Bytes of the blob.
    pub size: u64,
    /// How the blob is compressed.
    pub format: LayerFormat,
}

/// A document and its digest: the bytes that are hashed are the bytes that are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// JSON, compact, keys sorted.
    pub bytes: Vec<u8>,
    /// Of `bytes`.
    pub digest: Digest,
}

/// A whole image but for its layers' bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The configuration; its digest is the image ID of docker's classic store and podman.
    pub config: Document,
    /// The manifest; its digest is what registries and containerd know the image by.
    pub manifest: Document,
    /// The platform, as in the configuration.
    pub platform: Platform,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
}

/// The image of `layers`, lowest first, under `config`.
pub fn assemble(
    config: &Config,
    layers: Vec<Layer>,
    annotations: &BTreeMap<String, String>,
) -> Image {
    let document = Document::of(&config.to_json(&layers));
    let manifest = Document::of(&documents::manifest(&document, &layers, annotations));
    Image { config: document, manifest, platform: config.platform.clone(), layers }
}

impl Document {
    /// `value` as the bytes that are stored.
    pub fn of(value: &serde_json::Value) -> Self {
        let bytes = value.to_string().into_bytes();
        Self { digest: Digest::of(&bytes), bytes }
    }
}
