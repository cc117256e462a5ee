//! Images as other tools write them: layouts of links, directories of skopeo, signatures beside the
//! image, fields in another case, names that umoci copied.

use std::os::unix::fs::symlink;

use imgb::oci::ImageError;
use serde_json::{Value, json};

use crate::{
    engines::{have, podman},
    layouts::{Layout, open, open_for, small, tar_of},
    sandbox::Sandbox,
};

const SIGNATURE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// The sandbox with `low.tar`, a docker archive whose configuration is spelled as Nix users do.
fn lower_case() -> Sandbox {
    let layout = Layout::new();
    let config = json!({
        "Architecture": "amd64", "OS": "linux", "rootFS": {"Diff_ids": [layout.diff_id]},
        "config": {
            "entrypoint": ["/old"], "env": ["A=1", "PATH=/bin"], "labels": {"env": "x"},
            "future": 1,
        },
    });
    let manifest = json!([{"config": "c.json", "layers": ["l.tar"], "repoTags": ["low:1"]}]);
    let archive = tar_of([
        ("c.json", config.to_string().into_bytes()),
        ("l.tar", vec![0; 1024]),
        ("manifest.json", manifest.to_string().into_bytes()),
    ]);
    layout.sandbox.file("ctx/low.tar", archive);
    layout.sandbox
}

#[test]
fn fields_in_another_case_are_inherited_and_written_once() {
    let sandbox = lower_case();
    sandbox.file("ctx/Dockerfile", "FROM low.tar\nENTRYPOINT [\"/new\"]\nENV B=2\n");
    sandbox.imgb("build ctx -q --no-check -t low:2 -o out.tar -o oci:layout").run().ok();
    let image = open(&sandbox.path("out.tar")).unwrap().image;
    let written: Value = serde_json::from_slice(&image.config_document.bytes).unwrap();
    let wanted = json!({
        "Entrypoint": ["/new"], "Env": ["A=1", "PATH=/bin", "B=2"], "Labels": {"env": "x"},
        "future": 1,
    });
    assert_eq!(written["config"], wanted);
    let names: Vec<&str> = written.as_object().unwrap().keys().map(|name| &**name).collect();
    assert_eq!(names, ["architecture", "config", "created", "history", "os", "rootfs"]);
    // skopeo decodes with Go's encoding/json, as engines do.
    if have(&["skopeo"]) {
        let config = sandbox.tool("skopeo", "inspect --config oci:layout:2").run().ok().text();
        let config: Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["config"]["Entrypoint"], json!(["/new"]));
        assert_eq!(config["config"]["Env"], json!(["A=1", "PATH=/bin", "B=2"]));
        let old = sandbox.tool("skopeo", "inspect --config docker-archive:ctx/low.tar");
        let old: Value = serde_json::from_str(&old.run().ok().text()).unwrap();
        assert_eq!(old["config"]["Entrypoint"], json!(["/old"]), "skopeo folds case");
    }
}

/// Bazel links blobs to its output tree, Nix links every file to its store.
#[test]
fn layouts_of_links_are_read() {
    let sandbox = small();
    let wanted = open(&sandbox.path("layout")).unwrap().image.config_document.digest;
    sandbox.dir("bazel/real");
    sandbox.tool("cp", "-r layout bazel/image").run().ok();
    sandbox.tool("cp", "-r layout store").run().ok();
    sandbox.dir("nix/blobs/sha256");
    for file in ["oci-layout", "index.json"] {
        symlink(sandbox.path("store").join(file), sandbox.path("nix").join(file)).unwrap();
    }
    for blob in sandbox.names("store/blobs/sha256") {
        let at = format!("blobs/sha256/{blob}");
        symlink(sandbox.path("store").join(&at), sandbox.path("nix").join(&at)).unwrap();
        let bazel = sandbox.path("bazel/image").join(&at);
        fs_err::rename(&bazel, sandbox.path("bazel/real").join(&blob)).unwrap();
        symlink(format!("../../../real/{blob}"), bazel).unwrap();
    }
    for layout in ["bazel/image", "nix"] {
        assert_eq!(open(&sandbox.path(layout)).unwrap().image.config_document.digest, wanted);
        sandbox.imgb(&format!("check oci:{layout}:1")).run().ok();
    }
    // A link that leads nowhere is named, and nothing is waited for or touched behind a link.
    let blob = sandbox.path("nix/blobs/sha256").join(wanted.hex());
    fs_err::remove_file(&blob).unwrap();
    symlink("/nix/store/gone", &blob).unwrap();
    sandbox.imgb("check oci:nix").run().error(4, &[&wanted.hex(), "/nix/store/gone"]);
    sandbox.tool("mkfifo", "fifo").run().ok();
    for target in ["/dev/zero", "/dev/tty", "../../../fifo", "/tmp", "/proc/self/fd"] {
        fs_err::remove_file(&blob).unwrap();
        symlink(target, &blob).unwrap();
        sandbox.imgb("check oci:nix").run().error(4, &[&wanted.hex(), "not a regular file"]);
    }
    // Another file is refused by its digest, and nothing of it is shown.
    sandbox.file("secret", "root:x:0");
    for file in [&blob, &sandbox.path("nix/index.json")] {
        fs_err::remove_file(file).unwrap();
        symlink(sandbox.path("secret"), file).unwrap();
        let refused = sandbox.imgb("check oci:nix").run();
        assert!(!refused.success() && !refused.stderr().contains("root"), "{}", refused.show());
    }
}

#[test]
fn directories_of_skopeo_and_podman_are_read() {
    let sandbox = small();
    let wanted = open(&sandbox.path("layout")).unwrap();
    let read = |dir: &str| {
        let read = open(&sandbox.path(dir)).unwrap_or_else(|error| panic!("{dir}: {error}"));
        assert_eq!(read.merged().len(), wanted.merged().len(), "{dir}");
        assert_eq!(read.image.config.command(), ["/app"], "{dir}");
        sandbox.imgb(&format!("check dir:{dir}")).run().ok();
        sandbox.imgb(&format!("check {dir}")).run().ok();
    };
    if have(&["skopeo"]) {
        sandbox.tool("skopeo", "copy -q --insecure-policy oci:layout:1 dir:d").run().ok();
        read("d");
        sandbox.tool("skopeo", "copy -q --insecure-policy -f v2s2 oci:layout:1 dir:d2").run().ok();
        read("d2");
        let digest = sandbox.tool("skopeo", "inspect --format {{.Digest}} dir:d").run().ok().text();
        let digest = digest.trim();
        sandbox.imgb(&format!("check dir:d@{digest}")).run().ok();
        let other = format!("sha256:{}", "0".repeat(64));
        sandbox.imgb(&format!("check dir:d@{other}")).run().error(3, &["digest", digest]);
        sandbox.imgb("check oci:d").run().error(4, &["index.json"]);
        let blob = sandbox.names("d").into_iter().find(|name| name.len() == 64).unwrap();
        let mut bytes = sandbox.read(&format!("d/{blob}"));
        bytes[9] ^= 1;
        sandbox.file(&format!("d/{blob}"), bytes).imgb("check d").run().error(7, &[&blob]);
    }
    if let Some(podman) = podman() {
        podman.load(&sandbox.path("hybrid.tar"));
        podman.save("docker.io/library/small:1", "docker-dir", &sandbox.path("saved"));
        read("saved");
    }
    sandbox.dir("unpacked").tool("tar", "-xf docker.tar -C unpacked").run().ok();
    sandbox.imgb("check unpacked").run().error(4, &["docker save"]);
}

/// A layout with an image and what is beside images: cosign's signature, an SBOM with a subject,
/// another artifact. Returns the entry of the image too.
fn signed() -> (Layout, Value, Value) {
    let layout = Layout::new();
    let config = layout.config().to_string();
    let image = layout.add(&layout.manifest(&config).to_string());
    let signature = {
        let mut manifest = layout.manifest(&config);
        manifest["layers"] = json!([layout.blob(SIGNATURE, b"{}")]);
        layout.add(&manifest.to_string())
    };
    let sbom = {
        let mut manifest = layout.manifest(&config);
        manifest["subject"] = image.clone();
        layout.add(&manifest.to_string())
    };
    let artifact = {
        let empty = layout.blob("application/vnd.oci.empty.v1+json", b"{}");
        let manifest = json!({
            "schemaVersion": 2, "artifactType": "application/x", "config": empty, "layers": [empty],
        });
        layout.add(&manifest.to_string())
    };
    layout.index(&[signature.clone(), sbom, image.clone(), artifact]);
    (layout, image, signature)
}

#[test]
fn signatures_and_artifacts_beside_an_image_are_not_the_image() {
    let (layout, image, signature) = signed();
    let opened = layout.opened().unwrap().image;
    assert_eq!(opened.manifest.unwrap().digest.to_string(), image["digest"].as_str().unwrap());
    let check = |name: &str| layout.sandbox.imgb(&format!("check {name}")).run();
    let of = |entry: &Value| entry["digest"].as_str().unwrap().to_owned();
    check(&format!("oci:l@{}", of(&image))).ok();
    check(&format!("oci:l@{}", of(&signature))).error(4, &["layers[0].mediaType", SIGNATURE]);
    layout.index(std::slice::from_ref(&signature));
    check("oci:l").error(4, &["layers[0].mediaType", SIGNATURE]);
    layout.index(&[signature.clone(), signature]);
    check("oci:l").error(4, &["layers[0].mediaType", SIGNATURE]);
}

#[test]
fn a_digest_selects_one_of_several() {
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    let layout = Layout::new();
    let entry = |user: &str, architecture: &str| {
        let mut config = layout.config();
        config["architecture"] = json!(architecture);
        config["config"] = json!({"User": user, "Cmd": ["x"]});
        let mut entry = layout.add(&layout.manifest(&config.to_string()).to_string());
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        entry
    };
    let (one, two, arm) = (entry("1", "amd64"), entry("2", "amd64"), entry("3", "arm64"));
    let nested = json!({"schemaVersion": 2, "manifests": [two, arm]}).to_string();
    let nested = layout.blob(INDEX, nested.as_bytes());
    layout.index(&[one.clone(), nested.clone()]);
    layout.sandbox.tool("tar", "-cf l.tar -C l .").run().ok();
    let inspect = |name: &str| layout.sandbox.imgb(&format!("inspect {name}")).run();
    let of = |entry: &Value| entry["digest"].as_str().unwrap().to_owned();
    inspect("l").error(2, &["several images", &of(&one), "@sha256:"]);
    for (entry, user) in [(&one, "1"), (&two, "2"), (&nested, "2"), (&arm, "3")] {
        for source in ["l", "oci:l", "l.tar", "oci-archive:l.tar"] {
            inspect(&format!("{source}@{}", of(entry))).ok().prints(&format!("user        {user}"));
        }
    }
    let arm_only = format!("l@{} --platform arm64", of(&nested));
    inspect(&arm_only).ok().prints("user        3");
    let gone = format!("sha256:{}", "0".repeat(64));
    inspect(&format!("l@{gone}")).error(3, &[&gone, &of(&nested)]);
    inspect("l@sha512:abc").error(2, &["sha512"]);
    // FROM takes the same names, and docker archives are told apart by the image's ID.
    layout.sandbox.file("Buildfile", format!("FROM oci:l@{}\nUSER 7\n", of(&arm)));
    layout.sandbox.imgb("build -q --no-check -t x:1 -o docker-archive:docker.tar").run().ok();
    let id = open(&layout.sandbox.path("docker.tar")).unwrap().image.config_document.digest;
    inspect(&format!("docker.tar@{id}")).ok().prints("user        7");
    inspect(&format!("docker.tar@{gone}")).error(3, &[&gone]);
}

#[test]
fn a_configuration_without_a_platform_takes_it_from_elsewhere() {
    let layout = Layout::new();
    let mut config = layout.config();
    config["config"] = json!({"Cmd": ["x"]});
    config.as_object_mut().unwrap().remove("architecture");
    let mut entry = layout.add(&layout.manifest(&config.to_string()).to_string());
    layout.index(std::slice::from_ref(&entry));
    let opened = |platform| open_for(&layout.path(), None, platform).unwrap().image;
    assert_eq!(opened(None).config.platform.to_string(), "linux/amd64");
    assert_eq!(opened(Some("arm64")).config.platform.to_string(), "linux/arm64");
    entry["platform"] = json!({"os": "linux", "architecture": "riscv64"});
    layout.index(&[entry]);
    let image = opened(None);
    assert_eq!(image.config.platform.to_string(), "linux/riscv64");
    assert!(image.notes[0].contains("does not say its platform"), "{:?}", image.notes);
}

#[test]
fn other_digests_are_named() {
    let (layout, mut image, _) = signed();
    let sha512 = format!("sha512:{}", "0".repeat(128));
    let check = |field: &str| {
        let wanted = [field, "sha512", "sha256 digests only"];
        layout.sandbox.imgb("check l").run().error(4, &wanted);
    };
    for (field, pointer) in
        [("config.digest", "/config/digest"), ("layers[0].digest", "/layers/0/digest")]
    {
        let mut manifest = layout.manifest(&layout.config().to_string());
        *manifest.pointer_mut(pointer).unwrap() = json!(sha512);
        layout.index(&[layout.add(&manifest.to_string())]);
        check(field);
    }
    image["digest"] = json!(sha512);
    layout.index(&[image]);
    check("manifests[0].digest");
}

/// umoci copies `io.containerd.image.name` to the entry that it adds.
#[test]
fn an_exact_tag_wins_over_a_copied_name() {
    if !have(&["umoci"]) {
        return;
    }
    let sandbox = small();
    sandbox.tool("umoci", "config --image layout:1 --config.user 7 --tag other").run().ok();
    let user = |tag: &str| {
        let image = open_for(&sandbox.path("layout"), Some(tag), None);
        image.map(|image| image.image.config.user)
    };
    assert_eq!(user("1").unwrap(), None);
    assert_eq!(user("docker.io/library/small:1").unwrap(), None);
    assert_eq!(user("other").unwrap().as_deref(), Some("7"));
    assert!(matches!(user("none"), Err(ImageError::NoSuchImage { .. })));
    sandbox.imgb("check oci:layout:1").run().ok();
}
