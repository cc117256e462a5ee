//! Every output, read back by GNU tar, bsdtar and Python's tarfile: each lists the content of the
//! fixture.

use std::path::Path;

use serde_json::Value;

use crate::{
    engines::{have, have_root},
    fixtures::{self, Entry},
    image_spec::{Layout, docker_faults},
    sandbox::{Run, Sandbox},
};

const READERS: [&str; 3] = ["tar", "bsdtar", "python3"];

/// One line per entry: kind, mode, owner, size, seconds since 1970, name, link.
fn lines(entries: &[Entry]) -> Vec<String> {
    let line = |entry: &Entry| {
        let Entry { name, kind, mode, size, link } = entry;
        format!("{kind} {mode:o} 0:0 {size} 0 {name} {link}")
    };
    entries.iter().map(line).collect()
}

/// The mode that `drwxr-xr-t` stands for.
fn mode(text: &str) -> u32 {
    let mut mode = 0;
    for (at, letter) in text.chars().skip(1).enumerate() {
        let bit = 0o400 >> at;
        let special = [0, 0, 0o4000, 0, 0, 0o2000, 0, 0, 0o1000][at];
        mode |= match letter {
            '-' => 0,
            'r' | 'w' | 'x' => bit,
            's' | 't' => bit | special,
            'S' | 'T' => special,
            other => panic!("{other:?} in the mode {text:?}"),
        };
    }
    mode
}

/// The name and the link in `rest`, the end of a line of `tar -tv`.
fn name_and_link(rest: &str) -> (&str, &str) {
    let (name, link) =
        rest.split_once(" -> ").or_else(|| rest.split_once(" link to ")).unwrap_or((rest, ""));
    (name.trim_end_matches('/'), link)
}

/// Removes `count` words from `text`; the rest starts after one space.
fn words(mut text: &str, count: usize) -> (Vec<&str>, &str) {
    let mut words = Vec::new();
    for _ in 0..count {
        let (word, rest) =
            text.trim_start().split_once(' ').unwrap_or_else(|| panic!("short line: {text:?}"));
        words.push(word);
        text = rest;
    }
    (words, text)
}

fn kind(letter: &str) -> &str {
    match &letter[..1] {
        "-" => "f",
        other => other,
    }
}

fn utf8(run: Run) -> Run {
    run.env("LC_ALL", "C.UTF-8").env("TZ", "UTC")
}

/// What GNU tar lists.
fn gnu(archive: &Path) -> Vec<String> {
    let args = "--list --verbose --numeric-owner --full-time --quoting-style=literal --file";
    let text = utf8(Run::new("tar").args(args).arg(archive)).run().ok().text();
    let line = |line: &str| {
        let (head, rest) = words(line, 5);
        let [letters, owner, size, day, time] = head[..] else { unreachable!() };
        let (name, link) = name_and_link(rest);
        let time = if (day, time) == ("1970-01-01", "00:00:00") { "0" } else { day };
        format!(
            "{} {:o} {} {size} {time} {name} {link}",
            kind(letters),
            mode(letters),
            owner.replace('/', ":")
        )
    };
    text.lines().map(line).collect()
}

/// What bsdtar lists.
fn bsd(archive: &Path) -> Vec<String> {
    let text = utf8(Run::new("bsdtar").args("--numeric-owner -tvf").arg(archive)).run().ok().text();
    let line = |line: &str| {
        let (head, rest) = words(line, 8);
        let [letters, _, uid, gid, size, month, day, year] = head[..] else { unreachable!() };
        let (name, link) = name_and_link(rest);
        let time = if (month, day, year) == ("Jan", "1", "1970") { "0" } else { year };
        format!("{} {:o} {uid}:{gid} {size} {time} {name} {link}", kind(letters), mode(letters))
    };
    text.lines().map(line).collect()
}

/// What Python's tarfile lists.
fn python(archive: &Path) -> Vec<String> {
    let script = r#"
import sys, tarfile
kinds = {tarfile.REGTYPE: "f", tarfile.DIRTYPE: "d", tarfile.SYMTYPE: "l", tarfile.LNKTYPE: "h"}
with tarfile.open(sys.argv[1], "r:*") as archive:
    for m in archive:
        kind = kinds.get(m.type, str(m.type))
        size = m.size if kind == "f" else 0
        print(f"{kind} {m.mode:o} {m.uid}:{m.gid} {size} {m.mtime} {m.name} {m.linkname}")
        assert not m.uname and not m.gname, m.name
"#;
    let text = utf8(Run::new("python3").arg("-c").arg(script).arg(archive)).run().ok().text();
    text.lines().map(str::to_owned).collect()
}

/// Asserts that all readers list `expected` for an archive.
fn all_list(archive: &Path, expected: &[String]) {
    for (reader, found) in READERS.iter().zip([gnu(archive), bsd(archive), python(archive)]) {
        assert_eq!(found, expected, "left: what {reader} lists of {}", archive.display());
    }
}

#[test]
fn the_layers_of_every_output_list_what_was_packed() {
    let sandbox = Sandbox::new();
    let expected = lines(&fixtures::tree(&sandbox));
    if !have(&READERS) {
        return;
    }
    let pack = |args: &str| {
        let run = sandbox.imgb("pack ./tree --entrypoint /tree/bin/static").args(args);
        run.env("SOURCE_DATE_EPOCH", "0").run().ok()
    };
    pack(
        "-o hybrid.tar -o docker-archive:docker.tar -o oci-archive:oci.tar -o oci:layout -o \
            rootfs:rootfs.tar",
    );
    let layouts = [
        Layout::unpack(&sandbox, "hybrid.tar", "hybrid"),
        Layout::unpack(&sandbox, "oci.tar", "oci"),
        Layout::open(&sandbox.path("layout")),
    ];
    for layout in layouts {
        let [layer] = &layout.layers()[..] else {
            panic!("one layer is enough for {}", layout.manifest)
        };
        all_list(layer, &expected);
    }
    all_list(&sandbox.path("rootfs.tar"), &expected);

    sandbox.dir("docker").tool("tar", "--extract --file docker.tar --directory docker").run().ok();
    assert_eq!(docker_faults(&sandbox.path("docker")), Vec::<String>::new());
    let manifest: Value = serde_json::from_slice(&sandbox.read("docker/manifest.json")).unwrap();
    let layer = manifest[0]["Layers"][0].as_str().unwrap();
    all_list(&sandbox.path("docker").join(layer), &expected);

    pack("-o oci:plain --compress none");
    all_list(&Layout::open(&sandbox.path("plain")).layers()[0], &expected);
    pack("-o oci:zstd --compress zstd");
    let zstd = Layout::open(&sandbox.path("zstd"));
    assert_eq!(bsd(&zstd.layers()[0]), expected, "left: what bsdtar lists of the layer in zstd");
}

#[test]
fn archives_are_sound_tars_themselves() {
    let sandbox = Sandbox::new();
    fixtures::tree(&sandbox);
    if !have(&READERS) {
        return;
    }
    sandbox
        .imgb("pack ./tree -o hybrid.tar -o docker-archive:docker.tar -o oci-archive:oci.tar")
        .run()
        .ok();
    for archive in ["hybrid.tar", "docker.tar", "oci.tar"] {
        let found = gnu(&sandbox.path(archive));
        all_list(&sandbox.path(archive), &found);
        let mut names: Vec<&str> = found.iter().map(|line| words(line, 5).1.trim_end()).collect();
        assert!(
            found.iter().all(|line| words(line, 5).0[4] == "0"),
            "every time is zero: {found:#?}"
        );
        // Apptainer and syft create no directories but those that are members.
        for (at, name) in names.iter().enumerate() {
            let parent = name.trim_end_matches('/').rsplit_once('/').map(|(dir, _)| dir);
            let mut before = names[..at].iter().map(|name| name.trim_end_matches('/'));
            assert!(
                parent.is_none_or(|dir| before.any(|name| name == dir)),
                "{name} has no directory before it in {archive}: {names:#?}"
            );
        }
        names.sort_unstable();
        let documents =
            names.iter().filter(|name| !name.starts_with("blobs")).copied().collect::<Vec<_>>();
        let expected: &[&str] = match archive {
            "hybrid.tar" => &["index.json", "manifest.json", "oci-layout"],
            "oci.tar" => &["index.json", "oci-layout"],
            _ => continue,
        };
        assert_eq!(documents, expected, "{archive}");
    }
}

#[test]
fn no_document_names_a_thing_twice() {
    let sandbox = Sandbox::new();
    fixtures::tree(&sandbox);
    if !have(&["python3"]) {
        return;
    }
    let options = "--env A=1 --label a=1 --label b=2 --annotation c=3 --expose 80 --expose 53/udp \
        --volume /data";
    sandbox.imgb("pack ./tree -o hybrid.tar").args(options).run().ok();
    let layout = Layout::unpack(&sandbox, "hybrid.tar", "hybrid");
    let script = r#"
import json, sys
def once(pairs):
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names)), names
    return dict(pairs)
for path in sys.argv[1:]:
    json.loads(open(path, encoding="utf-8").read(), object_pairs_hook=once)
"#;
    let blob = |digest: &str| sandbox.path("hybrid/blobs").join(digest.replace(':', "/"));
    let run = Run::new("python3").arg("-c").arg(script);
    let run = ["index.json", "manifest.json", "oci-layout"]
        .iter()
        .fold(run, |run, name| run.arg(sandbox.path("hybrid").join(name)));
    run.arg(blob(&layout.manifest_digest))
        .arg(blob(layout.manifest["config"]["digest"].as_str().unwrap()))
        .run()
        .ok();
    let inner = &layout.config["config"];
    assert_eq!(inner["ExposedPorts"].to_string(), r#"{"53/udp":{},"80/tcp":{}}"#);
    assert_eq!(inner["Volumes"].to_string(), r#"{"/data":{}}"#);
    assert_eq!(inner["Labels"].to_string(), r#"{"a":"1","b":"2"}"#);
    assert_eq!(layout.manifest["annotations"]["c"], "3");
}

#[test]
fn one_image_can_have_two_names() {
    let sandbox = Sandbox::new();
    fixtures::tree(&sandbox);
    sandbox.imgb("pack ./tree -o hybrid.tar -t app:1.0 -t registry.example/team/app").run().ok();
    let layout = Layout::unpack(&sandbox, "hybrid.tar", "hybrid");
    let annotation = |name: &str| {
        let all = layout.names();
        all.iter()
            .map(|item| item["annotations"][name].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let full = ["docker.io/library/app:1.0", "registry.example/team/app:latest"];
    assert_eq!(annotation("io.containerd.image.name"), full);
    assert_eq!(annotation("org.opencontainers.image.ref.name"), ["1.0", "latest"]);
    let manifest: Value = serde_json::from_slice(&sandbox.read("hybrid/manifest.json")).unwrap();
    assert_eq!(manifest[0]["RepoTags"], serde_json::json!(full));
}

#[test]
fn file_capabilities_reach_the_layer_and_other_attributes_do_not() {
    let sandbox = Sandbox::new();
    sandbox.program("app", fixtures::static_elf(fixtures::X86_64));
    if !(have(&["python3"]) && have_root()) {
        return;
    }
    // linux/capability.h, version 2 with the effective flag: cap_net_bind_service, permitted.
    let mut capability = 0x0200_0001_u32.to_le_bytes().to_vec();
    capability.extend(0x400_u32.to_le_bytes());
    capability.resize(20, 0);
    let set = |name: &str, value: &[u8]| {
        rustix::fs::setxattr(sandbox.path("app"), name, value, rustix::fs::XattrFlags::empty())
            .unwrap();
    };
    set("security.capability", &capability);
    set("trusted.note", b"mine");
    sandbox.imgb("pack ./app -o oci:layout").run().ok();
    let script = r#"
import sys, tarfile
for m in tarfile.open(sys.argv[1], "r:*"):
    for name, value in sorted(m.pax_headers.items()):
        print(m.name, name, value.encode("utf-8", "surrogateescape").hex())
"#;
    let layout = Layout::open(&sandbox.path("layout"));
    let hex: String = capability.iter().map(|byte| format!("{byte:02x}")).collect();
    let listed =
        utf8(Run::new("python3").arg("-c").arg(script).arg(&layout.layers()[0])).run().ok();
    listed.prints_only(&format!("app SCHILY.xattr.security.capability {hex}\n"));
}
