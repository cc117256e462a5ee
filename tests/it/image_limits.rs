//! Images whose files and documents are larger than any reader needs, and whose texts are meant for
//! a terminal.

use imgb::{digest::Digest, oci::ImageError};
use serde_json::json;

use crate::{
    engines::have,
    layouts::{Layout, tar_of},
};

/// The kernel gives no memory beyond this, in bytes.
const ADDRESS_SPACE: &str = "--as=900000000";

/// A sparse file of 1 GiB takes a few bytes of a layer.
#[test]
fn a_table_of_groups_of_any_size_costs_little_memory() {
    if !have(&["tar", "prlimit"]) {
        return;
    }
    let mut layout = Layout::new();
    let sandbox = &layout.sandbox;
    sandbox.file("root/etc/passwd", "bob:x:7:8::/:/bin/sh\n").file("root/etc/group", "");
    for table in ["passwd", "group"] {
        let path = sandbox.path(format!("root/etc/{table}"));
        fs_err::OpenOptions::new().write(true).open(path).unwrap().set_len(1 << 30).unwrap();
    }
    sandbox.tool("tar", "--create --sparse --owner=0 --group=0 -f l.tar -C root etc").run().ok();
    let tar = sandbox.read("l.tar");
    layout.layer = layout.blob("application/vnd.oci.image.layer.v1.tar", &tar);
    layout.diff_id = Digest::of(&tar).to_string();
    let mut config = layout.config();
    config["config"] = json!({"User": "bob:staff", "Entrypoint": ["/gone"]});
    let entry = layout.add(&layout.manifest(&config.to_string()).to_string());
    layout.index(&[entry]);
    let run = layout.sandbox.imgb("check l").under(&["prlimit", ADDRESS_SPACE]).run();
    run.error(1, &["staff"]);
}

/// Blobs of the base are opened one at a time, also where an archive is written after the layout.
#[test]
fn a_base_may_have_more_layers_than_there_are_descriptors() {
    if !have(&["prlimit"]) {
        return;
    }
    let layout = Layout::new();
    let tars = (0..100).map(|number| tar_of([("file", format!("{number}").into_bytes())]));
    let (layers, diff_ids): (Vec<_>, Vec<_>) = tars
        .map(|tar| {
            let layer = layout.blob("application/vnd.oci.image.layer.v1.tar", &tar);
            (layer, Digest::of(&tar).to_string())
        })
        .unzip();
    let mut config = layout.config();
    config["rootfs"]["diff_ids"] = json!(diff_ids);
    let mut manifest = layout.manifest(&config.to_string());
    manifest["layers"] = json!(layers);
    layout.index(&[layout.add(&manifest.to_string())]);
    let sandbox = &layout.sandbox;
    sandbox.file("more/new", "x");
    let pack = |cache: &str, limit: &[&str]| {
        let options = "--no-check --jobs 1 -o oci:out -o - -q";
        let run = sandbox.imgb(&format!("pack more/ --base oci:l {options} {cache}"));
        run.under(limit).run().ok().into_bytes()
    };
    let (limit, wanted) = (&["prlimit", "--nofile=48"], pack("--no-cache", &[]));
    // The second time, the layers are in the cache.
    for cache in ["--no-cache", "--cache cache", "--cache cache"] {
        assert_eq!(pack(cache, limit), wanted, "{cache}");
    }
    sandbox.imgb("inspect oci:out --json").run().ok().prints(&diff_ids[99]);
}

#[test]
fn documents_over_four_mib_are_refused() {
    let long = "x".repeat(5 << 20);
    let layout = Layout::new();
    let mut config = layout.config();
    config["config"] = json!({"Env": [format!("A={long}")]});
    let entry = layout.add(&layout.manifest(&config.to_string()).to_string());
    let refused = |what: &str| {
        let error = layout.opened().map(drop).unwrap_err();
        assert!(matches!(error, ImageError::Document { .. }), "{what}: {error}");
        assert!(error.to_string().contains("larger than"), "{what}: {error}");
    };
    layout.index(&[entry]);
    refused("configuration");
    let mut manifest = layout.manifest(&layout.config().to_string());
    manifest["annotations"] = json!({"a": long});
    layout.index(&[layout.add(&manifest.to_string())]);
    refused("manifest");
    let mut entry = layout.add(&layout.manifest(&layout.config().to_string()).to_string());
    entry["annotations"] = json!({"a": long});
    layout.index(&[entry]);
    refused("index");
}

#[test]
fn texts_of_an_image_cannot_colour_or_break_a_line() {
    let layout = Layout::new();
    let text = "\u{1b}[31mred\nlabel       x=y\u{7}";
    let mut config = layout.config();
    config["author"] = json!(text);
    config["config"] = json!({
        "Env": [format!("A={text}")], "Labels": {text: text}, "User": text, "WorkingDir": text,
        "Entrypoint": [text], "StopSignal": text, "Volumes": {text: {}},
    });
    let mut entry = layout.add(&layout.manifest(&config.to_string()).to_string());
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": text});
    layout.index(&[entry]);
    let is_clean = |shown: &str| {
        assert!(!shown.contains(['\u{1b}', '\u{7}']), "{shown:?}");
        assert!(!shown.lines().any(|line| line.starts_with("label       x=y")), "{shown:?}");
    };
    let inspected = layout.sandbox.imgb("inspect l").run().ok();
    is_clean(&inspected.text());
    assert!(inspected.text().contains("\\x1b[31mred"), "{}", inspected.show());
    is_clean(layout.sandbox.imgb("check l").run().stderr());
    is_clean(layout.sandbox.imgb("check l:2").run().stderr());
}
