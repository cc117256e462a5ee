//! An image in a registry: documents are read when it is opened, blobs when they are asked for.
//! What has been read stays in nameless files, so that nothing is fetched twice.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    ImageError,
    blob_file::BlobFile,
    document::{self, Descriptor},
};
use crate::{
    archive::spool::SpoolError,
    digest::Digest,
    image::RegistryName,
    registry::{self, Pointer, RegistryError, Repository},
    store::Extent,
};

/// An image in a registry.
#[derive(Debug)]
pub(super) struct Remote {
    /// Its repository.
    pub(super) repository: Repository,
    /// The manifest or index that its name leads to.
    pub(super) root: Descriptor,
    spool: PathBuf,
    /// What has been read.
    kept: Mutex<BTreeMap<Digest, BlobFile>>,
    /// One lock for each blob that was asked for, so that one thread fetches it for all.
    fetching: Mutex<BTreeMap<Digest, Arc<Mutex<()>>>>,
}

impl Remote {
    /// Reads the manifest or index that `name` leads to in its `repository`.
    pub(super) fn open(
        name: &RegistryName,
        repository: Repository,
        spool: &Path,
    ) -> Result<Self, ImageError> {
        let selector = name.selector();
        let pointer = match name.digest {
            Some(digest) => Pointer::Digest(digest),
            None => Pointer::Tag(&selector),
        };
        let Some(document) = repository.manifest(pointer)? else {
            let wanted = match name.digest {
                Some(digest) => format!("image with the digest {digest}"),
                None => format!("image with the tag `{selector}`"),
            };
            let name = format!("docker://{}/{}", name.registry, name.repository);
            return Err(ImageError::NoSuchImage { name, wanted, there: Vec::new() });
        };
        let root = Descriptor {
            media_type: media_type(&document),
            digest: document.digest,
            size: document.bytes.len() as u64,
            platform: None,
            names: document::Names::default(),
            annotations: BTreeMap::new(),
            is_artifact: false,
        };
        let kept = Mutex::default();
        let fetching = Mutex::default();
        let remote = Self { repository, root, spool: spool.to_owned(), kept, fetching };
        remote.keep(document.digest, &document.bytes)?;
        Ok(remote)
    }

    /// The manifest or index with this digest; `None` if the registry does not have it.
    pub(super) fn manifest(&self, digest: Digest) -> Result<Option<BlobFile>, ImageError> {
        if let Some(known) = self.known(digest) {
            return Ok(Some(known));
        }
        match self.repository.manifest(Pointer::Digest(digest))? {
            Some(document) => self.keep(digest, &document.bytes).map(Some),
            None => Ok(None),
        }
    }

    /// The blob with this digest and size; `None` if the registry does not have it.
    pub(super) fn blob(&self, digest: Digest, size: u64) -> Result<Option<BlobFile>, ImageError> {
        let lock = {
            let mut all = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(digest).or_default())
        };
        let _fetching = lock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = self.known(digest) {
            return Ok(Some(known));
        }
        let file = self.file()?;
        let mut out = BufWriter::new(&file);
        match self.repository.fetch(digest, size, &mut out, &|_| {}) {
            Ok(()) => out.flush().map_err(|source| self.unwritable(source))?,
            Err(RegistryError::Status { status: 404, .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        drop(out);
        Ok(Some(self.known_as(digest, file, size)))
    }

    fn known(&self, digest: Digest) -> Option<BlobFile> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned()
    }

    fn keep(&self, digest: Digest, bytes: &[u8]) -> Result<BlobFile, ImageError> {
        let mut file = self.file()?;
        file.write_all(bytes).map_err(|source| self.unwritable(source))?;
        Ok(self.known_as(digest, file, bytes.len() as u64))
    }

    fn known_as(&self, digest: Digest, file: File, len: u64) -> BlobFile {
        let blob = BlobFile { extent: Extent { file: Arc::new(file), offset: 0 }, len };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(digest, blob.clone());
        blob
    }

    fn file(&self) -> Result<File, ImageError> {
        tempfile::tempfile_in(&self.spool).map_err(|source| self.unwritable(source))
    }

    fn unwritable(&self, source: io::Error) -> ImageError {
        SpoolError::Write { dir: self.spool.clone(), source }.into()
    }
}

/// The media type of a manifest or index: what the registry says, or else what it says itself.
/// Registries of files may know JSON only.
fn media_type(document: &registry::Document) -> String {
    let is_known = |text: &&str| document::is_index(text) || document::is_manifest(text);
    let value: Option<serde_json::Value> = serde_json::from_slice(&document.bytes).ok();
    let own = value.as_ref().and_then(|value| value.get("mediaType")?.as_str());
    let known = Some(&*document.media_type).filter(is_known).or(own.filter(is_known));
    let has_manifests = value.as_ref().is_some_and(|value| value.get("manifests").is_some());
    let guess = if has_manifests { document::OCI_INDEX } else { document::OCI_MANIFEST };
    known.unwrap_or(guess).to_owned()
}
