//! `imgb sbom` and `--sbom`: what is listed, the same bytes each time.

use imgb::digest::Digest;
use serde_json::{Value, json};

use crate::{
    elf_builder::Elf,
    engines::have,
    fixtures::{X86_64, static_elf},
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

/// Checks documents against schemas: `SCHEMAS DOCUMENT SCHEMA...`. It prints what is wrong.
const VALIDATE: &str = r#"
import json, pathlib, sys
import jsonschema

directory = pathlib.Path(sys.argv[1])
known = {path.name: json.loads(path.read_text()) for path in directory.glob("*.json")}
for document, name in zip(sys.argv[2::2], sys.argv[3::2]):
    schema = known[name]
    base = schema["$id"].rpartition("/")[0] + "/"
    # Schemas refer to each other by the names of their files.
    store = {base + name: one for name, one in known.items()}
    resolver = jsonschema.RefResolver(schema["$id"], schema, store=store)
    validator = jsonschema.validators.validator_for(schema)(schema, resolver=resolver)
    for error in validator.iter_errors(json.loads(pathlib.Path(document).read_text())):
        print(f"{document}: {error.json_path}: {error.message[:200]}")
"#;

/// Every kind of component, odd licences and odd names.
#[test]
fn documents_are_valid_by_the_schemas_of_their_projects() {
    if !have(&["python3", "jsonschema"]) {
        return;
    }
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
    let mut documents = String::new();
    for image in ["l", "nothing"] {
        for (form, schema) in
            [("spdx", "spdx-2.3.json"), ("cyclonedx", "bom-1.6.SNAPSHOT.schema.json")]
        {
            sandbox.imgb(&format!("sbom --format {form} -o {image}.{form} {image}")).run().ok();
            documents += &format!(" {image}.{form} {schema}");
        }
    }
    let schemas = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/schemas");
    let validate = |documents: &str| {
        let run = sandbox.tool("python3", "-W ignore -c").arg(VALIDATE).arg(schemas);
        run.args(documents).run().ok().text()
    };
    assert_eq!(validate(&documents), "");
    // The schemas are looked at.
    sandbox.file("wrong", r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{}]}"#);
    let wrong = validate("wrong bom-1.6.SNAPSHOT.schema.json wrong spdx-2.3.json");
    assert!(wrong.contains("wrong: $.components[0]: 'type' is a required property"), "{wrong}");
    assert!(wrong.contains("wrong: $: 'SPDXID' is a required property"), "{wrong}");
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
