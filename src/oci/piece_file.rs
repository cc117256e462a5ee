//! Pieces of a layer as the cache keeps them: what is known of the layer, where the pieces are in
//! its tar, and their bytes.

use std::{
    fs::File,
    io::{self, Write as _},
    ops::Range,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::Arc,
};

use super::{LayerEntry, layers::Facts, pieces::Ranges};
use crate::{
    compress::Format,
    digest::{Digest, Digesting},
    store::{Blob, Extent, Place, cache::Cached},
};

/// What they start with. Another text means another form.
const MAGIC: &[u8; 16] = b"imgb pieces 1\n\0\0";
/// Bytes of the fixed fields after it: format, digest and size of the blob, size of the tar.
const FIELDS: usize = 8 + 32 + 8 + 8;
/// Bytes of the list of pieces that are read.
const MAX_LIST: u64 = 64 << 20;

/// Bytes copied at once.
const BUFFER: usize = 1 << 18;

/// The key of a layer's pieces. The digest of the blob is part of it: what they say of the blob is
/// compared with the manifest only when it is read.
pub(super) fn key(entry: &LayerEntry) -> Digest {
    let blob = entry.blob.map(|(digest, size)| format!("{digest} {size}")).unwrap_or_default();
    Digest::of(format!("imgb pieces\n{}\n{blob}\n", entry.diff_id))
}

/// Writes the pieces `ranges` of the tar that begins at an offset of a file to a new file in
/// `dir`.
pub(super) fn write(
    facts: Facts,
    ranges: &Ranges,
    (tar, start): (&File, u64),
    dir: &Path,
) -> io::Result<Blob> {
    let file = tempfile::tempfile_in(dir)?;
    let mut out = Digesting::new(io::BufWriter::new(&file));
    out.write_all(MAGIC)?;
    let Facts { format, digest, size, tar_size } = facts;
    out.write_all(&(format as u64).to_le_bytes())?;
    out.write_all(&digest.bytes())?;
    out.write_all(&size.to_le_bytes())?;
    out.write_all(&tar_size.to_le_bytes())?;
    out.write_all(&ranges.to_bytes())?;
    for range in ranges.iter() {
        in_parts(tar, start + range.start..start + range.end, |part| out.write_all(part))?;
    }
    let (mut buffered, digest, size) = out.finish();
    buffered.flush()?;
    drop(buffered);
    Ok(Blob { digest, size, place: Place::Open(Extent { file: Arc::new(file), offset: 0 }) })
}

/// Reads what [`write`] wrote for the layer of `entry`, whose tar has `limit` bytes at most, and
/// hands each piece to `copy`: a file, the bytes of it, and their offset in the tar. `None` if the
/// pieces are not what they should be.
pub(super) fn read(
    cached: &Cached,
    entry: &LayerEntry,
    limit: u64,
    copy: impl Fn(&File, Range<u64>, u64) -> io::Result<()>,
) -> Option<(Facts, Ranges)> {
    let extent = cached.blob.place.open().ok()?;
    let front = |len: u64| {
        let len = usize::try_from(len).ok().filter(|_| len <= cached.blob.size)?;
        let mut bytes = vec![0; len];
        extent.file.read_exact_at(&mut bytes, extent.offset).ok()?;
        Some(bytes)
    };
    let head = front((MAGIC.len() + FIELDS + 8) as u64)?;
    let rest = head.strip_prefix(MAGIC)?;
    let number = |at: usize| Some(u64::from_le_bytes(rest.get(at..at + 8)?.try_into().ok()?));
    let formats = [Format::Plain, Format::Gzip, Format::Bzip2, Format::Xz, Format::Zstd];
    let format = formats.into_iter().find(|format| Some(*format as u64) == number(0))?;
    let digest = Digest::from_bytes(rest.get(8..40)?.try_into().ok()?);
    let facts = Facts { format, digest, size: number(40)?, tar_size: number(48)? };
    if entry.blob != Some((facts.digest, facts.size)) || facts.tar_size > limit {
        return None;
    }
    let list = number(FIELDS)?.checked_mul(16).filter(|list| *list <= MAX_LIST)?;
    let head = front(head.len() as u64 + list)?;
    let ranges = Ranges::parse(head.get(MAGIC.len() + FIELDS..)?, facts.tar_size)?;
    let mut at = head.len() as u64;
    if at.checked_add(ranges.len())? != cached.blob.size {
        return None;
    }
    for range in ranges.iter() {
        let len = range.end - range.start;
        let from = extent.offset + at..extent.offset + at + len;
        copy(&extent.file, from, range.start).ok()?;
        at += len;
    }
    Some((facts, ranges))
}

/// Copies `range` of `from` to the offset `at` of `to`, where there are zeros or the same bytes.
pub(super) fn copy(from: &File, range: Range<u64>, to: &File, mut at: u64) -> io::Result<()> {
    in_parts(from, range, |part| {
        if part.iter().any(|&byte| byte != 0) {
            to.write_all_at(part, at)?;
        }
        at += part.len() as u64;
        Ok(())
    })
}

/// Hands the bytes `range` of `file` to `take`, in order.
fn in_parts(
    file: &File,
    range: Range<u64>,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer =
        vec![0; BUFFER.min(usize::try_from(range.end - range.start).unwrap_or(BUFFER))];
    let mut at = range.start;
    while at < range.end {
        let len = (range.end - at).min(buffer.len() as u64) as usize;
        let part = buffer.get_mut(..len).unwrap_or_default();
        file.read_exact_at(part, at)?;
        take(part)?;
        at += len as u64;
    }
    Ok(())
}
