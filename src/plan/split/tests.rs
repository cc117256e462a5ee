//! What holds for all images, and what single files tell.

use std::{collections::BTreeSet, num::NonZeroUsize, sync::Arc};

use proptest::prelude::*;

use super::{assign::Limits, layers::SMALL, *};
use crate::{
    packages::{Listing, dpkg},
    tree::{Change, Content, FileNode, Kind, Node},
};

fn path(text: &str) -> ImagePath {
    ImagePath::new(text).unwrap()
}

/// A file of `len` bytes that are never read.
fn file(len: u64) -> Node {
    let file = FileNode { len, content: Content::Inline([].into()), shared: false, modified: 0 };
    Node { kind: Kind::File(file), ..Node::inline(0o644, []) }
}

fn tree<'a>(files: impl IntoIterator<Item = (&'a str, Node)>) -> Tree {
    let mut tree: Tree = files.into_iter().map(|(at, node)| (path(at), node)).collect();
    tree.add_parents(|path| super::super::parent(path, Mtime::OfContent));
    tree
}

fn cut(tree: &Tree, layers: Layers) -> Vec<PlannedLayer> {
    split_files(tree.clone(), tree, layers, Mtime::OfContent).unwrap()
}

fn at_most(max: usize) -> Layers {
    Layers::Packages(NonZeroUsize::new(max).unwrap())
}

/// The number of the layer that has the file at `at`; it is in no other.
fn layer_of(layers: &[PlannedLayer], at: &str) -> usize {
    let has = |layer: &PlannedLayer| layer.tree.get(&path(at)).is_some_and(|n| !n.is_directory());
    let found: Vec<usize> = (0..).zip(layers).filter(|(_, one)| has(one)).map(|(n, _)| n).collect();
    let [one] = found[..] else { panic!("{at} is in the layers {found:?}") };
    one
}

/// Packages with a number as name and the sizes of their files, which are up to 16 MiB.
type Packages = BTreeMap<u8, Vec<u64>>;

fn packages(count: std::ops::Range<usize>) -> impl Strategy<Value = Packages> {
    let size = (0_u32..25, any::<u64>()).prop_map(|(bits, size)| size & ((1 << bits) - 1));
    prop::collection::btree_map(any::<u8>(), prop::collection::vec(size, 1..4), count)
}

fn modules(packages: &Packages) -> Tree {
    let files = packages.iter().flat_map(|(name, sizes)| {
        let at = move |number| path(&format!("/app/node_modules/p{name}/f{number}"));
        (0..).zip(sizes).map(move |(number, size)| (at(number), file(*size)))
    });
    let mut tree: Tree = files.collect();
    tree.insert(path("/app/main.js"), file(100));
    tree.insert(path("/etc/services"), file(100));
    tree.add_parents(|path| super::super::parent(path, Mtime::OfContent));
    tree
}

/// How many of the packages are large.
fn large(packages: &Packages) -> usize {
    let in_tar = |size: &u64| 512 + size.next_multiple_of(512);
    packages.values().filter(|all| all.iter().map(in_tar).sum::<u64>() >= sizes::LARGE).count()
}

fn texts(tree: &Tree, max: usize) -> BTreeSet<String> {
    let layers = cut(tree, Layers::Auto(NonZeroUsize::new(max).unwrap()));
    layers.iter().map(|layer| layer.tree.to_string()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 32, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn each_file_is_in_one_of_few_layers(packages in packages(0..60), max in 1_usize..20) {
        let tree = modules(&packages);
        let layers = cut(&tree, at_most(max));
        prop_assert!(layers.len() <= max && !layers.is_empty());
        let mut all = Tree::new();
        let mut files = 0;
        for layer in &layers {
            files += layer.tree.iter().filter(|(_, node)| !node.is_directory()).count();
            prop_assert!(!layer.tree.is_empty());
            all.apply(Change { tree: layer.tree.clone(), ..Change::default() });
        }
        prop_assert_eq!(files, tree.iter().filter(|(_, node)| !node.is_directory()).count());
        prop_assert_eq!(all.to_string(), tree.to_string());
        let again: Vec<_> = cut(&tree, at_most(max)).iter().map(|l| l.tree.to_string()).collect();
        let first: Vec<_> = layers.iter().map(|layer| layer.tree.to_string()).collect();
        prop_assert_eq!(first, again);
    }

    /// A package comes, goes, or changes its size.
    #[test]
    fn one_package_changes_its_own_layer(
        packages in packages(8..60), changed in any::<u8>(), size in 0_u64..(24 << 20),
    ) {
        // What is large anyway: the image is split before and after.
        let mut before = packages;
        before.insert(0, vec![SMALL]);
        let changed = changed.max(1);
        let mut without = before.clone();
        without.remove(&changed);
        before.insert(changed, vec![size]);
        let mut other = before.clone();
        other.insert(changed, vec![size + 1]);
        let has_room = large(&before).max(large(&other)) <= 7;
        let new = |a: &Packages, b: &Packages| {
            texts(&modules(b), 16).difference(&texts(&modules(a), 16)).count()
        };
        // Without room for it, a large package takes the layer of another, which joins others.
        let bound = if has_room { 1 } else { 2 };
        prop_assert!(new(&without, &before) <= bound);
        prop_assert!(new(&before, &without) <= bound);
        let bound = if has_room { 1 } else { 3 };
        prop_assert!(new(&before, &other) <= bound);
    }
}

#[test]
fn a_small_image_has_two_layers() {
    let of = |len| tree([("/a.jar", file(len)), ("/b.jar", file(10)), ("/c", file(10))]);
    let names = |len, layers| -> Vec<String> {
        cut(&of(len), layers).into_iter().map(|layer| layer.name).collect()
    };
    assert_eq!(names(SMALL - 21, Layers::default()), ["inputs"]);
    assert_eq!(names(SMALL - 20, Layers::default()), ["maven:a", "dependencies 1", "inputs"]);
    assert_eq!(names(SMALL, Layers::Split), ["inputs"]);
    assert_eq!(names(SMALL, Layers::One), ["all"]);
}

/// The layer is the same in a small image and in a large one, whatever else they hold.
#[test]
fn images_of_all_sizes_have_the_layer_of_what_all_share() {
    let shared = [
        ("/usr/lib/x86_64-linux-gnu/libc.so.6", 2 << 20),
        ("/lib64/ld-linux-x86-64.so.2", 200_000),
        ("/usr/share/zoneinfo/UTC", 100),
    ];
    let with = |name, len| tree(shared.into_iter().chain([(name, len)]).map(|(n, l)| (n, file(l))));
    let (small, large) = (with("/usr/bin/a", 10), with("/usr/lib/x86_64-linux-gnu/b.so", SMALL));
    let programs =
        |tree: &Tree| split(tree.clone(), &Reasons::new(), Cut::Small, (None, Mtime::OfContent));
    let (small, large) = (programs(&small).unwrap(), cut(&large, Layers::default()));
    let names = |layers: &[PlannedLayer]| -> Vec<String> {
        layers.iter().map(|layer| layer.name.clone()).collect()
    };
    assert_eq!(names(&small), ["common", "inputs"]);
    assert_eq!(names(&large), ["common", "b.so"]);
    assert_eq!(small[0].tree.to_string(), large[0].tree.to_string());
    assert_eq!(small[0].tree.iter().filter(|(_, node)| !node.is_directory()).count(), 3);
}

#[test]
fn an_added_file_moves_no_boundary() {
    let names: Vec<String> = (0..4000).map(|number| format!("/data/{number:04}")).collect();
    let tree = tree(names.iter().map(|name| (&**name, file(30_000))));
    let before = texts(&tree, 16);
    let mut with = tree;
    with.insert(path("/data/2000-new"), file(30_000));
    let after = texts(&with, 16);
    assert!(before.len() > 4);
    assert_eq!(after.difference(&before).count(), 1);
}

/// The directory's mode would otherwise be in each layer, and that of one image in those that
/// another has too.
#[test]
fn only_the_last_layer_tells_how_directories_differ() {
    let mut tree = tree([("/x/a.jar", file(SMALL)), ("/x/b.jar", file(SMALL))]);
    tree.get_mut(&path("/x")).unwrap().meta.mode = 0o700;
    tree.insert(path("/x/empty"), Node::directory(0o711));
    let layers = cut(&tree, Layers::default());
    let mode = |layer: &PlannedLayer| layer.tree.get(&path("/x")).map(|node| node.meta.mode);
    let modes: Vec<_> = layers.iter().map(mode).collect();
    assert_eq!(modes, [Some(0o755), Some(0o755), Some(0o700)]);
    assert!(layers[2].tree.contains(&path("/x/empty")));
}

#[test]
fn names_of_one_inode_and_compiled_modules_stay_together() {
    let mut linked = file(SMALL);
    let Kind::File(inode) = &mut linked.kind else { unreachable!() };
    (inode.shared, inode.content) = (true, Content::Inline(Arc::from(*b"x")));
    let site = "/v/site-packages";
    let names = ["six.py", "__pycache__/six.cpython-311.pyc", "z/a.py"];
    let [six, compiled, other] = names.map(|name| format!("{site}/{name}"));
    let tree = tree([
        ("/a/node_modules/m/x", linked.clone()),
        ("/b/node_modules/n/x", linked),
        (&*six, file(1 << 20)),
        (&*compiled, file(1 << 20)),
        (&*other, file(1 << 20)),
    ]);
    let layers = cut(&tree, Layers::default());
    let of = |at: &str| layer_of(&layers, at);
    assert_eq!(of("/a/node_modules/m/x"), of("/b/node_modules/n/x"));
    assert_eq!(of(&six), of(&compiled));
    assert_ne!(of(&six), of(&other));
}

#[test]
fn records_of_python_tell_what_a_distribution_has() {
    let record = "PIL/x.so,,\nPillow-1.0.dist-info/RECORD,,\n../../bin/pil,,\n";
    let site = "/v/lib/python3/site-packages";
    let [record_at, module] =
        ["Pillow-1.0.dist-info/RECORD", "PIL/x.so"].map(|name| format!("{site}/{name}"));
    let tree = tree([
        (&*record_at, Node::inline(0o644, record.as_bytes())),
        (&*module, file(SMALL)),
        ("/v/lib/bin/pil", file(10)),
    ]);
    let layers = cut(&tree, Layers::default());
    assert_eq!(layers.len(), 1);
    assert_eq!(layers[0].components, ["pypi:pillow"]);
}

#[test]
fn records_of_conda_and_composer_tell_packages() {
    let conda = r#"{"name":"xz","files":["bin/xz","lib/liblzma.so.5"]}"#;
    let composer = r#"{"packages":[{"name":"a/a","install-path":"../a"},
        {"name":"a/b","install-path":"../a/b"}]}"#;
    let tree = tree([
        ("/opt/env/conda-meta/xz-5.2-0.json", Node::inline(0o644, conda.as_bytes())),
        ("/opt/env/bin/xz", file(10)),
        ("/opt/env/lib/liblzma.so.5", file(SMALL)),
        ("/opt/env/lib/other.so", file(1 << 20)),
        ("/app/vendor/composer/installed.json", Node::inline(0o644, composer.as_bytes())),
        ("/app/vendor/a/b/src/b.php", file(2 << 20)),
        ("/app/index.php", file(10)),
    ]);
    let layers = cut(&tree, Layers::default());
    let names: Vec<_> = layers.iter().map(|layer| &*layer.name).collect();
    assert_eq!(names, ["conda:xz", "composer:a/b", "other.so", "inputs"]);
    let of = |at: &str| layer_of(&layers, at);
    assert_eq!((of("/opt/env/bin/xz"), of("/opt/env/conda-meta/xz-5.2-0.json")), (0, 0));
    assert_eq!((of("/app/vendor/a/b/src/b.php"), of("/app/index.php")), (1, 3));
}

#[test]
fn what_many_packages_need_comes_lowest() {
    let status = "\
Package: libc6\nStatus: install ok installed\nVersion: 1\n\n\
Package: liba\nStatus: install ok installed\nVersion: 1\nDepends: libc6\n\n\
Package: app\nStatus: install ok installed\nVersion: 1\nDepends: libc6, liba\n";
    let status = dpkg::Status::parse(status.as_bytes());
    let list = |id: &str| match id {
        "libc6" => "/usr/lib\n/usr/lib/libc.so.6\n/usr/lib/libm.so.6\n/usr/lib/notes\n",
        "liba" => "/usr/lib\n/usr/lib/liba.so\n",
        _ => "/usr/bin\n/usr/bin/app\n",
    };
    let lists: Vec<_> = status
        .file_names()
        .map(|(id, [_, name])| (id, Listing::of_paths(list(&name).into())))
        .collect();
    let database = status.with_files(lists, Vec::new(), b"");
    let tree = tree([
        ("/usr/bin/app", file(SMALL)),
        ("/usr/lib/liba.so", file(2 << 20)),
        ("/usr/lib/libc.so.6", file(1 << 20)),
        ("/usr/lib/notes", file(10)),
        ("/etc/own", file(10)),
        ("/var/lib/dpkg/info/libc6.list", file(10)),
    ]);
    let limits = Limits { max: 16, large: sizes::LARGE };
    let layers = by_components(tree, (Some(&database), None), limits, Mtime::OfContent).unwrap();
    let names: Vec<_> = layers.iter().map(|layer| &*layer.name).collect();
    // Only a part of libc6 is there, all of the others.
    assert_eq!(names[..3], ["common", "liba", "app"]);
    let libc6 = ["libc6".to_owned()];
    assert_eq!((&layers[0].components[..], &layers[3].components[..]), (&libc6[..], &libc6[..]));
    let of = |at: &str| layer_of(&layers, at);
    assert_eq!(of("/usr/lib/notes"), of("/var/lib/dpkg/info/libc6.list"));
    assert_eq!((names.last(), of("/etc/own")), (Some(&"inputs"), layers.len() - 1));
}

#[test]
fn long_lists_are_cut() {
    let names: Vec<String> = (0..1000).map(|number| format!("package-{number}")).collect();
    let text = list(&names);
    assert!(text.len() < 1100 && text.ends_with(" more"), "{text}");
    assert_eq!(list(&["a".into(), "b".into()]), "a, b");
    assert_eq!(list(&["é".repeat(3000)]).len(), 254);
}

#[test]
fn compiled_modules_of_one_inode_stay_together() {
    let mut linked = file(10);
    let Kind::File(inode) = &mut linked.kind else { unreachable!() };
    (inode.shared, inode.content) = (true, Content::Inline(Arc::from(*b"x")));
    let names = ["a.py", "b.py", "__pycache__/a.cpython-311.pyc", "__pycache__/b.cpython-311.pyc"];
    let [a, b, of_a, of_b] = names.map(|name| format!("/v/site-packages/{name}"));
    let tree =
        tree([(&*a, file(SMALL)), (&*b, file(SMALL)), (&*of_a, linked.clone()), (&*of_b, linked)]);
    let layers = cut(&tree, Layers::default());
    assert_ne!(layer_of(&layers, &a), layer_of(&layers, &b));
    assert_eq!(layer_of(&layers, &of_a), layer_of(&layers, &of_b));
}
