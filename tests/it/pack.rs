//! Layers: the same bytes whatever the threads, and the tree comes back out of them.

use std::{io::Read as _, num::NonZeroUsize, path::Path, sync::Arc};

use imgb::{
    archive::{header, read, spool},
    compress::{Compression, Format, decoder},
    digest::Digest,
    pack::{Layer, Options, pack},
    path::ImagePath,
    source::content,
    store::{Durability, Pending, Store},
    tree::{Archive, Content, FileNode, HostFile, Kind, Node, Tree},
};

fn path(text: &str) -> ImagePath {
    ImagePath::new(text).unwrap()
}

/// A file of the host as a node.
fn host(path: &Path) -> Node {
    let stat = rustix::fs::lstat(path).unwrap();
    let host = HostFile {
        path: path.to_owned(),
        dev: stat.st_dev,
        ino: stat.st_ino,
        mtime: (stat.st_mtime, stat.st_mtime_nsec as u32),
        ctime: (stat.st_ctime, stat.st_ctime_nsec as u32),
    };
    let mut node = Node::inline(0o644, []);
    node.kind = Kind::File(FileNode {
        len: stat.st_size as u64,
        content: Content::Host(Arc::new(host)),
        shared: stat.st_nlink > 1,
    });
    node
}

/// `len` bytes that compress a little.
fn bytes(len: usize, seed: u32) -> Vec<u8> {
    (0..len as u32).map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) >> (9 + i % 7)) as u8 & 127).collect()
}

/// Files around every boundary: blocks, pieces, empty.
fn sample(dir: &Path) -> Tree {
    let mut tree = Tree::new();
    tree.insert(path("d"), Node::directory(0o1777));
    for (i, len) in
        [0, 1, 511, 512, 513, 4096, 1_048_064, 1_048_576, 1_048_577, 5_000_000].into_iter().enumerate()
    {
        let file = dir.join(format!("f{i}"));
        fs_err::write(&file, bytes(len, i as u32)).unwrap();
        tree.insert(path(&format!("d/f{i}")), host(&file));
    }
    for i in 0..300 {
        tree.insert(path(&format!("d/small{i}")), Node::inline(0o755, bytes(i * 7, i as u32)));
    }
    tree.insert(path("d/link"), Node::symlink(*b"f1"));
    tree
}

fn header(digest: Digest, size: u64) -> [u8; 512] {
    header::blob(&format!("blobs/sha256/{}", digest.hex()), size)
}

fn packed(trees: &[&Tree], compression: Compression, jobs: usize, store: &mut Store) -> Vec<Layer> {
    let options = Options { compression, jobs: NonZeroUsize::new(jobs).unwrap() };
    pack(trees, &options, store, &|_| {}).unwrap()
}

#[test]
fn layers_hold_the_tree_whatever_the_jobs() {
    let dir = tempfile::tempdir().unwrap();
    let tree = sample(dir.path());
    let small: Tree = [(path("one"), Node::inline(0o644, *b"two"))].into_iter().collect();
    for compression in [Compression::None, Compression::GZIP, Compression::ZSTD] {
        let mut digests = Vec::new();
        for jobs in [1, 2, 7, 16] {
            let pending = Pending::create(&dir.path().join("out.tar")).unwrap();
            let mut store = Store::archive(&pending, 0, header);
            let layers = packed(&[&tree, &small], compression, jobs, &mut store);
            for (layer, wanted) in layers.iter().zip([&tree, &small]) {
                check(layer, wanted, dir.path());
            }
            digests.push(layers.iter().map(|layer| (layer.blob.digest, layer.diff_id)).collect::<Vec<_>>());
            let mut files = Store::directory(&dir.path().join("layout"), Durability::Cached).unwrap();
            let others = packed(&[&tree, &small], compression, jobs, &mut files);
            digests.push(others.iter().map(|layer| (layer.blob.digest, layer.diff_id)).collect::<Vec<_>>());
        }
        assert!(digests.iter().all(|these| *these == digests[0]), "{compression}: {digests:?}");
    }
}

/// The blob has its digest, its content the diff id, and the tree comes back.
fn check(layer: &Layer, wanted: &Tree, dir: &Path) {
    let mut blob = Vec::new();
    layer.blob.reader().read_to_end(&mut blob).unwrap();
    assert_eq!(Digest::of(&blob), layer.blob.digest);
    let mut tar = Vec::new();
    decoder(Format::sniff(&blob), &blob[..]).unwrap().read_to_end(&mut tar).unwrap();
    assert_eq!(Digest::of(&tar), layer.diff_id.0);
    let archive = spool::spool("layer", &blob[..], dir, spool::Limits::default()).unwrap();
    let archive: Arc<Archive> = Arc::new(archive);
    let contents = read::read(&archive, read::Whiteouts::Refuse, read::Limits::default()).unwrap();
    let tree = contents.change.tree;
    assert_eq!(tree.len(), wanted.len());
    for ((path, node), (wanted_path, wanted)) in tree.iter().zip(wanted) {
        assert_eq!((path, &node.meta), (wanted_path, &wanted.meta));
        assert_eq!(whole(node), whole(wanted), "{path}");
    }
}

/// A node without where its bytes are, and its bytes.
fn whole(node: &Node) -> (String, Vec<u8>) {
    let Some(file) = node.file() else { return (format!("{:?}", node.kind), Vec::new()) };
    let mut bytes = vec![0; file.len as usize];
    content::read_at(&file.content, file.len, 0, &mut bytes).unwrap();
    (format!("file, shared {}", file.shared), bytes)
}
