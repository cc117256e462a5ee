//! A single layer, to be used as it is stored.

use std::{
    collections::BTreeMap,
    io::{self, Read as _},
};

use super::{Image, ImageError, document};
use crate::{
    compress::{self, Format},
    digest::{DiffId, Digesting},
    store::{Blob, Place},
};

impl Image {
    /// The blob in `format` of the layer whose tar has the digest `diff_id` and `tar_size` bytes;
    /// `None` if the image has no such layer, except among its `skip` lowest ones. All of it is
    /// read and verified.
    ///
    /// # Errors
    /// [`ImageError`] if the blob is not what the documents say.
    pub fn verified_layer(
        &self,
        diff_id: DiffId,
        tar_size: u64,
        format: Format,
        skip: usize,
    ) -> Result<Option<Blob>, ImageError> {
        let mut own = self.layers.iter().skip(skip);
        let Some(entry) = own.find(|entry| entry.diff_id == diff_id) else {
            return Ok(None);
        };
        let Some((digest, size)) = entry.blob else { return Ok(None) };
        // No compression makes a tar larger than this.
        if size > tar_size.saturating_add(tar_size / 64).saturating_add(4096) {
            return Ok(None);
        }
        let file = self.source.stored(&entry.path, Some(size))?;
        let file = file.filter(|file| file.len == size).ok_or(ImageError::MissingBlob(digest))?;
        let blob = Blob { digest, size, place: Place::Open(file.extent) };
        let unreadable =
            |source| ImageError::Unreadable { name: format!("layer {}", blob.digest), source };
        let mut hash = Digesting::new(io::sink());
        io::copy(&mut blob.reader(), &mut hash).map_err(unreadable)?;
        let (wanted, found) = (blob.digest, hash.finish().1);
        if wanted != found {
            return Err(ImageError::Digest { what: "blob", wanted, found });
        }
        let mut front = vec![0; compress::MAX_SNIFF.min(usize::try_from(blob.size).unwrap_or(0))];
        blob.reader().read_exact(&mut front).map_err(unreadable)?;
        if Format::sniff(&front) != format {
            return Ok(None);
        }
        let tar = compress::decoder(format, blob.reader()).map_err(unreadable)?;
        let mut hash = Digesting::new(io::sink());
        // A blob may decompress to any size.
        io::copy(&mut tar.take(tar_size + 1), &mut hash).map_err(unreadable)?;
        let (wanted, found) = (diff_id.0, hash.finish().1);
        match wanted == found {
            true => Ok(Some(blob)),
            false => Err(ImageError::Digest { what: "content of layer", wanted, found }),
        }
    }

    /// The annotations of the manifest.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        self.manifest.iter().flat_map(|one| document::annotations(&one.bytes)).collect()
    }

    /// The annotation `name` of the manifest, if it has one.
    pub fn annotation(&self, name: &str) -> Option<String> {
        document::annotation(&self.manifest.as_ref()?.bytes, name)
    }
}
