//! The documents of an image as values. Everything in them is checked before it is used. The blobs
//! that they name are not opened here.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{ImageError, json};
use crate::{
    digest::{DiffId, Digest},
    image::{Config, Platform, fields},
};

/// The most layers of one image: as many as fit into a manifest of 4 MiB.
const MAX_LAYERS: usize = 26_000;

/// A reference from one document to a blob (OCI image-spec, descriptor.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    /// The platform of an image in an index, if the index gives it.
    pub(super) platform: Option<Platform>,
    /// What the index calls the image.
    pub(super) names: Names,
    /// Its annotations whose values are text.
    pub(super) annotations: BTreeMap<String, String>,
    /// Whether the descriptor says that it is not that of an image: an attestation about another
    /// image, or another artifact.
    pub(super) is_artifact: bool,
}

/// What an index calls an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// `org.opencontainers.image.ref.name`: the tag, or the whole name.
    pub(super) ref_name: Option<String>,
    /// `io.containerd.image.name`: the whole name.
    pub(super) image_name: Option<String>,
}

/// A manifest or an index.
#[derive(Debug)]
pub(super) enum Document {
    Manifest(Box<Manifest>),
    Index(Vec<Descriptor>),
}

/// A manifest.
#[derive(Debug)]
pub(super) struct Manifest {
    /// The media type that it gives itself.
    pub(super) media_type: Option<String>,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
    artifact_type: Option<String>,
    /// Whether it is about another manifest, as signatures are.
    pub(super) has_subject: bool,
    /// The digest of the manifest that it is about, if that can be compared.
    pub(super) subject: Option<Digest>,
}

/// The media type of an index in OCI's form.
pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of a manifest in OCI's form.
pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

const INDEX_TYPES: [&str; 2] =
    [OCI_INDEX, "application/vnd.docker.distribution.manifest.list.v2+json"];
const MANIFEST_TYPES: [&str; 2] =
    [OCI_MANIFEST, "application/vnd.docker.distribution.manifest.v2+json"];
const CONFIG_TYPES: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
/// A `+gzip`, `+zstd` or `.gzip`, `.zstd` may follow.
const LAYER_TYPES: [&str; 4] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
];

/// The media type of a manifest or index; `None` for another.
pub(super) fn known_type(media_type: &str) -> Option<&'static str> {
    INDEX_TYPES.into_iter().chain(MANIFEST_TYPES).find(|known| *known == media_type)
}

/// Whether a blob of this media type is an index.
pub(super) fn is_index(media_type: &str) -> bool {
    INDEX_TYPES.contains(&media_type)
}

/// Whether a blob of this media type is a manifest.
pub(super) fn is_manifest(media_type: &str) -> bool {
    MANIFEST_TYPES.contains(&media_type)
}

/// Whether a blob of this media type is a layer.
fn is_layer(media_type: &str) -> bool {
    let compressed = |rest: &str| matches!(rest, "" | "+gzip" | "+zstd" | ".gzip" | ".zstd");
    LAYER_TYPES.iter().any(|known| media_type.strip_prefix(known).is_some_and(compressed))
}

impl Manifest {
    /// Its media type: what it says, or else that of the form which its configuration has.
    pub(super) fn own_type(&self) -> &'static str {
        let said = self.media_type.as_deref().and_then(known_type);
        let [_, docker] = MANIFEST_TYPES;
        let is_docker = self.config.media_type == CONFIG_TYPES[1];
        said.unwrap_or(if is_docker { docker } else { OCI_MANIFEST })
    }

    /// Why it is not the manifest of an image, but of a signature, an attestation or another
    /// artifact; `None` if it is that of an image.
    pub(super) fn why_not_an_image(&self) -> Option<String> {
        if let Some(kind) = self.artifact_type.as_deref().filter(|kind| is_artifact_type(kind)) {
            return Some(format!("`artifactType` is `{}`", shown(kind)));
        }
        if !CONFIG_TYPES.contains(&&*self.config.media_type) {
            let found = shown(&self.config.media_type);
            return Some(format!("`config.mediaType` is `{found}`"));
        }
        let at = self.layers.iter().position(|layer| !is_layer(&layer.media_type))?;
        let found = shown(&self.layers.get(at)?.media_type);
        Some(format!("`layers[{at}].mediaType` is `{found}`"))
    }
}

/// Whether something with this `artifactType` is an artifact. A descriptor of an image may repeat
/// the media type of its configuration there.
fn is_artifact_type(kind: &str) -> bool {
    !kind.is_empty() && !CONFIG_TYPES.contains(&kind)
}

/// Text of a document, for a message.
fn shown(text: &str) -> String {
    crate::path::escape(text.chars().take(100).collect::<String>().as_bytes())
}

impl Names {
    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        self.ref_name.iter().chain(&self.image_name).map(|name| &**name)
    }
}

/// Parses `bytes`, called `name` in errors, as a manifest or index. `media_type` is the one in its
/// descriptor. The document must not contradict it, and must not be both a manifest and an index
/// (CVE-2021-41190).
pub(super) fn parse(
    name: &str,
    bytes: &[u8],
    media_type: Option<&str>,
) -> Result<Document, ImageError> {
    document(bytes, media_type).map_err(|why| ImageError::document(name, why))
}

fn document(bytes: &[u8], media_type: Option<&str>) -> Result<Document, String> {
    let value = json::document(bytes, &fields::MANIFEST)?;
    let field = |name: &str| value.get(name).filter(|value| !value.is_null());
    let text = |name: &str| field(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if field("schemaVersion").and_then(Value::as_u64) != Some(2) {
        return Err("`schemaVersion` is not 2".into());
    }
    let own = text("mediaType");
    if let (Some(own), Some(said)) = (own, media_type)
        && own != said
    {
        return Err(format!("`mediaType` differs from the one in its descriptor, {said}"));
    }
    let is_index = own.or(media_type).map(is_index);
    let has_manifest = field("layers").is_some() || field("config").is_some();
    if field("manifests").is_some() && has_manifest {
        return Err("both a manifest and an index".into());
    }
    // An index without images may have `null` for a list (docker 25).
    if value.get("manifests").is_some() && !has_manifest && is_index != Some(false) {
        return descriptors(&value, "manifests").map(Document::Index);
    }
    if !has_manifest || is_index == Some(true) {
        return Err("neither a manifest nor an index".into());
    }
    let config = field("config").ok_or("`config` is missing")?;
    Ok(Document::Manifest(Box::new(Manifest {
        media_type: own.map(Into::into),
        config: descriptor(config, "config")?,
        layers: descriptors(&value, "layers")?,
        artifact_type: text("artifactType").map(Into::into),
        has_subject: field("subject").is_some(),
        subject: field("subject").and_then(|of| of.get("digest")?.as_str()?.parse().ok()),
    })))
}

/// An annotation of a manifest.
pub(super) fn annotation(manifest: &[u8], name: &str) -> Option<String> {
    let value = json::document(manifest, &fields::MANIFEST).ok()?;
    Some(value.get("annotations")?.get(name)?.as_str()?.to_owned())
}

/// All annotations of a manifest whose values are text.
pub(super) fn annotations(manifest: &[u8]) -> BTreeMap<String, String> {
    json::document(manifest, &fields::MANIFEST).map(|value| texts(&value)).unwrap_or_default()
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let all = value.get("annotations").and_then(Value::as_object).into_iter().flatten();
    all.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// A list; `null` and a missing one are empty.
fn list<'a>(value: &'a Value, name: &str) -> Result<&'a [Value], String> {
    match value.get(name).and_then(Value::as_array) {
        Some(items) if items.len() > MAX_LAYERS => {
            Err(format!("`{name}` has more than {MAX_LAYERS} entries"))
        }
        Some(items) => Ok(items),
        None => Ok(&[]),
    }
}

fn descriptors(value: &Value, name: &str) -> Result<Vec<Descriptor>, String> {
    let items = list(value, name)?.iter().enumerate();
    items.map(|(at, item)| descriptor(item, &format!("{name}[{at}]"))).collect()
}

/// Parses the descriptor in the field `place`.
fn descriptor(value: &Value, place: &str) -> Result<Descriptor, String> {
    let text = |name: &str| {
        let text = value.get(name).and_then(Value::as_str);
        text.ok_or_else(|| format!("`{place}.{name}` is missing"))
    };
    let digest = text("digest")?.parse::<Digest>();
    let digest = digest.map_err(|error| format!("`{place}.digest`: {error}"))?;
    // Memory is never allocated by this number.
    let size =
        value.get("size").and_then(Value::as_u64).filter(|size| i64::try_from(*size).is_ok());
    let size = size.ok_or_else(|| format!("`{place}.size` is not a number of bytes"))?;
    if let Some(data) = value.get("data").and_then(Value::as_str) {
        let data = base64(data).ok_or_else(|| format!("`{place}.data` is not base64"))?;
        if data.len() as u64 != size || Digest::of(&data) != digest {
            return Err(format!("`{place}.data` does not match its digest {digest}"));
        }
    }
    let annotations = texts(value);
    let name = |name: &str| annotations.get(name).filter(|name| !name.is_empty()).cloned();
    let platform = value.get("platform").and_then(Platform::of_json);
    let unknown =
        platform.as_ref().is_some_and(|p| p.os == "unknown" && p.architecture == "unknown");
    let artifact_type = value.get("artifactType").and_then(Value::as_str);
    Ok(Descriptor {
        media_type: text("mediaType")?.into(),
        digest,
        size,
        platform,
        names: Names {
            ref_name: name("org.opencontainers.image.ref.name"),
            image_name: name("io.containerd.image.name"),
        },
        is_artifact: unknown
            || artifact_type.is_some_and(is_artifact_type)
            || annotations.contains_key("vnd.docker.reference.type"),
        annotations,
    })
}

/// The diff ids of a configuration.
pub(super) fn diff_ids(config: &Config) -> Result<Vec<DiffId>, String> {
    let rootfs = config.original.get("rootfs").filter(|rootfs| !rootfs.is_null());
    let rootfs = rootfs.ok_or("`rootfs` is missing")?;
    let kind = rootfs.get("type").and_then(Value::as_str).unwrap_or_default();
    if !matches!(kind, "" | "layers") {
        return Err(format!("`rootfs.type` is `{}`, not `layers`", shown(kind)));
    }
    list(rootfs, "diff_ids")?.iter().enumerate().map(diff_id).collect()
}

fn diff_id((at, value): (usize, &Value)) -> Result<DiffId, String> {
    let text = value.as_str().unwrap_or_default();
    text.parse().map(DiffId).map_err(|error| format!("`rootfs.diff_ids[{at}]`: {error}"))
}

/// Parses an image's configuration, called `name` in errors. What it does not say of its platform
/// is taken from `fallback`.
pub(super) fn config(name: &str, bytes: &[u8], fallback: &Platform) -> Result<Config, ImageError> {
    let config = json::parse(bytes)
        .and_then(|value| Config::parse(value, fallback).map_err(|error| error.to_string()));
    config.map_err(|why| ImageError::document(name, why))
}

/// Decodes base64 with padding (RFC 4648, section 4); `None` if `text` is malformed.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let (mut out, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for byte in digits.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

    fn blob(media_type: &str) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":1}}"#, Digest::of("x"))
    }

    #[test]
    fn a_document_is_a_manifest_or_an_index_and_never_both() {
        let one = blob("x");
        let manifest = format!(r#"{{"schemaVersion":2,"Config":{one},"layerS":[{one}]}}"#);
        assert!(matches!(document(manifest.as_bytes(), Some(MANIFEST)), Ok(Document::Manifest(_))));
        assert!(
            document(manifest.as_bytes(), Some("application/vnd.oci.image.index.v1+json")).is_err()
        );
        for wrong in [
            format!(r#"{{"schemaVersion":2,"config":{one},"layers":[],"manifests":[]}}"#),
            format!(r#"{{"schemaVersion":2,"config":{one},"manifests":[]}}"#),
            format!(r#"{{"schemaVersion":1,"config":{one},"layers":[]}}"#),
            format!(r#"{{"schemaVersion":2,"mediaType":"y","config":{one},"layers":[]}}"#),
            format!(r#"{{"schemaVersion":2,"config":{one},"layers":[],"Layers":[]}}"#),
            format!(r#"{{"schemaVersion":2,"layers":[{one}]}}"#),
            r#"{"schemaVersion":2}"#.into(),
        ] {
            assert!(document(wrong.as_bytes(), Some(MANIFEST)).is_err(), "{wrong}");
        }
        let empty = document(br#"{"schemaVersion":2,"manifests":null}"#, None);
        assert!(matches!(empty, Ok(Document::Index(all)) if all.is_empty()));
    }

    #[test]
    fn artifacts_are_told_from_images() {
        let why = |config: &str, layer: &str, more: &str| {
            let (config, layer) = (blob(config), blob(layer));
            let text =
                format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]{more}}}"#);
            match document(text.as_bytes(), Some(MANIFEST)) {
                Ok(Document::Manifest(manifest)) => manifest.why_not_an_image(),
                other => panic!("{other:?}"),
            }
        };
        let (config, layer) = (CONFIG_TYPES[0], "application/vnd.oci.image.layer.v1.tar+zstd");
        assert_eq!(why(config, layer, ""), None);
        assert_eq!(why(config, layer, &format!(r#","artifactType":"{config}""#)), None);
        assert_eq!(
            why(config, layer, r#","artifactType":"a/b""#).unwrap(),
            "`artifactType` is `a/b`"
        );
        assert_eq!(why("a/b", layer, "").unwrap(), "`config.mediaType` is `a/b`");
        assert_eq!(why(config, "x", "").unwrap(), "`layers[0].mediaType` is `x`");
        assert!(why(config, &format!("{layer}+encrypted"), "").is_some());
    }

    #[test]
    fn descriptors_are_checked_field_by_field() {
        let parse = |text: &str| descriptor(&json::parse(text.as_bytes()).unwrap(), "config");
        let digest = Digest::of("hi!").to_string();
        let with = |size: &str, more: &str| {
            parse(&format!(r#"{{"mediaType":"x","digest":"{digest}","size":{size}{more}}}"#))
        };
        assert_eq!(with("3", r#","data":"aGkh""#).unwrap().size, 3);
        for size in ["-1", "1.5", "18446744073709551615", "\"3\"", "null"] {
            assert!(with(size, "").is_err(), "{size}");
        }
        assert!(with("3", r#","data":"aGk/""#).is_err());
        for digest in ["sha256:../../x", "", "sha256:AB"] {
            assert!(
                parse(&format!(r#"{{"mediaType":"x","digest":"{digest}","size":1}}"#)).is_err(),
                "{digest}"
            );
        }
        let long = format!("sha512:{}", "0".repeat(128));
        let error = parse(&format!(r#"{{"mediaType":"x","digest":"{long}","size":1}}"#));
        let error = error.unwrap_err();
        assert!(error.contains("`config.digest`") && error.contains("sha512"), "{error}");
    }

    #[test]
    fn base64_of_any_length() {
        for (text, wanted) in [("", ""), ("YQ==", "a"), ("YWI=", "ab"), ("YWJj", "abc")] {
            assert_eq!(base64(text).unwrap(), wanted.as_bytes());
        }
        assert!(base64("YQ").is_none() && base64("Y=Q=").is_none());
    }
}
