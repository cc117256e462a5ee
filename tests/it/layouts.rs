//! Images to read: small ones that imgb makes, and layouts built from JSON values.

use std::path::{Path, PathBuf};

use imgb::{
    archive::spool,
    digest::Digest,
    image::{ImageName, Platform, StoredImage},
    oci::{self, Image, ImageError, UnpackedImage},
};
use serde_json::{Value, json};

use crate::{
    fixtures::{X86_64, static_elf},
    sandbox::Sandbox,
};

pub(crate) fn documents_for(
    path: &Path,
    tag: Option<&str>,
    platform: Option<&str>,
) -> Result<Image, ImageError> {
    let name = ImageName::Stored(StoredImage {
        transport: None,
        path: path.into(),
        tag: tag.map(Into::into),
        digest: None,
    });
    let options = oci::OpenOptions {
        platform: platform.map(|platform| platform.parse().unwrap()),
        machine: Platform::linux("amd64", None),
        spool: std::env::temp_dir(),
        limits: spool::Limits::default(),
        registries: Default::default(),
        any: false,
        pieces: None,
    };
    oci::open(&name, &options)
}

pub(crate) fn open_for(
    path: &Path,
    tag: Option<&str>,
    platform: Option<&str>,
) -> Result<UnpackedImage, ImageError> {
    documents_for(path, tag, platform).and_then(Image::unpack)
}

pub(crate) fn open(path: &Path) -> Result<UnpackedImage, ImageError> {
    open_for(path, None, None)
}

/// A small image in every form that imgb writes.
pub(crate) fn small() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.program("app", static_elf(X86_64)).file("conf", "one\n");
    sandbox
        .imgb(
            "pack app conf -t small:1 -o hybrid.tar -o oci:layout -o docker-archive:docker.tar \
            -o oci-archive:oci.tar",
        )
        .run()
        .ok();
    sandbox
}

/// A layout built from JSON values, in which every digest matches its blob.
pub(crate) struct Layout {
    pub(crate) sandbox: Sandbox,
    pub(crate) layer: Value,
    pub(crate) diff_id: String,
}

impl Layout {
    pub(crate) fn new() -> Self {
        let sandbox = Sandbox::new();
        let tar = vec![0; 1024];
        let mut layout =
            Self { sandbox, layer: Value::Null, diff_id: Digest::of(&tar).to_string() };
        layout.sandbox.file("l/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
        layout.layer = layout.blob("application/vnd.oci.image.layer.v1.tar", &tar);
        layout
    }

    pub(crate) fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        self.sandbox.file(&format!("l/blobs/sha256/{}", digest.hex()), bytes);
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    }

    pub(crate) fn config(&self) -> Value {
        json!({
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [self.diff_id]},
        })
    }

    pub(crate) fn manifest(&self, config: &str) -> Value {
        let config = self.blob("application/vnd.oci.image.config.v1+json", config.as_bytes());
        json!({"schemaVersion": 2, "config": config, "layers": [self.layer]})
    }

    pub(crate) fn add(&self, manifest: &str) -> Value {
        self.blob("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes())
    }

    pub(crate) fn index(&self, entries: &[Value]) -> &Self {
        self.sandbox
            .file("l/index.json", json!({"schemaVersion": 2, "manifests": entries}).to_string());
        self
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.sandbox.path("l")
    }

    pub(crate) fn opened(&self) -> Result<UnpackedImage, ImageError> {
        open(&self.path())
    }
}

/// An image of any bytes, whose digests match.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) config: Value,
    /// Tars, lowest first.
    pub(crate) layers: Vec<Vec<u8>>,
}

impl Parts {
    /// Writes it as a layout.
    pub(crate) fn write(&self, sandbox: &Sandbox, name: &str) {
        let blob = |media_type: &str, bytes: &[u8]| {
            let digest = Digest::of(bytes);
            sandbox.file(&format!("{name}/blobs/sha256/{}", digest.hex()), bytes);
            let media_type = format!("application/vnd.oci.image.{media_type}");
            json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
        };
        let mut config = self.config.clone();
        let ids: Vec<_> = self.layers.iter().map(|tar| Digest::of(tar).to_string()).collect();
        config["rootfs"] = json!({"type": "layers", "diff_ids": ids});
        let layers: Vec<_> = self.layers.iter().map(|tar| blob("layer.v1.tar", tar)).collect();
        let config = blob("config.v1+json", config.to_string().as_bytes());
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
        let manifest = blob("manifest.v1+json", manifest.to_string().as_bytes());
        let index = json!({"schemaVersion": 2, "manifests": [manifest]});
        sandbox.file(&format!("{name}/index.json"), index.to_string());
        sandbox.file(&format!("{name}/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#);
    }
}

/// A tar of `members`, in order.
pub(crate) fn tar_of<'a>(members: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, &*bytes).unwrap();
    }
    tar.into_inner().unwrap()
}
