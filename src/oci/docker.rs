//! Archives as `docker save` makes them (moby's `image/tarexport`).

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    ImageError,
    blob_source::BlobSource,
    document,
    found::{Found, FoundLayer},
    json,
    select::{self, Wanted},
};
use crate::{
    digest::Digest,
    image::{self, Reference, fields},
};

/// One image of docker's `manifest.json`: paths in the archive.
#[derive(Debug)]
pub(super) struct DockerImage {
    pub(super) config: String,
    pub(super) layers: Vec<String>,
    pub(super) names: Vec<String>,
}

/// Parses docker's `manifest.json`. `null` is an empty list.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<DockerImage>, ImageError> {
    let parsed = json::document(bytes, &fields::DOCKER_MANIFEST).and_then(|value| {
        let images = value.as_array().map(Vec::as_slice).unwrap_or_default();
        images.iter().map(image).collect()
    });
    parsed.map_err(|why| ImageError::document("manifest.json", why))
}

fn image(value: &Value) -> Result<DockerImage, String> {
    let texts = |name: &str| {
        let items = value.get(name).and_then(Value::as_array).into_iter().flatten();
        items.map(|item| item.as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let config = value.get("Config").and_then(Value::as_str);
    let config = config.ok_or("an image without `Config`")?.to_owned();
    let layers = texts("Layers");
    // These names are looked up among the archive's members only, so such a name could do no harm.
    // But no valid archive has one.
    for name in layers.iter().chain([&config]) {
        if name.is_empty() || name.starts_with('/') || name.split('/').any(|part| part == "..") {
            return Err("a path leads out of the archive".into());
        }
    }
    Ok(DockerImage { config, layers, names: texts("RepoTags") })
}

/// The image that is wanted, of those in `manifest.json`.
pub(super) fn find(
    source: &BlobSource,
    wanted: Wanted<'_>,
    images: Vec<DockerImage>,
) -> Result<Found, ImageError> {
    let all: Vec<String> = images.iter().flat_map(|image| image.names.clone()).collect();
    let none = |what: String| ImageError::NoSuchImage {
        name: wanted.source.into(),
        wanted: what,
        there: all.clone(),
    };
    let mut fitting = Vec::new();
    for image in images {
        let is_called = |tag: &str| image.names.iter().any(|n| select::is_called(n, tag));
        let has_digest = match wanted.digest {
            Some(digest) => Digest::of(config(source, &image)?) == digest,
            None => true,
        };
        if has_digest && wanted.tag.is_none_or(is_called) {
            fitting.push(image);
        }
    }
    let image = match <[DockerImage; 1]>::try_from(fitting) {
        Ok([image]) => image,
        Err(found) if found.is_empty() => {
            return Err(none(match (wanted.tag, wanted.digest) {
                (Some(tag), _) => format!("image called `{tag}`"),
                (None, Some(digest)) => format!("image with the ID {digest}"),
                (None, None) => "image".into(),
            }));
        }
        Err(_) => {
            return Err(ImageError::SeveralImages { name: wanted.source.into(), there: all });
        }
    };
    let bytes = config(source, &image)?;
    let found = Digest::of(&bytes);
    if let Some(wanted) = digest_in(&image.config).filter(|wanted| *wanted != found) {
        return Err(ImageError::Digest { what: "blob", wanted, found });
    }
    let mut layers = Vec::new();
    for path in image.layers {
        let file = source.file(&path)?.ok_or_else(|| ImageError::MissingMember(path.clone()))?;
        // In an archive of blobs the name is a digest; before version 25 of docker it was another
        // identifier.
        let blob =
            path.strip_prefix("blobs/sha256/").and_then(digest_in).map(|digest| (digest, file.len));
        let annotations = BTreeMap::new();
        layers.push(FoundLayer { path, blob, media_type: None, annotations });
    }
    Ok(Found {
        names: image.names,
        manifest: None,
        manifest_type: document::OCI_MANIFEST,
        config: image::Document { digest: found, bytes },
        layers,
        platform: None,
        roots: Vec::new(),
        notes: Vec::new(),
    })
}

/// The bytes of an image's configuration.
pub(super) fn config(source: &BlobSource, image: &DockerImage) -> Result<Vec<u8>, ImageError> {
    let bytes = source.document(&image.config)?;
    bytes.ok_or_else(|| ImageError::MissingMember(image.config.clone()))
}

/// The digest in a member's name: `HEX.json`, `blobs/sha256/HEX`, and crane's `sha256:HEX`.
fn digest_in(path: &str) -> Option<Digest> {
    let name = path.rsplit('/').next()?;
    let hex = name.strip_prefix("sha256:").unwrap_or(name);
    format!("sha256:{}", hex.strip_suffix(".json").unwrap_or(hex)).parse().ok()
}

/// Checks that `repositories`, which docker read before there was a `manifest.json`, names no
/// image that `manifest.json` does not name.
pub(super) fn check_repositories(
    bytes: &[u8],
    images: Option<&[DockerImage]>,
) -> Result<(), ImageError> {
    let refuse = |why: String| ImageError::document("repositories", why);
    let images = images.ok_or_else(|| {
        refuse("there is no manifest.json beside it, as in archives of docker before 1.10".into())
    })?;
    let names = json::document(bytes, &fields::REPOSITORIES).map_err(refuse)?;
    let reference = |text: &str| text.parse::<Reference>().ok();
    let known: Vec<_> = images.iter().flat_map(|image| &image.names).collect();
    for (repository, tags) in names.as_object().into_iter().flatten() {
        for (tag, _) in tags.as_object().into_iter().flatten() {
            let name = format!("{repository}:{tag}");
            let is_same = |other: &String| {
                *other == name
                    || reference(other).zip(reference(&name)).is_some_and(|(a, b)| a == b)
            };
            if !known.iter().any(|other| is_same(other)) {
                let name = crate::path::escape(name.as_bytes());
                return Err(refuse(format!("manifest.json names no image `{name}`")));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_the_archive() {
        let parse =
            |layer: &str| parse(format!(r#"[{{"config":"c","Layers":["{layer}"]}}]"#).as_bytes());
        assert_eq!(parse("abc/layer.tar").unwrap()[0].layers, ["abc/layer.tar"]);
        for layer in ["../x", "/etc/passwd", "a/../../x", ""] {
            assert!(parse(layer).is_err(), "{layer}");
        }
        assert!(super::parse(b"null").unwrap().is_empty());
        assert!(super::parse(b"[null]").is_err() && super::parse(b"{}").is_err());
    }

    #[test]
    fn repositories_name_the_same_images() {
        let images = parse(br#"[{"Config":"c","RepoTags":["app:1"]}]"#).unwrap();
        let check = |text: &str| check_repositories(text.as_bytes(), Some(&images));
        check(r#"{"app":{"1":"x"}}"#).unwrap();
        check(r#"{"docker.io/library/app":{"1":"x"}}"#).unwrap();
        check("{}").unwrap();
        assert!(check(r#"{"app":{"2":"x"}}"#).is_err());
        assert!(check(r#"{"app":["1"]}"#).is_err());
        assert!(check_repositories(b"{}", None).is_err());
    }
}
