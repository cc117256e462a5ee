//! SPDX 2.3 as JSON (<https://spdx.github.io/spdx-spec/v2.3/>).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use super::{
    Item, Subject, Sums, hex,
    licence::{Licence, reference},
};
use crate::{components::Ecosystem, digest::Digest, path::ImagePath};

const NOTHING_SAID: &str = "NOASSERTION";
const IMAGE: &str = "SPDXRef-Image";

pub(super) fn document(subject: &Subject) -> Value {
    let ids: BTreeMap<&ImagePath, String> = (1..)
        .zip(subject.files.keys())
        .map(|(n, path)| (path, format!("SPDXRef-File-{n}")))
        .collect();
    let packages = subject.components.iter().map(|item| package(subject, item));
    let packages: Vec<Value> = std::iter::once(image(subject)).chain(packages).collect();
    let files = subject.files.iter().map(|(path, sums)| file(&ids[path], path, sums));
    let name = format!("{} {}", subject.name, subject.platform);
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": format!("https://spdx.org/spdxdocs/imgb-{}", subject.digest.hex()),
        "creationInfo": {
            "created": subject.created.to_string(),
            "creators": [format!("Tool: imgb-{}", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "files": files.collect::<Vec<_>>(),
        "hasExtractedLicensingInfos": extracted(subject),
        "relationships": relationships(subject, &ids),
    })
}

fn image(subject: &Subject) -> Value {
    json!({
        "SPDXID": IMAGE,
        "name": subject.name,
        "versionInfo": subject.digest.to_string(),
        "downloadLocation": NOTHING_SAID,
        "filesAnalyzed": true,
        "packageVerificationCode": verification_code(subject.files.values()),
        "checksums": [{"algorithm": "SHA256", "checksumValue": subject.digest.hex()}],
        "licenseConcluded": NOTHING_SAID,
        "licenseDeclared": NOTHING_SAID,
        "copyrightText": NOTHING_SAID,
        "primaryPackagePurpose": "CONTAINER",
    })
}

/// The checksum of all files' checksums (clause 7.9).
fn verification_code<'a>(files: impl Iterator<Item = &'a Sums>) -> Value {
    let mut sums: Vec<String> = files.map(|sums| hex(&sums.sha1)).collect();
    sums.sort_unstable();
    json!({"packageVerificationCodeValue": hex(&Sha1::digest(sums.concat()))})
}

/// The identifier of a component's package.
fn id(item: &Item) -> String {
    let component = &item.component;
    let name: String = component
        .name
        .chars()
        .map(|char| if char.is_ascii_alphanumeric() || char == '.' { char } else { '-' })
        .take(60)
        .collect();
    let sum = Digest::of(component.purl()).hex();
    format!("SPDXRef-Package-{}-{name}-{}", component.ecosystem.name(), &sum[..16])
}

fn package(subject: &Subject, item: &Item) -> Value {
    let component = &item.component;
    let evidence: Vec<_> = item.evidence.iter().take(10).map(ToString::to_string).collect();
    let has_files = item.has_own_files() && subject.files_of(item).next().is_some();
    let mut package = json!({
        "SPDXID": id(item),
        "name": component.full_name(),
        "downloadLocation": NOTHING_SAID,
        "filesAnalyzed": has_files,
        "licenseConcluded": NOTHING_SAID,
        "licenseDeclared": declared(item),
        "copyrightText": NOTHING_SAID,
        "sourceInfo": format!("found in {}", evidence.join(", ")),
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": component.purl(),
        }],
    });
    if !component.version.is_empty() {
        package["versionInfo"] = component.version.clone().into();
    }
    if has_files {
        let sums = subject.files_of(item).map(|(_, sums)| sums);
        package["packageVerificationCode"] = verification_code(sums);
    }
    package
}

/// All licences of a component, which apply to parts of it.
fn declared(item: &Item) -> String {
    let terms: BTreeSet<String> =
        item.component.licences.iter().map(|text| Licence::parse(text).term()).collect();
    match terms.len() {
        0 => NOTHING_SAID.to_owned(),
        _ => terms.into_iter().collect::<Vec<_>>().join(" AND "),
    }
}

/// The names of licences that SPDX does not know.
fn extracted(subject: &Subject) -> Vec<Value> {
    let all = subject.components.iter().flat_map(|item| &item.component.licences);
    let names: BTreeSet<String> = all
        .filter_map(|text| match Licence::parse(text) {
            Licence::Name(name) => Some(name),
            Licence::Id(_) | Licence::Expression(_) => None,
        })
        .collect();
    let info =
        |name: String| json!({"licenseId": reference(&name), "extractedText": name, "name": name});
    names.into_iter().map(info).collect()
}

fn file(id: &str, path: &ImagePath, sums: &Sums) -> Value {
    json!({
        "SPDXID": id,
        "fileName": format!(".{path}"),
        "checksums": [
            {"algorithm": "SHA1", "checksumValue": hex(&sums.sha1)},
            {"algorithm": "SHA256", "checksumValue": sums.sha256.hex()},
        ],
        "licenseConcluded": NOTHING_SAID,
        "copyrightText": NOTHING_SAID,
    })
}

fn relationships(subject: &Subject, ids: &BTreeMap<&ImagePath, String>) -> Vec<Value> {
    let mut all = vec![relation("SPDXRef-DOCUMENT", "DESCRIBES", IMAGE)];
    for item in &subject.components {
        let package = id(item);
        all.push(relation(IMAGE, "CONTAINS", &package));
        for (path, _) in subject.files_of(item) {
            let file = &ids[path];
            all.push(match item.component.ecosystem {
                Ecosystem::Cargo | Ecosystem::Golang => relation(file, "STATIC_LINK", &package),
                Ecosystem::Maven => relation(file, "CONTAINS", &package),
                _ => relation(&package, "CONTAINS", file),
            });
        }
    }
    let others = subject.other_files();
    all.extend(others.map(|(path, _)| relation(IMAGE, "CONTAINS", &ids[path])));
    all
}

/// `from` has the relation `kind` to `to`.
fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}
