use super::*;
use crate::components::Ecosystem;

fn path(text: &str) -> ImagePath {
    ImagePath::new(text).unwrap()
}

fn subject() -> Subject {
    let item = |ecosystem, name: &str, licences: &[&str], files: &[&str]| {
        let mut component = Component::new(ecosystem, name, "1").unwrap();
        component.add_licences(licences.iter().map(|text| (*text).to_owned()));
        let evidence = [path("/evidence")].into();
        Item { component, evidence, files: files.iter().map(|file| path(file)).collect() }
    };
    let sums = |text: &str| Sums { sha1: [7; 20], sha256: Digest::of(text) };
    Subject {
        name: "app:1".into(),
        digest: Digest::of("manifest"),
        platform: "linux/amd64".into(),
        created: Timestamp::EPOCH,
        release: Release { id: "debian".into(), version: "12".into() },
        components: vec![
            item(Ecosystem::Cargo, "serde", &["MIT OR Apache-2.0"], &["/app"]),
            item(Ecosystem::Deb, "libc6", &["LGPL-2.1+", "odd one"], &["/lib/libc.so.6", "/link"]),
        ],
        files: [("/app", "a"), ("/etc/x", "x"), ("/lib/libc.so.6", "c")]
            .map(|(file, text)| (path(file), sums(text)))
            .into(),
    }
}

/// Every identifier that a document of SPDX refers to is there once.
#[test]
fn spdx_refers_to_what_it_has() {
    let subject = subject();
    let document = document(&subject, Format::Spdx);
    let mut ids = BTreeSet::from(["SPDXRef-DOCUMENT".to_owned()]);
    for list in ["packages", "files"] {
        for one in document[list].as_array().unwrap() {
            assert!(ids.insert(one["SPDXID"].as_str().unwrap().to_owned()), "{one}");
        }
    }
    let relations: Vec<String> = document["relationships"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let text = |name: &str| one[name].as_str().unwrap();
            let (from, to) = (text("spdxElementId"), text("relatedSpdxElement"));
            assert!(ids.contains(from) && ids.contains(to), "{one}");
            let short = |id: &str| id.trim_start_matches("SPDXRef-").chars().take(14).collect();
            let (from, to): (String, String) = (short(from), short(to));
            format!("{from} {} {to}", text("relationshipType"))
        })
        .collect();
    let wanted = [
        "DOCUMENT DESCRIBES Image",
        "Image CONTAINS Package-cargo-",
        "File-1 STATIC_LINK Package-cargo-",
        "Image CONTAINS Package-deb-li",
        "Package-deb-li CONTAINS File-3",
        "Image CONTAINS File-1",
        "Image CONTAINS File-2",
    ];
    assert_eq!(relations, wanted);
    let libc = &document["packages"][2];
    let declared = libc["licenseDeclared"].as_str().unwrap();
    let reference = document["hasExtractedLicensingInfos"][0]["licenseId"].as_str().unwrap();
    assert_eq!(declared, format!("LGPL-2.1-or-later AND {reference}"));
    assert_eq!(document["packages"][1]["licenseDeclared"], "(MIT OR Apache-2.0)");
    assert_eq!(libc["filesAnalyzed"], true);
    assert_eq!(document["packages"][1]["filesAnalyzed"], false);
}

#[test]
fn cyclonedx_nests_files_in_their_packages() {
    let document = document(&subject(), Format::CycloneDx);
    let components = document["components"].as_array().unwrap();
    let names: Vec<_> = components.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["serde", "libc6", "debian", "/app", "/etc/x"]);
    assert_eq!(components[1]["components"][0]["name"], "/lib/libc.so.6");
    assert_eq!(components[0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
    assert_eq!(components[1]["licenses"][0]["license"]["id"], "LGPL-2.1-or-later");
    assert_eq!(components[1]["licenses"][1]["license"]["name"], "odd one");
    assert_eq!(document["dependencies"][0]["dependsOn"].as_array().unwrap().len(), 2);
    let serial = document["serialNumber"].as_str().unwrap();
    assert_eq!((serial.len(), &serial[23..24]), (45, "8"), "{serial}");
}
