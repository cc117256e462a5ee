//! Layers: the same bytes for any number of threads, and the same tree when they are read back.

use std::{
    collections::BTreeSet,
    io::Read as _,
    num::NonZeroUsize,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use imgb::{
    archive::{header, read, spool},
    compress::{Compression, Format, decoder},
    digest::Digest,
    pack::{Layer, PackOptions, Step, pack},
    path::ImagePath,
    source::content,
    store::{Durability, Pending, Store},
    timestamp::{Mtime, Timestamp},
    tree::{Archive, Content, FileNode, HostFile, Kind, Meta, Node, Tree},
};

use crate::trees::time_of;

/// No file that the image reads when it starts.
static NOTHING: BTreeSet<ImagePath> = BTreeSet::new();

fn path(text: &str) -> ImagePath {
    ImagePath::new(text).unwrap()
}

/// A file of the host as a node.
fn host(path: &Path) -> Node {
    let stat = rustix::fs::lstat(path).unwrap();
    let mtime = (stat.st_mtime, stat.st_mtime_nsec as u32);
    let ctime = (stat.st_ctime, stat.st_ctime_nsec as u32);
    let host = HostFile::new(path.into(), (stat.st_dev, stat.st_ino), mtime, ctime);
    let mut node = Node::inline(0o644, []);
    node.kind = Kind::File(FileNode {
        len: stat.st_size as u64,
        content: Content::Host(Arc::new(host)),
        shared: stat.st_nlink > 1,
        modified: stat.st_mtime as u32,
    });
    node
}

/// `len` bytes that compress a little.
fn bytes(len: usize, seed: u32) -> Vec<u8> {
    (0..len as u32)
        .map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) >> (9 + i % 7)) as u8 & 127)
        .collect()
}

/// Files with sizes around every boundary: blocks, chunks, empty.
fn sample(dir: &Path) -> Tree {
    let mut tree = Tree::new();
    tree.insert(path("d"), Node::directory(0o1777));
    for (i, len) in [0, 1, 511, 512, 513, 4096, 1_048_064, 1_048_576, 1_048_577, 5_000_000]
        .into_iter()
        .enumerate()
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

fn options(compression: Compression, jobs: usize) -> PackOptions<'static> {
    PackOptions {
        compression,
        jobs: NonZeroUsize::new(jobs).unwrap(),
        sources: None,
        has_keys: false,
        first: &NOTHING,
        cache: None,
        rootfs: None,
        follower: None,
    }
}

fn packed(trees: &[&Tree], compression: Compression, jobs: usize, store: &mut Store) -> Vec<Layer> {
    pack(trees, &options(compression, jobs), store, &|_| {}).unwrap()
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
            let mut store = Store::archive(&pending, 0, header, Durability::Synced);
            let layers = packed(&[&tree, &small], compression, jobs, &mut store);
            for (layer, wanted) in layers.iter().zip([&tree, &small]) {
                check(layer, wanted, dir.path());
            }
            digests.push(
                layers.iter().map(|layer| (layer.blob.digest, layer.diff_id)).collect::<Vec<_>>(),
            );
            let mut files =
                Store::directory(&dir.path().join("layout"), Durability::Cached).unwrap();
            let others = packed(&[&tree, &small], compression, jobs, &mut files);
            digests.push(
                others.iter().map(|layer| (layer.blob.digest, layer.diff_id)).collect::<Vec<_>>(),
            );
        }
        assert!(digests.iter().all(|these| *these == digests[0]), "{compression}: {digests:?}");
    }
}

/// Asserts digest, diff id, and the tree that the layer holds.
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
        let meta = Meta { mtime: Mtime::At(time_of(wanted)), ..wanted.meta.clone() };
        assert_eq!((path, &node.meta), (wanted_path, &meta));
        assert_eq!(whole(node), whole(wanted), "{path}");
    }
}

/// A node without the place of its bytes, and its bytes.
fn whole(node: &Node) -> (String, Vec<u8>) {
    let Some(file) = node.file() else { return (format!("{:?}", node.kind), Vec::new()) };
    let mut bytes = vec![0; file.len as usize];
    content::read_at(&file.content, file.len, 0, &mut bytes).unwrap();
    (format!("file, shared {}", file.shared), bytes)
}

/// Of several faults, the first in archive order is reported, whichever thread meets which first.
#[test]
fn the_first_fault_ends_it_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let tree = sample(dir.path());
    for changed in ["f7", "f9"] {
        fs_err::write(dir.path().join(changed), "other").unwrap();
    }
    for compression in [Compression::None, Compression::GZIP, Compression::ZSTD] {
        for jobs in [1, 2, 7] {
            let layout = dir.path().join("layout");
            let mut files = Store::directory(&layout, Durability::Cached).unwrap();
            let options = PackOptions {
                compression,
                jobs: NonZeroUsize::new(jobs).unwrap(),
                sources: None,
                has_keys: false,
                first: &NOTHING,
                cache: None,
                rootfs: None,
                follower: None,
            };
            let error = pack(&[&tree], &options, &mut files, &|_| {}).unwrap_err();
            let wanted =
                format!("{} changed while it was being packed", dir.path().join("f7").display());
            assert_eq!(error.to_string(), wanted);
            let left: Vec<_> = walkdir::WalkDir::new(&layout)
                .into_iter()
                .map(|entry| entry.unwrap())
                .filter(|entry| entry.file_type().is_file())
                .collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}

#[test]
fn progress_adds_up_to_the_tar() {
    let dir = tempfile::tempdir().unwrap();
    let mut tree = sample(dir.path());
    // Files are read once if their times do not depend on their content.
    tree.iter_mut().for_each(|(_, node)| node.meta.mtime = Mtime::At(Timestamp::EPOCH));
    let [bytes, members, total_bytes, total_members] = [const { AtomicU64::new(0) }; 4];
    let mut files = Store::directory(dir.path(), Durability::Cached).unwrap();
    let options = PackOptions {
        compression: Compression::GZIP,
        jobs: NonZeroUsize::new(3).unwrap(),
        sources: None,
        has_keys: false,
        first: &NOTHING,
        cache: None,
        rootfs: None,
        follower: None,
    };
    let progress = |step| {
        let (to, more) = match step {
            Step::Begin { members, bytes } => ((&total_members, &total_bytes), (members, bytes)),
            Step::Done { members: more, bytes: more_bytes } => {
                ((&members, &bytes), (more, more_bytes))
            }
        };
        to.0.fetch_add(more.0 as u64, Ordering::Relaxed);
        to.1.fetch_add(more.1, Ordering::Relaxed);
    };
    let layers = pack(&[&tree, &Tree::new()], &options, &mut files, &progress).unwrap();
    assert_eq!(bytes.into_inner(), layers.iter().map(|layer| layer.tar_size).sum::<u64>());
    assert_eq!(members.into_inner(), tree.len() as u64);
    assert_eq!(total_bytes.into_inner(), layers.iter().map(|layer| layer.tar_size).sum::<u64>());
    assert_eq!(total_members.into_inner(), tree.len() as u64);
    assert_eq!(
        layers[0].read,
        tree.iter().filter_map(|(_, node)| node.file()).map(|file| file.len).sum::<u64>()
    );
}

/// Each member of an archive has another name, so that a blob that is already there is not added
/// again.
#[test]
fn equal_blobs_are_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let tree = sample(dir.path());
    let small: Tree = [(path("one"), Node::inline(0o644, *b"two"))].into_iter().collect();
    for compression in [Compression::None, Compression::GZIP] {
        let target = dir.path().join("out.tar");
        let pending = Pending::create(&target).unwrap();
        let mut store = Store::archive(&pending, 0, header, Durability::Synced);
        let layers = packed(&[&small, &tree, &tree, &small], compression, 2, &mut store);
        let config = store.put(b"{}").unwrap();
        let file = pending.file();
        // What was written farther on than it is now may be after the end.
        file.set_len(store.end()).unwrap();
        file.set_len(store.end() + 1024).unwrap();
        pending.commit(Durability::Synced).unwrap();

        let archive = Arc::new(Archive {
            name: "out".into(),
            file: fs_err::File::open(&target).unwrap().into(),
            filler: None,
        });
        let contents =
            read::read(&archive, read::Whiteouts::Refuse, read::Limits::default()).unwrap();
        assert_eq!((contents.change.tree.len(), contents.replaced), (3, 0));
        for blob in layers.iter().map(|layer| &layer.blob).chain([&config]) {
            let name = path(&format!("blobs/sha256/{}", blob.digest.hex()));
            let (_, bytes) = whole(contents.change.tree.get(&name).unwrap());
            assert_eq!(Digest::of(&bytes), blob.digest);
        }
    }
}

#[test]
fn blobs_copy_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let pending = Pending::create(&dir.path().join("a")).unwrap();
    let mut store = Store::archive(&pending, 512, header, Durability::Cached);
    store.put(b"before").unwrap();
    let data = bytes(3_000_000, 1);
    let blob = store.put(&data).unwrap();
    let mut read = Vec::new();
    blob.reader().read_to_end(&mut read).unwrap();
    assert!(read == data);
    let copy = fs_err::File::create_new(dir.path().join("copy")).unwrap().into_file();
    blob.copy_to(&copy, 3).unwrap();
    let copied = fs_err::read(dir.path().join("copy")).unwrap();
    assert!(copied[..3] == [0; 3] && copied[3..] == data);
}

#[test]
fn a_file_appears_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("out");
    let old = dir.path().join("old");
    fs_err::write(&old, "old").unwrap();
    fs_err::os::unix::fs::symlink(&old, &target).unwrap();
    let begin = || {
        let pending = Pending::create(&target).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&**pending.file(), b"new", 0).unwrap();
        pending
    };
    drop(begin());
    assert_eq!(fs_err::read(&target).unwrap(), b"old");
    begin().commit(Durability::Synced).unwrap();
    assert_eq!(fs_err::read(&target).unwrap(), b"new");
    assert_eq!(fs_err::read(&old).unwrap(), b"old", "a link is replaced, not followed");
    assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 2);
    let error = Pending::create(dir.path()).unwrap_err().to_string();
    assert_eq!(error, format!("{} is a directory", dir.path().display()));
    assert!(Pending::create(&dir.path().join("none/out")).is_err());
}

/// Whichever thread fails first, the fault at the earliest byte is reported, and no thread waits
/// forever.
#[test]
fn the_first_fault_in_order_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    for compression in [Compression::None, Compression::Gzip(1), Compression::Zstd(1)] {
        let mut tree = sample(dir.path());
        for number in [2, 5, 7] {
            let name = dir.path().join(format!("f{number}"));
            fs_err::remove_file(&name).unwrap();
        }
        let gone =
            |number| format!("cannot read {}", dir.path().join(format!("f{number}")).display());
        let mut store = Store::directory(&dir.path().join("layout"), Durability::Cached).unwrap();
        for (number, jobs) in [(2, 1), (5, 2), (7, 9)] {
            let options = PackOptions {
                compression,
                jobs: NonZeroUsize::new(jobs).unwrap(),
                sources: None,
                has_keys: false,
                first: &NOTHING,
                cache: None,
                rootfs: None,
                follower: None,
            };
            let fault = pack(&[&tree], &options, &mut store, &|_| {}).unwrap_err();
            assert_eq!(fault.to_string(), gone(number), "{compression:?} {jobs}");
            tree.remove(&path(&format!("d/f{number}")));
        }
        assert_eq!(fs_err::read_dir(dir.path().join("layout/blobs/sha256")).unwrap().count(), 0);
    }
}

/// Sixteen trees of all sizes, two of which are equal and not next to each other.
fn sixteen(dir: &Path) -> Vec<Tree> {
    let of = |number: usize| {
        let mut tree = Tree::new();
        tree.insert(path("d"), Node::directory(0o755));
        for file in 0..number % 5 {
            let name = dir.join(format!("{number}-{file}"));
            fs_err::write(&name, bytes(300_000 * number, number as u32)).unwrap();
            tree.insert(path(&format!("d/f{number}-{file}")), host(&name));
        }
        tree.insert(path(&format!("d/own{number}")), Node::inline(0o644, bytes(number, 9)));
        tree
    };
    let mut trees: Vec<Tree> = (0..16).map(of).collect();
    trees[11] = trees[3].clone();
    trees
}

/// The whole archive, with its blobs in the order of the layers, whichever is finished first.
#[test]
fn sixteen_layers_give_the_same_archive_whatever_the_jobs() {
    let dir = tempfile::tempdir().unwrap();
    let trees = sixteen(dir.path());
    let trees: Vec<&Tree> = trees.iter().collect();
    for compression in [Compression::None, Compression::Gzip(1), Compression::Zstd(1)] {
        let mut control: Option<Vec<u8>> = None;
        // From 9 and 5 threads on, several compressed layers are made at the same time.
        for jobs in [1, 2, 7, 24] {
            let target = dir.path().join("out.tar");
            let pending = Pending::create(&target).unwrap();
            let mut store = Store::archive(&pending, 512, header, Durability::Cached);
            let layers = packed(&trees, compression, jobs, &mut store);
            pending.file().set_len(store.end()).unwrap();
            pending.commit(Durability::Cached).unwrap();
            let archive = fs_err::read(&target).unwrap();
            let mut at = 512;
            for (number, layer) in layers.iter().enumerate() {
                if number != 11 {
                    assert_eq!(archive[at..at + 512], header(layer.blob.digest, layer.blob.size));
                    let end = at + 512 + layer.blob.size as usize;
                    assert_eq!(Digest::of(&archive[at + 512..end]), layer.blob.digest);
                    at = end.next_multiple_of(512);
                }
            }
            assert_eq!(at, archive.len());
            assert_eq!(layers[3].blob.digest, layers[11].blob.digest);
            assert!(*control.get_or_insert(archive.clone()) == archive, "{compression} {jobs}");
        }
    }
}

/// One error ends the work on all layers: the one of the layer that is begun first, whatever the
/// number of threads. The others leave nothing.
#[test]
fn a_layer_that_cannot_be_read_ends_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let trees: Vec<Tree> = (0..16)
        .map(|number| {
            let name = dir.path().join(format!("file{number}"));
            fs_err::write(&name, bytes(2_000_000, number)).unwrap();
            [(path(&format!("file{number}")), host(&name))].into_iter().collect()
        })
        .collect();
    for gone in [9, 13] {
        fs_err::remove_file(dir.path().join(format!("file{gone}"))).unwrap();
    }
    let trees: Vec<&Tree> = trees.iter().collect();
    let wanted = format!("cannot read {}", dir.path().join("file9").display());
    for compression in [Compression::None, Compression::Gzip(1), Compression::Zstd(1)] {
        for jobs in [1, 2, 7, 24] {
            let pending = Pending::create(&dir.path().join("out.tar")).unwrap();
            let mut store = Store::archive(&pending, 0, header, Durability::Cached);
            let options = options(compression, jobs);
            let fault = pack(&trees, &options, &mut store, &|_| {}).unwrap_err();
            assert_eq!(fault.to_string(), wanted, "{compression} {jobs}");
            drop(store);
            drop(pending);
        }
    }
    // The files of the inputs, without the two.
    assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 14);
}
