//! The rules of the OCI image specification 1.1, as checks on documents and blobs that share no
//! code with imgb: required fields, patterns, media types, and that every digest, size and diff id
//! is right. Each check returns the faults that it finds, so that it can be tested on broken
//! documents too.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::sandbox::Sandbox;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// An OCI layout on disk that holds one image.
pub(crate) struct Layout {
    dir: PathBuf,
    /// The content of index.json.
    pub(crate) manifest_digest: String,
    pub(crate) manifest: Value,
    pub(crate) config: Value,
}

impl Layout {
    /// Reads a layout, and asserts that its documents and blobs have no fault.
    pub(crate) fn open(dir: &Path) -> Self {
        let faults = layout_faults(dir);
        assert!(
            faults.is_empty(),
            "{} is not a valid layout:\n{}",
            dir.display(),
            faults.join("\n")
        );
        let index = json_file(&dir.join("index.json")).unwrap();
        let manifests = list(&index, "manifests");
        let digests: Vec<&Value> =
            manifests.iter().map(|descriptor| &descriptor["digest"]).collect();
        assert!(
            digests.windows(2).all(|pair| pair[0] == pair[1]),
            "more than one image: {index:#}"
        );
        let manifest_digest = text(&manifests[0], "digest").to_owned();
        let manifest = json_file(&blob(dir, &manifest_digest)).unwrap();
        let config = json_file(&blob(dir, text(&manifest["config"], "digest"))).unwrap();
        Self { dir: dir.to_owned(), manifest_digest, manifest, config }
    }

    /// Unpacks an archive with GNU tar into the directory `to` of the sandbox, and reads the layout
    /// there.
    pub(crate) fn unpack(sandbox: &Sandbox, archive: &str, to: &str) -> Self {
        sandbox.dir(to);
        sandbox.tool("tar", "--extract --file").arg(archive).args("--directory").arg(to).run().ok();
        Self::open(&sandbox.path(to))
    }

    /// The descriptors of the index.
    pub(crate) fn names(&self) -> Vec<Value> {
        list(&json_file(&self.dir.join("index.json")).unwrap(), "manifests").to_vec()
    }

    /// The layers' blobs, lowest first.
    pub(crate) fn layers(&self) -> Vec<PathBuf> {
        list(&self.manifest, "layers")
            .iter()
            .map(|layer| blob(&self.dir, text(layer, "digest")))
            .collect()
    }

    /// The digests of the layers' uncompressed tars.
    pub(crate) fn diff_ids(&self) -> Vec<String> {
        let ids = list(&self.config["rootfs"], "diff_ids");
        ids.iter().map(|id| id.as_str().unwrap_or_default().to_owned()).collect()
    }
}

fn blob(dir: &Path, digest: &str) -> PathBuf {
    dir.join("blobs").join(digest.replace(':', "/"))
}

fn json_file(path: &Path) -> Result<Value, String> {
    let bytes = fs_err::read(path).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// The digest (`sha256:` and hex) and the length in bytes of everything that `reader` returns.
pub(crate) fn digest_of(mut reader: impl Read) -> (String, u64) {
    let mut hash = Sha256::new();
    let mut len = 0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = reader.read(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
        len += count as u64;
    }
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    (format!("sha256:{hex}"), len)
}

/// The digest of a file.
pub(crate) fn file_digest(path: impl AsRef<Path>) -> String {
    digest_of(fs_err::File::open(path.as_ref()).unwrap()).0
}

/// The faults of a whole layout: its documents, and each blob against the descriptor that names it.
fn layout_faults(dir: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    match json_file(&dir.join("oci-layout")) {
        Ok(layout) if layout["imageLayoutVersion"] == "1.0.0" => {}
        Ok(layout) => faults.push(format!("oci-layout says {layout}")),
        Err(error) => faults.push(error),
    }
    let index =
        json_file(&dir.join("index.json")).unwrap_or_else(|error| json!({ "fault": error }));
    faults.extend(index_faults(&index));
    for descriptor in list(&index, "manifests") {
        faults.extend(blob_faults(dir, descriptor));
        let Ok(manifest) = json_file(&blob(dir, text(descriptor, "digest"))) else { continue };
        faults.extend(manifest_faults(&manifest));
        faults.extend(blob_faults(dir, &manifest["config"]));
        let config = json_file(&blob(dir, text(&manifest["config"], "digest"))).unwrap_or_default();
        faults.extend(config_faults(&config));
        let (layers, ids) = (list(&manifest, "layers"), list(&config["rootfs"], "diff_ids"));
        if layers.len() != ids.len() {
            faults.push(format!("{} layers and {} diff ids", layers.len(), ids.len()));
        }
        for (layer, id) in layers.iter().zip(ids) {
            faults.extend(blob_faults(dir, layer));
            let found = diff_id(&blob(dir, text(layer, "digest")), text(layer, "mediaType"));
            if found.as_deref() != id.as_str() {
                faults.push(format!("the diff id {id} of {layer} should be {found:?}"));
            }
        }
    }
    if dir.join("manifest.json").exists() {
        faults.extend(docker_faults(dir));
    }
    faults
}

/// The digest of a layer's uncompressed tar.
fn diff_id(path: &Path, media_type: &str) -> Option<String> {
    let file = fs_err::File::open(path).ok()?;
    let reader: Box<dyn Read> = match media_type.strip_prefix(LAYER)? {
        "" => Box::new(file),
        "+gzip" => Box::new(flate2::read::MultiGzDecoder::new(file)),
        "+zstd" => Box::new(zstd::Decoder::new(file).ok()?),
        _ => return None,
    };
    Some(digest_of(reader).0)
}

/// The faults of the blob that a descriptor names.
fn blob_faults(dir: &Path, descriptor: &Value) -> Vec<String> {
    let path = blob(dir, text(descriptor, "digest"));
    let Ok(file) = fs_err::File::open(&path) else {
        return vec![format!("no blob for {descriptor}")];
    };
    let (digest, len) = digest_of(file);
    let mut faults = Vec::new();
    if digest != text(descriptor, "digest") {
        faults.push(format!("the blob of {descriptor} has the digest {digest}"));
    }
    if descriptor["size"] != len {
        faults.push(format!("the blob of {descriptor} has {len} bytes"));
    }
    faults
}

/// The faults of the `manifest.json` that `docker load` reads, and of the files that it names.
pub(crate) fn docker_faults(dir: &Path) -> Vec<String> {
    let images = json_file(&dir.join("manifest.json")).unwrap_or_default();
    let Some([image]) = images.as_array().map(Vec::as_slice) else {
        return vec![format!("manifest.json should be an array of one image: {images}")];
    };
    let mut faults = Vec::new();
    let config = json_file(&dir.join(text(image, "Config"))).unwrap_or_default();
    faults.extend(config_faults(&config));
    if list(image, "Layers").len() != list(&config["rootfs"], "diff_ids").len() {
        faults.push(format!("Layers and diff_ids differ in number: {image}"));
    }
    for layer in list(image, "Layers") {
        if !layer.as_str().is_some_and(|layer| dir.join(layer).is_file()) {
            faults.push(format!("no file for the layer {layer}"));
        }
    }
    // podman would turn a short name into `localhost/...`.
    for tag in list(image, "RepoTags") {
        let full = tag
            .as_str()
            .and_then(|tag| tag.split_once('/'))
            .is_some_and(|(host, _)| host.contains('.'));
        if !full && !tag.as_str().is_some_and(|tag| tag.starts_with("localhost/")) {
            faults.push(format!("{tag} is not a fully qualified name"));
        }
    }
    faults
}

/// The faults of an image index (image-index.md).
fn index_faults(index: &Value) -> Vec<String> {
    let mut faults = head_faults(index, INDEX);
    if !index["manifests"].is_array() {
        faults.push(format!("no array `manifests`: {index}"));
    }
    for descriptor in list(index, "manifests") {
        faults.extend(descriptor_faults(descriptor));
        let platform = &descriptor["platform"];
        if !(platform.is_null()
            || platform["architecture"].is_string() && platform["os"].is_string())
        {
            faults.push(format!("a platform needs `architecture` and `os`: {platform}"));
        }
        for (name, value) in descriptor["annotations"].as_object().into_iter().flatten() {
            let tag = value.as_str().unwrap_or_default();
            if name == "org.opencontainers.image.ref.name" && !is_reference_name(tag) {
                faults.push(format!("{tag:?} breaks the grammar of {name}"));
            }
        }
    }
    faults
}

/// The faults of an image manifest (manifest.md).
fn manifest_faults(manifest: &Value) -> Vec<String> {
    let mut faults = head_faults(manifest, MANIFEST);
    faults.extend(descriptor_faults(&manifest["config"]));
    if manifest["config"]["mediaType"] != CONFIG {
        faults.push(format!("the config's media type is {}", manifest["config"]["mediaType"]));
    }
    if list(manifest, "layers").is_empty() {
        faults.push("an image needs a layer".into());
    }
    for layer in list(manifest, "layers") {
        faults.extend(descriptor_faults(layer));
        let compression = text(layer, "mediaType").strip_prefix(LAYER);
        if !compression.is_some_and(|compression| ["", "+gzip", "+zstd"].contains(&compression)) {
            faults.push(format!("the layer's media type is {}", layer["mediaType"]));
        }
    }
    faults
}

/// The rules that an index and a manifest share.
fn head_faults(document: &Value, media_type: &str) -> Vec<String> {
    let mut faults = annotation_faults(&document["annotations"]);
    if document["schemaVersion"] != 2 {
        faults.push(format!("schemaVersion is {}", document["schemaVersion"]));
    }
    if document["mediaType"] != media_type {
        faults.push(format!("mediaType is {}, and should be {media_type}", document["mediaType"]));
    }
    faults
}

/// The faults of a content descriptor (descriptor.md).
fn descriptor_faults(descriptor: &Value) -> Vec<String> {
    let mut faults = annotation_faults(&descriptor["annotations"]);
    let hex = text(descriptor, "digest").strip_prefix("sha256:").unwrap_or_default();
    if hex.len() != 64 || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        faults.push(format!("no sha256 digest: {descriptor}"));
    }
    if descriptor["size"].as_i64().is_none_or(|size| size < 0) {
        faults.push(format!("no size of 0 to 2^63-1: {descriptor}"));
    }
    // RFC 6838 section 4.2.
    let is_name = |name: &str| {
        let rest =
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte));
        rest && name.len() <= 127 && name.starts_with(|first: char| first.is_ascii_alphanumeric())
    };
    if !text(descriptor, "mediaType")
        .split_once('/')
        .is_some_and(|(kind, sub)| is_name(kind) && is_name(sub))
    {
        faults.push(format!("no media type: {descriptor}"));
    }
    faults
}

fn annotation_faults(annotations: &Value) -> Vec<String> {
    let sound = annotations.is_null()
        || annotations
            .as_object()
            .is_some_and(|map| map.values().all(Value::is_string) && !map.contains_key(""));
    if sound {
        Vec::new()
    } else {
        vec![format!("annotations map names to strings: {annotations}")]
    }
}

/// `component *("/" component)`, a component being alphanumerics with single separators
/// (annotations.md).
fn is_reference_name(name: &str) -> bool {
    name.split('/').all(|component| {
        let component = component.replace("--", "-");
        let words = component.split(['-', '.', '_', ':', '@', '+']);
        words
            .clone()
            .all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    })
}

/// The faults of an image configuration (config.md).
fn config_faults(config: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let mut rule = |holds: bool, text: &str| {
        if !holds {
            faults.push(format!("{text}: {config}"));
        }
    };
    let is_text = |value: &Value| value.is_string();
    let is_list = |value: &Value, item: fn(&Value) -> bool| {
        value.as_array().is_some_and(|all| all.iter().all(item))
    };
    let is_set = |value: &Value| {
        value.as_object().is_some_and(|map| map.values().all(|value| *value == json!({})))
    };
    rule(!text(config, "architecture").is_empty(), "`architecture` is required");
    rule(!text(config, "os").is_empty(), "`os` is required");
    rule(config["rootfs"]["type"] == "layers", "`rootfs.type` is \"layers\"");
    let is_digest =
        |id: &Value| id.as_str().is_some_and(|id| id.starts_with("sha256:") && id.len() == 71);
    rule(is_list(&config["rootfs"]["diff_ids"], is_digest), "`rootfs.diff_ids` are digests");
    rule(
        config["created"].is_null() || is_time(&config["created"]),
        "`created` is a time of RFC 3339",
    );
    let inner = &config["config"];
    for (name, value) in inner.as_object().into_iter().flatten() {
        let sound = match name.as_str() {
            "User" | "WorkingDir" | "StopSignal" => is_text(value),
            "Entrypoint" | "Cmd" => is_list(value, Value::is_string),
            "Env" => is_list(value, |item| {
                item.as_str().is_some_and(|item| item.find('=').is_some_and(|at| at > 0))
            }),
            "ExposedPorts" | "Volumes" => is_set(value),
            "Labels" => value.as_object().is_some_and(|map| map.values().all(Value::is_string)),
            "ArgsEscaped" => value.is_boolean(),
            "Healthcheck" | "Memory" | "MemorySwap" | "CpuShares" => true,
            _ => false,
        };
        rule(sound, &format!("`config.{name}` is {value}"));
    }
    let history = list(config, "history");
    let filled = history.iter().filter(|item| item["empty_layer"] != true).count();
    let layers = list(&config["rootfs"], "diff_ids").len();
    rule(
        history.is_empty() || filled == layers,
        "`history` has one item for each layer that is not empty",
    );
    rule(
        history.iter().all(|item| item["created"].is_null() || is_time(&item["created"])),
        "a time in `history`",
    );
    faults
}

/// `2023-11-14T22:13:20Z`, the form of RFC 3339 without a time zone offset.
fn is_time(value: &Value) -> bool {
    let shape = value
        .as_str()
        .unwrap_or_default()
        .bytes()
        .map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
    shape.eq("0000-00-00T00:00:00Z".bytes())
}

/// Asserts that `check` accepts a document, and finds a fault in each changed copy of it.
fn each_break_is_a_fault(
    check: fn(&Value) -> Vec<String>,
    sound: &Value,
    breaks: &[(&str, Value)],
) {
    assert_eq!(check(sound), Vec::<String>::new());
    for (place, value) in breaks {
        let mut broken = sound.clone();
        *broken.pointer_mut(place).unwrap() = value.clone();
        assert!(!check(&broken).is_empty(), "{place} = {value} should be a fault");
    }
}

fn descriptor(media_type: &str) -> Value {
    json!({"mediaType": media_type, "digest": digest_of(std::io::empty()).0, "size": 0})
}

#[test]
fn the_rules_of_a_manifest_hold() {
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(CONFIG),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip")],
    });
    let breaks = [
        ("/schemaVersion", json!(1)),
        ("/mediaType", json!(INDEX)),
        ("/config/digest", json!("sha256:00")),
        ("/config/mediaType", json!("application/json")),
        ("/config/size", json!(-1)),
        ("/layers", json!([])),
        ("/layers/0/mediaType", json!("application/vnd.oci.image.layer.v1.tar+xz")),
    ];
    each_break_is_a_fault(manifest_faults, &manifest, &breaks);
}

#[test]
fn the_rules_of_an_index_hold() {
    let mut named = descriptor(MANIFEST);
    named["annotations"] = json!({"org.opencontainers.image.ref.name": "1.0-rc.1"});
    named["platform"] = json!({"os": "linux", "architecture": "amd64"});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [named]});
    let breaks = [
        ("/manifests", json!(null)),
        ("/manifests/0/mediaType", json!("json")),
        ("/manifests/0/annotations/org.opencontainers.image.ref.name", json!("a//b")),
        ("/manifests/0/annotations", json!({"a": 1})),
        ("/manifests/0/platform/architecture", json!(null)),
    ];
    each_break_is_a_fault(index_faults, &index, &breaks);
}

#[test]
fn the_rules_of_a_configuration_hold() {
    let config = json!({
        "architecture": "amd64", "os": "linux", "created": "1970-01-01T00:00:00Z",
        "config": {"Env": ["A=b"], "Volumes": {"/data": {}}, "Cmd": ["a"]},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(std::io::empty()).0]},
        "history": [{"created_by": "imgb"}],
    });
    let breaks = [
        ("/os", json!("")),
        ("/architecture", json!(null)),
        ("/created", json!("")),
        ("/config/Env", json!(["=b"])),
        ("/config/Volumes", json!({"/data": null})),
        ("/config", json!({"cmd": []})),
        ("/rootfs/diff_ids", json!(["sha256:../x"])),
        ("/rootfs/type", json!("layer")),
        ("/history", json!([{}, {}])),
    ];
    each_break_is_a_fault(config_faults, &config, &breaks);
}

#[test]
fn a_blob_that_lies_is_a_fault() {
    let sandbox = Sandbox::new();
    let (digest, size) = digest_of(&b"content"[..]);
    let blob = format!("blobs/{}", digest.replace(':', "/"));
    let descriptor = json!({"mediaType": LAYER, "digest": digest, "size": size});
    assert_eq!(blob_faults(&sandbox.root(), &descriptor).len(), 1, "there is none");
    sandbox.file(&blob, "content");
    assert_eq!(blob_faults(&sandbox.root(), &descriptor), Vec::<String>::new());
    assert_eq!(diff_id(&sandbox.path(&blob), LAYER).as_deref(), Some(digest.as_str()));
    sandbox.file(&blob, "CONTENT");
    assert_eq!(blob_faults(&sandbox.root(), &descriptor).len(), 1, "another content");
    sandbox.file(&blob, "contents");
    assert_eq!(blob_faults(&sandbox.root(), &descriptor).len(), 2, "another length too");
}
