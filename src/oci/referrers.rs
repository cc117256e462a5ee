//! Artifacts about an image: signatures, attestations, lists of what it is made of.
//!
//! A registry lists them. A layout or archive has them as entries of its `index.json`, as other
//! tools write them, or in a list that an annotation names, as imgb does (`image::artifact`).

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read as _},
};

use serde_json::Value;

use super::{
    Image, ImageError,
    blob_source::BlobSource,
    contents::Contents,
    document::{self, Descriptor, Document, Names},
    json, select,
};
use crate::{
    digest::Digest,
    image::{self, Platform, fields, referrers_lists},
    registry::{Pointer, Referrer, Repository},
    store::Extent,
};

/// An archive that is written again with more in it.
#[derive(Debug)]
pub struct Archive {
    /// Its members in the order of their names: each with its bytes and their number, directories
    /// without.
    pub members: Vec<(String, Option<(Extent, u64)>)>,
    /// Its `index.json`.
    pub index: Value,
    /// The artifacts that the entry of the image leads to.
    pub known: Vec<Value>,
}

/// Bytes of an artifact's blob that are read into memory.
const MAX_BLOB: u64 = 512 << 20;
/// Manifests that are read for a type that the list of a registry lacks.
const MAX_COMPLETED: usize = 100;

impl Image {
    /// The artifacts whose subject has this digest, in the order of the registry's list or of
    /// `index.json`.
    ///
    /// # Errors
    /// [`ImageError`]; an artifact whose manifest is missing is left out.
    pub fn referrers(&self, subject: Digest) -> Result<Vec<Referrer>, ImageError> {
        match &*self.source {
            BlobSource::Registry(remote) => {
                let (repository, mut left) = (&remote.repository, MAX_COMPLETED);
                let listed = repository.referrers(subject)?.into_iter();
                listed.map(|entry| completed(repository, entry, &mut left)).collect()
            }
            source => stored(source, subject),
        }
    }

    /// What artifacts may be about: the manifest, or with `all` also the index that the image's
    /// name leads to and the manifests that it lists, each with its platform.
    ///
    /// # Errors
    /// If a nested index cannot be read.
    pub fn subjects(&self, all: bool) -> Result<Vec<(Digest, Option<Platform>)>, ImageError> {
        let Some(whole) = self.subject(all) else { return Ok(Vec::new()) };
        if !document::is_index(whole.media_type) {
            return Ok(vec![(whole.digest, None)]);
        }
        let top = select::Candidate {
            names: Vec::new(),
            descriptor: Descriptor {
                media_type: whole.media_type.into(),
                digest: whole.digest,
                size: whole.size,
                platform: None,
                names: Names::default(),
                annotations: BTreeMap::new(),
                is_artifact: false,
            },
        };
        let images = select::expand(&self.source, vec![top], false, None)?;
        let images = images.into_iter().map(|one| (one.descriptor.digest, one.descriptor.platform));
        Ok([(whole.digest, None)].into_iter().chain(images).collect())
    }

    /// The entry of the layout's or archive's index that leads to the image.
    pub fn entry(&self) -> Option<image::Descriptor> {
        let own = self.manifest.as_ref().map(|manifest| manifest.digest);
        let entry = self.roots.iter().find(|root| Some(root.digest) == own);
        entry.or(self.roots.first()).map(Descriptor::described)
    }

    /// Whether the image is in a layout or archive that has an index, or in a registry.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn has_index(&self) -> Result<bool, ImageError> {
        match &*self.source {
            BlobSource::Registry(_) => Ok(true),
            source => Ok(source.document("index.json")?.is_some()),
        }
    }

    /// What the archive consists of that the image is in; `None` if it is not in an archive.
    ///
    /// # Errors
    /// If its index cannot be read, or it has links.
    pub fn archive(&self) -> Result<Option<Archive>, ImageError> {
        let BlobSource::Archive { tree, .. } = &*self.source else { return Ok(None) };
        let mut members = Vec::new();
        for (path, node) in tree {
            let name = path.to_string();
            let name = name.trim_start_matches('/');
            if name.len() > 99 || name.contains('\\') {
                let why = "its name is one that imgb does not write into an archive";
                return Err(ImageError::document(name, why));
            }
            if node.is_directory() {
                members.push((format!("{name}/"), None));
                continue;
            }
            if node.file().is_none() {
                let why = "it is a link, which an archive that imgb writes does not have";
                return Err(ImageError::document(name, why));
            }
            let file = self.source.file(name)?.ok_or(ImageError::MissingMember(name.into()))?;
            members.push((name.to_owned(), Some((file.extent, file.len))));
        }
        let Some(bytes) = self.source.document("index.json")? else { return Ok(None) };
        let index = parsed("index.json", &bytes)?;
        let mut known = Vec::new();
        let own = self.entry().map(|entry| entry.digest);
        for (_, list) in lists(&self.source, &index, own)? {
            known.extend(manifests(&parsed("the list of artifacts", &list)?));
        }
        Ok(Some(Archive { members, index, known }))
    }

    /// What the artifact consists of.
    ///
    /// # Errors
    /// If a document is missing or is not what its digest says, or the artifact is about another
    /// image than `subject`.
    pub fn artifact(
        &self,
        subject: Digest,
        referrer: &Referrer,
    ) -> Result<Contents<'_>, ImageError> {
        let shown = referrer.digest.to_string();
        if !is_document(&referrer.media_type) {
            let why = format!("its media type is {}", referrer.media_type);
            return Err(ImageError::document(&shown, why));
        }
        let mut contents = Contents::of(&self.source, &descriptor(referrer))?;
        let root = contents.documents.last().filter(|last| last.digest == referrer.digest);
        let bytes = root.map(|root| &root.bytes[..]).unwrap_or_default();
        let parsed = document::parse(&shown, bytes, Some(&referrer.media_type))?;
        match &parsed {
            Document::Manifest(manifest) if manifest.subject == Some(subject) => {
                contents.layers = manifest.layers.iter().map(|layer| layer.digest).collect();
            }
            Document::Index(_) if subject_of(bytes) == Some(subject) => {}
            _ => return Err(ImageError::document(&shown, "it is about another image")),
        }
        Ok(contents)
    }

    /// The only blob of an artifact, whole.
    ///
    /// # Errors
    /// As [`Image::artifact`]; also if it has another number of blobs, or one that is too large.
    pub fn artifact_blob(
        &self,
        subject: Digest,
        referrer: &Referrer,
    ) -> Result<Vec<u8>, ImageError> {
        let contents = self.artifact(subject, referrer)?;
        let shown = referrer.digest.to_string();
        let [layer] = contents.layers[..] else {
            let why = format!("the artifact has {} blobs, not one", contents.layers.len());
            return Err(ImageError::document(&shown, why));
        };
        // A blob that another part of the artifact is as well was found there first.
        if let Some(document) = contents.documents.iter().find(|one| one.digest == layer) {
            return Ok(document.bytes.clone());
        }
        let blob = contents.blobs.iter().find(|blob| blob.digest == layer);
        let blob = blob.ok_or(ImageError::MissingBlob(layer))?;
        if blob.size > MAX_BLOB {
            let limit = crate::quantity::bytes(MAX_BLOB);
            return Err(ImageError::document(&shown, format!("its blob is larger than {limit}")));
        }
        let unreadable = |error: io::Error| {
            let other = |source| ImageError::Unreadable { name: layer.to_string(), source };
            error.downcast().unwrap_or_else(other)
        };
        let mut bytes = Vec::new();
        let reader = contents.open(blob, 0).map_err(unreadable)?;
        reader.take(blob.size).read_to_end(&mut bytes).map_err(unreadable)?;
        match Digest::of(&bytes) {
            found if found == layer => Ok(bytes),
            found => Err(ImageError::Digest { what: "blob", wanted: layer, found }),
        }
    }
}

/// The artifacts of a layout or an archive.
fn stored(source: &BlobSource, subject: Digest) -> Result<Vec<Referrer>, ImageError> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for entry in entries(source)? {
        let Some(entry) = Referrer::read(&entry) else { continue };
        if !is_document(&entry.media_type) || !seen.insert(entry.digest) {
            continue;
        }
        if seen.len() > select::MAX_DOCUMENTS {
            return Err(ImageError::document("index.json", "too many manifests"));
        }
        let path = source.manifest_path(entry.digest);
        let Some(bytes) = select::verified(source, &path, &descriptor(&entry))? else { continue };
        if subject_of(&bytes) == Some(subject) {
            found.push(described(entry, &bytes));
        }
    }
    Ok(found)
}

/// The entries of the index of a layout or archive, and of the lists of artifacts that it names.
fn entries(source: &BlobSource) -> Result<Vec<Value>, ImageError> {
    let Some(bytes) = source.document("index.json")? else { return Ok(Vec::new()) };
    let index = parsed("index.json", &bytes)?;
    let mut entries = manifests(&index);
    for (_, bytes) in lists(source, &index, None)? {
        entries.extend(manifests(&parsed("the list of artifacts", &bytes)?));
    }
    Ok(entries)
}

/// What the lists of artifacts name that the entries `roots` of a layout's or archive's index have.
pub(super) fn listed(
    source: &BlobSource,
    roots: &[Descriptor],
) -> Result<Vec<Vec<Descriptor>>, ImageError> {
    let Some(bytes) = source.document("index.json")? else { return Ok(Vec::new()) };
    let index = parsed("index.json", &bytes)?;
    let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
    for root in roots {
        for (digest, bytes) in lists(source, &index, Some(root.digest))? {
            if !seen.insert(digest) {
                continue;
            }
            let list = document::parse(&digest.to_string(), &bytes, Some(document::OCI_INDEX))?;
            match list {
                Document::Index(list) => all.push(list),
                Document::Manifest(_) => {}
            }
        }
    }
    Ok(all)
}

/// The lists of artifacts that an index names, or its entries for `of`; those that are missing are
/// left out.
fn lists(
    source: &BlobSource,
    index: &Value,
    of: Option<Digest>,
) -> Result<Vec<(Digest, Vec<u8>)>, ImageError> {
    let mut lists = Vec::new();
    for digest in referrers_lists(index, of) {
        let path = source.blob_path(digest);
        let Some(bytes) = source.document(&path)? else { continue };
        let found = Digest::of(&bytes);
        if found != digest {
            return Err(ImageError::Digest { what: "blob", wanted: digest, found });
        }
        lists.push((digest, bytes));
    }
    Ok(lists)
}

fn parsed(name: &str, bytes: &[u8]) -> Result<Value, ImageError> {
    json::document(bytes, &fields::MANIFEST).map_err(|why| ImageError::document(name, why))
}

fn manifests(index: &Value) -> Vec<Value> {
    index.get("manifests").and_then(Value::as_array).cloned().unwrap_or_default()
}

fn is_document(media_type: &str) -> bool {
    document::is_manifest(media_type) || document::is_index(media_type)
}

fn subject_of(document: &[u8]) -> Option<Digest> {
    let value = json::document(document, &fields::MANIFEST).ok()?;
    value.get("subject")?.get("digest")?.as_str()?.parse().ok()
}

/// As the list of a registry has it; where that lacks the type, as the manifest has it.
/// go-containerregistry's registry lists the type of the configuration instead.
fn completed(
    repository: &Repository,
    entry: Referrer,
    left: &mut usize,
) -> Result<Referrer, ImageError> {
    let has_type = entry.artifact_type.as_ref().is_some_and(|kind| kind != image::EMPTY_TYPE);
    if has_type || !is_document(&entry.media_type) || *left == 0 {
        return Ok(entry);
    }
    *left -= 1;
    // Not kept: each that is kept has a file open.
    let manifest = repository.manifest(Pointer::Digest(entry.digest))?;
    Ok(manifest.map_or(entry.clone(), |found| described(entry, &found.bytes)))
}

/// What the manifest itself says of the artifact (OCI distribution-spec, "Listing Referrers").
fn described(entry: Referrer, manifest: &[u8]) -> Referrer {
    let value = json::document(manifest, &fields::MANIFEST).unwrap_or_default();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let own = text(value.get("artifactType")).filter(|kind| !kind.is_empty());
    let config = || text(value.get("config").and_then(|config| config.get("mediaType")));
    let annotations = value.get("annotations").and_then(Value::as_object).into_iter().flatten();
    let annotations =
        annotations.filter_map(|(name, value)| Some((name.clone(), text(Some(value))?)));
    Referrer { artifact_type: own.or_else(config), annotations: annotations.collect(), ..entry }
}

fn descriptor(referrer: &Referrer) -> Descriptor {
    Descriptor {
        media_type: referrer.media_type.clone(),
        digest: referrer.digest,
        size: referrer.size,
        platform: None,
        names: Names::default(),
        annotations: BTreeMap::new(),
        is_artifact: true,
    }
}
