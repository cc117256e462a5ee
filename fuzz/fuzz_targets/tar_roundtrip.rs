//! The tar writer: a tree of any nodes reads as the same tree, any range of the archive is the
//! same as in the whole, and writing it twice gives the same bytes.
#![no_main]

use std::{collections::BTreeMap, sync::Arc};

use imgb::{
    archive::write::{ContentRequest, TarLayout},
    path::ImagePath,
    timestamp::{Mtime, Timestamp},
    tree::{Content, FileNode, Kind, Meta, Node, Special, Tree},
};
use imgb_fuzz::{input::Input, tree};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mut nodes = Tree::new();
    let mut last: Option<Node> = None;
    while input.has_more() {
        let path = path(&mut input);
        let Ok(path) = ImagePath::new(path) else { continue };
        // The tree of a reader has files below directories only, and no whiteouts.
        let below_file =
            path.ancestors().any(|dir| nodes.get(&dir).is_some_and(|node| !node.is_directory()));
        if below_file || path.components().any(|name| name.starts_with(b".wh.")) {
            continue;
        }
        let node = node(&mut input, last.as_ref());
        if !node.is_directory() && nodes.below(&path).next().is_some() {
            continue;
        }
        last = Some(node.clone());
        nodes.insert(path, node);
    }
    tree::check(&nodes, 0);
    tree::check_roundtrip(&nodes);
    check_ranges(&mut nodes, data);
});

fn path(input: &mut Input<'_>) -> Vec<u8> {
    match input.byte() % 4 {
        // Names that need a prefix or a PAX record.
        0 => {
            let (name, count) = (input.byte(), usize::from(input.byte()));
            [&[b'l'].repeat(count)[..], b"/", &[name].repeat(count % 256)].concat()
        }
        1 => input.text().to_vec(),
        _ => input.path(),
    }
}

fn node(input: &mut Input<'_>, last: Option<&Node>) -> Node {
    let kind = match input.byte() % 8 {
        0 => Kind::Directory,
        1 => {
            let target = input.text();
            let count = usize::from(input.byte() % 8);
            let target = if target.is_empty() || target.contains(&0) { b"t" } else { target };
            Kind::Symlink(target.repeat(1 + count).into())
        }
        2 => Kind::Special(Special::Character(input.number(4) as u32, input.number(4) as u32)),
        3 => Kind::Special(Special::Block(input.number(3) as u32, input.number(3) as u32)),
        4 => Kind::Special(Special::Fifo),
        5 => match last.and_then(Node::file) {
            Some(file) => Kind::File(FileNode { shared: true, ..file.clone() }),
            None => Kind::Directory,
        },
        shared => {
            let bytes: Arc<[u8]> = input.text().into();
            let (len, content) = (bytes.len() as u64, Content::Inline(bytes));
            Kind::File(FileNode { len, content, shared: shared == 6, modified: 0 })
        }
    };
    let same = input.byte();
    if let Some(last) = last.filter(|_| same & 1 == 1) {
        return Node { kind, meta: last.meta.clone() };
    }
    let mut meta = Meta::new((input.number(2) & 0o7777) as u16);
    if same & 2 != 0 {
        (meta.uid, meta.gid) = (input.number(4) as u32, input.number(4) as u32);
    }
    // The time of content is decided when it is written.
    let seconds = if same & 4 != 0 { input.number(8) as i64 } else { 0 };
    meta.mtime = Mtime::At(Timestamp::from_seconds(seconds).unwrap_or_default());
    // Engines keep the capabilities of regular files only, and so do readers of links.
    if same & 8 != 0 && matches!(kind, Kind::File(_)) {
        let value = input.text().to_vec();
        meta.xattrs = Some(Box::new(BTreeMap::from([(b"security.capability".to_vec(), value)])));
    }
    Node { meta, kind }
}

fn check_ranges(nodes: &mut Tree, data: &[u8]) {
    nodes.add_parents(|_| tree::directory());
    let Ok(layout) = TarLayout::new(nodes) else { return };
    let read = |request: ContentRequest<'_>, out: &mut [u8]| -> Result<(), std::io::Error> {
        let Content::Inline(bytes) = &request.file.content else { panic!("{}", request.path) };
        let start = request.offset as usize;
        out.copy_from_slice(&bytes[start..start + out.len()]);
        Ok(())
    };
    let mut whole = Vec::new();
    layout.write(&mut whole, read).expect("memory does not fail");
    let number = |at: usize| data.get(at).copied().unwrap_or(0);
    let start = whole.len() * usize::from(number(0)) / 256;
    let len = (whole.len() - start) * usize::from(number(1)) / 256;
    let mut part = vec![0xee; len];
    layout.fill(start as u64, &mut part, read).expect("memory does not fail");
    assert_eq!(part, whole[start..start + len], "{start}..{}", start + len);
    let mut headers = vec![0; whole.len()];
    let write = |at: u64, bytes: &[u8]| -> Result<(), std::convert::Infallible> {
        headers[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
        Ok(())
    };
    let Ok(()) = layout.headers(|_, _| Ok(()), write);
    for (_, at, file) in layout.contents() {
        let Content::Inline(bytes) = &file.content else { continue };
        headers[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
    }
    assert_eq!(headers, whole, "headers and contents are not the archive");
}
