//! Random trees, and trees as tars and as text.

use std::{collections::BTreeMap, sync::Arc};

use imgb::{
    archive::write::TarLayout,
    digest::Digest,
    path::ImagePath,
    source::content,
    timestamp::{ContentTime, Mtime, Timestamp},
    tree::{FileNode, Kind, Meta, Node, Special, Tree},
};
use proptest::prelude::*;

pub(crate) fn path(bytes: impl AsRef<[u8]>) -> ImagePath {
    ImagePath::new(bytes).unwrap()
}

/// The whole archive of `tree`.
pub(crate) fn write(tree: &Tree) -> Vec<u8> {
    let layout = TarLayout::new(tree).unwrap();
    let mut out = Vec::new();
    layout.write(&mut out, |want, out| fill(want.file, want.offset, out)).unwrap();
    assert_eq!((out.len() as u64, layout.members()), (layout.size(), tree.len()));
    out
}

pub(crate) fn fill(file: &FileNode, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
    content::read_at(&file.content, file.len, offset, out).map_err(std::io::Error::other)
}

pub(crate) fn content(file: &FileNode) -> Vec<u8> {
    let mut bytes = vec![0; file.len as usize];
    fill(file, 0, &mut bytes).unwrap();
    bytes
}

/// The time that a node has in an archive.
pub(crate) fn time_of(node: &Node) -> Timestamp {
    match (node.meta.mtime, node.file()) {
        (Mtime::At(time), _) => time,
        (Mtime::OfContent, None) => Timestamp::EARLIEST,
        (Mtime::OfContent, Some(file)) => {
            let mut time = ContentTime::default();
            time.update(&content(file));
            time.finish()
        }
    }
}

/// A tree as text, with digests in place of contents, so that trees from different places compare.
pub(crate) fn text(tree: &Tree) -> String {
    let line = |(path, node): (&ImagePath, &Node)| {
        let kind = match &node.kind {
            Kind::File(file) => {
                format!("file {} shared {}", Digest::of(content(file)), file.shared)
            }
            other => format!("{other:?}"),
        };
        let meta = Meta { mtime: Mtime::At(time_of(node)), ..node.meta.clone() };
        format!("{path} {meta:?} {kind}\n")
    };
    tree.iter().map(line).collect()
}

pub(crate) fn file(bytes: impl Into<Arc<[u8]>>) -> Node {
    Node::inline(0o644, bytes)
}

/// Names of odd lengths with bytes from `least` on, except `.`, `..` and whiteouts.
pub(crate) fn names(least: u8) -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        3 => proptest::collection::vec(97u8..100, 1..4),
        1 => proptest::collection::vec(least..=255, 1..150),
    ];
    proptest::collection::vec(part, 1..5).prop_map(|parts| parts.join(&b'/')).prop_filter(
        "a plain name",
        |name| {
            ImagePath::new(name).is_ok_and(|path| {
                !path.is_root() && path.components().all(|part| !part.starts_with(b".wh."))
            })
        },
    )
}

pub(crate) fn nodes(least: u8) -> impl Strategy<Value = Node> {
    let kind = prop_oneof![
        Just(Kind::Directory),
        proptest::collection::vec(least..=255, 1..300)
            .prop_map(|target| Kind::Symlink(target.into())),
        proptest::collection::vec(any::<u8>(), 0..1500).prop_map(|bytes| file(bytes).kind),
        (0u32..1 << 21, 0u32..1 << 21).prop_map(|(a, b)| Kind::Special(Special::Character(a, b))),
        (0u32..1 << 21, 0u32..1 << 21).prop_map(|(a, b)| Kind::Special(Special::Block(a, b))),
        Just(Kind::Special(Special::Fifo)),
    ];
    let attributes = proptest::option::of(proptest::collection::vec(least..=255, 0..30));
    (
        kind,
        0u16..0o10000,
        any::<u32>(),
        any::<u32>(),
        -62_000_000_000i64..200_000_000_000,
        attributes,
    )
        .prop_map(|(kind, mode, uid, gid, mtime, capability)| {
            let mtime = Mtime::At(Timestamp::from_seconds(mtime).unwrap());
            let xattrs = capability
                .map(|value| Box::new(BTreeMap::from([(b"security.capability".to_vec(), value)])));
            Node { meta: Meta { mode, uid, gid, mtime, xattrs }, kind }
        })
}

/// Trees in which only directories have children, with bytes from `least` on.
pub(crate) fn trees(least: u8) -> impl Strategy<Value = Tree> {
    proptest::collection::vec((names(least), nodes(least)), 0..20).prop_map(|nodes| {
        let mut tree = Tree::new();
        for (name, node) in nodes {
            let path = path(name);
            let blocked =
                path.ancestors().any(|dir| tree.get(&dir).is_some_and(|node| !node.is_directory()));
            if !blocked && (node.is_directory() || tree.below(&path).next().is_none()) {
                tree.insert(path, node);
            }
        }
        tree.add_parents(|_| Node::directory(0o755));
        tree
    })
}
