//! CycloneDX 1.6 as JSON (<https://cyclonedx.org/docs/1.6/json/>).

use serde_json::{Value, json};

use super::{Item, Subject, Sums, licence::Licence};
use crate::{components::Ecosystem, digest::Digest, path::ImagePath};

const IMAGE: &str = "image";

pub(super) fn document(subject: &Subject) -> Value {
    let mut components: Vec<Value> =
        subject.components.iter().map(|item| component(subject, item)).collect();
    let release = &subject.release;
    if !release.id.is_empty() {
        components.push(json!({
            "type": "operating-system",
            "bom-ref": "operating-system",
            "name": release.id,
            "version": release.version,
        }));
    }
    components.extend(subject.other_files().map(|(path, sums)| file(path, sums)));
    let refs: Vec<String> = subject.components.iter().map(|item| item.component.purl()).collect();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", uuid(subject.digest)),
        "version": 1,
        "metadata": {
            "timestamp": subject.created.to_string(),
            "tools": {"components": [{
                "type": "application",
                "name": "imgb",
                "version": env!("CARGO_PKG_VERSION"),
            }]},
            "component": {
                "type": "container",
                "bom-ref": IMAGE,
                "name": subject.name,
                "version": subject.digest.to_string(),
                "properties": [{"name": "imgb:platform", "value": subject.platform}],
            },
        },
        "components": components,
        "dependencies": [{"ref": IMAGE, "dependsOn": refs}],
    })
}

/// A UUID of version 8 (RFC 9562, 5.8) that follows from a digest.
fn uuid(digest: Digest) -> String {
    let hex = digest.hex();
    let variant = match hex.as_bytes().get(16) {
        Some(b'0'..=b'3') => '8',
        Some(b'4'..=b'7') => '9',
        Some(b'8' | b'9' | b'a' | b'b') => 'a',
        _ => 'b',
    };
    format!(
        "{}-{}-8{}-{variant}{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..32]
    )
}

fn component(subject: &Subject, item: &Item) -> Value {
    let one = &item.component;
    let occurrences = item.evidence.iter().map(|path| json!({"location": path.to_string()}));
    let mut value = json!({
        "type": "library",
        "bom-ref": one.purl(),
        "name": one.name,
        "version": one.version,
        "purl": one.purl(),
        "evidence": {"occurrences": occurrences.collect::<Vec<_>>()},
    });
    if let Some(group) = one
        .namespace
        .as_ref()
        .filter(|_| matches!(one.ecosystem, Ecosystem::Golang | Ecosystem::Maven | Ecosystem::Npm))
    {
        value["group"] = group.clone().into();
    }
    let licences = licences(&one.licences);
    if !licences.is_empty() {
        value["licenses"] = licences.into();
    }
    // The files of what was compiled in are programs, which are not parts of it.
    let files: Vec<Value> = match item.has_own_files() {
        true => subject.files_of(item).map(|(path, sums)| file(path, sums)).collect(),
        false => Vec::new(),
    };
    if !files.is_empty() {
        value["components"] = files.into();
    }
    value
}

/// Either one expression, or a list of identifiers and names.
fn licences(texts: &[String]) -> Vec<Value> {
    let parsed: Vec<Licence> = texts.iter().map(|text| Licence::parse(text)).collect();
    let is_compound = parsed.iter().any(|one| matches!(one, Licence::Expression(_)));
    if is_compound && parsed.iter().all(|one| !matches!(one, Licence::Name(_))) {
        let expression = match &parsed[..] {
            [Licence::Expression(one)] => one.clone(),
            several => several.iter().map(Licence::term).collect::<Vec<_>>().join(" AND "),
        };
        return vec![json!({"expression": expression})];
    }
    let licence = |one: Licence| match one {
        Licence::Id(id) => json!({"license": {"id": id}}),
        Licence::Expression(name) | Licence::Name(name) => json!({"license": {"name": name}}),
    };
    parsed.into_iter().map(licence).collect()
}

fn file(path: &ImagePath, sums: &Sums) -> Value {
    json!({
        "type": "file",
        "name": path.to_string(),
        "hashes": [{"alg": "SHA-256", "content": sums.sha256.hex()}],
    })
}
