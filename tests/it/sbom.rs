//! `imgb sbom` and `--sbom`: what is listed, the same bytes each time.

use imgb::digest::Digest;
use serde_json::{Value, json};

use crate::{
    elf_builder::Elf,
    fixtures::{X86_64, static_elf},
    json_schema::faults,
    layouts::Parts,
    raw_tar::RawTar,
    sandbox::Sandbox,
};

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// An image with packages of several kinds.
fn image(sandbox: &Sandbox) {
    let status = "Package: one\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1-2\n";
    let tar = RawTar::new()
        .file("etc/os-release", "ID=debian\nVERSION_ID=12\n")
        .file("var/lib/dpkg/status", status)
        .file("var/lib/dpkg/info/one.list", "/.\n/usr/bin/one\n")
        .file("usr/bin/one", "one")
        .file("srv/node_modules/a/package.json", r#"{"name":"a","version":"3","license":"MIT"}"#)
        .file("loose", "loose");
    let config = json!({"architecture": "amd64", "os": "linux"});
    Parts { config, layers: vec![tar.end()] }.write(sandbox, "l");
}

#[test]
fn packages_and_files_are_listed_in_both_forms() {
    let sandbox = Sandbox::new();
    image(&sandbox);
    let spdx = json(&sandbox.imgb("sbom l").run().ok().into_bytes());
    assert_eq!(spdx["spdxVersion"], "SPDX-2.3");
    let packages = spdx["packages"].as_array().unwrap().iter();
    let purls: Vec<_> =
        packages.filter_map(|one| one["externalRefs"][0]["referenceLocator"].as_str()).collect();
    let deb = "pkg:deb/debian/one@1-2?arch=amd64&distro=debian-12";
    assert_eq!(purls, [deb, "pkg:npm/a@3"]);
    let files: Vec<_> = spdx["files"].as_array().unwrap().iter().collect();
    assert_eq!(files.len(), 6);
    let loose = files.iter().find(|file| file["fileName"] == "./loose").unwrap();
    let sums = &loose["checksums"];
    // printf loose | sha1sum
    assert_eq!(sums[0]["algorithm"], "SHA1");
    assert_eq!(sums[0]["checksumValue"].as_str().unwrap().len(), 40);
    assert_eq!(sums[1]["checksumValue"], Digest::of("loose").hex());
    let cyclone = sandbox.imgb("sbom --format cyclonedx l").run().ok().into_bytes();
    let cyclone = json(&cyclone);
    assert_eq!(
        (&cyclone["bomFormat"], &cyclone["specVersion"]),
        (&json!("CycloneDX"), &json!("1.6"))
    );
    let one = cyclone["components"].as_array().unwrap();
    let one = one.iter().find(|one| one["name"] == "one").unwrap();
    assert_eq!(
        (&one["purl"], &one["components"][0]["name"]),
        (&json!(deb), &json!("/usr/bin/one"))
    );
}

/// Every kind of component, odd licences and odd names.
#[test]
fn documents_are_valid_by_the_schemas_of_their_projects() {
    let sandbox = Sandbox::new();
    let status = "Package: one\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:1-2\n\
        Source: src (3)\n";
    let copyright = "Format: https://www.debian.org/\n\nFiles: *\nLicense: GPL-2+ with x\n\n\
        Files: a\nLicense: MIT\n";
    let note = r#"{"type":"deb","os":"debian","name":"noted","version":"1"}"#;
    let site = "usr/lib/python3/site-packages";
    let tar = RawTar::new()
        .file("etc/os-release", "ID=debian\nVERSION_ID=12\n")
        .file("var/lib/dpkg/status", status)
        .file("var/lib/dpkg/info/one.list", "/.\n/usr/bin/one\n")
        .file("usr/share/doc/one/copyright", copyright)
        .file("usr/bin/one", "one")
        .raw(b'0', b"noted", &Elf::library().package_note(note).build(), |_| {})
        .file("srv/node_modules/@a/b/package.json", r#"{"name":"@a/b","version":"3 4"}"#)
        .file("srv/package.json", r#"{"name":"c","version":"1","license":"(MIT OR Odd)"}"#)
        .file(&format!("{site}/d.dist-info/METADATA"), "Name: D_e\nVersion: 1\nLicense: see\n")
        .file("gems/specifications/g-1.gemspec", "s.name = \"g\"\ns.version = \"1\"\n")
        .file("empty", "")
        .raw(b'0', b"odd \xff\n\"name", b"x", |_| {});
    let config = json!({"architecture": "arm64", "os": "linux", "variant": "v8"});
    Parts { config, layers: vec![tar.end()] }.write(&sandbox, "l");
    // Without a file, too.
    Parts { config: json!({"architecture": "amd64", "os": "linux"}), layers: vec![] }
        .write(&sandbox, "nothing");
    for image in ["l", "nothing"] {
        for (form, schema) in
            [("spdx", "spdx-2.3.json"), ("cyclonedx", "bom-1.6.SNAPSHOT.schema.json")]
        {
            let sbom = format!("sbom --format {form} {image}");
            let document = json(&sandbox.imgb(&sbom).run().ok().into_bytes());
            assert_eq!(faults(schema, &document), [""; 0], "{sbom}");
        }
    }
}

/// The schemas are looked at: each of these is wrong in one place.
#[test]
fn the_schemas_find_what_is_wrong() {
    let sandbox = Sandbox::new();
    image(&sandbox);
    let mut spdx = json(&sandbox.imgb("sbom l").run().ok().into_bytes());
    spdx["packages"][0]["downloadLocation"].take();
    spdx["files"][0]["checksums"][0]["algorithm"] = "SHA-1".into();
    spdx["creationInfo"]["odd"] = 1.into();
    let mut found = faults("spdx-2.3.json", &spdx).into_iter();
    assert_eq!(found.next().unwrap(), "$.creationInfo.odd: nothing may be here");
    assert!(found.next().unwrap().starts_with("$.files[0].checksums[0].algorithm: enum: "));
    assert_eq!(found.collect::<Vec<_>>(), ["$.packages[0].downloadLocation: type: \"string\""]);
    let cyclone = json(&sandbox.imgb("sbom --format cyclonedx l").run().ok().into_bytes());
    let faults = |change: &dyn Fn(&mut Value)| {
        let mut cyclone = cyclone.clone();
        change(&mut cyclone);
        faults("bom-1.6.SNAPSHOT.schema.json", &cyclone)
    };
    let found = faults(&|one| one["components"][0]["type"] = "program".into());
    assert!(found[0].starts_with("$.components[0].type: enum: "), "{found:?}");
    let found = faults(&|one| one["serialNumber"] = "urn:uuid:1".into());
    assert!(found[0].starts_with("$.serialNumber: pattern: "), "{found:?}");
    let licence = json!([{"expression": "MIT"}, {"expression": "MIT"}]);
    let found = faults(&|one| one["components"][0]["licenses"] = licence.clone());
    assert_eq!(found, ["$.components[0].licenses: oneOf: 0 of 2 fit"]);
}

/// Objects of distributions have notes that name the source package.
#[test]
fn a_note_of_an_object_does_not_repeat_its_package() {
    let sandbox = Sandbox::new();
    let object = |name: &str| {
        let note = format!(r#"{{"type":"deb","os":"debian","name":"{name}","version":"1"}}"#);
        Elf::library().package_note(note).build()
    };
    let status = "Package: libone\nStatus: install ok installed\nArchitecture: amd64\n\
        Source: one\nVersion: 1\n";
    let tar = RawTar::new()
        .file("var/lib/dpkg/status", status)
        .file("var/lib/dpkg/info/libone.list", "/.\n/usr/lib/libone.so\n")
        .raw(b'0', b"usr/lib/libone.so", &object("one"), |_| {})
        .raw(b'0', b"opt/libtwo.so", &object("two"), |_| {});
    let config = json!({"architecture": "amd64", "os": "linux"});
    Parts { config, layers: vec![tar.end()] }.write(&sandbox, "l");
    let spdx = json(&sandbox.imgb("sbom l").run().ok().into_bytes());
    let names = spdx["packages"].as_array().unwrap().iter().skip(1).map(|one| &one["name"]);
    assert_eq!(names.collect::<Vec<_>>(), ["two", "libone"]);
}

#[test]
fn the_document_of_a_build_is_that_of_its_image() {
    let sandbox = Sandbox::new();
    sandbox.program("app", static_elf(X86_64)).file("conf", "x");
    let args = "pack app conf:/etc/conf -t team/app:1 -q -o app.tar --sbom spdx --sbom \
        cyclonedx=other.json";
    sandbox.imgb(args).run().ok();
    let spdx = sandbox.imgb("sbom app.tar").run().ok().into_bytes();
    assert_eq!(sandbox.read("app.tar.spdx.json"), spdx);
    sandbox.imgb("sbom --format cyclonedx -o read.json app.tar").run().ok().prints_only("");
    assert_eq!(sandbox.read("other.json"), sandbox.read("read.json"));
    assert_eq!(json(&spdx)["packages"][0]["name"], "team/app:1");
    sandbox.file("Buildfile", "FROM scratch\nCOPY app /app\nENTRYPOINT [\"/app\"]\n");
    let build = "build --sbom spdx=b.json -q -o b.tar .";
    sandbox.imgb(build).run().ok();
    assert_eq!(sandbox.read("b.json"), sandbox.imgb("sbom b.tar").run().ok().into_bytes());
    // The image itself goes to stdout.
    let outcome = sandbox.imgb("pack app --sbom spdx -o -").run();
    outcome.error(2, &["--sbom does not say where", "--sbom spdx=app.spdx.json"]);
    sandbox.imgb("pack app --sbom odd -o x.tar").run().error(2, &["spdx or cyclonedx"]);
    sandbox.imgb("sbom gone.tar").run().error(3, &["gone.tar"]);
}

#[test]
fn a_directory_that_cannot_be_made_is_named_once() {
    let sandbox = Sandbox::new();
    sandbox.file("d", "content").file("file.tar", "");
    let run = sandbox.imgb("pack d:/d --no-check -o oci:file.tar/x/y --sbom spdx").run();
    let run = run.error(5, &["cannot create `file.tar/x`: Not a directory\n"]);
    assert_eq!(run.stderr().matches("file.tar").count(), 1, "{}", run.show());
}
