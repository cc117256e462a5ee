//! Provenance: an in-toto statement (version 1) whose predicate is SLSA's (version 1).
//!
//! <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>,
//! <https://slsa.dev/spec/v1.0/provenance>. It has no time and no number of its own: the same build
//! gives the same bytes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::digest::Digest;

/// The media type of a statement that is not signed.
pub const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";

/// What was made, and of what.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// The manifests, and the index that lists them, with the image's name.
    pub subjects: Vec<(String, Digest)>,
    /// The command and its options, as far as they decide about the image.
    pub parameters: Value,
    /// What else decides about the bytes: the version of the format.
    pub format: u32,
    /// What the image was made of.
    pub materials: Vec<Material>,
}

/// Something that an image was made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Material {
    /// What it is called: an input as it was named, an image.
    pub name: Option<String>,
    /// Its package URL or the name of an image in a registry.
    pub uri: Option<String>,
    /// Its digest.
    pub digest: Option<Digest>,
    /// What else is known of it.
    pub annotations: BTreeMap<&'static str, String>,
}

impl Material {
    /// A package.
    pub fn package(purl: String) -> Self {
        let annotations = [("kind", "package".to_owned())].into();
        Self { name: None, uri: Some(purl), digest: None, annotations }
    }

    /// Something of this kind, with its digest.
    pub fn named(kind: &str, name: String, digest: Digest) -> Self {
        let annotations = [("kind", kind.to_owned())].into();
        Self { name: Some(name), uri: None, digest: Some(digest), annotations }
    }

    /// The same, which is this path in the image.
    pub fn at(mut self, path: String) -> Self {
        self.annotations.insert("path", path);
        self
    }

    fn json(&self) -> Value {
        let mut value = json!({"annotations": self.annotations});
        if let Some(name) = &self.name {
            value["name"] = name.clone().into();
        }
        if let Some(uri) = &self.uri {
            value["uri"] = uri.clone().into();
        }
        if let Some(digest) = self.digest {
            value["digest"] = json!({"sha256": digest.hex()});
        }
        value
    }
}

/// The in-toto statement with the SLSA predicate, as JSON.
pub fn statement(provenance: &Provenance) -> Value {
    let subject = |(name, digest): &(String, Digest)| {
        let sha256 = digest.hex();
        json!({"name": name, "digest": {"sha256": sha256}})
    };
    let package = concat!("pkg:cargo/imgb@", env!("CARGO_PKG_VERSION"));
    let materials: Vec<Value> = provenance.materials.iter().map(Material::json).collect();
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": provenance.subjects.iter().map(subject).collect::<Vec<_>>(),
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": format!("{package}#docs/provenance.md"),
                "externalParameters": provenance.parameters,
                "internalParameters": {"imgb.format": provenance.format},
                "resolvedDependencies": materials,
            },
            "runDetails": {
                "builder": {"id": package, "version": {"imgb": env!("CARGO_PKG_VERSION")}},
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_says_what_was_made_of_what() {
        let digest = Digest::of("x");
        let statement = statement(&Provenance {
            subjects: vec![("app:1".into(), digest)],
            parameters: json!({"command": "pack"}),
            format: 1,
            materials: vec![
                Material::named("input", "./app".into(), digest).at("/app".into()),
                Material::package("pkg:deb/debian/libc6@2.36".into()),
            ],
        });
        assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
        assert_eq!(statement["subject"][0]["digest"]["sha256"], digest.hex());
        let definition = &statement["predicate"]["buildDefinition"];
        assert_eq!(definition["externalParameters"]["command"], "pack");
        let materials = &definition["resolvedDependencies"];
        let input = json!({
            "name": "./app", "digest": {"sha256": digest.hex()},
            "annotations": {"kind": "input", "path": "/app"},
        });
        assert_eq!(materials[0], input);
        assert_eq!(materials[1]["uri"], "pkg:deb/debian/libc6@2.36");
    }
}
