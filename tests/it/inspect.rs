//! `imgb inspect`: sizes as GNU tar lists them, waste, single layers, packages.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    fixtures,
    layouts::Parts,
    raw_tar::{MODE, RawTar, put},
    sandbox::{Sandbox, is_there},
};

fn inspect(sandbox: &Sandbox, args: &str) -> Value {
    let outcome = sandbox.imgb("inspect --json").args(args).run().ok();
    serde_json::from_str(&outcome.text()).unwrap()
}

/// Files of GNU tar's listing with their sizes; those of hard links are 0.
fn listed(sandbox: &Sandbox, tar: &str) -> BTreeMap<String, u64> {
    let text = sandbox.tool("tar", "--numeric-owner --quoting-style=literal -tvf").arg(tar);
    let text = text.run().ok().text();
    let line = |line: &str| {
        let mut words = line.splitn(6, ' ').filter(|word| !word.is_empty());
        let (mode, _, rest) = (words.next()?, words.next()?, words.collect::<Vec<_>>().join(" "));
        let mut rest = rest.trim_start().splitn(4, ' ');
        let size = rest.next()?.parse().ok()?;
        let name = rest.nth(2)?;
        let name = name.split(" link to ").next()?;
        mode.starts_with(['-', 'h']).then(|| (format!("/{name}"), size))
    };
    text.lines().filter_map(line).collect()
}

#[test]
fn sizes_are_those_that_gnu_tar_lists() {
    if !is_there("tar") {
        return;
    }
    let sandbox = Sandbox::new();
    fixtures::tree(&sandbox);
    sandbox.imgb("pack tree --no-check -q --compress none -o oci:l").run().ok();
    let files = as_listed(&sandbox, "l");
    assert!(files > 8, "{files}");
    let text = sandbox.imgb("inspect --tree --depth 1 l").run().ok().text();
    let lines: Vec<_> = text.lines().map(|line| line.split_whitespace().last().unwrap()).collect();
    assert_eq!(lines, ["/", "tree"]);
    // The layer of another writer, in each of its formats.
    for format in ["gnu", "pax", "oldgnu"] {
        let args = format!("--format={format} -cf {format}.tar tree");
        sandbox.tool("tar", &args).run().ok();
        let layers = vec![sandbox.read(&format!("{format}.tar"))];
        let config = json!({"architecture": "amd64", "os": "linux"});
        Parts { config, layers }.write(&sandbox, format);
        assert_eq!(as_listed(&sandbox, format), files, "{format}");
    }
}

/// Compares what `inspect --json` says of an image of one plain layer with GNU tar's listing of the
/// layer; the number of files.
fn as_listed(sandbox: &Sandbox, image: &str) -> usize {
    let value = inspect(sandbox, image);
    let digest = value["layers"][0]["digest"].as_str().unwrap().replace("sha256:", "");
    let listed = listed(sandbox, &format!("{image}/blobs/sha256/{digest}"));
    let files = value["files"].as_array().unwrap().iter();
    let files: BTreeMap<String, u64> = files
        .filter(|file| file["type"] == "file")
        .map(|file| {
            let size = if file["link_to"].is_null() { file["size"].as_u64().unwrap() } else { 0 };
            (file["path"].as_str().unwrap().to_owned(), size)
        })
        .collect();
    assert_eq!(files, listed);
    let root = value["directories"][0].clone();
    assert_eq!((&root["path"], &root["size"]), (&json!("/"), &json!(listed.values().sum::<u64>())));
    files.len()
}

/// Three layers: the second replaces `/f`, removes `/g` and copies `/h`.
fn layered(sandbox: &Sandbox) {
    let tar = RawTar::new;
    let layers = vec![
        tar()
            .file("f", "12345")
            .file("g", "123")
            .file("h", "12")
            .file("i", "1")
            .hard_link("j", "i")
            .end(),
        tar().file("f", "1").file(".wh.g", "").file("copy", "12").file(".wh.i", "").end(),
        tar().dir("d").end(),
    ];
    let config = json!({"architecture": "amd64", "os": "linux"});
    Parts { config, layers }.write(sandbox, "l");
}

#[test]
fn what_layers_hide_and_copy_is_listed() {
    let sandbox = Sandbox::new();
    layered(&sandbox);
    let value = inspect(&sandbox, "l");
    let hidden = |path: &str, size: u64, replaced: bool| {
        let layer = 0;
        json!({"path": path, "layer": layer, "size": size, "replaced": replaced})
    };
    // `/i` is there as `/j`.
    assert_eq!(value["hidden"], json!([hidden("/f", 5, true), hidden("/g", 3, false)]));
    let copies = value["duplicates"].as_array().unwrap();
    let paths: Vec<_> = copies.iter().map(|one| &one["paths"]).collect();
    assert_eq!(paths, [&json!(["/copy", "/h"]), &json!(["/f", "/j"])]);
    let text = sandbox.imgb("inspect l").run().ok().text();
    for line in [
        "2 files hidden by later layers, 8 B",
        "5 B  /f (in layer 1, replaced later)",
        "3 B  /g (in layer 1, removed later)",
        "2 copies of other files, 3 B",
        "2 B  /copy = /h",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn what_nothing_leads_to_is_waste() {
    let sandbox = Sandbox::new();
    let app = fixtures::static_elf(fixtures::X86_64);
    let tar = RawTar::new()
        .raw(b'0', b"app", &app, |header| put(header, MODE, b"0000755\0"))
        .hard_link("app-too", "app")
        .file("unused", "12345")
        .hard_link("unused-too", "unused")
        .file("data/x", "1");
    let tar = tar.end();
    let image = |entrypoint: &str| {
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {"Entrypoint": [entrypoint]},
        });
        Parts { config, layers: vec![tar.clone()] }.write(&sandbox, "l");
    };
    image("/app");
    let unreached = |paths: &[(&str, u64)]| {
        json!(
            paths
                .iter()
                .map(|(path, size)| json!({"path": path, "size": size}))
                .collect::<Vec<_>>()
        )
    };
    let all = [("/unused", 5), ("/data/x", 1), ("/app-too", 0), ("/unused-too", 0)];
    assert_eq!(inspect(&sandbox, "l")["unreached"], unreached(&all));
    let but_data = [("/unused", 5), ("/app-too", 0), ("/unused-too", 0)];
    assert_eq!(inspect(&sandbox, "--from /data l")["unreached"], unreached(&but_data));
    let text = sandbox.imgb("inspect l").run().ok().text();
    assert!(text.contains("4 paths that nothing leads to, 6 B\n        5 B  /unused\n"), "{text}");
    // Where nothing is known, nothing is waste.
    image("/gone");
    let value = inspect(&sandbox, "l");
    assert_eq!((&value["unreached"], value["unresolved"].is_string()), (&json!([]), true));
    let text = sandbox.imgb("inspect l").run().ok().text();
    let line = "not known what is needed: the image starts no program that it has (--from PATH";
    assert!(text.contains(line), "{text}");
}

#[test]
fn one_layer_is_shown_alone() {
    let sandbox = Sandbox::new();
    layered(&sandbox);
    let text = sandbox.imgb("inspect --layer 2 l").run().ok().text();
    assert!(text.starts_with("layer    2 of 3\n"), "{text}");
    let end = "removes  /g\nremoves  /i\n\n-rw-r--r-- 0:0 /copy 2\n-rw-r--r-- 0:0 /f 1\n";
    assert!(text.ends_with(end), "{text}");
    let value = inspect(&sandbox, "--layer 1 l");
    let paths: Vec<_> = value["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| (&file["path"], &file["layer"]))
        .collect();
    let layer = json!(0);
    let wanted = ["/f", "/g", "/h", "/i", "/j"].map(Value::from);
    assert_eq!(paths, wanted.iter().map(|path| (path, &layer)).collect::<Vec<_>>());
    sandbox.imgb("inspect --layer 4 l").run().error(2, &["there is no layer 4", "3 layers"]);
    sandbox.imgb("inspect --layer 0 l").run().error(2, &["there is no layer 0"]);
}

#[test]
fn packages_are_listed_with_what_the_image_has_of_them() {
    let sandbox = Sandbox::new();
    let tar = RawTar::new()
        .file("usr/bin/one", "12345")
        .file(
            "var/lib/dpkg/status.d/one",
            "Package: one\nArchitecture: amd64\nVersion: 1.2-3\nSource: src\n",
        )
        .file(
            "var/lib/dpkg/status.d/one.md5sums",
            "0123456789abcdef0123456789abcdef  usr/bin/one\n\
             0123456789abcdef0123456789abcdef  usr/bin/gone\n",
        );
    let config = json!({"architecture": "amd64", "os": "linux"});
    Parts { config, layers: vec![tar.end()] }.write(&sandbox, "l");
    let wanted = json!([{
        "name": "one", "version": "1.2-3", "architecture": "amd64", "source": "src",
        "database": "dpkg", "files": 1, "size": 5,
    }]);
    assert_eq!(inspect(&sandbox, "l")["packages"], wanted);
    let text = sandbox.imgb("inspect l").run().ok().text();
    assert!(text.contains("1 package (dpkg), 5 B\n        5 B  one 1.2-3\n"), "{text}");
}

#[test]
fn the_platforms_of_the_index_are_listed() {
    let sandbox = Sandbox::new();
    let config = |arch: &str| json!({"architecture": arch, "os": "linux"});
    let mut entries = Vec::new();
    for arch in ["arm64", "amd64"] {
        let parts = Parts { config: config(arch), layers: vec![RawTar::new().end()] };
        parts.write(&sandbox, "l");
        let index: Value = serde_json::from_slice(&sandbox.read("l/index.json")).unwrap();
        let mut entry = index["manifests"][0].clone();
        entry["platform"] = config(arch);
        entries.push(entry);
    }
    let index = json!({"schemaVersion": 2, "manifests": entries}).to_string();
    sandbox.file("l/index.json", index);
    let value = inspect(&sandbox, "--platform linux/amd64 l");
    assert_eq!(value["platforms"], json!(["linux/arm64", "linux/amd64"]));
    let text = sandbox.imgb("inspect --platform linux/amd64 l").run().ok().text();
    assert!(text.contains("others      linux/arm64\n"), "{text}");
}
