//! Five good images, in which one file after another is deleted or damaged: either the check names
//! it, or the program still starts in a root with the same damage.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use imgb::{
    archive::spool,
    check::{self, Report},
    image::{Config, ImageName, Platform, StoredImage},
    oci::{self, Image, UnpackedImage},
    path::ImagePath,
    tree::{Content, Kind, Node, Tree},
};

use crate::{
    engines::have,
    fixtures::busybox,
    rules_root::Root,
    sandbox::{Run, Sandbox},
};

fn open(path: &Path) -> UnpackedImage {
    let name = ImageName::Stored(StoredImage {
        transport: None,
        path: path.into(),
        tag: None,
        digest: None,
    });
    let options = oci::OpenOptions {
        platform: None,
        machine: Platform::linux("amd64", None),
        spool: std::env::temp_dir(),
        limits: spool::Limits::default(),
        registries: Default::default(),
        any: false,
        pieces: None,
    };
    oci::open(&name, &options).and_then(Image::unpack).unwrap()
}

/// How a file is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    Gone,
    /// An empty file, or a dangling link.
    Empty,
    /// Half of the file.
    Half,
}

pub(crate) struct Good {
    root: Root,
    config: Config,
    tree: Tree,
    program: &'static str,
    args: &'static [&'static str],
}

impl Good {
    pub(crate) fn new(root: Root, program: &'static str, args: &'static [&'static str]) -> Self {
        let image = open(&root.dir().with_file_name("image.tar"));
        let good =
            Self { config: image.image.config.clone(), tree: image.merged(), root, program, args };
        assert_eq!(good.prove(&good.tree).faults, [], "the image is good");
        good.run().run().ok();
        good
    }

    fn prove(&self, tree: &Tree) -> Report {
        let options = check::CheckOptions { allow_missing: &[], strict: false };
        check::prove(tree, &self.config, options).unwrap()
    }

    fn run(&self) -> Run {
        let run = self.root.run(self.program);
        self.args.iter().fold(run, |run, arg| run.arg(arg))
    }

    /// Whether the damage concerns what a loader or the kernel reads: ELF objects, the first lines
    /// of scripts.
    fn is_read(&self, path: &ImagePath, damage: Damage) -> bool {
        let bytes = fs_err::read(self.on_disk(path)).unwrap();
        match damage {
            Damage::Gone => true,
            Damage::Empty => bytes.starts_with(b"\x7fELF") || bytes.starts_with(b"#!"),
            Damage::Half => bytes.starts_with(b"\x7fELF"),
        }
    }

    /// Its ELF objects.
    pub(crate) fn objects(&self) -> Vec<(ImagePath, Vec<u8>)> {
        let files = self.tree.iter().filter(|(_, node)| node.file().is_some());
        let files =
            files.map(|(path, _)| (path.clone(), fs_err::read(self.on_disk(path)).unwrap()));
        files.filter(|(_, bytes)| bytes.starts_with(b"\x7fELF")).collect()
    }

    /// With `bytes` at `path`: whether the check names a fault, and whether the program starts.
    pub(crate) fn with(&self, path: &ImagePath, bytes: &[u8]) -> (bool, bool) {
        let (mut tree, here) = (self.tree.clone(), self.on_disk(path));
        let meta = tree.get(path).unwrap().meta.clone();
        tree.insert(path.clone(), Node { meta, ..Node::inline(0, bytes) });
        let whole = fs_err::read(&here).unwrap();
        fs_err::write(&here, bytes).unwrap();
        let starts = self.run().run().success();
        fs_err::write(&here, whole).unwrap();
        (!self.prove(&tree).faults.is_empty(), starts)
    }

    fn on_disk(&self, path: &ImagePath) -> PathBuf {
        self.root.dir().join(path.as_relative_path())
    }

    /// Applies `damage` to `path` in the tree; `None` if it has no effect.
    fn damaged(&self, path: &ImagePath, node: &Node, damage: Damage) -> Option<Tree> {
        let mut tree = self.tree.clone();
        match (damage, &node.kind) {
            (Damage::Gone, _) => tree.remove(path),
            (Damage::Empty, Kind::Symlink(_)) => {
                tree.insert(path.clone(), Node::symlink(*b"/nowhere"));
            }
            (Damage::Empty, Kind::File(file)) if file.len > 0 => {
                tree.insert(
                    path.clone(),
                    Node { meta: node.meta.clone(), ..Node::inline(0, *b"") },
                );
            }
            (Damage::Half, Kind::File(file)) if file.len > 1 => {
                let bytes = fs_err::read(self.on_disk(path)).unwrap();
                let half = Node::inline(0, &bytes[..bytes.len() / 2]);
                assert!(matches!(file.content, Content::Member(..) | Content::Inline(_)));
                tree.insert(path.clone(), Node { meta: node.meta.clone(), ..half });
            }
            _ => return None,
        }
        Some(tree)
    }

    /// Whether the program starts with the same damage on disk.
    fn starts_with(&self, path: &ImagePath, damage: Damage) -> bool {
        let (here, away) = (self.on_disk(path), self.root.dir().with_file_name("away"));
        fs_err::rename(&here, &away).unwrap();
        let is_link = away.is_symlink();
        match damage {
            Damage::Gone => {}
            Damage::Empty if is_link => symlink("/nowhere", &here).unwrap(),
            Damage::Empty | Damage::Half => {
                let bytes = fs_err::read(&away).unwrap();
                let len = if damage == Damage::Half { bytes.len() / 2 } else { 0 };
                fs_err::write(&here, &bytes[..len]).unwrap();
                fs_err::set_permissions(&here, fs_err::metadata(&away).unwrap().permissions())
                    .unwrap();
            }
        }
        let starts = self.run().run().success();
        let _ = fs_err::remove_file(&here);
        fs_err::rename(&away, &here).unwrap();
        starts
    }

    /// Flips one bit of the archive after another: either `check` names it, or the image is the
    /// same by all its digests.
    #[track_caller]
    fn bits(&self) {
        let archive = self.root.dir().with_file_name("image.tar");
        let good = fs_err::read(&archive).unwrap();
        let imgb = |args: &str| Run::new(env!("CARGO_BIN_EXE_imgb")).args(args).arg(&archive).run();
        let whole = imgb("inspect --json").ok().text();
        for at in 0..BITS {
            let mut bytes = good.clone();
            let place = at * 7919 % BITS * (good.len() / BITS) + at * 37 % 512;
            bytes[place] ^= 1 << (at % 8);
            fs_err::write(&archive, bytes).unwrap();
            let check = imgb("check");
            let same = check.success() && imgb("inspect --json").text() == whole;
            assert!(same || !check.success(), "bit {} of byte {place}: {}", at % 8, check.show());
        }
        fs_err::write(&archive, good).unwrap();
        imgb("check").ok();
    }

    /// Damages each path that `picks` accepts, in every way. Returns what is neither named nor
    /// unneeded.
    #[track_caller]
    fn each(&self, picks: &dyn Fn(usize, &str) -> bool) {
        self.bits();
        let (mut named, mut needless, mut missed) = (0, 0, Vec::new());
        let paths = self.tree.iter().filter(|(_, node)| !node.is_directory());
        for (_, (path, node)) in
            paths.enumerate().filter(|(at, (path, _))| picks(*at, &path.to_string()))
        {
            for damage in DAMAGES {
                // What neither kernel nor loader reads is protected by the digests alone.
                if node.file().is_some() && !self.is_read(path, damage) {
                    continue;
                }
                let Some(tree) = self.damaged(path, node, damage) else { continue };
                if !self.prove(&tree).faults.is_empty() {
                    named += 1;
                } else if self.starts_with(path, damage) {
                    needless += 1;
                } else {
                    missed.push(format!("{damage:?} {path}"));
                }
            }
        }
        assert!(
            missed.is_empty(),
            "neither named nor needless: {missed:#?} ({named} named, {needless} needless)"
        );
        assert!(named > 0 && named + needless > 3, "{named} named, {needless} needless");
    }
}

/// How many bits of an archive are flipped, spread over all of it.
const BITS: usize = 16;

const DAMAGES: [Damage; 3] = [Damage::Gone, Damage::Empty, Damage::Half];

#[test]
fn a_tree_of_links_to_one_program() {
    let sandbox = Sandbox::new();
    if !busybox(&sandbox) {
        return;
    }
    let Some(root) = Root::pack_in(sandbox, &[], "bin --entrypoint /bin/sh -o image.tar") else {
        return;
    };
    let good = Good::new(root, "/bin/sh", &["-c", "true"]);
    good.each(&|at, path| path.len() < 9 || at.is_multiple_of(9));
}

#[test]
fn a_program_with_many_libraries() {
    let args = "curl -o image.tar";
    let Some(root) = Root::pack(&["curl"], args) else { return };
    let picks =
        |at: usize, path: &str| path.contains("/lib/x86_64-linux-gnu/lib") || at.is_multiple_of(13);
    Good::new(root, "curl", &["--version"]).each(&picks);
}

#[test]
fn a_program_with_helpers() {
    let Some(root) = Root::pack(&["git"], "git -o image.tar") else { return };
    let picks = |at: usize, path: &str| {
        path.contains("/lib/x86_64") || path.contains("bin/") || at.is_multiple_of(13)
    };
    Good::new(root, "git", &["--version"]).each(&picks);
}

#[test]
fn a_language() {
    let Some(root) = Root::pack(&["python3"], "python3 -o image.tar") else {
        return;
    };
    let picks = |at: usize, path: &str| {
        let is_library =
            path.contains("/python3.") || path.contains("/share/") || path.contains("/gconv/");
        !is_library || at.is_multiple_of(23) || path.contains("/encodings/") && path.len() < 42
    };
    Good::new(root, "/usr/bin/python3", &["-c", "pass"]).each(&picks);
}

#[test]
fn a_script() {
    if !have(&["bash"]) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.program("start", "#!/usr/bin/env bash\nread line </etc/passwd || echo done\n");
    let args = "start bash --entrypoint /start -o image.tar";
    let Some(root) = Root::pack_in(sandbox, &[], args) else { return };
    Good::new(root, "/start", &[]).each(&|at, path| {
        !path.contains("/share/") && !path.contains("/gconv/") || at.is_multiple_of(23)
    });
}
