//! Layers on top of each other: the tree is the one that a simple model of a file system has after
//! the same whiteouts, opaque markers and entries, and no path leads outside.
#![no_main]

use std::collections::BTreeMap;

use imgb::{
    archive::read::Whiteouts,
    path::ImagePath,
    tree::{Change, Kind, Tree},
};
use imgb_fuzz::{check_line, input::Input, tar, tree};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let (mut merged, mut model) = (Tree::new(), Model::default());
    while input.has_more() {
        let mut writer = tar::Writer::default();
        for _ in 0..input.byte() % 12 {
            let kind = input.choose(b"0025512346");
            let name = input.path();
            let target = if matches!(kind, b'1' | b'2') { input.path() } else { Vec::new() };
            let rooted = input.byte() & 1 == 1 && kind == b'2';
            let target = [&b"/"[..usize::from(rooted)], &target].concat();
            let content: &[u8] = if kind == b'0' { input.text() } else { b"" };
            writer.member(kind, &name, &target, content);
        }
        let bytes = writer.finish();
        match tree::read(&bytes, Whiteouts::Apply) {
            Ok(contents) => {
                tree::check(&contents.change.tree, bytes.len() as u64);
                model.apply(&contents.change);
                merged.apply(contents.change.clone());
                let once = merged.clone();
                merged.apply(contents.change);
                assert_eq!(once, merged, "a layer twice is not the layer once");
            }
            Err(error) => check_line(&error.to_string()),
        }
    }
    tree::check(&merged, u64::MAX);
    let mut wanted = Vec::new();
    model.list(&mut Vec::new(), &mut wanted);
    let found: Vec<_> =
        merged.iter().map(|(path, node)| (path.as_bytes().to_vec(), shown(&node.kind))).collect();
    assert_eq!(found, wanted);
    check_links(&merged);
});

/// A directory of the model, or another file.
#[derive(Default)]
struct Model {
    /// `None` for a directory that no layer has an entry for.
    shown: Option<String>,
    /// `None` for what is not a directory.
    names: Option<BTreeMap<Vec<u8>, Model>>,
}

impl Model {
    fn apply(&mut self, change: &Change) {
        for dir in &change.opaque {
            if let Some(names) = self.find(dir).and_then(|model| model.names.as_mut()) {
                names.clear();
            }
        }
        for path in &change.whiteouts {
            let parent = path.parent().unwrap_or_else(ImagePath::root);
            if let Some(names) = self.find(&parent).and_then(|model| model.names.as_mut()) {
                names.remove(path.file_name());
            }
        }
        let parents = change.whiteouts.iter().filter_map(ImagePath::parent);
        for dir in parents.chain(change.opaque.iter().cloned()) {
            if !change.whiteouts.iter().any(|removed| dir.is_within(removed)) {
                self.make_directory(&dir);
            }
        }
        for (path, node) in &change.tree {
            let mut at = &mut *self;
            for name in path.components() {
                if at.names.is_none() {
                    at.shown = None;
                }
                at = at.names.get_or_insert_default().entry(name.to_vec()).or_default();
            }
            at.shown = Some(shown(&node.kind));
            match node.is_directory() {
                true => drop(at.names.get_or_insert_default()),
                false => at.names = None,
            }
        }
    }

    /// Everything on the way to `dir`, and `dir`, becomes a directory with an entry.
    fn make_directory(&mut self, dir: &ImagePath) {
        let mut at = self;
        for name in dir.components() {
            at = at.names.get_or_insert_default().entry(name.to_vec()).or_default();
            if at.names.is_none() || at.shown.is_none() {
                at.shown = Some(shown(&Kind::Directory));
            }
            at.names.get_or_insert_default();
        }
    }

    fn find(&mut self, path: &ImagePath) -> Option<&mut Self> {
        path.components().try_fold(self, |at, name| at.names.as_mut()?.get_mut(name))
    }

    fn list(&self, path: &mut Vec<u8>, out: &mut Vec<(Vec<u8>, String)>) {
        let mut below = Vec::new();
        for (name, model) in self.names.iter().flatten() {
            let len = path.len();
            path.push(b'/');
            path.extend(name);
            below.extend(model.shown.clone().map(|shown| (path.clone(), shown)));
            model.list(path, &mut below);
            path.truncate(len);
        }
        // Of whole paths: `a-b` comes before `a/b`.
        below.sort();
        out.extend(below);
    }
}

fn shown(kind: &Kind) -> String {
    match kind {
        Kind::File(file) => format!("{} {:?}", file.len, file.content.identity()),
        Kind::Symlink(target) => format!("-> {}", imgb::path::escape(target)),
        Kind::Directory => "/".into(),
        Kind::Special(special) => format!("{special:?}"),
    }
}

/// A link leads to a real path of the tree or nowhere.
fn check_links(merged: &Tree) {
    for (path, _) in merged.iter().filter(|(_, node)| matches!(node.kind, Kind::Symlink(_))) {
        let Ok(resolved) = merged.resolve(path.as_bytes()) else { continue };
        tree::check_path(&resolved.path);
        for dir in resolved.path.ancestors() {
            assert!(merged.get(&dir).is_none_or(|node| node.is_directory()));
        }
    }
}
