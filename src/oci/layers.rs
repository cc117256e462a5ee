//! Layers → trees: each blob is hashed before it is opened, and what comes out of it is hashed
//! again.

use std::{
    io::{self, Read as _, Write as _},
    ops::Range,
    path::Path,
    sync::Arc,
};

use super::{
    ImageError, Layer,
    place::{Part, Place},
};
use crate::{
    archive::{
        read::{self, ReadError, Whiteouts},
        spool,
    },
    compress::{Format, MAX_SNIFF},
    digest::{DiffId, Digest, Digesting},
    store::Blob,
    tree::Archive,
};

/// A layer as the documents describe it.
#[derive(Clone, Debug)]
pub(super) struct Described {
    /// Where its blob is.
    pub(super) path: String,
    /// Digest and size, where a document says them.
    pub(super) blob: Option<(Digest, u64)>,
    /// The media type, where a document says it.
    pub(super) media_type: Option<String>,
}

/// A blob that is what its description says, and where its content lies in the spool.
struct Spooled {
    blob: Blob,
    format: Format,
    range: Range<u64>,
}

/// Opens all layers. Their contents go into one nameless file in `dir`, so that an image of
/// thousands of layers needs one descriptor.
pub(super) fn open(
    name: &str,
    place: &Place,
    described: Vec<(Described, DiffId)>,
    dir: &Path,
    limits: spool::Limits,
) -> Result<Vec<Layer>, ImageError> {
    let write = |source| spool::SpoolError::Write { dir: dir.to_owned(), source };
    let file = tempfile::tempfile_in(dir).map_err(write)?;
    let (mut end, mut spooled) = (0, Vec::new());
    for (layer, diff_id) in &described {
        let left = spool::Limits { bytes: limits.bytes.saturating_sub(end), ..limits };
        let one = unpack(place, (layer, *diff_id), (&file, end, dir), left)?;
        end = one.range.end;
        spooled.push(one);
    }
    let archive = Arc::new(Archive { name: name.to_owned(), file });
    let layers = described.into_iter().zip(spooled).map(|((layer, diff_id), spooled)| {
        let contents = read::read_range(
            &archive,
            spooled.range.clone(),
            Whiteouts::Apply,
            read::Limits::default(),
        );
        let contents = contents
            .map_err(|error| ReadError { archive: format!("{name}: layer {diff_id}"), ..error })?;
        Ok(Layer {
            digest: spooled.blob.digest,
            size: spooled.blob.size,
            diff_id,
            format: spooled.format,
            media_type: layer.media_type,
            tar_size: spooled.range.end - spooled.range.start,
            change: contents.change,
            replaced: contents.replaced,
            dropped_attributes: contents.dropped_attributes,
            path: layer.path,
        })
    });
    layers.collect()
}

/// Checks the blob of `layer` and appends its content to the spool, which ends at `start`.
fn unpack(
    place: &Place,
    (layer, diff_id): (&Described, DiffId),
    (file, start, dir): (&std::fs::File, u64, &Path),
    limits: spool::Limits,
) -> Result<Spooled, ImageError> {
    let blob = checked(place, layer)?;
    let label = format!("layer {}", blob.digest);
    let unreadable = |source| ImageError::Unreadable { name: label.clone(), source };
    let mut front = Vec::new();
    blob.reader().take(MAX_SNIFF as u64).read_to_end(&mut front).map_err(unreadable)?;
    // The file's own position is at its end: this is the only writer.
    let mut out = Digesting::new(io::BufWriter::with_capacity(1 << 18, file));
    spool::unpack(&label, blob.reader(), (&mut out, dir), limits)?;
    out.flush().map_err(|source| spool::SpoolError::Write { dir: dir.to_owned(), source })?;
    let (_, found, len) = out.finish();
    if found != diff_id.0 {
        return Err(ImageError::Digest { what: "content of layer", wanted: diff_id.0, found });
    }
    Ok(Spooled { blob, format: Format::sniff(&front), range: start..start + len })
}

/// The blob of `layer`: all of it is read once and compared with what the documents say.
fn checked(place: &Place, layer: &Described) -> Result<Blob, ImageError> {
    let missing = || match layer.blob {
        Some((digest, _)) => ImageError::MissingBlob(digest),
        None => ImageError::MissingMember(layer.path.clone()),
    };
    let Part { extent, len } = place.part(&layer.path)?.ok_or_else(missing)?;
    if let Some((digest, size)) = layer.blob
        && size != len
    {
        return Err(ImageError::Size { digest, wanted: size, found: len });
    }
    let blob = Blob { digest: Digest::of(""), size: len, extent };
    let mut hash = Digesting::new(io::sink());
    io::copy(&mut blob.reader(), &mut hash)
        .map_err(|source| ImageError::Unreadable { name: layer.path.clone(), source })?;
    let (_, found, _) = hash.finish();
    match layer.blob {
        Some((wanted, _)) if wanted != found => {
            Err(ImageError::Digest { what: "blob", wanted, found })
        }
        _ => Ok(Blob { digest: found, ..blob }),
    }
}
