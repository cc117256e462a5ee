//! The tar writer: read back by imgb's reader, the tar crate, GNU tar, bsdtar and Python's tarfile.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read as _, Write as _},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::Path,
    process::Command,
    sync::Arc,
};

use imgb::{
    archive::{
        header::{self, HeaderError},
        read::{self, Whiteouts},
        write::TarLayout,
    },
    digest::Digest,
    path::ImagePath,
    source::content::ContentError,
    timestamp::{Mtime, Timestamp},
    tree::{Archive, Kind, Meta, Node, Special, Tree},
};
use proptest::prelude::*;

use crate::trees::{content, file, fill, path, text, time_of, trees, write};

/// The tree that imgb's reader returns for `tar`.
fn read(tar: &[u8]) -> read::Contents {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(tar).unwrap();
    let archive = Arc::new(Archive::new("test.tar", file));
    read::read(&archive, Whiteouts::Refuse, read::Limits::default()).unwrap()
}

fn with(mut node: Node, change: impl FnOnce(&mut Meta)) -> Node {
    change(&mut node.meta);
    node
}

/// Everything that ustar cannot express, and the last values that it can.
fn odd() -> Tree {
    let name = |len: usize| "n".repeat(len);
    let time = |seconds| Mtime::At(Timestamp::from_seconds(seconds).unwrap());
    let shared: Arc<[u8]> = Arc::from(&b"one inode"[..]);
    let linked = || {
        let mut node = file(Arc::clone(&shared));
        let Kind::File(file) = &mut node.kind else { unreachable!() };
        file.shared = true;
        node
    };
    let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    let mut tree: Tree = [
        ("empty".into(), file([])),
        ("setuid".into(), with(file(*b"x"), |meta| meta.mode = 0o7755)),
        ("mode0".into(), with(file(*b"x"), |meta| meta.mode = 0)),
        (name(100), file(*b"100")),
        (name(101), file(*b"101")),
        (format!("{}/{}", name(155), "m".repeat(100)), file(*b"split")),
        (format!("{}/{}", name(155), "m".repeat(101)), file(*b"no split")),
        (format!("{}/{}", name(156), "m".repeat(99)), file(*b"no split")),
        (format!("d{}", name(98)), Node::directory(0o700)),
        (format!("d{}", name(99)), Node::directory(0o700)),
        (format!("deep/{}", "abc/".repeat(500)), Node::directory(0o755)),
        (format!("deep/{}f", "abc/".repeat(1000)), file(*b"deep")),
        ("l100".into(), Node::symlink(name(100).into_bytes())),
        ("l101".into(), Node::symlink(name(101).into_bytes())),
        ("ldots".into(), Node::symlink(*b"./..//a//b/.")),
        ("labsolute".into(), Node::symlink(*b"/etc//passwd/")),
        ("hard1".into(), linked()),
        ("hard2".into(), linked()),
        (format!("hard/{}", name(200)), linked()),
        ("hardz".into(), linked()),
        (
            "owner max".into(),
            with(file(*b"x"), |meta| (meta.uid, meta.gid) = (2_097_151, 2_097_151)),
        ),
        (
            "owner pax".into(),
            with(file(*b"x"), |meta| (meta.uid, meta.gid) = (2_097_152, 3_000_000_000)),
        ),
        ("time before".into(), with(file(*b"x"), |meta| meta.mtime = time(-1))),
        ("time max".into(), with(file(*b"x"), |meta| meta.mtime = time(0o77_777_777_777))),
        ("time pax".into(), with(file(*b"x"), |meta| meta.mtime = time(0o100_000_000_000))),
        (
            "cap".into(),
            with(file(*b"x"), |meta| {
                let attributes = BTreeMap::from([(b"security.capability".to_vec(), capability)]);
                meta.xattrs = Some(Box::new(attributes));
            }),
        ),
        ("new\nline \\ : \x1b é".into(), file(*b"x")),
    ]
    .map(|(name, node): (String, Node)| (path(name), node))
    .into_iter()
    .collect();
    tree.insert(path(b"\xff\xfe raw"), file(*b"raw"));
    tree.insert(path([&b"\xff"[..], &[b'x'; 200]].concat()), file(*b"raw and long"));
    tree.add_parents(|_| Node::directory(0o755));
    tree
}

fn devices() -> Tree {
    [
        ("dev/null", Special::Character(1, 3)),
        ("dev/sda", Special::Block(2_097_151, 2_097_151)),
        ("dev/pipe", Special::Fifo),
    ]
    .map(|(name, special)| {
        (path(name), Node { meta: Meta::new(0o666), kind: Kind::Special(special) })
    })
    .into_iter()
    .collect()
}

#[test]
fn our_reader_gives_the_tree_back() {
    for tree in [odd(), devices(), Tree::new()] {
        let read = read(&write(&tree));
        assert_eq!(text(&read.change.tree), text(&tree));
        assert_eq!((read.replaced, read.dropped_attributes), (0, 0));
    }
}

#[test]
fn an_archive_ends_with_two_zero_blocks_and_no_more() {
    assert_eq!(write(&Tree::new()), [0; 1024]);
    let one = write(&[(path("a"), file(*b"b"))].into_iter().collect());
    assert_eq!(one.len(), 512 + 512 + 1024);
    assert_eq!(&one[..2], b"a\0");
}

/// Golden bytes: a change here changes the digest of every image.
#[test]
fn the_bytes_are_those_of_this_format_version() {
    let digest = Digest::of([write(&odd()), write(&devices())].concat());
    assert_eq!(digest.hex(), "d878c9a0462b8f81d908ec5d1107172e26e936f2ef6378f4e5ea05480c0061b0");
}

#[test]
fn any_part_can_be_made_alone() {
    let mut tree = odd();
    tree.insert(path("large"), file((0..100_000u32).map(|i| i as u8).collect::<Vec<_>>()));
    let whole = write(&tree);
    for len in [1, 100, 511, 512, 513, 4096, 65_536, whole.len()] {
        let layout = TarLayout::new(&tree).unwrap();
        let mut out = vec![0xaa; len];
        for at in (0..whole.len()).step_by(len.max(97)) {
            let part = &mut out[..len.min(whole.len() - at)];
            layout.fill(at as u64, part, |want, out| fill(want.file, want.offset, out)).unwrap();
            assert!(*part == whole[at..at + part.len()], "{len} bytes from {at}");
        }
    }
}

#[test]
fn what_no_archive_can_hold_is_refused_by_name() {
    let check = |name: &str, node: Node, wanted: &str| {
        let error = TarLayout::new(&[(path(name), node)].into_iter().collect()).unwrap_err();
        assert_eq!(error.to_string(), wanted);
    };
    check(
        "d/.wh.x",
        file([]),
        "/d/.wh.x: no image layer can hold a file whose name begins with `.wh.`",
    );
    check("a", Node::symlink(*b"x\0y"), "/a: a NUL byte in the link's target");
    let device = Node { meta: Meta::new(0), kind: Kind::Special(Special::Block(0, 2_097_152)) };
    check("a", device, "/a: no archive can hold a device number over 2097151");
    let attribute = |name: &[u8]| {
        let attributes = BTreeMap::from([(name.to_vec(), Vec::new())]);
        with(file([]), |meta| meta.xattrs = Some(Box::new(attributes)))
    };
    check("a", attribute(b"user.a=b"), "/a: no archive can hold an attribute called `user.a=b`");
    check("a", attribute(b"user.\0"), "/a: no archive can hold an attribute called `user.\\x00`");
    let mut huge = file([]);
    let Kind::File(file) = &mut huge.kind else { unreachable!() };
    file.len = u64::MAX;
    check("a", huge, "/a: the file is too large for an archive");
}

/// Names of one inode whose metadata differ cannot be hard links, since an inode has one mode.
#[test]
fn other_metadata_means_other_inodes() {
    let bytes: Arc<[u8]> = Arc::from(&b"bytes"[..]);
    let node = |mode| {
        let mut node = Node::inline(mode, Arc::clone(&bytes));
        let Kind::File(file) = &mut node.kind else { unreachable!() };
        file.shared = true;
        node
    };
    let tree: Tree = [("a", 0o644), ("b", 0o600), ("c", 0o644)]
        .map(|(n, mode)| (path(n), node(mode)))
        .into_iter()
        .collect();
    let tar = write(&tree);
    let mut reader = tar::Archive::new(&tar[..]);
    let kinds: Vec<_> =
        reader.entries().unwrap().map(|e| e.unwrap().header().entry_type()).collect();
    assert_eq!(kinds, [tar::EntryType::Regular, tar::EntryType::Regular, tar::EntryType::Link]);
}

#[test]
fn errors_of_the_content_reach_the_caller() {
    let tree: Tree = [(path("a"), file(*b"b"))].into_iter().collect();
    let layout = TarLayout::new(&tree).unwrap();
    let error = layout.fill(512, &mut [0; 1], |_, _| Err(ContentError::Short)).unwrap_err();
    assert_eq!(error.to_string(), ContentError::Short.to_string());
    assert!(matches!(
        TarLayout::new(&[(path(".wh.a"), file([]))].into_iter().collect()),
        Err(HeaderError::Whiteout(_))
    ));
}

/// Sizes of 8 GiB and more go into a PAX record, or into base 256 in the header of a single blob.
/// The file is sparse, and only the headers of the archive are made.
#[test]
fn sizes_from_eight_gib_on() {
    const SIZE: u64 = (8 << 30) + 1;
    let mut huge = file([]);
    let Kind::File(node) = &mut huge.kind else { unreachable!() };
    node.len = SIZE;
    let tree: Tree = [(path("a"), huge), (path("b"), file(*b"b"))].into_iter().collect();
    let layout = TarLayout::new(&tree).unwrap();
    let none =
        |_: imgb::archive::write::ContentRequest<'_>, out: &mut [u8]| -> Result<(), ContentError> {
            out.fill(b'b');
            Ok(())
        };
    let mut start = vec![0; 1536];
    layout.fill(0, &mut start, none).unwrap();
    let mut rest = vec![0; 2048];
    layout.fill(layout.size() - 2048, &mut rest, none).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (name, start) in [("pax", &start), ("blob", &header::blob("a", SIZE).to_vec())] {
        let tar = dir.path().join(name);
        let file = File::create_new(&tar).unwrap();
        let content = start.len() as u64 + SIZE.next_multiple_of(512);
        file.set_len(content).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, start, 0).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &rest, content).unwrap();
        let archive = Arc::new(Archive::new(name, File::open(&tar).unwrap()));
        let read = read::read(&archive, Whiteouts::Refuse, read::Limits::default()).unwrap();
        let sizes: Vec<_> =
            read.change.tree.iter().map(|(_, node)| node.file().unwrap().len).collect();
        assert_eq!(sizes, [SIZE, 1], "{name}");
        for list in [gnu_tar_sizes, bsdtar_sizes, python_sizes] {
            let Some(sizes) = list(&tar) else { continue };
            assert_eq!(sizes, [SIZE, 1], "{name}");
        }
    }
}

fn gnu_tar_sizes(tar: &Path) -> Option<Vec<u64>> {
    sizes_of(run("tar", &["-tvf".as_ref(), tar.as_os_str()], &[])?, 2)
}

fn bsdtar_sizes(tar: &Path) -> Option<Vec<u64>> {
    sizes_of(run("bsdtar", &["-tvf".as_ref(), tar.as_os_str()], &[])?, 4)
}

fn python_sizes(tar: &Path) -> Option<Vec<u64>> {
    let code = "import sys, tarfile\nfor m in tarfile.open(sys.argv[1]): print(m.size)";
    sizes_of(run("python3", &["-c".as_ref(), code.as_ref(), tar.as_os_str()], &[])?, 0)
}

fn sizes_of(listing: Vec<u8>, column: usize) -> Option<Vec<u64>> {
    let listing = String::from_utf8(listing).unwrap();
    Some(
        listing
            .lines()
            .map(|line| line.split_whitespace().nth(column).unwrap().parse().unwrap())
            .collect(),
    )
}

/// What another program prints. `None`, with a message on stderr, if it is not installed and not
/// required.
#[expect(clippy::print_stderr, reason = "a skipped check must be seen")]
fn run(program: &str, args: &[&std::ffi::OsStr], input: &[u8]) -> Option<Vec<u8>> {
    let mut input_file = tempfile::tempfile().unwrap();
    input_file.write_all(input).unwrap();
    std::io::Seek::rewind(&mut input_file).unwrap();
    let path = "/usr/sbin:/usr/bin:/sbin:/bin";
    let output = Command::new(program)
        .args(args)
        .env_clear()
        .env("PATH", path)
        .env("LC_ALL", "C.UTF-8")
        .stdin(input_file)
        .output();
    let output = match output {
        Err(absent) if absent.kind() == std::io::ErrorKind::NotFound => {
            assert!(
                std::env::var_os("IMGB_REQUIRE_ENGINES").is_none_or(|v| v != "1"),
                "{program} is absent"
            );
            eprintln!("skipped: {program} is not installed");
            return None;
        }
        other => other.unwrap(),
    };
    assert!(
        output.status.success(),
        "{program} {args:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Some(output.stdout)
}

/// Every member as Python's tarfile sees it; what may hold arbitrary bytes is in hexadecimal.
const PYTHON: &str = r#"
import os, sys, tarfile
for m in tarfile.open(sys.argv[1], errors="surrogateescape", encoding="utf-8"):
    name = lambda text: os.fsencode(text).hex()
    xattrs = sorted(key for key in m.pax_headers if key.startswith("SCHILY"))
    print(name(m.name), m.type.decode(), oct(m.mode), m.uid, m.gid, int(m.mtime), m.size,
          name(m.linkname), m.devmajor, m.devminor, ",".join(xattrs) or "-",
          repr(m.uname + m.gname))
"#;

#[test]
fn python_lists_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    for tree in [odd(), devices()] {
        let tar = dir.path().join("a.tar");
        fs_err::write(&tar, write(&tree)).unwrap();
        let Some(listing) = run("python3", &["-c".as_ref(), PYTHON.as_ref(), tar.as_os_str()], &[])
        else {
            return;
        };
        assert_eq!(String::from_utf8(listing).unwrap(), listed(&tree));
    }
}

/// What [`PYTHON`] should print.
fn listed(tree: &Tree) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut first_of_shared: Option<&ImagePath> = None;
    let mut out = String::new();
    for (path, node) in tree {
        let (mut kind, mut size, mut link, mut device) = ("0", 0, Vec::new(), (0, 0));
        match &node.kind {
            Kind::Directory => kind = "5",
            Kind::File(file) if file.shared && first_of_shared.is_some() => {
                kind = "1";
                link = first_of_shared.unwrap().relative().to_vec();
            }
            Kind::File(file) => {
                size = file.len;
                first_of_shared = file.shared.then_some(path).or(first_of_shared);
            }
            Kind::Symlink(target) => {
                kind = "2";
                link = target.to_vec();
            }
            Kind::Special(Special::Character(major, minor)) => {
                (kind, device) = ("3", (*major, *minor));
            }
            Kind::Special(Special::Block(major, minor)) => (kind, device) = ("4", (*major, *minor)),
            Kind::Special(Special::Fifo) => kind = "6",
        }
        let Meta { mode, uid, gid, xattrs, .. } = &node.meta;
        let attributes = if xattrs.is_some() { "SCHILY.xattr.security.capability" } else { "-" };
        out.push_str(&format!(
            "{} {kind} 0o{mode:o} {uid} {gid} {} {size} {} {} {} {attributes} ''\n",
            hex(path.relative()),
            time_of(node).seconds(),
            hex(&link),
            device.0,
            device.1,
        ));
    }
    out
}

/// Both tars unpack the tree: names, modes, times, contents, links, and which names are one inode.
/// Left out are paths too deep for a plain open(2), times that the file system may not support, and
/// bytes in PAX records that bsdtar takes for UTF-8 although POSIX leaves that open.
#[test]
fn tars_unpack_what_was_written() {
    let mut tree = odd();
    tree.retain(|path, node| {
        path.as_bytes().len() < 1000
            && (0..1 << 33).contains(&time_of(node).seconds())
            && (path.as_bytes().len() < 100 || path.as_bytes().is_ascii())
    });
    let tar = write(&tree);
    for program in ["tar", "bsdtar"] {
        let dir = tempfile::tempdir().unwrap();
        let args = ["-xpf", "-", "--no-same-owner", "-C"].map(std::ffi::OsStr::new);
        if run(program, &[&args[..], &[dir.path().as_os_str()]].concat(), &tar).is_none() {
            continue;
        }
        let mut inodes = BTreeMap::new();
        for (path, node) in &tree {
            let there = dir.path().join(path.as_relative_path());
            let found = fs_err::symlink_metadata(&there).unwrap();
            let shown = format!("{program}: {path}");
            match &node.kind {
                Kind::Directory => assert!(found.is_dir(), "{shown}"),
                Kind::Symlink(target) => {
                    assert_eq!(
                        fs_err::read_link(&there).unwrap().as_os_str().as_bytes(),
                        &**target,
                        "{shown}"
                    );
                }
                Kind::File(file) => {
                    if found.mode() & 0o400 != 0 {
                        assert_eq!(fs_err::read(&there).unwrap(), content(file), "{shown}");
                    }
                    inodes.entry(file.content.identity()).or_insert(found.ino());
                    assert_eq!(
                        inodes[&file.content.identity()] == found.ino(),
                        file.shared || found.nlink() == 1
                    );
                }
                Kind::Special(_) => unreachable!(),
            }
            if !matches!(node.kind, Kind::Symlink(_)) {
                assert_eq!(found.mode() & 0o7777, u32::from(node.meta.mode), "{shown}");
            }
            assert_eq!(found.mtime(), time_of(node).seconds(), "{shown}");
        }
    }
}

proptest! {
    #[test]
    fn any_tree_comes_back(tree in trees(1)) {
        let read = read(&write(&tree));
        prop_assert_eq!(text(&read.change.tree), text(&tree));
    }

    /// Without newlines: the crate splits PAX records at them, whatever their length says.
    #[test]
    fn the_tar_crate_agrees(tree in trees(11)) {
        let tar = write(&tree);
        let mut reader = tar::Archive::new(&tar[..]);
        let mut nodes = tree.iter();
        for entry in reader.entries().unwrap() {
            let mut entry = entry.unwrap();
            let (path, node) = nodes.next().unwrap();
            let slash: &[u8] = if node.is_directory() { b"/" } else { b"" };
            prop_assert_eq!(&*entry.path_bytes(), [path.relative(), slash].concat());
            let target = match &node.kind {
                Kind::Symlink(target) => Some(target.to_vec()),
                _ => None,
            };
            prop_assert_eq!(entry.link_name_bytes().map(|name| name.to_vec()), target);
            prop_assert_eq!(entry.header().mode().unwrap(), u32::from(node.meta.mode));
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            prop_assert_eq!(bytes, node.file().map(content).unwrap_or_default());
        }
        prop_assert!(nodes.next().is_none());
    }
}
