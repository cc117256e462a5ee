//! eStargz: gzip layers whose files can be fetched one by one
//! (<https://github.com/containerd/stargz-snapshotter/blob/main/docs/estargz.md>).
//!
//! The content of each file is gzip members of its own. A table of contents at the end of the layer
//! says where they are, and a footer says where that is. Everything else reads such a layer as any
//! gzip layer. Files that the image reads when it starts come first, so that readers can fetch them
//! with one request.

mod footer;
mod order;
mod read;
mod toc;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write as _},
    ops::Range,
};

use crate::{
    archive::{header, write::TarLayout},
    compress::{Compression, MemberEncoder},
    digest::{Digest, Digesting},
    path::ImagePath,
    store::Blob,
    tree::{Kind, Node, Tree},
};

use super::PackError;

pub(super) use order::{Landmarks, layout};

/// The table of contents, the last member of the tar.
const TOC: &str = "stargz.index.json";
/// The annotation of a layer with the digest of its table of contents.
const TOC_ANNOTATION: &str = "containerd.io/snapshot/stargz/toc.digest";
/// The annotation of a layer with the length of its tar, which containers/storage wants to know.
const SIZE_ANNOTATION: &str = "io.containers.estargz.uncompressed-size";

/// Bytes of content in one gzip member, at most. Part of the format, as frame lengths are.
pub(super) const CHUNK: u64 = 2 << 20;

/// One gzip member of a layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// Bytes of the compressed member.
    len: u32,
    /// The digest of the content that it starts with; `None` if it has headers only.
    content: Option<Digest>,
}

/// Where the tar of a layer ends without the table of contents.
pub(super) fn body(layout: &TarLayout<'_>) -> u64 {
    layout.size() - header::END
}

/// Where the member ends that begins at the offset `at` of the tar: where the next content begins,
/// or after as many bytes as a member may have.
fn member_end(layout: &TarLayout<'_>, at: u64) -> u64 {
    let end = (at + CHUNK).min(body(layout));
    let mut starts = layout.contents_in(at..end).map(|content| content.start);
    starts.find(|start| *start > at).unwrap_or(end)
}

/// The ends of the runs of members that are made together, a few as long as [`CHUNK`] or many short
/// ones.
pub(super) fn cuts(layout: &TarLayout<'_>) -> Vec<u64> {
    let (mut cuts, mut start, mut at) = (Vec::new(), 0, 0);
    while at < body(layout) {
        let end = member_end(layout, at);
        if end - start > CHUNK {
            cuts.push(at);
            start = at;
        }
        at = end;
    }
    cuts.push(at);
    cuts
}

/// Compresses the members in `range` of the tar, whose bytes are `tar`.
pub(super) fn encode(
    layout: &TarLayout<'_>,
    (range, tar): (&Range<u64>, &[u8]),
    encoder: &mut MemberEncoder,
    out: &mut Vec<u8>,
) -> io::Result<Vec<Member>> {
    let mut members = Vec::new();
    out.clear();
    let mut at = range.start;
    let slice = |from: u64, to: u64| {
        let from = (from - range.start) as usize;
        tar.get(from..(to - range.start) as usize).unwrap_or_default()
    };
    while at < range.end {
        let end = member_end(layout, at);
        let content = layout.contents_in(at..end).next().filter(|content| content.start <= at);
        let content = content.map(|content| Digest::of(slice(at, content.end.min(end))));
        let len = encoder.append(slice(at, end), out)?;
        members.push(Member { len: u32::try_from(len).map_err(io::Error::other)?, content });
        at = end;
    }
    Ok(members)
}

/// Hashes the tar of a layer, and those contents that have several members, in order.
#[derive(Debug)]
pub(super) struct Hashing {
    tar: Digesting<io::Sink>,
    /// A content that is not hashed to its end.
    open: Digesting<io::Sink>,
    /// Whole contents, by where they begin.
    contents: BTreeMap<u64, Digest>,
}

impl Default for Hashing {
    fn default() -> Self {
        let [tar, open] = [(), ()].map(|()| Digesting::new(io::sink()));
        Self { tar, open, contents: BTreeMap::new() }
    }
}

impl Hashing {
    /// Adds the bytes of `range` of the tar.
    pub(super) fn update(&mut self, layout: &TarLayout<'_>, range: &Range<u64>, bytes: &[u8]) {
        // Writing to a sink cannot fail.
        let _ = self.tar.write_all(bytes);
        let contents = layout.contents_in(range.clone());
        for content in contents.filter(|content| content.end - content.start > CHUNK) {
            let from = content.start.max(range.start) - range.start;
            let to = content.end.min(range.end) - range.start;
            let part = bytes.get(from as usize..to as usize).unwrap_or_default();
            let _ = self.open.write_all(part);
            if content.end <= range.end {
                let whole = std::mem::replace(&mut self.open, Digesting::new(io::sink()));
                self.contents.insert(content.start, whole.finish().1);
            }
        }
    }

    /// The end of the layer, after all its members: the table of contents and the footer. With it
    /// come the digest and the length of the whole tar.
    pub(super) fn finish(
        mut self,
        (layout, level): (&TarLayout<'_>, u8),
        members: &[Member],
    ) -> Result<(Vec<u8>, Digest, u64), PackError> {
        let toc = toc::table(layout, members, &self.contents)?;
        let mut tar = header::blob(TOC, toc.len() as u64).to_vec();
        tar.extend(toc);
        tar.resize(tar.len().next_multiple_of(header::BLOCK) + header::END as usize, 0);
        let _ = self.tar.write_all(&tar);
        let mut end = Vec::new();
        MemberEncoder::new(level).append(&tar, &mut end).map_err(PackError::Encode)?;
        let start: u64 = members.iter().map(|member| u64::from(member.len)).sum();
        end.extend_from_slice(&footer::of(start));
        let (_, digest, len) = self.tar.finish();
        Ok((end, digest, len))
    }
}

/// What the manifest says of a layer for those who fetch its files one by one; nothing for other
/// layers.
pub(super) fn annotations(
    compression: Compression,
    blob: &Blob,
    tar_size: u64,
) -> Result<BTreeMap<String, String>, PackError> {
    if !matches!(compression, Compression::Estargz(_)) {
        return Ok(BTreeMap::new());
    }
    let toc = read::toc(blob).map_err(PackError::Table)?;
    let digest = Digest::of(toc).to_string();
    let size = tar_size.to_string();
    Ok([(TOC_ANNOTATION, digest), (SIZE_ANNOTATION, size)]
        .map(|(name, value)| (name.to_owned(), value))
        .into())
}

/// Checks that a table of contents can name all files of `tree`, since it is JSON, which is text,
/// and that the tree has no files where eStargz has its own, except such as eStargz makes: those of
/// an image that was one of eStargz before.
pub(super) fn check(tree: &Tree) -> Result<(), PackError> {
    let is_text = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok();
    let has_text = |node: &Node| {
        let mut xattrs = node.meta.xattrs.iter().flat_map(|xattrs| xattrs.keys());
        let is_target_text = !matches!(&node.kind, Kind::Symlink(target) if !is_text(target));
        is_target_text && xattrs.all(|name| is_text(name))
    };
    for (path, node) in tree {
        if !is_text(path.as_bytes()) || !has_text(node) {
            return Err(PackError::NotText(path.clone()));
        }
    }
    order::check(tree)
}

/// The files that an image reads when it starts.
pub(super) type First = BTreeSet<ImagePath>;

#[cfg(test)]
mod tests;
