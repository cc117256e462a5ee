//! The documents of an image as values. Everything in them is checked before it is used. The blobs
//! that they name are not opened here.

use serde_json::Value;

use super::{ImageError, json};
use crate::{
    digest::{DiffId, Digest},
    image::{Config, Platform},
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
    /// The values of `org.opencontainers.image.ref.name` and `io.containerd.image.name`.
    pub(super) names: Vec<String>,
    /// Whether it is an attestation about another image, which is never run.
    pub(super) is_attestation: bool,
}

/// A manifest or an index.
#[derive(Debug)]
pub(super) enum Document {
    Manifest(Manifest),
    Index(Vec<Descriptor>),
}

/// A manifest.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

/// One image of docker's `manifest.json`: paths in the archive.
#[derive(Debug)]
pub(super) struct DockerImage {
    pub(super) config: String,
    pub(super) layers: Vec<String>,
    pub(super) names: Vec<String>,
}

const FIELDS: [&str; 8] = [
    "schemaVersion",
    "mediaType",
    "config",
    "layers",
    "manifests",
    "annotations",
    "subject",
    "artifactType",
];
const DESCRIPTOR_FIELDS: [&str; 7] =
    ["mediaType", "digest", "size", "urls", "annotations", "platform", "data"];

/// Whether a blob of this media type is an index.
pub(super) fn is_index(media_type: &str) -> bool {
    matches!(
        media_type,
        "application/vnd.oci.image.index.v1+json"
            | "application/vnd.docker.distribution.manifest.list.v2+json"
    )
}

/// Whether a blob of this media type is a manifest.
pub(super) fn is_manifest(media_type: &str) -> bool {
    matches!(
        media_type,
        "application/vnd.oci.image.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v2+json"
    )
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
    let value = json::parse(bytes)?;
    let fields = json::fields(&value, &FIELDS)?;
    if fields.get("schemaVersion").and_then(Value::as_u64) != Some(2) {
        return Err("schemaVersion is not 2".into());
    }
    let own = fields.get("mediaType").map(|own| own.as_str().ok_or("mediaType is not a string"));
    let own = own.transpose()?;
    if let (Some(own), Some(said)) = (own, media_type)
        && own != said
    {
        return Err(format!("mediaType differs from the one in its descriptor, {said}"));
    }
    let (manifests, layers) = (fields.get("manifests"), fields.get("layers"));
    let is_index_type = own.or(media_type).map(is_index);
    match (manifests, layers) {
        (Some(_), Some(_)) => Err("both a manifest and an index".into()),
        (Some(manifests), None)
            if is_index_type != Some(false) && !fields.contains_key("config") =>
        {
            list(manifests)?.iter().map(descriptor).collect::<Result<_, _>>().map(Document::Index)
        }
        (None, Some(layers)) if is_index_type != Some(true) => {
            let config = descriptor(fields.get("config").ok_or("config is missing")?)?;
            let layers = list(layers)?.iter().map(descriptor).collect::<Result<_, _>>()?;
            Ok(Document::Manifest(Manifest { config, layers }))
        }
        _ => Err("neither a manifest nor an index".into()),
    }
}

fn list(value: &Value) -> Result<&[Value], String> {
    match value.as_array() {
        Some(items) if items.len() > MAX_LAYERS => Err(format!("more than {MAX_LAYERS} entries")),
        Some(items) => Ok(items),
        None => Err("expected a list".into()),
    }
}

fn descriptor(value: &Value) -> Result<Descriptor, String> {
    let fields = json::fields(value, &DESCRIPTOR_FIELDS)?;
    let text = |name: &str| {
        fields
            .get(name)
            .and_then(Value::as_str)
            .ok_or_else(|| format!("a descriptor without {name}"))
    };
    let digest: Digest = text("digest")?.parse().map_err(|error| format!("{error}"))?;
    // Memory is never allocated by this number.
    let size =
        fields.get("size").and_then(Value::as_u64).filter(|size| i64::try_from(*size).is_ok());
    let size = size.ok_or("the size in a descriptor is not a number of bytes")?;
    if let Some(data) = fields.get("data") {
        let data = data.as_str().and_then(base64);
        let data = data.ok_or("the data in a descriptor is not base64")?;
        if data.len() as u64 != size || Digest::of(&data) != digest {
            return Err(format!("the data in the descriptor of {digest} does not match it"));
        }
    }
    let annotation = |name: &str| fields.get("annotations").and_then(|all| all.get(name)?.as_str());
    let names = ["org.opencontainers.image.ref.name", "io.containerd.image.name"];
    let platform = fields.get("platform").and_then(Platform::of_json);
    let unknown =
        platform.as_ref().is_some_and(|p| p.os == "unknown" && p.architecture == "unknown");
    Ok(Descriptor {
        media_type: text("mediaType")?.into(),
        digest,
        size,
        platform,
        names: names.into_iter().filter_map(annotation).map(Into::into).collect(),
        is_attestation: unknown || annotation("vnd.docker.reference.type").is_some(),
    })
}

/// The diff ids of a configuration.
pub(super) fn diff_ids(config: &Config) -> Result<Vec<DiffId>, String> {
    const FIELDS: [&str; 6] = ["rootfs", "config", "history", "architecture", "os", "variant"];
    json::check_case(&config.original, &FIELDS)?;
    let rootfs = config.original.get("rootfs").ok_or("rootfs is missing")?;
    let ids = json::fields(rootfs, &["type", "diff_ids"])?;
    match ids.get("diff_ids") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(ids) => list(ids)?.iter().map(diff_id).collect(),
    }
}

fn diff_id(value: &Value) -> Result<DiffId, String> {
    let text = value.as_str().ok_or("a diff id is not a string")?;
    text.parse().map(DiffId).map_err(|error| format!("{error}"))
}

/// Parses docker's `manifest.json`.
pub(super) fn docker(bytes: &[u8]) -> Result<Vec<DockerImage>, ImageError> {
    let parsed =
        json::parse(bytes).and_then(|value| list(&value)?.iter().map(docker_image).collect());
    parsed.map_err(|why| ImageError::document("manifest.json", why))
}

fn docker_image(value: &Value) -> Result<DockerImage, String> {
    let fields = json::fields(value, &["Config", "RepoTags", "Layers"])?;
    let texts = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(items) => list(items)?
            .iter()
            .map(|item| {
                item.as_str()
                    .map(str::to_owned)
                    .ok_or_else(|| format!("an entry of {name} is not a string"))
            })
            .collect(),
    };
    let layers = texts("Layers")?;
    let config =
        fields.get("Config").and_then(Value::as_str).ok_or("an image without Config")?.to_owned();
    // These names are looked up among the archive's members only, so such a name could do no harm.
    // But no valid archive has one.
    for name in layers.iter().chain([&config]) {
        if name.is_empty() || name.starts_with('/') || name.split('/').any(|part| part == "..") {
            return Err("a path leads out of the archive".into());
        }
    }
    Ok(DockerImage { config, layers, names: texts("RepoTags")? })
}

/// Parses an image's configuration, called `name` in errors.
pub(super) fn config(name: &str, bytes: &[u8]) -> Result<Config, ImageError> {
    let config = json::parse(bytes)
        .and_then(|value| Config::parse(value).map_err(|error| error.to_string()));
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

    fn blob(text: &str) -> String {
        format!(r#"{{"mediaType":"x","digest":"{}","size":{}}}"#, Digest::of(text), text.len())
    }

    #[test]
    fn a_document_is_a_manifest_or_an_index_and_never_both() {
        let one = blob("x");
        let manifest = format!(r#"{{"schemaVersion":2,"config":{one},"layers":[{one}]}}"#);
        assert!(matches!(document(manifest.as_bytes(), Some(MANIFEST)), Ok(Document::Manifest(_))));
        assert!(
            document(manifest.as_bytes(), Some("application/vnd.oci.image.index.v1+json")).is_err()
        );
        for wrong in [
            format!(r#"{{"schemaVersion":2,"config":{one},"layers":[],"manifests":[]}}"#),
            format!(r#"{{"schemaVersion":2,"config":{one},"manifests":[]}}"#),
            format!(r#"{{"schemaVersion":1,"config":{one},"layers":[]}}"#),
            format!(r#"{{"schemaVersion":2,"mediaType":"y","config":{one},"layers":[]}}"#),
            format!(r#"{{"schemaVersion":2,"config":{one},"Layers":[]}}"#),
            format!(r#"{{"schemaVersion":2,"layers":[{one}]}}"#),
        ] {
            assert!(document(wrong.as_bytes(), Some(MANIFEST)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn descriptors_are_checked_field_by_field() {
        let parse = |text: &str| descriptor(&json::parse(text.as_bytes()).unwrap());
        let digest = Digest::of("hi!").to_string();
        let with = |size: &str, more: &str| {
            parse(&format!(r#"{{"mediaType":"x","digest":"{digest}","size":{size}{more}}}"#))
        };
        assert_eq!(with("3", r#","data":"aGkh""#).unwrap().size, 3);
        for size in ["-1", "1.5", "18446744073709551615", "\"3\"", "null"] {
            assert!(with(size, "").is_err(), "{size}");
        }
        assert!(with("3", r#","data":"aGk/""#).is_err());
        for digest in ["sha256:../../x", "sha512:00", "", "sha256:AB"] {
            assert!(
                parse(&format!(r#"{{"mediaType":"x","digest":"{digest}","size":1}}"#)).is_err(),
                "{digest}"
            );
        }
    }

    #[test]
    fn base64_of_any_length() {
        for (text, wanted) in [("", ""), ("YQ==", "a"), ("YWI=", "ab"), ("YWJj", "abc")] {
            assert_eq!(base64(text).unwrap(), wanted.as_bytes());
        }
        assert!(base64("YQ").is_none() && base64("Y=Q=").is_none());
    }

    #[test]
    fn docker_names_stay_in_the_archive() {
        let parse =
            |layer: &str| docker(format!(r#"[{{"Config":"c","Layers":["{layer}"]}}]"#).as_bytes());
        assert_eq!(parse("abc/layer.tar").unwrap()[0].layers, ["abc/layer.tar"]);
        for layer in ["../x", "/etc/passwd", "a/../../x", ""] {
            assert!(parse(layer).is_err(), "{layer}");
        }
        assert!(docker(b"null").is_err() && docker(b"[null]").is_err());
    }
}
