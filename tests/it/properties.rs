//! What holds for all inputs, tried with random ones. `PROPTEST_CASES=10000` tries more of them.
//!
//! Other modules have the properties whose inputs are not random: `determinism` (user, umask,
//! locale), `image_read` (every bit of a blob), `elf_machine` (the loader's own listing),
//! `image_differential` and `tar_readers` (other readers).

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write as _},
    num::NonZeroUsize,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{PermissionsExt, symlink},
    },
    path::Path,
    time::{Duration, SystemTime},
};

use imgb::{
    archive::spool,
    compress::{Compression, Stream},
    image::{Platform, Target},
    oci::OpenOptions,
    path::{ImagePath, escape},
    pipeline::{Delivery, PackRequest, Part, deliver, plan},
    plan::{Layers, PlanOptions, RuleSet, Settings},
    rules::{Choice, Table},
    source::{InputOptions, Request},
    store::Durability,
    timestamp::Mtime,
    tree::{Change, Kind, Meta, Node, Tree},
};
use proptest::prelude::*;

use crate::{
    image_spec,
    layouts::{open, small},
    raw_tar,
    trees::{self, content, path, trees, write},
};

/// `count` random cases, or what proptest's own variable says.
fn cases(count: u32) -> ProptestConfig {
    let given = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig::default();
    let cases = if given { default.cases } else { count };
    ProptestConfig { cases, failure_persistence: None, ..default }
}

/// Trees of what an ordinary user can make in a directory. Without newlines: the tar crate splits
/// PAX records at them, whatever their length says.
fn host_trees() -> impl Strategy<Value = Tree> {
    trees(11).prop_map(|mut tree| {
        let special: Vec<ImagePath> = tree
            .iter()
            .filter(|(path, node)| {
                let long = path.components().any(|part| part.len() > 255);
                long || matches!(node.kind, Kind::Special(_))
            })
            .map(|(path, _)| path.clone())
            .collect();
        special.iter().for_each(|path| tree.remove(path));
        for (_, node) in tree.iter_mut() {
            let executable = node.meta.mode & 0o100 != 0 || node.is_directory();
            node.meta = Meta::new(if executable { 0o755 } else { 0o644 });
            if let Kind::Symlink(_) = node.kind {
                node.meta.mode = 0o777;
            }
        }
        tree
    })
}

/// Makes `tree` in the directory `dir`, its nodes in the order of `order`, `seconds` after the
/// epoch and with `more` bits in the modes.
fn make(tree: &Tree, dir: &Path, order: impl Fn(usize) -> usize, seconds: u64, more: u32) {
    let mut nodes: Vec<_> = tree.iter().enumerate().collect();
    nodes.sort_by_key(|(number, _)| order(*number));
    fs_err::create_dir(dir).unwrap();
    for (_, (path, node)) in &nodes {
        let at = dir.join(path.as_relative_path());
        fs_err::create_dir_all(at.parent().unwrap()).unwrap();
        match &node.kind {
            Kind::Directory => fs_err::create_dir_all(&at).unwrap(),
            Kind::Symlink(target) => {
                symlink(std::ffi::OsStr::from_bytes(target), &at).unwrap();
            }
            Kind::File(file) => {
                fs_err::write(&at, content(file)).unwrap();
                let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
                std::fs::File::open(&at).unwrap().set_modified(time).unwrap();
            }
            Kind::Special(_) => unreachable!("no host tree has one"),
        }
    }
    for (_, (path, node)) in nodes.iter().filter(|(_, (_, node))| node.meta.mode != 0o777) {
        let mode = u32::from(node.meta.mode) | more;
        let at = dir.join(path.as_relative_path());
        fs_err::set_permissions(at, PermissionsExt::from_mode(mode)).unwrap();
    }
}

/// How images would be opened.
fn open_options(spool: &Path) -> OpenOptions {
    let machine = Platform::linux("amd64", None);
    let (limits, registries, pieces) = Default::default();
    let spool = spool.into();
    OpenOptions { platform: None, machine, any: false, spool, limits, registries, pieces }
}

/// Packs the directory `from` as `/t` into `targets`, and returns the digest of the manifest.
fn pack(from: &Path, targets: &[String], jobs: usize, compression: Compression) -> String {
    let scratch = from.parent().unwrap();
    let request = PackRequest {
        requests: vec![Request::parse(&format!("{}:/t", from.display())).unwrap()],
        base: None,
        sysroot: None,
        image: open_options(scratch),
        source: InputOptions {
            exclude: Vec::new(),
            preserve_mode: false,
            owner: None,
            mtime: Mtime::OfContent,
            outputs: Default::default(),
            command_dirs: Vec::new(),
            versions: Default::default(),
            as_file: false,
            spool: scratch.into(),
            jobs: NonZeroUsize::MIN,
        },
        plan: PlanOptions {
            package_metadata: true,
            dependencies: false,
            rules: RuleSet { table: Table::builtin().unwrap(), choice: Choice::default() },
            include: Vec::new(),
            allow_missing: Vec::new(),
            strict: false,
            library_path: Vec::new(),
            hwcaps_all: false,
            layers: Layers::One,
            platform: None,
            fallback_platform: Platform::linux("amd64", None),
            settings: Settings::default(),
            capabilities: Vec::new(),
        },
        deny_secrets: false,
    };
    let target = |text: &String| Target::parse(text, None, |_| false).unwrap();
    let delivery = Delivery {
        targets: targets.iter().map(target).collect(),
        names: vec!["random:1".parse().unwrap()],
        fallback_name: "random".parse().unwrap(),
        compression,
        jobs: NonZeroUsize::new(jobs).unwrap(),
        cache: None,
        cache_from: Vec::new(),
        cache_to: Vec::new(),
        annotations: BTreeMap::new(),
        machine: Platform::linux("amd64", None),
        scratch: scratch.into(),
        durability: Durability::Cached,
        registries: Default::default(),
        push: Default::default(),
        expected: None,
    };
    let planned = plan(&request, &|_| {}).unwrap();
    let part = Part { plan: &planned.plan, base: None, annotations: BTreeMap::new() };
    let delivered = deliver(&[part], &delivery, &|_| {}).unwrap();
    delivered.bundle.digest().to_string()
}

/// No member of a layer has a name that leads out, a name twice, or comes before its directory.
fn check_names(layer: &Path) {
    let blob = fs_err::read(layer).unwrap();
    let decoder = imgb::compress::decoder(imgb::compress::Format::sniff(&blob), &blob[..]).unwrap();
    let mut archive = tar::Archive::new(decoder);
    let mut seen = std::collections::BTreeSet::from([Vec::new()]);
    for entry in archive.entries().unwrap() {
        let name = entry.unwrap().path_bytes().into_owned();
        let plain = name.strip_suffix(b"/").unwrap_or(&name);
        let parts: Vec<&[u8]> = plain.split(|&byte| byte == b'/').collect();
        assert!(
            parts.iter().all(|part| ![&b""[..], b".", b".."].contains(part)),
            "{}",
            escape(&name)
        );
        assert!(!name.contains(&0), "{}", escape(&name));
        assert!(seen.contains(&parts[..parts.len() - 1].join(&b'/')), "{}", escape(&name));
        assert!(seen.insert(plain.to_vec()), "{}", escape(&name));
    }
}

fn compressions() -> impl Strategy<Value = Compression> {
    prop_oneof![
        Just(Compression::None),
        (1u8..=12).prop_map(Compression::Gzip),
        (1u8..=19).prop_map(Compression::Zstd),
    ]
}

proptest! {
    #![proptest_config(cases(16))]

    /// The order of a directory, the times and the group's bits of its files and the number of
    /// threads change nothing; every descriptor is right; all outputs give the directory back.
    #[test]
    fn an_image_is_its_directory(
        tree in host_trees(),
        (jobs, factor) in (1usize..=8, 1usize..1000),
        compression in compressions(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let target = |kind: &str, name: &str| format!("{kind}{}", at(name).display());
        make(&tree, &at("a"), |number| number, 1_000_000_000, 0);
        make(&tree, &at("b"), |number| number * factor * 7919 % 1009, 1_500_000_000, 0o020);
        let targets = [
            target("oci:", "layout"), target("", "hybrid.tar"),
            target("docker-archive:", "docker.tar"), target("oci-archive:", "oci.tar"),
        ];
        let digest = pack(&at("a"), &targets, 1, compression);
        let again = pack(&at("b"), &[target("oci:", "again")], jobs, compression);
        prop_assert_eq!(&digest, &again);

        let layout = image_spec::Layout::open(&at("layout"));
        prop_assert_eq!(&layout.manifest_digest, &digest);
        layout.layers().iter().for_each(|layer| check_names(layer));

        let mut wanted: Tree = tree
            .into_iter()
            .map(|(below, node)| (path("t").join(below.relative()).unwrap(), node))
            .collect();
        wanted.insert(path("t"), Node::directory(0o755));
        for name in ["layout", "hybrid.tar", "docker.tar", "oci.tar"] {
            let image = open(&at(name)).unwrap();
            prop_assert_eq!(trees::text(&image.merged()), trees::text(&wanted), "{}", name);
        }
    }
}

/// A tree without a rule of imgb's: directories of directories and leaves, each with a number.
#[derive(Clone, Debug)]
enum Model {
    Leaf(u32),
    Directory(u32, BTreeMap<Vec<u8>, Model>),
}

impl Model {
    fn children(&mut self) -> &mut BTreeMap<Vec<u8>, Model> {
        if let Self::Leaf(_) = self {
            *self = Self::Directory(0, BTreeMap::new());
        }
        match self {
            Self::Directory(_, children) => children,
            Self::Leaf(_) => unreachable!(),
        }
    }

    fn find(&mut self, path: &ImagePath) -> Option<&mut Self> {
        path.components().try_fold(self, |node, part| match node {
            Self::Directory(_, children) => children.get_mut(part),
            Self::Leaf(_) => None,
        })
    }

    /// Everything on the way to `dir`, and `dir`, becomes a directory.
    fn make_directory(&mut self, dir: &ImagePath) {
        let node = dir
            .components()
            .fold(self, |node, part| node.children().entry(part.to_vec()).or_insert(Self::Leaf(0)));
        node.children();
    }

    /// A layer, as layer.md says: what it removes is gone before anything that it adds.
    fn apply(&mut self, change: &Change) {
        for path in &change.opaque {
            if let Some(Self::Directory(_, children)) = self.find(path) {
                children.clear();
            }
        }
        for path in &change.whiteouts {
            if let Some(Self::Directory(_, children)) = self.find(&path.parent().unwrap()) {
                children.remove(path.file_name());
            }
        }
        let parents = change.whiteouts.iter().filter_map(ImagePath::parent);
        for dir in parents.chain(change.opaque.iter().cloned()) {
            if !change.whiteouts.iter().any(|removed| dir.is_within(removed)) {
                self.make_directory(&dir);
            }
        }
        for (path, node) in &change.tree {
            let number = node.meta.uid;
            let parent = path.parent().unwrap();
            let parent = parent.components().fold(&mut *self, |node, part| {
                node.children().entry(part.to_vec()).or_insert(Self::Leaf(0))
            });
            let siblings = parent.children();
            match (siblings.get_mut(path.file_name()), node.is_directory()) {
                (Some(Self::Directory(old, _)), true) => *old = number,
                (_, true) => {
                    let new = Self::Directory(number, BTreeMap::new());
                    siblings.insert(path.file_name().to_vec(), new);
                }
                (_, false) => {
                    siblings.insert(path.file_name().to_vec(), Self::Leaf(number));
                }
            }
        }
    }

    fn list(&self, at: &ImagePath, out: &mut Vec<(ImagePath, bool, u32)>) {
        match self {
            Self::Leaf(number) => out.push((at.clone(), false, *number)),
            Self::Directory(number, children) => {
                out.push((at.clone(), true, *number));
                children.iter().for_each(|(name, node)| node.list(&at.child(name).unwrap(), out));
            }
        }
    }
}

fn short_paths() -> impl Strategy<Value = ImagePath> {
    proptest::collection::vec(97u8..101, 1..4)
        .prop_map(|parts| path(parts.iter().map(|&part| [part]).collect::<Vec<_>>().join(&b'/')))
}

/// Layers in which many paths are those of other layers, with other kinds.
fn changes() -> impl Strategy<Value = Change> {
    let nodes = proptest::collection::vec((short_paths(), any::<bool>(), 1u32..1000), 0..8);
    let paths = || proptest::collection::btree_set(short_paths(), 0..3);
    (nodes, paths(), paths()).prop_map(|(nodes, whiteouts, opaque)| {
        let mut tree = Tree::new();
        for (path, directory, number) in nodes {
            let is_leaf = |dir: &ImagePath| tree.get(dir).is_some_and(|node| !node.is_directory());
            let has_children = tree.below(&path).next().is_some();
            if path.ancestors().any(|dir| is_leaf(&dir)) || (has_children && !directory) {
                continue;
            }
            let mut node =
                if directory { Node::directory(0o755) } else { Node::inline(0o644, *b"x") };
            node.meta.uid = number;
            tree.insert(path, node);
        }
        tree.add_parents(|_| Node::directory(0o755));
        Change { tree, whiteouts, opaque }
    })
}

/// `bytes` before [`escape`].
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = match tail {
            [b'x', hex @ ..] if *first == b'\\' => {
                let digits = std::str::from_utf8(&hex[..2]).unwrap();
                out.push(u8::from_str_radix(digits, 16).unwrap());
                &hex[2..]
            }
            [b'\\', tail @ ..] if *first == b'\\' => {
                out.push(b'\\');
                tail
            }
            _ => {
                out.push(*first);
                tail
            }
        };
    }
    out
}

/// Hands out a few bytes at a time, and is interrupted in between.
struct Trickle<'a> {
    rest: &'a [u8],
    steps: std::iter::Cycle<std::slice::Iter<'a, usize>>,
}

impl io::Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let step = *self.steps.next().unwrap();
        if step == 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = step.min(buffer.len());
        self.rest.read(&mut buffer[..len])
    }
}

/// `bytes` in every format that imgb reads and a crate here writes.
fn streams(bytes: &[u8]) -> Vec<Vec<u8>> {
    let stream = |compression| {
        let mut stream = Stream::new(Vec::new(), compression).unwrap();
        stream.write_all(bytes).unwrap();
        stream.finish().unwrap()
    };
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(bytes).unwrap();
    let mut streams =
        [Compression::None, Compression::GZIP, Compression::ZSTD].map(stream).to_vec();
    streams.push(bzip2.finish().unwrap());
    streams
}

fn spooled(bytes: impl io::Read) -> Result<Vec<u8>, spool::SpoolError> {
    let archive = spool::spool("x", bytes, &std::env::temp_dir(), spool::Limits::default())?;
    let mut bytes = Vec::new();
    (&archive.file).read_to_end(&mut bytes).unwrap();
    Ok(bytes)
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn layers_merge_as_the_specification_says(
        layers in proptest::collection::vec(changes(), 1..5),
    ) {
        let mut merged = Tree::new();
        let mut model = Model::Directory(0, BTreeMap::new());
        for change in layers {
            model.apply(&change);
            merged.apply(change);
        }
        let mut wanted = Vec::new();
        model.list(&ImagePath::root(), &mut wanted);
        let found: Vec<_> = merged
            .iter()
            .map(|(path, node)| (path.clone(), node.is_directory(), node.meta.uid))
            .collect();
        wanted.remove(0);
        wanted.sort();
        prop_assert_eq!(found, wanted);
    }

    /// No name can end the line, move the cursor or reorder the text around it, and two names are
    /// never shown alike.
    #[test]
    fn a_name_is_shown_on_one_line(
        name in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            ".{0,20}".prop_map(String::into_bytes),
            proptest::collection::vec(0x2000u32..0x2070, 0..9).prop_map(|codes| {
                codes.into_iter().filter_map(char::from_u32).collect::<String>().into_bytes()
            }),
        ],
    ) {
        let shown = escape(&name);
        let moves_text = |char: char| {
            char.is_control()
                || matches!(char, '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}')
                || ('\u{202a}'..='\u{202e}').contains(&char)
                || ('\u{2066}'..='\u{2069}').contains(&char)
        };
        prop_assert!(!shown.contains(moves_text), "{:?}", shown);
        prop_assert_eq!(unescape(&shown), name);
    }

    /// A tar may end between two members, and nothing shows it (other readers take it too). Any
    /// other part is refused, and no part shows what the whole does not.
    #[test]
    fn a_part_of_a_tar_is_refused_or_its_first_members(tree in trees(1), at in any::<[u16; 8]>()) {
        let whole = write(&tree);
        let lines = |tar: &[u8]| raw_tar::read(tar).map(|found| raw_tar::text(&found.change.tree));
        let all = lines(&whole).unwrap();
        for at in at.map(|at| usize::from(at) % whole.len()) {
            if let Ok(found) = lines(&whole[..at]) {
                prop_assert_eq!(&found[..], &all[..found.len()], "{} of {}", at, whole.len());
                let rest = write(&tree.iter().take(found.len()).map(own).collect());
                let ends = rest.len() - 1024;
                prop_assert!(at + 511 >= ends, "{} of {}", at, ends);
            }
        }
    }

    /// Compressed streams carry their end with them, so that no part of one stream is taken.
    #[test]
    fn a_part_of_a_compressed_tar_is_refused(tree in trees(1), at in any::<[u16; 4]>()) {
        for stream in &streams(&write(&tree))[1..] {
            for at in at.map(|at| usize::from(at) % stream.len()) {
                let found = spooled(&stream[..at]).map(|tar| raw_tar::read(&tar).map(drop));
                prop_assert!(!matches!(found, Ok(Ok(()))), "{} of {}", at, stream.len());
            }
        }
    }

    #[test]
    fn a_slow_reader_gives_the_same_bytes(
        bytes in proptest::collection::vec(0u8..4, 0..5000),
        steps in proptest::collection::vec(0usize..20, 1..9),
    ) {
        let steps: Vec<usize> = steps.into_iter().chain([1]).collect();
        for stream in streams(&bytes) {
            let slow = Trickle { rest: &stream, steps: steps.iter().cycle() };
            prop_assert_eq!(&spooled(slow).unwrap(), &bytes);
        }
    }
}

fn own((path, node): (&ImagePath, &Node)) -> (ImagePath, Node) {
    (path.clone(), node.clone())
}

/// The documents without a digest of their own: a flipped bit is refused, or the image is the same
/// and only what it is called has changed.
#[test]
fn a_flipped_bit_beside_the_blobs_is_refused_or_the_same_image() {
    let sandbox = small();
    let wanted = open(&sandbox.path("layout")).unwrap().image.config_document.digest;
    let mut refused = 0;
    for name in ["layout/index.json", "layout/oci-layout"] {
        let good = sandbox.read(name);
        for at in (0..good.len() * 8).step_by(7) {
            let mut bad = good.clone();
            bad[at / 8] ^= 1 << (at % 8);
            sandbox.file(name, &bad);
            match open(&sandbox.path("layout")) {
                Ok(image) => assert_eq!(image.image.config_document.digest, wanted, "{name} {at}"),
                Err(_) => refused += 1,
            }
        }
        sandbox.file(name, &good);
    }
    assert!(refused > 300, "{refused}");
}

/// Whatever an archive of an image is cut to, it is refused, or it is whole except for zeros.
#[test]
fn a_part_of_an_image_is_refused() {
    let sandbox = small();
    for name in ["hybrid.tar", "oci.tar", "docker.tar"] {
        let whole = sandbox.read(name);
        let last = whole.iter().rposition(|&byte| byte != 0).unwrap() + 1;
        for len in (0..last).step_by(119).chain((0..last).step_by(512)) {
            sandbox.file("part.tar", &whole[..len]);
            assert!(open(&sandbox.path("part.tar")).is_err(), "{name}: {len} of {last}");
        }
    }
}
