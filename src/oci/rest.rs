//! What an index leads to beside the image that was read: attestations, signatures, other
//! platforms.

use std::{collections::BTreeSet, io};

use super::{
    ImageError,
    blob_source::BlobSource,
    document::{self, Descriptor, Document},
    referrers, select,
};
use crate::{
    digest::{Digest, Digesting},
    store::{Blob, Place},
};

/// What was verified beside an image.
#[derive(Debug, Default)]
pub struct Rest {
    /// The number of blobs.
    pub verified: usize,
    /// What is odd about them and harmless, as sentences.
    pub notes: Vec<String>,
}

/// Verifies every blob that `roots` lead to, except for those in `seen`. Blobs that are missing are
/// noted: an archive may have one platform of an index only.
pub(super) fn verify(
    source: &BlobSource,
    roots: &[Descriptor],
    mut seen: BTreeSet<Digest>,
) -> Result<Rest, ImageError> {
    let (mut rest, mut missing) = (Rest::default(), Vec::new());
    let mut documents = 0;
    let mut left: Vec<(Descriptor, usize)> = Vec::new();
    for list in referrers::listed(source, roots)? {
        rest.verified += 1;
        left.extend(list.into_iter().rev().map(|descriptor| (descriptor, 0)));
    }
    left.extend(roots.iter().rev().map(|root| (root.clone(), 0)));
    while let Some((descriptor, depth)) = left.pop() {
        let digest = descriptor.digest;
        if !seen.insert(digest) {
            continue;
        }
        let media_type = &descriptor.media_type;
        if !document::is_index(media_type) && !document::is_manifest(media_type) {
            match blob(source, &descriptor)? {
                true => rest.verified += 1,
                false => missing.push(digest),
            }
            continue;
        }
        let path = source.manifest_path(digest);
        let Some(bytes) = select::verified(source, &path, &descriptor)? else {
            missing.push(digest);
            continue;
        };
        rest.verified += 1;
        documents += 1;
        if depth > select::MAX_DEPTH || documents > select::MAX_DOCUMENTS {
            return Err(ImageError::document(&digest.to_string(), "too many nested indexes"));
        }
        let inner = match document::parse(&digest.to_string(), &bytes, Some(media_type)) {
            Ok(Document::Index(inner)) => inner,
            Ok(Document::Manifest(manifest)) => {
                [manifest.config].into_iter().chain(manifest.layers).collect()
            }
            Err(error) => {
                rest.notes.push(error.to_string());
                continue;
            }
        };
        left.extend(inner.into_iter().rev().map(|descriptor| (descriptor, depth + 1)));
    }
    if let Some(first) = missing.first() {
        let all = missing.len();
        rest.notes
            .push(format!("the index leads to blobs that are missing: {first} ({all} in all)"));
    }
    Ok(rest)
}

/// Whether the blob is there; its size and digest are verified.
fn blob(source: &BlobSource, descriptor: &Descriptor) -> Result<bool, ImageError> {
    let (digest, wanted) = (descriptor.digest, descriptor.size);
    let path = source.blob_path(digest);
    let Some(file) = source.stored(&path, Some(wanted))? else { return Ok(false) };
    if file.len != wanted {
        return Err(ImageError::Size { digest, wanted, found: file.len });
    }
    let blob = Blob { digest, size: file.len, place: Place::Open(file.extent) };
    let mut hash = Digesting::new(io::sink());
    io::copy(&mut blob.reader(), &mut hash)
        .map_err(|source| ImageError::Unreadable { name: path, source })?;
    match hash.finish().1 {
        found if found == digest => Ok(true),
        found => Err(ImageError::Digest { what: "blob", wanted: digest, found }),
    }
}
