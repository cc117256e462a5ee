//! Writes an image to an OCI layout directory (OCI image-spec, image-layout.md), which is new or
//! already contains other images.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read as _, Write as _},
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use serde_json::{Value, json};

use super::{
    OutputError,
    shipment::{Shipment, ShippedBlob, ShippedReferrer},
    transfer::{How, Moved, Transfer},
};
use crate::{
    digest::{Digest, Digesting},
    image::{self, Document, Reference, Replaced},
    quantity,
    source::list_directory,
    store::{Blob, Durability, PREFIX, Pending, Place, Store},
    uninterrupted,
};

/// The largest `index.json` that is read, in bytes (containers/image's limit for manifests).
const MAX_INDEX: u64 = 4 << 20;

/// A store that writes blobs as files of the layout `dir`, which is created if it does not exist.
pub(super) fn store(dir: &Path, durability: Durability) -> Result<Store, OutputError> {
    check(dir)?;
    Ok(Store::directory(dir, durability)?)
}

/// Adds `shipment` under `names`. Images with the same tag are replaced, and returned; others stay.
/// The index is written after the blobs, so that a reader never sees an image whose blobs are
/// missing.
pub(super) fn write(
    (dir, durability): (&Path, Durability),
    shipment: &Shipment<'_>,
    blobs: &[ShippedBlob<'_>],
    names: &[Reference],
    event: &(dyn Fn(Transfer) + Sync),
) -> Result<Vec<Replaced>, OutputError> {
    let mut store = store(dir, durability)?;
    for blob in blobs {
        let how = add(dir, &mut store, blob, event)?;
        event(Transfer::Done(Moved { digest: blob.digest, size: blob.size, how }));
    }
    for document in &shipment.documents {
        store.put(document.bytes)?;
    }
    keep_referrers(dir, &mut store, &shipment.referrers, event)?;
    store.sync_names()?;
    // Held until the function returns: without the lock, one of two concurrent writers would lose
    // its tag.
    let _lock = lock(dir)?;
    let old = read_index(dir)?;
    let descriptors = shipment.entries(names);
    let old = old.unwrap_or_else(|| image::index(&[]));
    let (mut index, replaced) = image::merge_index(&old, &descriptors)
        .ok_or_else(|| no_layout(dir, "its index.json has no list of manifests"))?;
    let root = shipment.root.digest;
    let known = known_referrers(dir, &old, root)?;
    if let Some(list) = shipment.list(&known) {
        store.put(&list.bytes)?;
        store.sync_names()?;
        image::set_referrers(&mut index, root, list.digest);
    }
    put(
        &dir.join("oci-layout"),
        &Document::of(&json!({"imageLayoutVersion": "1.0.0"})).bytes,
        durability,
    )?;
    put(&dir.join("index.json"), &Document::of(&index).bytes, durability)?;
    Ok(replaced)
}

/// Adds what artifacts consist of.
fn keep_referrers(
    dir: &Path,
    store: &mut Store,
    referrers: &[ShippedReferrer<'_>],
    event: &(dyn Fn(Transfer) + Sync),
) -> Result<(), OutputError> {
    for referrer in referrers {
        for blob in &referrer.blobs {
            let how = add(dir, store, blob, event)?;
            event(Transfer::Done(Moved { digest: blob.digest, size: blob.size, how }));
        }
        for document in &referrer.documents {
            store.put(document.bytes)?;
        }
    }
    Ok(())
}

/// The artifacts about `root` in the lists of `index`. A list that is missing is empty.
///
/// # Errors
/// If a list cannot be read, or has other bytes than its digest says.
fn known_referrers(dir: &Path, index: &Value, root: Digest) -> Result<Vec<Value>, OutputError> {
    let mut known: Vec<Value> = Vec::new();
    for list in image::referrers_lists(index, Some(root)) {
        let path = dir.join("blobs/sha256").join(list.hex());
        let fail = |source| OutputError::Io { action: "read", path: path.clone(), source };
        let file = match fs_err::File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file.map_err(fail)?,
        };
        let mut bytes = Vec::new();
        file.take(MAX_INDEX + 1).read_to_end(&mut bytes).map_err(fail)?;
        if Digest::of(&bytes) != list {
            return Err(OutputError::Changed(list));
        }
        let list: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        known.extend(list["manifests"].as_array().into_iter().flatten().cloned());
    }
    Ok(known)
}

/// Adds artifacts to those about `shipment`'s root in the layout `dir`, which has the image.
///
/// # Errors
/// If `dir` is not a layout, or cannot be written.
pub(super) fn attach(
    dir: &Path,
    shipment: &Shipment<'_>,
    durability: Durability,
    event: &(dyn Fn(Transfer) + Sync),
) -> Result<(), OutputError> {
    let mut store = store(dir, durability)?;
    keep_referrers(dir, &mut store, &shipment.referrers, event)?;
    let _lock = lock(dir)?;
    let index = read_index(dir)?;
    let mut index = index.ok_or_else(|| no_layout(dir, "it has no index.json"))?;
    let root = shipment.root.digest;
    if let Some(list) = shipment.list(&known_referrers(dir, &index, root)?) {
        store.put(&list.bytes)?;
        image::set_referrers(&mut index, root, list.digest);
    }
    store.sync_names()?;
    put(&dir.join("index.json"), &Document::of(&index).bytes, durability)
}

/// Adds a blob to the layout `dir`, unless it is there.
fn add(
    dir: &Path,
    store: &mut Store,
    blob: &ShippedBlob<'_>,
    event: &(dyn Fn(Transfer) + Sync),
) -> Result<How, OutputError> {
    let (digest, size) = (blob.digest, blob.size);
    if has(&dir.join("blobs/sha256").join(digest.hex()), digest, size) {
        return Ok(How::Existed);
    }
    let (mut writer, mut done) = (store.begin()?, 0);
    blob.pour(|bytes| {
        writer.append(bytes)?;
        done += bytes.len() as u64;
        event(Transfer::Part { digest, size, done });
        Ok::<(), OutputError>(())
    })?;
    writer.finish(store)?;
    Ok(How::Sent { bytes: size })
}

/// Whether the file at `path` is the blob.
fn has(path: &Path, digest: Digest, size: u64) -> bool {
    let is_file = |metadata: std::fs::Metadata| metadata.is_file() && metadata.len() == size;
    if !uninterrupted::symlink_metadata(path).is_ok_and(is_file) {
        return false;
    }
    let mut hash = Digesting::new(io::sink());
    let copied = fs_err::File::open(path).and_then(|mut file| io::copy(&mut file, &mut hash));
    copied.is_ok() && hash.finish().1 == digest
}

/// Copies a blob into `store`, unless it may stay in its registry. Fails if its bytes do not match
/// its digest.
pub(super) fn copy(store: &mut Store, blob: &Blob) -> Result<Blob, OutputError> {
    if store.adopt(blob) {
        return Ok(blob.clone());
    }
    let mut writer = store.begin()?;
    let unreadable = |source| {
        let path = match &blob.place {
            Place::Named(path) => path.to_path_buf(),
            Place::Open(_) => "a layer's temporary file".into(),
            Place::Remote(_) => return OutputError::Blob { digest: blob.digest, source },
        };
        OutputError::Io { action: "read", path, source }
    };
    let (mut reader, mut buffer) = (blob.reader(), vec![0; 1 << 18]);
    loop {
        let read = reader.read(&mut buffer).map_err(unreadable)?;
        match buffer.get(..read) {
            Some([]) | None => break,
            Some(bytes) => writer.append(bytes)?,
        }
    }
    let copied = writer.finish(store)?;
    if copied.digest != blob.digest {
        return Err(OutputError::Changed(blob.digest));
    }
    // The store's own, which is not open: an image may have more layers than there are descriptors.
    Ok(store.get(copied.digest).unwrap_or(&copied).clone())
}

fn put(path: &Path, bytes: &[u8], durability: Durability) -> Result<(), OutputError> {
    let pending = Pending::create(path)?;
    let mut file: &File = pending.file();
    file.write_all(bytes).map_err(|source| OutputError::Io {
        action: "write",
        path: path.into(),
        source,
    })?;
    Ok(pending.commit(durability)?)
}

/// Checks that `dir` does not exist, is empty, or is a layout, so that blobs are never written to a
/// directory with other files.
fn check(dir: &Path) -> Result<(), OutputError> {
    let io = |source| OutputError::Io { action: "read", path: dir.into(), source };
    let names = match list_directory(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        names => names.map_err(io)?,
    };
    let is_marked = names.iter().any(|name| name == "oci-layout");
    if !is_marked && !names.iter().all(|name| is_ours(name)) {
        return Err(no_layout(dir, "it is a directory with other files in it"));
    }
    read_index(dir).map(drop)
}

/// Whether a layout has such a file, or one that was killed while it was made.
fn is_ours(name: &OsStr) -> bool {
    let is_temporary = name.as_bytes().starts_with(PREFIX.as_bytes());
    is_temporary || ["blobs", "oci-layout", "index.json"].iter().any(|&ours| name == ours)
}

fn read_index(dir: &Path) -> Result<Option<Value>, OutputError> {
    let path = dir.join("index.json");
    let io = |source| OutputError::Io { action: "read", path: path.clone(), source };
    let file = match fs_err::File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(io)?,
    };
    if !uninterrupted::uninterrupted(|| file.metadata()).map_err(io)?.is_file() {
        return Err(no_layout(dir, "its index.json is not a file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_INDEX + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MAX_INDEX {
        let limit = quantity::bytes(MAX_INDEX);
        return Err(no_layout(dir, &format!("its index.json is larger than {limit}")));
    }
    let index: Value = serde_json::from_slice(&bytes)
        .map_err(|error| no_layout(dir, &format!("its index.json: {error}")))?;
    match index["schemaVersion"].as_u64() {
        Some(2) if index["manifests"].is_array() => Ok(Some(index)),
        _ => Err(no_layout(dir, "its index.json is not an image index")),
    }
}

fn lock(dir: &Path) -> Result<fs_err::File, OutputError> {
    let io = |source| OutputError::Io { action: "lock", path: dir.into(), source };
    let file = fs_err::File::open(dir).map_err(io)?;
    let exclusive = rustix::fs::FlockOperation::LockExclusive;
    rustix::io::retry_on_intr(|| rustix::fs::flock(&file, exclusive))
        .map_err(|errno| io(errno.into()))?;
    Ok(file)
}

fn no_layout(dir: &Path, why: &str) -> OutputError {
    OutputError::NoLayout { path: dir.into(), why: why.into() }
}
