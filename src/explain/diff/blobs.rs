//! The bytes of documents and compressed layers.

use std::io::{BufReader, Read};

use super::{ByteDifference, DiffError, Field, Part, config};
use crate::{
    compress::Format,
    oci::{Image, Layer, UnpackedImage},
    path::escape,
};

/// What differs in the manifests, field by field, and whether configurations that say the same are
/// written differently.
pub(super) fn documents(a: &Image, b: &Image) -> Vec<ByteDifference> {
    let of = |part, fields| ByteDifference { part, layer: None, member: None, fields };
    let parse = |image: &Image| {
        let bytes = &image.manifest.as_ref()?.bytes;
        serde_json::from_slice(bytes).ok()
    };
    let (manifest_a, manifest_b) = (parse(a).unwrap_or_default(), parse(b).unwrap_or_default());
    let mut manifest = config::exactly(&manifest_a, &manifest_b);
    let digest = |image: &Image| image.manifest.as_ref().map(|one| one.digest.to_string());
    if manifest.is_empty() {
        manifest.extend(Field::differing("bytes", digest(a), digest(b)));
    }
    let digest = |image: &Image| image.config_document.digest.to_string();
    let bytes = Field::differing("bytes", digest(a), digest(b));
    vec![of(Part::Manifest, manifest), of(Part::Config, bytes.into_iter().collect())]
}

/// What differs in the blobs of two layers whose tars are the same.
pub(super) fn compare(
    (image_a, a): (&UnpackedImage, &Layer),
    (image_b, b): (&UnpackedImage, &Layer),
) -> Result<Vec<ByteDifference>, DiffError> {
    let mut fields: Vec<Field> = [
        Field::differing("compression", a.format.to_string(), b.format.to_string()),
        Field::differing("size", a.size, b.size),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut left = BufReader::new(image_a.blob(a)?.reader());
    let mut right = BufReader::new(image_b.blob(b)?.reader());
    if a.format == b.format {
        let (front_a, front_b) = (front(image_a, a)?, front(image_b, b)?);
        match a.format {
            Format::Gzip => fields.extend(gzip(&front_a, &front_b)),
            Format::Zstd => fields.extend(zstd(&front_a, &front_b)),
            Format::Plain | Format::Bzip2 | Format::Xz => {}
        }
        if let Some(at) = first_difference(&mut left, &mut right)? {
            let name = "first byte that differs";
            fields.push(Field::new(name, at, at));
        }
    }
    Ok(vec![ByteDifference { part: Part::Blob, layer: None, member: None, fields }])
}

/// The first bytes of a blob.
fn front(image: &UnpackedImage, layer: &Layer) -> Result<Vec<u8>, DiffError> {
    let mut front = Vec::new();
    image.blob(layer)?.reader().take(512).read_to_end(&mut front)?;
    Ok(front)
}

/// The fields of the first member's header (RFC 1952, 2.3).
fn gzip(a: &[u8], b: &[u8]) -> Vec<Field> {
    let number = |bytes: &[u8], at: usize| bytes.get(at).copied();
    let time = |bytes: &[u8]| {
        bytes.get(4..8)?.first_chunk().map(|bytes: &[u8; 4]| u32::from_le_bytes(*bytes))
    };
    // The name comes first where no extra field (flag 4) does.
    let name = |bytes: &[u8]| {
        let is_named = bytes.get(3).is_some_and(|flags| flags & 0b1100 == 0b1000);
        let name = bytes.get(10..).filter(|_| is_named)?.split(|&byte| byte == 0).next()?;
        Some(escape(name))
    };
    [
        Field::differing("gzip flags", number(a, 3), number(b, 3)),
        Field::differing("gzip time", time(a), time(b)),
        Field::differing("gzip extra flags", number(a, 8), number(b, 8)),
        Field::differing("gzip system", number(a, 9), number(b, 9)),
        Field::differing("gzip file name", name(a), name(b)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The first frame's descriptor (RFC 8878, 3.1.1.1.1).
fn zstd(a: &[u8], b: &[u8]) -> Vec<Field> {
    let descriptor = |bytes: &[u8]| bytes.get(4).copied();
    let checksum = |bytes: &[u8]| descriptor(bytes).map(|byte| byte & 0b100 != 0);
    let window = |bytes: &[u8]| {
        let single_segment = descriptor(bytes)? & 0b10_0000 != 0;
        bytes.get(5).filter(|_| !single_segment).copied()
    };
    [
        Field::differing("zstd checksum", checksum(a), checksum(b)),
        Field::differing("zstd window descriptor", window(a), window(b)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The offset of the first byte in which two streams differ, or where the shorter one ends.
fn first_difference(a: &mut impl Read, b: &mut impl Read) -> std::io::Result<Option<u64>> {
    let (mut left, mut right, mut at) = (Vec::new(), Vec::new(), 0);
    loop {
        left.clear();
        right.clear();
        a.by_ref().take(1 << 16).read_to_end(&mut left)?;
        b.by_ref().take(1 << 16).read_to_end(&mut right)?;
        if let Some(first) = left.iter().zip(&right).position(|(a, b)| a != b) {
            return Ok(Some(at + first as u64));
        }
        if left.len() != right.len() {
            return Ok(Some(at + left.len().min(right.len()) as u64));
        }
        if left.is_empty() {
            return Ok(None);
        }
        at += left.len() as u64;
    }
}
