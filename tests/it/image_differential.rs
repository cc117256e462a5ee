//! The image reader, compared with umoci and skopeo: layouts of random layers and documents give
//! the same files and the same configuration.

use std::collections::BTreeMap;

use imgb::{
    digest::Digest,
    tree::{Kind, Node},
};
use serde_json::{Map, Value, json};

use crate::{
    engines::{have, have_root},
    layouts::{Layout, open},
};

/// Numbers that are the same every time (xorshift64, Marsaglia 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % count as u64) as usize
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// A layer of a few entries, in which each path occurs once and nothing is below a link or file of
/// the same layer. `known` are the paths of the layers below and their kinds.
fn layer(random: &mut Random, known: &mut BTreeMap<String, char>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut own: BTreeMap<String, char> = BTreeMap::new();
    let mut gone = Vec::new();
    for _ in 0..12 {
        let dirs = known.iter().chain(&own).filter(|(_, kind)| **kind == 'd');
        let mut dirs: Vec<String> = dirs.map(|(path, _)| format!("{path}/")).collect();
        dirs.push(String::new());
        let dir = random.one(&dirs).clone();
        let name = format!("{dir}{}", random.one(&["a", "b", "c", "d"]));
        let changed = |other: &String| {
            *other == name || other.starts_with(&format!("{name}/")) || gone.contains(&dir)
        };
        if own.keys().any(changed) || gone.iter().any(|gone: &String| name.starts_with(gone)) {
            continue;
        }
        // A directory of this layer over something else below would need a whiteout for umoci too.
        let kind = match known.get(&name) {
            Some('d') => *random.one(&['d', 'd', 'w', 'o']),
            Some(_) => *random.one(&['f', 'l', 'w']),
            None => *random.one(&['d', 'd', 'f', 'f', 'l', 'h']),
        };
        let mut header = tar::Header::new_ustar();
        header.set_size(0);
        header.set_mode(*random.one(&[0o755, 0o644, 0o4711, 0o1777]));
        header.set_uid(random.below(3) as u64);
        let file = own.iter().find(|(_, kind)| **kind == 'f').map(|(path, _)| path.clone());
        let content = b"text"[..random.below(5)].to_vec();
        match (kind, file) {
            ('d', _) => {
                header.set_entry_type(tar::EntryType::Directory);
                tar.append_data(&mut header, format!("{name}/"), &b""[..]).unwrap();
            }
            ('l', _) => {
                header.set_entry_type(tar::EntryType::Symlink);
                let target = random.one(&["a", "/b", "../c", "gone"]);
                tar.append_link(&mut header, &name, target).unwrap();
            }
            ('h', Some(file)) => {
                header.set_entry_type(tar::EntryType::Link);
                tar.append_link(&mut header, &name, file).unwrap();
            }
            ('w', _) => {
                let (dir, last) = name.rsplit_once('/').map_or(("", &*name), |(d, n)| (d, n));
                let slash = if dir.is_empty() { "" } else { "/" };
                let mark = format!("{dir}{slash}.wh.{last}");
                tar.append_data(&mut header, mark, &b""[..]).unwrap();
                known.retain(|path, _| *path != name && !path.starts_with(&format!("{name}/")));
                gone.push(name);
                continue;
            }
            ('o', _) => {
                tar.append_data(&mut header, format!("{name}/.wh..wh..opq"), &b""[..]).unwrap();
                known.retain(|path, _| !path.starts_with(&format!("{name}/")));
                continue;
            }
            _ => {
                header.set_size(content.len() as u64);
                tar.append_data(&mut header, &name, &*content).unwrap();
            }
        }
        own.insert(name, if kind == 'h' { 'f' } else { kind });
    }
    known.extend(own);
    tar.into_inner().unwrap()
}

/// A configuration whose fields are present, `null` or missing, and spelled in various ways.
fn configuration(random: &mut Random, diff_ids: &[String]) -> Value {
    let fields = [
        ("User", json!("1:2")),
        ("Env", json!(["A=1", "B=", "A=2"])),
        ("Entrypoint", json!(["/a"])),
        ("Cmd", json!(["-x", ""])),
        ("WorkingDir", json!("/a")),
        ("Labels", json!({"Env": "x", "env": "y"})),
        ("ExposedPorts", json!({"80/tcp": {}})),
        ("Volumes", json!({"/v": {}})),
        ("StopSignal", json!("SIGINT")),
    ];
    let mut process = Map::new();
    for (name, value) in fields {
        let spelled = match random.below(3) {
            0 => name.to_owned(),
            1 => name.to_lowercase(),
            // Go takes this letter for an `s`.
            _ => name.replace('s', "ſ"),
        };
        match random.below(4) {
            0 => {}
            1 => drop(process.insert(spelled, Value::Null)),
            _ => drop(process.insert(spelled, value)),
        }
    }
    let config = *random.one(&["config", "Config", "CONFIG"]);
    let rootfs = *random.one(&["rootfs", "rootFS"]);
    json!({
        *random.one(&["architecture", "Architecture"]): "amd64", "os": "linux", config: process,
        rootfs: {"type": "layers", *random.one(&["diff_ids", "Diff_IDs"]): diff_ids},
    })
}

/// A path, what is there, and its mode, size or target.
type Listed = BTreeMap<String, String>;

fn ours(node: &Node) -> String {
    match &node.kind {
        Kind::Directory => format!("d {:o} {}", node.meta.mode, node.meta.uid),
        Kind::File(file) => format!("f {:o} {} {}", node.meta.mode, node.meta.uid, file.len),
        Kind::Symlink(target) => format!("l {}", String::from_utf8_lossy(target)),
        Kind::Special(_) => unreachable!("no layer has one"),
    }
}

/// The root file system that umoci unpacked.
fn unpacked(layout: &Layout) -> Listed {
    let sandbox = &layout.sandbox;
    sandbox.tool("rm", "-rf bundle").run().ok();
    sandbox.tool("umoci", "unpack --image l:1 bundle").run().ok();
    let format = r"%P\t%y %m %U %s\t%l\n";
    let found = sandbox.tool("find", "bundle/rootfs -mindepth 1 -printf").arg(format).run().ok();
    let listed = found.text();
    let line = |line: &str| {
        let mut parts = line.split('\t');
        let (path, kind, target) = (parts.next()?, parts.next()?, parts.next()?);
        let words: Vec<&str> = kind.split(' ').collect();
        let told = match words[0] {
            "d" => format!("d {} {}", words[1], words[2]),
            "f" => kind.to_owned(),
            _ => format!("l {target}"),
        };
        Some((path.to_owned(), told))
    };
    listed.lines().filter_map(line).collect()
}

#[test]
fn random_images_are_read_as_umoci_and_skopeo_read_them() {
    if !have(&["umoci", "skopeo", "find"]) || !have_root() {
        return;
    }
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let (mut paths, mut fields) = (0, 0);
    for number in 0..40 {
        let layout = Layout::new();
        let mut known = BTreeMap::new();
        let tars: Vec<Vec<u8>> = (0..3).map(|_| layer(&mut random, &mut known)).collect();
        let diff_ids: Vec<String> = tars.iter().map(|tar| Digest::of(tar).to_string()).collect();
        let config = configuration(&mut random, &diff_ids).to_string();
        let mut manifest = layout.manifest(&config);
        let media_type = "application/vnd.oci.image.layer.v1.tar";
        manifest["layers"] = tars.iter().map(|tar| layout.blob(media_type, tar)).collect();
        let mut entry = layout.add(&manifest.to_string());
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": "1"});
        layout.index(&[entry]);
        let image = open(&layout.path()).unwrap_or_else(|error| panic!("{number}: {error}"));

        let wanted = unpacked(&layout);
        let tree = image.merged();
        let found = tree.iter().map(|(path, node)| {
            (String::from_utf8_lossy(path.relative()).into_owned(), ours(node))
        });
        let found: Listed = found.collect();
        assert_eq!(found, wanted, "files of image {number}");
        paths += found.len();

        let text = layout.sandbox.tool("skopeo", "inspect --config oci:l:1").run().ok().text();
        let theirs: Value = serde_json::from_str(&text).unwrap();
        let theirs = &theirs["config"];
        let config = &image.image.config;
        let text = |name: &str| theirs[name].as_str().map(str::to_owned);
        let list = |name: &str| -> Option<Vec<String>> {
            theirs[name]
                .as_array()
                .map(|items| items.iter().map(|item| item.as_str().unwrap().to_owned()).collect())
        };
        let keys = |name: &str| -> Vec<String> {
            theirs[name].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
        };
        assert_eq!(config.user, text("User"), "{number}");
        assert_eq!(config.workdir, text("WorkingDir"), "{number}");
        assert_eq!(config.stop_signal, text("StopSignal"), "{number}");
        assert_eq!(config.env, list("Env").unwrap_or_default(), "{number}");
        assert_eq!(config.entrypoint, list("Entrypoint"), "{number}");
        assert_eq!(config.cmd, list("Cmd"), "{number}");
        assert_eq!(config.labels.keys().cloned().collect::<Vec<_>>(), keys("Labels"), "{number}");
        let ports: Vec<String> = config.exposed_ports.iter().cloned().collect();
        assert_eq!(ports, keys("ExposedPorts"), "{number}");
        assert_eq!(config.volumes.iter().cloned().collect::<Vec<_>>(), keys("Volumes"), "{number}");
        fields += theirs.as_object().map_or(0, Map::len);
    }
    assert!(paths > 200 && fields > 100, "{paths} paths, {fields} fields");
}
