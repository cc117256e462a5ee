//! The keys of a compressed layer in the cache: digests of everything that its bytes depend on,
//! with what lstat(2) says of the host's files in the place of their content, or without that.

use std::io::{self, Write as _};

use crate::{
    archive::write::TarLayout,
    compress::{self, Compression},
    digest::{Digest, Digesting},
    path::ImagePath,
    timestamp::Mtime,
    tree::{Content, HostFile, Kind, Node, Special},
};

/// A layer's key.
pub(super) struct Key {
    pub(super) digest: Digest,
    /// The latest ctime, in seconds and nanoseconds, of the host files in the layer; see
    /// [`crate::store::cache::is_racy`].
    pub(super) newest: (i64, u32),
}

/// Bytes gathered before they are hashed.
const BUFFER: usize = 1 << 16;

/// The key of a layer, computed from metadata alone. `None` where content comes out of an archive:
/// nothing tells whether that is the same next time.
pub(super) fn by_stat(layout: &TarLayout<'_>, compression: Compression) -> Option<Key> {
    let (mut newest, mut is_known) = ((i64::MIN, 0), true);
    let digest = digest(b"imgb layer", layout, compression, &mut |fields, content| match content {
        Content::Inline(bytes) => {
            fields.number(7);
            fields.bytes(bytes);
        }
        Content::Host(host) => {
            fields.number(8);
            fields.host(host);
            newest = host.ctime().max(newest);
        }
        Content::Member(..) | Content::Sparse(..) => is_known = false,
    });
    is_known.then_some(Key { digest, newest })
}

/// The key of what depends on the content of files alone: what lstat(2) says of these, with their
/// lengths.
pub(super) fn of_files<'a>(files: impl Iterator<Item = (&'a HostFile, u64)>) -> Key {
    let mut fields = Fields::new(b"imgb times of files");
    let mut newest = (i64::MIN, 0);
    for (host, len) in files {
        fields.number(len);
        fields.host(host);
        newest = host.ctime().max(newest);
        fields.flush();
    }
    Key { digest: fields.finish(), newest }
}

/// The key of all layers that differ in nothing but the bytes of files.
pub(super) fn without_stat(layout: &TarLayout<'_>, compression: Compression) -> Digest {
    digest(b"imgb layer of any content", layout, compression, &mut |_, _| {})
}

/// Adds what a key says of content.
type OfContent<'a> = &'a mut dyn FnMut(&mut Fields, &Content);

fn digest(
    title: &[u8],
    layout: &TarLayout<'_>,
    compression: Compression,
    of_content: OfContent<'_>,
) -> Digest {
    let mut fields = Fields::new(title);
    fields.bytes(compression.to_string().as_bytes());
    fields.number(compression.frame_len(layout.size()) as u64);
    for (path, node, link) in layout.entries() {
        fields.bytes(path.as_bytes());
        fields.meta(node);
        fields.kind(node, link, of_content);
    }
    fields.finish()
}

/// Hashes values one after the other, each with its length where that varies, so that different
/// lists give different bytes.
struct Fields {
    hash: Digesting<io::Sink>,
    buffer: Vec<u8>,
}

impl Fields {
    fn new(title: &[u8]) -> Self {
        let hash = Digesting::new(io::sink());
        let mut fields = Self { hash, buffer: Vec::with_capacity(2 * BUFFER) };
        fields.bytes(title);
        fields.number(u64::from(compress::FORMAT));
        fields
    }

    fn host(&mut self, host: &HostFile) {
        self.number(host.dev);
        self.number(host.ino);
        self.time(host.mtime());
        self.time(host.ctime());
    }

    fn number(&mut self, number: u64) {
        self.buffer.extend_from_slice(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER {
            self.flush();
        }
    }

    fn time(&mut self, time: (i64, u32)) {
        self.number(time.0.cast_unsigned());
        self.number(u64::from(time.1));
    }

    fn meta(&mut self, node: &Node) {
        let meta = &node.meta;
        self.number(u64::from(meta.mode));
        self.number(u64::from(meta.uid) << 32 | u64::from(meta.gid));
        match meta.mtime {
            Mtime::OfContent => self.number(0),
            Mtime::At(time) => {
                self.number(1);
                self.number(time.seconds().cast_unsigned());
            }
        }
        let xattrs = meta.xattrs.iter().flat_map(|xattrs| xattrs.iter());
        self.number(xattrs.clone().count() as u64);
        for (name, value) in xattrs {
            self.bytes(name);
            self.bytes(value);
        }
    }

    fn kind(&mut self, node: &Node, link: Option<&ImagePath>, of_content: OfContent<'_>) {
        match (&node.kind, link) {
            (_, Some(link)) => {
                self.number(0);
                self.bytes(link.as_bytes());
            }
            (Kind::Directory, None) => self.number(1),
            (Kind::Symlink(target), None) => {
                self.number(2);
                self.bytes(target);
            }
            (Kind::Special(special), None) => {
                let (kind, major, minor) = match *special {
                    Special::Character(major, minor) => (3, major, minor),
                    Special::Block(major, minor) => (4, major, minor),
                    Special::Fifo => (5, 0, 0),
                };
                self.number(kind);
                self.number(u64::from(major) << 32 | u64::from(minor));
            }
            (Kind::File(file), None) => {
                self.number(6);
                self.number(file.len);
                of_content(self, &file.content);
            }
        }
    }

    fn flush(&mut self) {
        // Writing to a sink cannot fail.
        let _ = self.hash.write_all(&self.buffer);
        self.buffer.clear();
    }

    fn finish(mut self) -> Digest {
        self.flush();
        self.hash.finish().1
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, path::Path, sync::Arc};

    use super::*;
    use crate::timestamp::Timestamp;
    use crate::tree::{Archive, FileNode, Tree};

    fn file(host: HostFile, len: u64) -> Node {
        let mut node = Node::inline(0o644, []);
        let content = Content::Host(Arc::new(host));
        node.kind = Kind::File(FileNode { len, content, shared: false, modified: 3 });
        node
    }

    fn host() -> HostFile {
        with_times((3, 4), (5, 6))
    }

    fn with_times(mtime: (i64, u32), ctime: (i64, u32)) -> HostFile {
        HostFile::new(Path::new("/x").into(), (1, 2), mtime, ctime)
    }

    fn of(nodes: &[(&str, Node)], compression: Compression) -> Option<Digest> {
        let tree: Tree =
            nodes.iter().map(|(p, node)| (ImagePath::new(p).unwrap(), node.clone())).collect();
        by_stat(&TarLayout::new(&tree).unwrap(), compression).map(|key| key.digest)
    }

    /// Every change of what the bytes depend on gives another key. The path on the host is not such
    /// a change.
    #[test]
    fn whatever_matters_is_in_the_key() {
        let one = |node: Node| of(&[("/a", node)], Compression::GZIP).unwrap();
        let base = one(file(host(), 9));
        assert_eq!(one(file(HostFile { path: Path::new("/y").into(), ..host() }, 9)), base);
        let with = |change: &dyn Fn(&mut Node)| {
            let mut node = file(host(), 9);
            change(&mut node);
            node
        };
        let mut seen = vec![
            base,
            one(file(HostFile { dev: 9, ..host() }, 9)),
            one(file(HostFile { ino: 9, ..host() }, 9)),
            one(file(with_times((3, 5), (5, 6)), 9)),
            one(file(with_times((2, 4), (5, 6)), 9)),
            one(file(with_times((3, 4), (5, 7)), 9)),
            one(file(host(), 8)),
            one(with(&|node| node.meta.mode = 0o600)),
            one(with(&|node| node.meta.uid = 1)),
            one(with(&|node| node.meta.gid = 1)),
            one(with(&|node| {
                node.meta.mtime = Mtime::At(Timestamp::from_seconds(0).unwrap());
            })),
            one(with(&|node| {
                node.meta.mtime = Mtime::At(Timestamp::from_seconds(1).unwrap());
            })),
            one(with(&|node| {
                node.meta.xattrs = Some(Box::new([(b"a".to_vec(), b"b".to_vec())].into()));
            })),
            one(Node::inline(0o644, *b"123456789")),
            one(Node::inline(0o644, *b"12345678x")),
            one(Node::directory(0o644)),
            one(Node::symlink(*b"b")),
            one(Node::symlink(*b"c")),
            of(&[("/b", file(host(), 9))], Compression::GZIP).unwrap(),
            of(&[("/a", file(host(), 9))], Compression::Gzip(6)).unwrap(),
            of(&[("/a", file(host(), 9))], Compression::Zstd(5)).unwrap(),
            of(&[], Compression::GZIP).unwrap(),
        ];
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }

    #[test]
    fn without_stat_only_the_content_of_files_does_not_matter() {
        let of = |path: &str, node: Node| {
            let tree: Tree = [(ImagePath::new(path).unwrap(), node)].into_iter().collect();
            without_stat(&TarLayout::new(&tree).unwrap(), Compression::GZIP)
        };
        let base = of("/a", file(host(), 9));
        assert_eq!(of("/a", file(HostFile { ino: 9, ..with_times((3, 4), (9, 9)) }, 9)), base);
        assert_eq!(of("/a", Node::inline(0o644, *b"123456789")), base);
        for (path, node) in [
            ("/b", file(host(), 9)),
            ("/a", file(host(), 8)),
            ("/a", Node::inline(0o600, *b"123456789")),
            ("/a", Node::symlink(*b"b")),
        ] {
            assert_ne!(of(path, node), base, "{path}");
        }
    }

    #[test]
    fn content_of_an_archive_has_no_key() {
        let archive = Archive::new("a.tar", File::open("/dev/null").unwrap());
        let mut node = Node::inline(0o644, []);
        let content = Content::Member(Arc::new(archive), 512);
        node.kind = Kind::File(FileNode { len: 1, content, shared: false, modified: 0 });
        assert_eq!(of(&[("/a", node)], Compression::GZIP), None);
    }
}
