//! Layers that try to get out of their root, after the table of containerd's test `TestBreakouts`
//! (pkg/archive/tar_test.go): imgb gives the files that the real containerd unpacks, or refuses.

use crate::{
    engines,
    layouts::{Parts, open},
    raw_tar::{RawTar, text},
    sandbox::Sandbox,
};
use serde_json::json;

/// A name of the table, what is below, the layer, and what both give.
///
/// An entry is a kind, a name, and content or target: `d` is a directory, `f` a file, `l` a
/// symbolic link, `h` a hard link.
type Case = (&'static str, &'static [&'static str], &'static [&'static str], Result<Tree, Refusal>);
type Tree = &'static [&'static str];
type Refusal = &'static str;

const BELOW: &[&str] = &["d etc", "f /etc/passwd inside"];
const LINK_BELOW: &[&str] = &["d etc", "f etc/passwd all", "f etc/gone x", "l localetc /etc"];

const SHARED: &str = "/etc/passwd inside (shared)";
const WHITEOUT: Refusal = "no image can hold a file whose name begins with `.wh.`";

const CASES: &[Case] = &[
    (
        "SymlinkAbsolute",
        &[],
        &["d etc", "l localetc /etc", "f /localetc/unbroken 1"],
        Ok(&["/etc/", "/etc/unbroken 1", "/localetc -> /etc"]),
    ),
    (
        "SymlinkUpAndOut",
        &[],
        &["d etc", "d dummy", "l localetc /dummy/../etc", "f /localetc/unbroken 1"],
        Ok(&["/dummy/", "/etc/", "/etc/unbroken 1", "/localetc -> /dummy/../etc"]),
    ),
    (
        "SymlinkMultipleAbsolute",
        &[],
        &["d etc", "d dummy", "l /dummy/etc /etc", "l localetc /dummy/etc", "f /dummy/etc/new 1"],
        Ok(&["/dummy/", "/dummy/etc -> /etc", "/etc/", "/etc/new 1", "/localetc -> /dummy/etc"]),
    ),
    (
        "SymlinkMultipleRelative",
        &[],
        &["d etc", "d dummy", "l /dummy/etc /etc", "l localetc ./dummy/etc", "f /localetc/new 1"],
        Ok(&["/dummy/", "/dummy/etc -> /etc", "/etc/", "/etc/new 1", "/localetc -> ./dummy/etc"]),
    ),
    (
        "SymlinkEmptyFile",
        &[],
        &["d etc", "f etc/emptied full", "l localetc /etc", "f /localetc/emptied "],
        Ok(&["/etc/", "/etc/emptied ", "/localetc -> /etc"]),
    ),
    (
        "HardlinkRelative",
        BELOW,
        &["f etc/passwd inside", "d out", "l out/d1 ../../etc", "h out/mine /out/d1/passwd"],
        Ok(&["/etc/", SHARED, "/out/", "/out/d1 -> ../../etc", "/out/mine inside (shared)"]),
    ),
    (
        "HardlinkDownAndOut",
        &[],
        &["d etc", "f etc/passwd inside", "d down", "l d1 down/../../etc", "h mine /d1/passwd"],
        Ok(&["/d1 -> down/../../etc", "/down/", "/etc/", SHARED, "/mine inside (shared)"]),
    ),
    (
        "HardlinkAbsolute",
        &[],
        &["d etc", "f etc/passwd inside", "l localetc /etc", "h mine /localetc/passwd"],
        Ok(&["/etc/", SHARED, "/localetc -> /etc", "/mine inside (shared)"]),
    ),
    (
        "HardlinkRelativeLong",
        &[],
        &["d etc", "f etc/passwd inside", "l up ../../../../../../../etc", "h mine /up/passwd"],
        Ok(&["/etc/", SHARED, "/mine inside (shared)", "/up -> ../../../../../../../etc"]),
    ),
    (
        "HardlinkRelativeUpAndOut",
        &[],
        &["d etc", "f etc/passwd inside", "d up", "l out up/../../../etc", "h mine /out/passwd"],
        Ok(&["/etc/", SHARED, "/mine inside (shared)", "/out -> up/../../../etc", "/up/"]),
    ),
    // containerd takes the root where a target climbs out; Docker refuses, as imgb does.
    (
        "HardlinkDirectRelative",
        &[],
        &["d etc", "f etc/passwd inside", "h mine ../../../../../etc/passwd"],
        Err("the path leaves the root with `..`"),
    ),
    (
        "HardlinkDirectAbsolute",
        &[],
        &["d etc", "f etc/passwd inside", "h mine /etc/passwd"],
        Ok(&["/etc/", SHARED, "/mine inside (shared)"]),
    ),
    // containerd leaves out entries that name the root or what is above it.
    ("SymlinkParentDirectory", BELOW, &["l .. /etc/"], Err("the path leaves the root with `..`")),
    ("SymlinkEmptyFilename", BELOW, &["l  /etc/"], Err("an empty name")),
    (
        "SymlinkParentRelative",
        &[],
        &[
            "d etc",
            "f etc/passwd inside",
            "l localetc/sub/.. /etc/",
            "h /localetc/mine /etc/passwd",
        ],
        Ok(&["/etc/", "/etc/mine inside (shared)", SHARED, "/localetc -> /etc/"]),
    ),
    (
        "SymlinkSlashEnded",
        &[],
        &["d etc", "f etc/passwd inside", "d localetc/", "h /localetc/mine /etc/passwd"],
        Ok(&["/etc/", SHARED, "/localetc/", "/localetc/mine inside (shared)"]),
    ),
    // containerd makes the target, which is a directory of a lower layer.
    (
        "SymlinkOverrideDirectory",
        &["d etc", "f etc/passwd inside", "d localetc", "f localetc/old x"],
        &["l localetc /etc", "f /localetc/mine new"],
        Err("whose target is not in the layer; Docker refuses this"),
    ),
    (
        "SymlinkOverrideDirectoryRelative",
        &["d etc", "f etc/passwd inside", "d localetc", "f localetc/old x"],
        &["l localetc ../../etc", "f /localetc/mine new"],
        Err("whose target is not in the layer; Docker refuses this"),
    ),
    (
        "DirectoryOverrideSymlink",
        &["d etc", "f etc/passwd inside", "l localetc /etc"],
        &["d /localetc/", "f /localetc/mine new"],
        Ok(&["/etc/", "/etc/passwd inside", "/localetc/", "/localetc/mine new"]),
    ),
    (
        "DirectoryOverrideSymlinkAndHardlink",
        &["d etc", "f etc/passwd inside", "l localetc etc", "h localetc/mine /etc/passwd"],
        &["d /localetc/", "f /localetc/mine other"],
        Ok(&["/etc/", "/etc/mine inside (shared)", SHARED, "/localetc/", "/localetc/mine other"]),
    ),
    ("WhiteoutRootParent", BELOW, &["f .wh... "], Err(WHITEOUT)),
    ("WhiteoutParent", BELOW, &["f etc/.wh... "], Err(WHITEOUT)),
    ("WhiteoutRoot", BELOW, &["f .wh.. "], Err(WHITEOUT)),
    ("WhiteoutCurrentDirectory", BELOW, &["f etc/.wh.. "], Err(WHITEOUT)),
    (
        "WhiteoutSymlink",
        LINK_BELOW,
        &["f .wh.localetc "],
        Ok(&["/etc/", "/etc/gone x", "/etc/passwd all"]),
    ),
    // The table wants `/etc/gone` to go, as where containerd unpacks onto no overlayfs.
    (
        "WhiteoutSymlinkPath",
        LINK_BELOW,
        &["f localetc/.wh.gone "],
        Ok(&["/etc/", "/etc/gone x", "/etc/passwd all", "/localetc/"]),
    ),
    // containerd makes a directory that the next tool which packs this root cannot describe.
    ("WhiteoutDirectoryName", LINK_BELOW, &["f .wh.etc/some file"], Err(WHITEOUT)),
    (
        "WhiteoutDeadSymlinkParent",
        &["d etc", "f etc/passwd all", "l dead /dne"],
        &["f dead/.wh.etc "],
        Ok(&["/dead/", "/etc/", "/etc/passwd all"]),
    ),
    (
        "WhiteoutRelativePath",
        &["d etc", "f etc/passwd all", "l dead /dne"],
        &["f dne/../.wh.etc "],
        Ok(&["/dead -> /dne"]),
    ),
    (
        "HardlinkSymlinkBeforeCreateTarget",
        &[],
        &["d etc", "l mine /etc/passwd", "h again mine", "f /etc/passwd after"],
        Ok(&["/again -> /etc/passwd", "/etc/", "/etc/passwd after", "/mine -> /etc/passwd"]),
    ),
    (
        "HardlinkSymlinkRelative",
        &[],
        &["d etc", "f etc/passwd inside", "l link ../../../etc/passwd", "h mine /link"],
        Ok(&[
            "/etc/",
            "/etc/passwd inside",
            "/link -> ../../../etc/passwd",
            "/mine -> ../../../etc/passwd",
        ]),
    ),
    (
        "HardlinkSymlinkAbsolute",
        &[],
        &["d etc", "f etc/passwd inside", "l link /etc/passwd", "h mine /link"],
        Ok(&["/etc/", "/etc/passwd inside", "/link -> /etc/passwd", "/mine -> /etc/passwd"]),
    ),
    (
        "HardlinkSymlinkChmod",
        &[],
        &["d victim", "l victim/outside /victim/file", "h sketchy /victim/outside"],
        Ok(&["/sketchy -> /victim/file", "/victim/", "/victim/outside -> /victim/file"]),
    ),
];

fn tar(entries: &[&str]) -> Vec<u8> {
    let add = |tar: RawTar, entry: &&str| {
        let mut words = entry.splitn(3, ' ');
        let mut next = || words.next().unwrap_or_default();
        match (next(), next(), next()) {
            ("d", name, _) => tar.dir(name),
            ("l", name, target) => tar.symlink(name, target),
            ("h", name, target) => tar.hard_link(name, target),
            (_, name, content) => tar.file(name, content),
        }
    };
    entries.iter().fold(RawTar::new(), add).end()
}

/// An image of the two layers, as a layout.
fn image(sandbox: &Sandbox, (name, below, layer, _): &Case) {
    let config = json!({"architecture": "amd64", "os": "linux"});
    let layers = [*below, *layer].into_iter().filter(|layer| !layer.is_empty()).map(tar);
    Parts { config, layers: layers.collect() }.write(sandbox, name);
}

#[test]
fn layers_that_try_to_get_out_stay_inside_or_are_refused() {
    let sandbox = Sandbox::new();
    let mut refused = 0;
    for case in CASES {
        image(&sandbox, case);
        let merged = open(&sandbox.path(case.0)).map(|image| text(&image.merged()));
        match case.3 {
            Ok(wanted) => assert_eq!(merged.as_deref().unwrap(), wanted, "{}", case.0),
            Err(wanted) => {
                let error = merged.unwrap_err().to_string();
                assert!(error.ends_with(wanted), "{}: {error}", case.0);
                refused += 1;
            }
        }
    }
    assert_eq!((CASES.len(), refused), (33, 10));
}

/// Prints every path below the directory, as `text` does. On overlayfs, a whiteout in a directory
/// that no lower layer has is listed, but it does not exist.
const LIST: &str = r#"cd "$1" && find . -mindepth 1 | while read -r path; do
    name=${path#.}
    if [ -L "$path" ]; then echo "$name -> $(readlink "$path")"
    elif [ -d "$path" ]; then echo "$name/"
    elif ! [ -e "$path" ]; then :
    elif [ "$(stat -c %h "$path")" -gt 1 ]; then echo "$name $(cat "$path") (shared)"
    else echo "$name $(cat "$path")"; fi
done"#;

#[test]
fn containerd_unpacks_the_same_files() {
    let Some(containerd) = engines::containerd() else { return };
    if !containerd.has_overlayfs() {
        return;
    }
    let sandbox = Sandbox::new();
    for case in CASES {
        let Ok(wanted) = case.3 else { continue };
        image(&sandbox, case);
        let name = format!("example.org/{}:1", case.0.to_lowercase());
        sandbox.tool("tar", &format!("-cf {0}.tar -C {0} .", case.0)).run().ok();
        let at = format!("mounted/{}", case.0);
        sandbox.dir(&at);
        let archive = sandbox.path(format!("{}.tar", case.0));
        let mounted = containerd.mounted(&archive, &name, &sandbox.path(&at));
        let found = mounted.args("sh -c").arg(LIST).arg("list").arg(sandbox.path(&at)).run().ok();
        let found = found.text();
        let mut found: Vec<&str> = found.lines().collect();
        found.sort_unstable();
        assert_eq!(found, wanted, "{}", case.0);
    }
}
