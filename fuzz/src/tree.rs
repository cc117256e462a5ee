//! What holds for every tree that was read, and how two trees compare.

use std::{collections::BTreeMap, io};

use imgb::{
    archive::{
        read::{self, Contents, Limits, Whiteouts},
        write::TarLayout,
    },
    digest::Digest,
    path::ImagePath,
    source::content,
    timestamp::{Mtime, Timestamp},
    tree::{Content, Identity, Kind, Meta, Node, Tree},
};

/// Holds that no path of `tree` leads outside, that only directories have files below them, and
/// that content is inside its archive of `len` bytes.
pub fn check(tree: &Tree, len: u64) {
    for (path, node) in tree {
        check_path(path);
        for dir in path.ancestors() {
            let is_directory = tree.get(&dir).is_none_or(Node::is_directory);
            assert!(is_directory, "{path} is below {dir}, which is not a directory");
        }
        match &node.kind {
            Kind::Symlink(target) => assert!(!target.is_empty() && !target.contains(&0)),
            Kind::File(file) => check_content(&file.content, file.len, len),
            Kind::Directory | Kind::Special(_) => {}
        }
        assert!(node.meta.mode <= 0o7777);
    }
    let text = tree.to_string();
    assert_eq!(text.lines().count(), tree.len(), "not a line per node");
    assert!(text.is_empty() || !text.chars().any(|c| c.is_control() && c != '\n'));
}

/// Holds that a path is normalised.
pub fn check_path(path: &ImagePath) {
    let bytes = path.as_bytes();
    assert!(bytes.starts_with(b"/") && bytes.len() <= ImagePath::MAX, "{path}");
    assert!(!bytes.contains(&0), "{path}");
    assert!(path.is_root() || bytes[1..].split(|&b| b == b'/').all(is_name), "{path}");
}

fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && name.len() <= ImagePath::MAX_COMPONENT
}

fn check_content(content: &Content, len: u64, archive: u64) {
    match content {
        Content::Member(_, at) => assert!(at + len <= archive, "content outside the archive"),
        Content::Sparse(_, regions) => {
            let mut end = 0;
            for region in regions.iter() {
                assert!(region.start >= end, "regions overlap");
                end = region.start + region.len;
                assert!(region.at + region.len <= archive, "a region outside the archive");
            }
            assert!(end <= len, "a region after the end of the file");
        }
        Content::Inline(_) | Content::Host(_) => {}
    }
}

/// A directory of 1970. One of imgb's own would be older in an archive than in the tree.
pub fn directory() -> Node {
    let mut node = Node::directory(0o755);
    node.meta.mtime = Mtime::At(Timestamp::EPOCH);
    node
}

/// The bytes of all files together, at most; more is not worth reading.
const MAX_CONTENT: u64 = 1 << 20;

/// The archive of `tree`; `None` where its files are large or no tar can hold it.
pub fn write(tree: &Tree) -> Option<Vec<u8>> {
    let mut tree = tree.clone();
    tree.add_parents(|_| directory());
    let files = tree.iter().filter_map(|(_, node)| node.file());
    files
        .map(|file| file.len)
        .try_fold(0_u64, u64::checked_add)
        .filter(|&len| len < MAX_CONTENT)?;
    let layout = TarLayout::new(&tree).ok()?;
    let mut tar = Vec::new();
    let read = |request: imgb::archive::write::ContentRequest<'_>, out: &mut [u8]| {
        let file = request.file;
        content::read_at(&file.content, file.len, request.offset, out)
            .map_err(|error| io::Error::other(error.to_string()))
    };
    layout.write(&mut tar, read).expect("content can be read");
    assert_eq!(tar.len() as u64, layout.size(), "the layout promised another size");
    Some(tar)
}

/// Holds that what is written of `tree` reads as the same tree, and is written alike again.
pub fn check_roundtrip(tree: &Tree) {
    let Some(tar) = write(tree) else { return };
    let again = read(&tar, Whiteouts::Refuse).expect("what imgb wrote");
    assert_eq!(again.replaced, 0, "a path was written twice");
    assert_eq!(again.dropped_attributes, 0, "an attribute that was not read is written");
    let mut whole = tree.clone();
    whole.add_parents(|_| directory());
    assert_eq!(lines(&whole), lines(&again.change.tree));
    assert_eq!(write(&again.change.tree).as_deref(), Some(&tar[..]), "not the same bytes again");
}

/// Reads a tar in memory.
///
/// # Errors
/// Those of [`read::read`].
pub fn read(tar: &[u8], whiteouts: Whiteouts) -> Result<Contents, read::ReadError> {
    read::read(&crate::archive(tar), whiteouts, Limits::default())
}

/// A tree as text: a line per node with all metadata, the content, and the first other name of the
/// same inode.
pub fn lines(tree: &Tree) -> Vec<String> {
    let mut inodes: BTreeMap<Identity, (&ImagePath, &Meta)> = BTreeMap::new();
    let mut lines = Vec::new();
    for (path, node) in tree {
        let what = match &node.kind {
            Kind::Directory => "/".to_owned(),
            Kind::Symlink(target) => format!("-> {}", imgb::path::escape(target)),
            Kind::Special(special) => format!("{special:?}"),
            Kind::File(file) => {
                let mut bytes = vec![0; file.len as usize];
                content::read_at(&file.content, file.len, 0, &mut bytes).expect("can be read");
                format!("{} bytes, {}", file.len, Digest::of(&bytes))
            }
        };
        let mut line = format!("{path} {:?} {what}", node.meta);
        if let Some(file) = node.file().filter(|file| file.shared) {
            let first = inodes.entry(file.content.identity()).or_insert((path, &node.meta));
            if first.0 != path && *first.1 == node.meta {
                line.push_str(&format!(" == {}", first.0));
            }
        }
        lines.push(line);
    }
    lines
}
