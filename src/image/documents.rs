//! Writes the manifest, the index and docker's `manifest.json` (OCI image-spec, manifest.md,
//! image-index.md; moby's `image/tarexport`).

use std::collections::BTreeMap;

use oci_spec::image as oci;
use serde_json::{Value, json};

use super::{Document, Layer, LayerFormat, Platform, Reference, config::write::to_value};
use crate::digest::Digest;

/// The media type of an image's manifest.
pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an index.
pub const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// An entry of an index: a manifest or another index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Its media type.
    pub media_type: &'static str,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// The image's platform; an index has several.
    pub platform: Option<Platform>,
    /// The image's name, if it has one.
    pub name: Option<Reference>,
}

pub(super) fn manifest(
    config: &Document,
    layers: &[Layer],
    annotations: &BTreeMap<String, String>,
) -> Value {
    let layers = layers.iter().map(|layer| {
        let media_type = match layer.format {
            LayerFormat::Tar => oci::MediaType::ImageLayer,
            LayerFormat::Gzip => oci::MediaType::ImageLayerGzip,
            LayerFormat::Zstd => oci::MediaType::ImageLayerZstd,
        };
        let mut descriptor = oci::Descriptor::new(media_type, layer.size, digest(layer.digest));
        if !layer.annotations.is_empty() {
            let annotations = layer.annotations.clone().into_iter().collect::<Unsorted>();
            descriptor.set_annotations(Some(annotations));
        }
        descriptor
    });
    let config = oci::Descriptor::new(
        oci::MediaType::ImageConfig,
        config.bytes.len() as u64,
        digest(config.digest),
    );
    let mut document = oci::ImageManifestBuilder::default();
    document = document
        .schema_version(oci::SCHEMA_VERSION)
        .media_type(oci::MediaType::ImageManifest)
        .config(config)
        .layers(layers.collect::<Vec<_>>());
    if !annotations.is_empty() {
        document = document.annotations(annotations.clone().into_iter().collect::<Unsorted>());
    }
    // The builder fails only if a required field is not set, and all of them are set above.
    document.build().map_or(Value::Null, |document| to_value(&document))
}

/// The `index.json` of a layout that contains `manifests`. The name is written to two annotations:
/// containerd, docker and podman read the full name, skopeo and umoci select by the tag.
pub fn index(manifests: &[Descriptor]) -> Value {
    let manifests: Vec<_> = manifests.iter().map(entry).collect();
    let document = oci::ImageIndexBuilder::default()
        .schema_version(oci::SCHEMA_VERSION)
        .media_type(oci::MediaType::ImageIndex)
        .manifests(manifests)
        .build();
    document.map_or(Value::Null, |document| to_value(&document))
}

/// An image that is in a layout no more, since another got its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// The tag.
    pub tag: String,
    /// Its whole name, if the layout had one.
    pub name: Option<String>,
    /// Its platform, if the layout had one.
    pub platform: Option<String>,
    /// The digest of its manifest or index; empty if the entry had none.
    pub digest: String,
    /// Whether it had another name or platform than the image that replaced it, so that it is not
    /// an older build of the same.
    pub is_other: bool,
}

/// Adds `manifests` to `old`, an existing `index.json`. Entries with the same tag are replaced, as
/// by skopeo, umoci and podman, all of which select an image by its tag; all others stay as they
/// are. Returns the new index and what was replaced; `None` if `old` has no list of manifests.
pub fn merge_index(old: &Value, manifests: &[Descriptor]) -> Option<(Value, Vec<Replaced>)> {
    let mut merged = old.clone();
    let entries = merged.get_mut("manifests")?.as_array_mut()?;
    let tag = |entry: &Value| entry["annotations"][REF_NAME].as_str().map(str::to_owned);
    let mut all_replaced = Vec::new();
    for new in manifests.iter().map(|descriptor| to_value(&entry(descriptor))) {
        let new_tag = tag(&new);
        entries.retain(|old| {
            if new_tag.is_none() || tag(old) != new_tag {
                return *old != new;
            }
            all_replaced.extend(replaced(old, &new));
            false
        });
        entries.push(new);
    }
    Some((merged, all_replaced))
}

/// The entry `old` whose tag `new` gets, unless both say the same.
fn replaced(old: &Value, new: &Value) -> Option<Replaced> {
    let name =
        |entry: &Value| Some(entry.get("annotations")?.get(IMAGE_NAME)?.as_str()?.to_owned());
    let platform = |entry: &Value| {
        let platform = entry.get("platform")?;
        let parts = ["os", "architecture", "variant"].map(|field| platform.get(field)?.as_str());
        Some(parts.into_iter().flatten().collect::<Vec<_>>().join("/"))
    };
    let differ = |one: &Option<String>, other| one.is_some() && *one != other;
    let is_index = platform(new).is_none();
    let is_other =
        differ(&name(old), name(new)) || (!is_index && differ(&platform(old), platform(new)));
    (is_other || old["digest"] != new["digest"]).then(|| Replaced {
        tag: old["annotations"][REF_NAME].as_str().unwrap_or_default().into(),
        name: name(old),
        platform: platform(old),
        digest: old["digest"].as_str().unwrap_or_default().into(),
        is_other,
    })
}

/// Docker's `manifest.json`. `docker load` needs it unless docker uses the containerd store.
pub fn docker_manifest(config: Digest, layers: &[Digest], names: &[Reference]) -> Value {
    let blob = |digest: Digest| format!("blobs/sha256/{}", digest.hex());
    json!([{
        "Config": blob(config),
        "RepoTags": names.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "Layers": layers.iter().map(|layer| blob(*layer)).collect::<Vec<_>>(),
    }])
}

const REF_NAME: &str = "org.opencontainers.image.ref.name";
const IMAGE_NAME: &str = "io.containerd.image.name";

/// The map type that `oci_spec` uses for annotations; [`to_value`] sorts it.
#[expect(clippy::disallowed_types, reason = "the type that oci_spec's builders take")]
type Unsorted = std::collections::HashMap<String, String>;

fn entry(manifest: &Descriptor) -> oci::Descriptor {
    let media_type = oci::MediaType::from(manifest.media_type);
    let mut entry = oci::Descriptor::new(media_type, manifest.size, digest(manifest.digest));
    if let Some(of_image) = &manifest.platform {
        let mut platform = oci::Platform::default();
        platform
            .set_os(oci::Os::from(&*of_image.os))
            .set_architecture(oci::Arch::from(&*of_image.architecture))
            .set_variant(of_image.variant.clone());
        entry.set_platform(Some(platform));
    }
    if let Some(name) = &manifest.name {
        let annotations =
            [(IMAGE_NAME.to_owned(), name.to_string()), (REF_NAME.to_owned(), name.tag.clone())];
        entry.set_annotations(Some(annotations.into_iter().collect::<Unsorted>()));
    }
    entry
}

fn digest(digest: Digest) -> oci::Digest {
    let text = digest.to_string();
    oci::Digest::try_from(text).unwrap_or_else(|_| unreachable!("a sha256 digest prints as one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(name: &str) -> Descriptor {
        let platform = Platform::linux("amd64", None);
        Descriptor {
            media_type: MANIFEST_TYPE,
            digest: Digest::of(name),
            size: 3,
            platform: Some(platform),
            name: Some(name.parse().unwrap()),
        }
    }

    #[test]
    fn names_are_written_to_both_annotations() {
        let json = index(&[descriptor("app:1.0")]);
        assert_eq!(json["manifests"][0]["annotations"][REF_NAME], "1.0");
        assert_eq!(json["manifests"][0]["annotations"][IMAGE_NAME], "docker.io/library/app:1.0");
        assert_eq!(json["mediaType"], "application/vnd.oci.image.index.v1+json");
    }

    #[test]
    fn a_layout_keeps_its_other_tags() {
        let mut old = index(&[descriptor("app:1"), descriptor("app:2")]);
        old["future"] = 1.into();
        let new = Descriptor { digest: Digest::of("new"), ..descriptor("app:2") };
        let (merged, replaced) = merge_index(&old, &[new]).unwrap();
        assert_eq!(merged["future"], 1);
        assert_eq!(merged["manifests"].as_array().unwrap().len(), 2);
        assert_eq!(merged["manifests"][0], old["manifests"][0]);
        assert_eq!(merged["manifests"][1]["digest"], Digest::of("new").to_string());
        let [replaced] = &replaced[..] else { panic!("{replaced:?}") };
        assert_eq!((&*replaced.tag, replaced.is_other), ("2", false));
        assert_eq!(replaced.digest, old["manifests"][1]["digest"]);
        assert_eq!(merge_index(&json!({"manifests": 3}), &[]), None);
    }

    #[test]
    fn another_image_that_had_the_tag_is_told() {
        let merge = |old: &str, new: Descriptor| {
            let (merged, replaced) = merge_index(&index(&[descriptor(old)]), &[new]).unwrap();
            assert_eq!(merged["manifests"].as_array().unwrap().len(), 1);
            replaced
        };
        assert_eq!(merge("app:1", descriptor("app:1")), []);
        let [other] = &merge("curl:1", descriptor("bash:1"))[..] else { panic!() };
        assert_eq!(other.name.as_deref(), Some("docker.io/library/curl:1"));
        assert_eq!(other.platform.as_deref(), Some("linux/amd64"));
        let arm = Platform::linux("arm", Some("v7"));
        let same = Descriptor { platform: Some(arm), ..descriptor("app:1") };
        assert!(merge("app:1", same)[0].is_other, "the platform differs");
        let index = Descriptor { platform: None, media_type: INDEX_TYPE, ..descriptor("app:1") };
        let index = Descriptor { digest: Digest::of("index"), ..index };
        assert!(!merge("app:1", index)[0].is_other, "an index may have the same platform");
    }
}
