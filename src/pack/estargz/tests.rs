//! What readers find in a layer, and that it is the same however it is made.

use std::{io::Read as _, num::NonZeroUsize, sync::atomic::Ordering};

use serde_json::Value;

use super::*;
use crate::{
    pack::{Layer, PackOptions, pack},
    store::{Durability, Store},
    tree::{Content, Node},
};

/// Bytes of the large file: three members.
const LARGE: usize = 5 << 20;

fn path(text: &str) -> ImagePath {
    ImagePath::new(text).unwrap()
}

/// Files of every kind; `/z/app` and `/z/lib` are one file.
fn tree() -> Tree {
    let large: Vec<u8> = (0..LARGE as u32).map(|i| (i.wrapping_mul(40_503) >> 9) as u8).collect();
    let mut app = Node::inline(0o755, *b"program");
    let Kind::File(file) = &mut app.kind else { panic!("not a file") };
    file.shared = true;
    let mut capable = Node::inline(0o755, *b"ping");
    capable.meta.xattrs = Some(Box::new([(b"security.capability".to_vec(), vec![1, 0xff])].into()));
    let mut tree: Tree = [
        ("/a", Node::inline(0o644, large)),
        ("/b/empty", Node::inline(0o600, *b"")),
        ("/b/link", Node::symlink(*b"../a")),
        ("/b/ping", capable),
        ("/z/app", app.clone()),
        ("/z/lib", app),
        // Those of an image that was one of eStargz before.
        ("/stargz.index.json", Node::inline(0o644, *b"{\n\t\"version\": 1,\n\t\"entries\": [\n")),
        ("/.prefetch.landmark", Node::inline(0o644, *b"\x0f")),
    ]
    .into_iter()
    .map(|(at, node)| (path(at), node))
    .collect();
    tree.add_parents(|_| Node::directory(0o755));
    tree
}

fn pack_with(tree: &Tree, first: &First, jobs: usize) -> (tempfile::TempDir, Layer) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::directory(dir.path(), Durability::Cached).unwrap();
    let options = PackOptions {
        compression: Compression::ESTARGZ,
        jobs: NonZeroUsize::new(jobs).unwrap(),
        sources: None,
        has_keys: true,
        cache: None,
        first,
        rootfs: None,
        follower: None,
    };
    let mut layers = pack(&[tree], &options, &mut store, &|_| {}).unwrap();
    (dir, layers.remove(0))
}

fn bytes(layer: &Layer) -> Vec<u8> {
    let mut bytes = Vec::new();
    layer.blob.reader().read_to_end(&mut bytes).unwrap();
    bytes
}

/// The content of a chunk, read as lazy readers do: from its offset on, nothing else.
fn chunk(blob: &[u8], entry: &Value, len: u64) -> Vec<u8> {
    let offset = entry["offset"].as_u64().unwrap() as usize;
    let mut content = Vec::new();
    let member = flate2::bufread::GzDecoder::new(&blob[offset..]);
    member.take(len).read_to_end(&mut content).unwrap();
    assert_eq!(content.len() as u64, len);
    content
}

#[test]
fn each_chunk_is_where_the_table_says_and_the_tar_is_whole() {
    let tree = tree();
    let first: First = [path("/z/lib"), path("/absent")].into();
    let (_dir, layer) = pack_with(&tree, &first, 2);
    let blob = bytes(&layer);

    let mut tar = Vec::new();
    flate2::read::MultiGzDecoder::new(&blob[..]).read_to_end(&mut tar).unwrap();
    assert_eq!((Digest::of(&tar), tar.len() as u64), (layer.diff_id.0, layer.tar_size));
    let mut archive = tar::Archive::new(&tar[..]);
    let names = archive.entries().unwrap();
    let names = names.map(|entry| entry.unwrap().path().unwrap().display().to_string());
    let names: Vec<_> = names.collect();
    let wanted = [
        "z/",
        "z/lib",
        ".prefetch.landmark",
        "a",
        "b/",
        "b/empty",
        "b/link",
        "b/ping",
        "z/app",
        "stargz.index.json",
    ];
    assert_eq!(names, wanted);

    let text = read::toc(&layer.blob).unwrap();
    assert_eq!(layer.annotations[TOC_ANNOTATION], Digest::of(&text).to_string());
    let toc: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(toc["version"], 1);
    let entries = toc["entries"].as_array().unwrap();
    let listed: Vec<_> = entries.iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    let chunks = [&wanted[..3], &["a", "a"], &wanted[3..9]].concat();
    assert_eq!(listed, chunks);
    let (mut whole, mut size) = (Vec::new(), 0);
    for entry in entries {
        if entry["type"] == "reg" {
            (whole, size) = (Vec::new(), entry["size"].as_u64().unwrap_or(0));
        } else if entry["type"] != "chunk" {
            continue;
        }
        let done = whole.len() as u64;
        assert_eq!(entry["chunkOffset"].as_u64().unwrap_or(0), done);
        if size > 0 {
            let len = entry["chunkSize"].as_u64().unwrap_or(size - done);
            let content = chunk(&blob, entry, len);
            assert_eq!(entry["chunkDigest"], Digest::of(&content).to_string());
            whole.extend(content);
        }
        if whole.len() as u64 == size {
            let name = entry["name"].as_str().unwrap();
            let node = tree.get(&path(name)).filter(|_| !name.starts_with('.'));
            if let Some(Content::Inline(bytes)) = node.and_then(Node::file).map(|f| &f.content) {
                assert!(bytes[..] == whole[..], "{name}");
            }
        }
    }
    let find = |name: &str| entries.iter().find(|entry| entry["name"] == name).unwrap();
    let large = tree.get(&path("/a")).and_then(Node::file).unwrap();
    let Content::Inline(large) = &large.content else { panic!("not inline") };
    assert_eq!(find("a")["digest"], Digest::of(large).to_string());
    assert_eq!(find("z/app")["type"], "hardlink");
    assert_eq!(find("z/app")["linkName"], "z/lib");
    assert_eq!(find("b/ping")["xattrs"]["security.capability"], "Af8=");
    assert_eq!(find("b/link")["linkName"], "../a");
    assert_eq!(find("b/")["mode"], 0o755);
}

#[test]
fn threads_and_where_it_is_stored_do_not_matter() {
    let tree = tree();
    let digests = [1, 2, 7].map(|jobs| {
        let (_dir, layer) = pack_with(&tree, &First::new(), jobs);
        (layer.blob.digest, layer.diff_id, layer.annotations)
    });
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[0], digests[2]);
}

#[test]
fn without_early_files_the_landmark_says_so() {
    let (_dir, layer) = pack_with(&Tree::new(), &First::new(), 1);
    let toc: Value = serde_json::from_slice(&read::toc(&layer.blob).unwrap()).unwrap();
    let names: Vec<_> = toc["entries"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, [".no.prefetch.landmark"]);
}

/// Many small files share a chunk of work, and a long run of headers is cut.
#[test]
fn members_are_made_in_runs() {
    let small: Tree =
        (0..2000).map(|n| (path(&format!("/{n}")), Node::inline(0o644, vec![7; 100]))).collect();
    let layout = TarLayout::new(&small).unwrap();
    let runs = cuts(&layout);
    assert_eq!(runs.last(), Some(&body(&layout)));
    assert_eq!(runs.len(), 1);
    let empty: Tree =
        (0..9000).map(|n| (path(&format!("/{n}")), Node::inline(0o644, *b""))).collect();
    let layout = TarLayout::new(&empty).unwrap();
    assert_eq!(cuts(&layout), [2 << 20, 4 << 20, body(&layout)]);
}

#[test]
fn names_that_are_not_text_are_refused() {
    let tree: Tree =
        [(ImagePath::new(b"/\xff").unwrap(), Node::inline(0o644, *b""))].into_iter().collect();
    assert!(matches!(check(&tree), Err(PackError::NotText(_))));
    let mut node = Node::inline(0o644, *b"");
    node.meta.xattrs = Some(Box::new([(b"user.\xff".to_vec(), b"".to_vec())].into()));
    let tree: Tree = [(path("/a"), node)].into_iter().collect();
    assert!(matches!(check(&tree), Err(PackError::NotText(_))));
}

#[test]
fn files_of_the_user_in_the_places_of_those_of_estargz_are_refused() {
    for at in ["/stargz.index.json", "/.prefetch.landmark", "/.no.prefetch.landmark"] {
        for node in [Node::inline(0o644, *b"{}"), Node::symlink(*b"a"), Node::directory(0o755)] {
            let tree: Tree = [(path(at), node)].into_iter().collect();
            assert!(matches!(check(&tree), Err(PackError::Reserved(_))), "{at}");
        }
    }
    assert!(check(&tree()).is_ok());
}

/// What is said to be done is what was planned.
#[test]
fn progress_ends_where_it_was_said_to() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::directory(dir.path(), Durability::Cached).unwrap();
    let options = PackOptions {
        compression: Compression::ESTARGZ,
        jobs: NonZeroUsize::MIN,
        sources: None,
        has_keys: false,
        cache: None,
        first: &First::new(),
        rootfs: None,
        follower: None,
    };
    let [planned, done] = [(); 2].map(|()| std::sync::atomic::AtomicU64::new(0));
    let on_step = |step| match step {
        crate::pack::Step::Begin { bytes, .. } => planned.store(bytes, Ordering::Relaxed),
        crate::pack::Step::Done { bytes, .. } => {
            done.fetch_add(bytes, Ordering::Relaxed);
        }
    };
    pack(&[&tree()], &options, &mut store, &on_step).unwrap();
    assert_eq!(planned.into_inner(), done.into_inner());
}
