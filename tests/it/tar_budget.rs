//! Small archives that would cost much time, memory or disk.

use std::os::unix::fs::MetadataExt as _;

use imgb::{
    archive::spool::{self, SpoolError, spool},
    compress::Compression,
    digest::Digest,
};
use serde_json::json;

use crate::{
    hostile_tar::compressed_with,
    raw_tar::{RawTar, read},
    sandbox::Sandbox,
};

#[test]
fn chains_of_links_into_deep_directories_are_cheap() {
    // 38 links, each followed by 40 directories, and files below all of them: 1.2 million steps,
    // each with a path of up to 3 kB.
    let mut tar = RawTar::new();
    for number in 0..38 {
        let target = format!("l{}/{}", number + 1, "q/".repeat(40));
        tar = tar.symlink(&format!("l{number}"), &target);
    }
    tar = tar.dir("l38");
    let tar = (0..780).fold(tar, |tar, number| tar.file(&format!("l0/f{number}"), ""));
    let error = read(&tar.end()).unwrap_err();
    assert!(error.ends_with(": too many directories and links to follow"), "{error}");
}

#[test]
fn deep_directories_without_entries_are_few() {
    // 60 paths of 4 kB name directories whose paths have 240 MB.
    let deep = |tar: RawTar, number: u32| {
        let path = format!("{number}/{}f", "x/".repeat(2000));
        tar.pax(&[("path", path.as_bytes())]).file("f", "")
    };
    let error = read(&(0..60).fold(RawTar::new(), deep).end()).unwrap_err();
    assert!(error.contains(": too many "), "{error}");
    assert!(read(&(0..3).fold(RawTar::new(), deep).end()).is_ok());
    // In one directory they cost nothing.
    let in_one = |tar: RawTar, number: u32| {
        let path = format!("{}f{number}", "x/".repeat(2000));
        tar.pax(&[("path", path.as_bytes())]).file("f", "")
    };
    assert!(read(&(0..1000).fold(RawTar::new(), in_one).end()).is_ok());
}

/// Writes a layout with one image that mentions `layer` that many times.
fn layout(sandbox: &Sandbox, dir: &str, layer: &[u8], times: usize) {
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": vec![Digest::of(layer).to_string(); times]},
    });
    let write = |bytes: &[u8], kind: &str| {
        let digest = Digest::of(bytes);
        sandbox.file(&format!("{dir}/blobs/sha256/{}", digest.hex()), bytes);
        json!({"mediaType": kind, "digest": digest.to_string(), "size": bytes.len()})
    };
    let of = |what: &str| format!("application/vnd.oci.image.{what}");
    let layer = write(layer, &of("layer.v1.tar"));
    let config = write(config.to_string().as_bytes(), &of("config.v1+json"));
    let manifest = json!({
        "schemaVersion": 2, "mediaType": of("manifest.v1+json"),
        "config": config, "layers": vec![layer; times],
    });
    let manifest = write(manifest.to_string().as_bytes(), &of("manifest.v1+json"));
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    sandbox.file(&format!("{dir}/index.json"), index.to_string());
    sandbox.file(&format!("{dir}/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#);
}

#[test]
fn a_layer_is_read_once_however_often_it_is_mentioned() {
    let sandbox = Sandbox::new();
    layout(&sandbox, "many", &RawTar::new().file("f", &"1".repeat(1 << 20)).end(), 1000);
    // 1,000 copies would be a file of 1 GiB.
    sandbox.imgb("check oci:many").under(&["prlimit", "--fsize=16777216"]).run().ok();
    // Entries count each time.
    let files = (0..2000).fold(RawTar::new(), |tar, number| tar.file(&number.to_string(), ""));
    layout(&sandbox, "entries", &files.end(), 1000);
    sandbox.imgb("check oci:entries").run().error(4, &["too many headers"]);
}

#[test]
fn zeros_take_no_space_and_have_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let zeros = compressed_with(Compression::Zstd(1), &vec![0; 64 << 20]);
    let archive = spool("zeros", &zeros[..], dir.path(), spool::Limits::default()).unwrap();
    let meta = archive.file.metadata().unwrap();
    assert_eq!(meta.len(), 64 << 20);
    assert!(meta.blocks() * 512 < 1 << 20, "{} blocks", meta.blocks());
    // From 1 GiB on, 2,000 times the compressed size is enough.
    let many = zeros.repeat(17);
    let error = spool("zeros", &many[..], dir.path(), spool::Limits::default()).unwrap_err();
    assert!(matches!(error, SpoolError::Large { .. }), "{error}");
}
