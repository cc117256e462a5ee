//! `.note.package`: the package that an object was built in (UAPI.1 ELF package metadata).

use serde::Deserialize;

use super::{Component, Ecosystem, release::Release};

#[derive(Deserialize)]
struct Note {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default, rename = "osVersion")]
    os_version: String,
}

/// The package that a note names, if it names one.
pub fn parse(note: &[u8]) -> Option<Component> {
    let note: Note = serde_json::from_slice(note).ok()?;
    let release = Release { id: note.os, version: note.os_version };
    match &*note.kind {
        "deb" => release.component(Ecosystem::Deb, &note.name, &note.version, &note.architecture),
        "apk" => release.component(Ecosystem::Apk, &note.name, &note.version, &note.architecture),
        "rpm" => release.component(Ecosystem::Rpm, &note.name, &note.version, &note.architecture),
        _ => Component::new(Ecosystem::Generic, note.name, note.version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_names_a_package_of_its_distribution() {
        let purl = |text: &str| parse(text.as_bytes()).map(|one| one.purl());
        let note = r#"{"type":"rpm","name":"hello","version":"0-1.fc35.x86_64",
            "architecture":"x86_64","osCpe":"cpe:/o:fedoraproject:fedora:33","os":"fedora"}"#;
        let wanted = "pkg:rpm/fedora/hello@0-1.fc35.x86_64?arch=x86_64&distro=fedora";
        assert_eq!(purl(note).unwrap(), wanted);
        assert_eq!(purl(r#"{"name":"x","version":"1"}"#).unwrap(), "pkg:generic/x@1");
        for text in ["", "{}", "[]", r#"{"name":1}"#] {
            assert_eq!(purl(text), None, "{text}");
        }
    }
}
