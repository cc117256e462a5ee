//! Artifacts about an image: manifests whose `subject` it is (OCI image-spec 1.1, manifest.md,
//! "Guidelines for Artifact Usage").
//!
//! A registry lists them itself. In a layout or an archive, an annotation of the image's entry in
//! `index.json` names a list of them: an entry of their own would make podman and skopeo refuse the
//! whole as several images.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Descriptor, Document, MANIFEST_TYPE};
use crate::digest::Digest;

/// The annotation of an entry of `index.json` whose value is the digest of an index of artifacts
/// about what the entry names.
pub const REFERRERS_ANNOTATION: &str = "imgb.referrers";

/// The configuration of an artifact that needs none.
pub const EMPTY_CONFIG: &[u8] = b"{}";

/// The media type of [`EMPTY_CONFIG`], which is not the type of any artifact.
pub const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// The name of the file that a blob was (OCI image-spec, annotations.md).
const TITLE: &str = "org.opencontainers.image.title";

/// What an artifact consists of, besides what it is about.
#[derive(Clone, Debug)]
pub struct ArtifactParts {
    /// What it is, such as `application/spdx+json`.
    pub artifact_type: String,
    /// The media type of its blob.
    pub media_type: String,
    /// The digest and the bytes of its blob.
    pub blob: (Digest, u64),
    /// The name of the file that the blob is.
    pub title: Option<String>,
    /// Annotations of its manifest.
    pub annotations: BTreeMap<String, String>,
}

/// An artifact whose blob is in memory.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The digest of what it is about.
    pub subject: Digest,
    /// What it is, such as `application/spdx+json`.
    pub artifact_type: String,
    /// Its manifest.
    pub manifest: Document,
    /// Its blob.
    pub blob: Document,
    /// Whether it is for registries only, and not for layouts and archives.
    pub is_for_registries: bool,
}

impl ArtifactParts {
    /// The manifest of the artifact about `subject`.
    pub fn manifest(&self, subject: &Descriptor) -> Document {
        let mut blob = descriptor(&self.media_type, self.blob.0, self.blob.1);
        if let Some(title) = &self.title {
            blob["annotations"] = json!({TITLE: title});
        }
        let config = Digest::of(EMPTY_CONFIG);
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": self.artifact_type,
            "config": descriptor(EMPTY_TYPE, config, EMPTY_CONFIG.len() as u64),
            "layers": [blob],
            "subject": descriptor(subject.media_type, subject.digest, subject.size),
        });
        if !self.annotations.is_empty() {
            manifest["annotations"] = json!(self.annotations);
        }
        Document::of(&manifest)
    }
}

impl Artifact {
    /// The artifact about `subject` whose only blob is `bytes`, a file called `title`.
    pub fn new(subject: &Descriptor, artifact_type: &str, title: &str, bytes: Vec<u8>) -> Self {
        let blob = Document { digest: Digest::of(&bytes), bytes };
        let parts = ArtifactParts {
            artifact_type: artifact_type.to_owned(),
            media_type: artifact_type.to_owned(),
            blob: (blob.digest, blob.bytes.len() as u64),
            title: Some(title.to_owned()),
            annotations: BTreeMap::new(),
        };
        let manifest = parts.manifest(subject);
        Self {
            subject: subject.digest,
            artifact_type: parts.artifact_type,
            manifest,
            blob,
            is_for_registries: false,
        }
    }
}

fn descriptor(media_type: &str, digest: Digest, size: u64) -> Value {
    json!({"mediaType": media_type, "digest": digest.to_string(), "size": size})
}

/// Makes `list` the list of artifacts of every entry of `index` that names `of`.
pub fn set_referrers(index: &mut Value, of: Digest, list: Digest) {
    let of = Value::from(of.to_string());
    let entries = index.get_mut("manifests").and_then(Value::as_array_mut);
    for entry in entries.into_iter().flatten().filter(|entry| entry["digest"] == of) {
        entry["annotations"][REFERRERS_ANNOTATION] = list.to_string().into();
    }
}

/// The digests of the lists of artifacts that the entries of `index` name, each once, in order.
/// With `of`, only those of entries that name it.
pub fn referrers_lists(index: &Value, of: Option<Digest>) -> Vec<Digest> {
    let of = of.map(|of| Value::from(of.to_string()));
    let entries = index.get("manifests").and_then(Value::as_array).into_iter().flatten();
    let mut lists = Vec::new();
    for entry in
        entries.filter(|entry| of.as_ref().is_none_or(|of| entry.get("digest") == Some(of)))
    {
        let list = entry.get("annotations").and_then(|all| all.get(REFERRERS_ANNOTATION)?.as_str());
        let list = list.and_then(|list| list.parse().ok());
        lists.extend(list.filter(|list| !lists.contains(list)));
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Descriptor {
        Descriptor {
            media_type: MANIFEST_TYPE,
            digest: Digest::of("image"),
            size: 5,
            platform: None,
            name: None,
        }
    }

    #[test]
    fn an_artifact_names_what_it_is_about() {
        let artifact = Artifact::new(&subject(), "application/x", "x.json", b"{\"a\":1}".to_vec());
        let manifest: Value = serde_json::from_slice(&artifact.manifest.bytes).unwrap();
        assert_eq!(manifest["subject"]["digest"], Digest::of("image").to_string());
        assert_eq!(manifest["artifactType"], "application/x");
        assert_eq!(manifest["config"]["digest"], Digest::of("{}").to_string());
        assert_eq!(manifest["layers"][0]["annotations"][TITLE], "x.json");
        assert_eq!(manifest["layers"][0]["size"], 7);
        assert_eq!(manifest.get("annotations"), None);
    }

    #[test]
    fn an_annotation_of_the_entry_leads_to_the_list() {
        let entry = |name: &str| json!({"digest": Digest::of(name).to_string()});
        let mut index = json!({"manifests": [entry("image"), entry("other"), entry("image")]});
        let (image, list) = (Digest::of("image"), Digest::of("list"));
        set_referrers(&mut index, image, list);
        assert_eq!(referrers_lists(&index, None), [list]);
        assert_eq!(referrers_lists(&index, Some(image)), [list]);
        assert_eq!(referrers_lists(&index, Some(Digest::of("other"))), []);
        assert_eq!(index["manifests"][1], entry("other"));
        let odd = json!({"manifests": [{"annotations": {REFERRERS_ANNOTATION: "x"}}, 3]});
        assert_eq!(referrers_lists(&odd, None), []);
    }
}
