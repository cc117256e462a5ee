//! The table of contents.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;

use super::{CHUNK, Member, member_end};
use crate::{
    archive::write::{FilledEntry, TarLayout},
    digest::Digest,
    pack::PackError,
    tree::{Kind, Special},
};

/// One entry: a member of the tar, or a chunk of a file after its first. The order of fields is
/// that of the specification.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct TocEntry {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    size: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    modtime: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    link_name: String,
    #[serde(skip_serializing_if = "is_zero")]
    mode: u64,
    #[serde(skip_serializing_if = "is_zero")]
    uid: u64,
    #[serde(skip_serializing_if = "is_zero")]
    gid: u64,
    #[serde(skip_serializing_if = "is_zero")]
    offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    dev_major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    dev_minor: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    xattrs: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    digest: String,
    #[serde(skip_serializing_if = "is_zero")]
    chunk_offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    chunk_size: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    chunk_digest: String,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The table of contents of a layer. `contents` are the digests of contents that have several
/// members, by where they begin in the tar.
pub(super) fn table(
    layout: &TarLayout<'_>,
    members: &[Member],
    contents: &BTreeMap<u64, Digest>,
) -> Result<Vec<u8>, PackError> {
    let (mut at, mut offset) = (0, 0);
    let mut chunks = members.iter().filter_map(|member| {
        let start = (at, offset);
        at = member_end(layout, at);
        offset += u64::from(member.len);
        member.content.map(|digest| (start, digest))
    });
    let mut table = br#"{"version":1,"entries":["#.to_vec();
    let mut push = |entry: &TocEntry| {
        if table.last() == Some(&b'}') {
            table.push(b',');
        }
        serde_json::to_writer(&mut table, entry).map_err(|error| PackError::Encode(error.into()))
    };
    for entry in layout.filled_entries() {
        let mut toc = describe(&entry);
        let (start, len) = (entry.content.start, entry.content.end - entry.content.start);
        if toc.kind == "reg" && len == 0 {
            toc.digest = Digest::of("").to_string();
        }
        let mut done = 0;
        while done < len {
            let next = chunks.next().filter(|((at, _), _)| *at == start + done);
            let ((_, offset), digest) = next.ok_or(PackError::Stopped)?;
            let size = (len - done).min(CHUNK);
            toc.offset = offset;
            toc.chunk_offset = done;
            // Zero means that it goes to the end of the file.
            toc.chunk_size = if done + size < len { size } else { 0 };
            toc.chunk_digest = digest.to_string();
            if done == 0 {
                toc.digest = contents.get(&start).unwrap_or(&digest).to_string();
            }
            push(&toc)?;
            toc = TocEntry { name: toc.name, kind: "chunk", ..TocEntry::default() };
            done += size;
        }
        if len == 0 {
            push(&toc)?;
        }
    }
    table.extend_from_slice(b"]}");
    Ok(table)
}

/// What the header of a member says.
fn describe(entry: &FilledEntry<'_>) -> TocEntry {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let FilledEntry { path, node, link, .. } = entry;
    let mut toc = TocEntry {
        name: text(path.relative()),
        modtime: entry.time.to_string(),
        mode: node.meta.mode.into(),
        uid: node.meta.uid.into(),
        gid: node.meta.gid.into(),
        ..TocEntry::default()
    };
    let xattrs = node.meta.xattrs.iter().flat_map(|xattrs| xattrs.iter());
    toc.xattrs = xattrs.map(|(name, value)| (text(name), STANDARD.encode(value))).collect();
    toc.kind = match (&node.kind, link) {
        (_, Some(link)) => {
            toc.link_name = text(link.relative());
            "hardlink"
        }
        (Kind::Directory, None) => {
            toc.name.push('/');
            "dir"
        }
        (Kind::File(file), None) => {
            toc.size = file.len;
            "reg"
        }
        (Kind::Symlink(target), None) => {
            toc.link_name = text(target);
            "symlink"
        }
        (Kind::Special(special), None) => {
            let (kind, major, minor) = match *special {
                Special::Character(major, minor) => ("char", major, minor),
                Special::Block(major, minor) => ("block", major, minor),
                Special::Fifo => ("fifo", 0, 0),
            };
            (toc.dev_major, toc.dev_minor) = (major.into(), minor.into());
            kind
        }
    };
    toc
}
