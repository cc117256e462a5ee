//! Writes an image as one tar archive: the files of an OCI layout, docker's `manifest.json`, or
//! both.
//!
//! Directories come first: Apptainer and syft extract members without creating the directories that
//! they are in. Blobs follow, since layers are written before the documents that name them are
//! known. Every engine accepts these in any order.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufWriter, Seek as _, SeekFrom, Write},
};

use serde_json::Value;

use super::{
    OutputError,
    shipment::{Shipment, ShippedBlob},
    stream::Fault,
    transfer::{How, Moved, Transfer},
};
use crate::{
    archive,
    digest::Digest,
    image::{self, Document, OutputFormat, Reference},
    store::{Durability, Extent, Pending, Store},
};

/// A member of an existing archive.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name; that of a directory ends in a slash.
    pub name: String,
    /// Its bytes and their number; `None` for a directory.
    pub content: Option<(Extent, u64)>,
}

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const BLOCK: usize = 512;

/// The directories of blobs.
const DIRECTORIES: [&str; 2] = ["blobs/", "blobs/sha256/"];

/// A store that writes blobs as members of the archive `pending`, after the room for its
/// directories.
pub(super) fn store(pending: &Pending, durability: Durability) -> Store {
    let start = (DIRECTORIES.len() * BLOCK) as u64;
    Store::archive(pending, start, blob_header, durability)
}

/// A store that writes blobs to a temporary file, from which they are copied.
pub(super) fn scratch(pending: &Pending) -> Store {
    Store::scratch(pending, blob_header)
}

fn blob_header(digest: Digest, size: u64) -> [u8; BLOCK] {
    archive::header::blob(&blob_name(digest), size)
}

fn blob_name(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Writes the directories before the layers that `store` wrote and the documents after them, and
/// gives the archive its name.
pub(super) fn complete(
    pending: Pending,
    store: &mut Store,
    format: OutputFormat,
    shipment: &Shipment<'_>,
    names: &[Reference],
) -> Result<(), OutputError> {
    let io = |source| OutputError::Io { action: "write", path: pending.target().into(), source };
    let mut writer = Writer::new(&**pending.file());
    let write = || {
        writer.directories()?;
        writer.out.seek(SeekFrom::Start(store.end()))?;
        writer.documents(format, shipment, names)?;
        Ok::<(), Fault>(writer.finish()?)
    };
    write().map_err(|fault| fault.into_error(io))?;
    // Blobs may have been written farther on than they are now.
    let mut file: &File = pending.file();
    file.stream_position().and_then(|end| file.set_len(end)).map_err(io)?;
    Ok(pending.commit(store.durability())?)
}

/// Writes `members` of an archive of an image again, with the artifacts of `shipment` added to
/// those about its root.
///
/// # Errors
/// If a blob cannot be read, or `out` cannot be written.
pub(super) fn attach(
    out: &mut dyn Write,
    members: &[Member],
    index: &Value,
    shipment: &Shipment<'_>,
    known: &[Value],
) -> Result<(), Fault> {
    let mut writer = Writer::new(out);
    let mut seen: BTreeSet<String> = DIRECTORIES.iter().map(|&name| name.to_owned()).collect();
    writer.directories()?;
    for member in members {
        match &member.content {
            _ if !seen.insert(member.name.clone()) || member.name == "index.json" => {}
            None => writer.out.write_all(&archive::header::blob_directory(&member.name))?,
            Some((extent, size)) => {
                writer.out.write_all(&archive::header::blob(&member.name, *size))?;
                let copied = io::copy(&mut extent.reader(*size), &mut writer.out)?;
                if copied != *size {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                writer.pad(*size)?;
            }
        }
    }
    let mut is_new = |digest: Digest| seen.insert(blob_name(digest));
    writer.referrers(shipment, &mut is_new)?;
    let mut index = index.clone();
    if let Some(list) = shipment.list(known) {
        if is_new(list.digest) {
            writer.document(&blob_name(list.digest), &list.bytes)?;
        }
        image::set_referrers(&mut index, shipment.root.digest, list.digest);
    }
    writer.document("index.json", &Document::of(&index).bytes)?;
    Ok(writer.finish()?)
}

/// Writes a complete archive to `out`.
pub(super) fn whole(
    out: impl Write,
    format: OutputFormat,
    shipment: &Shipment<'_>,
    names: &[Reference],
    event: &(dyn Fn(Transfer) + Sync),
) -> Result<(), Fault> {
    partial(out, format, (shipment, &|_| true), names, event)
}

/// Writes an archive with those blobs only that `has` says yes to.
pub(super) fn partial(
    out: impl Write,
    format: OutputFormat,
    (shipment, has): (&Shipment<'_>, &dyn Fn(Digest) -> bool),
    names: &[Reference],
    event: &(dyn Fn(Transfer) + Sync),
) -> Result<(), Fault> {
    let mut writer = Writer::new(out);
    writer.directories()?;
    for blob in shipment.blobs.iter().filter(|blob| has(blob.digest)) {
        writer.blob(blob, event)?;
        let (digest, size) = (blob.digest, blob.size);
        event(Transfer::Done(Moved { digest, size, how: How::Sent { bytes: size } }));
    }
    writer.documents(format, shipment, names)?;
    Ok(writer.finish()?)
}

struct Writer<W: Write> {
    out: BufWriter<W>,
}

impl<W: Write> Writer<W> {
    fn new(out: W) -> Self {
        Self { out: BufWriter::with_capacity(1 << 18, out) }
    }

    fn directories(&mut self) -> io::Result<()> {
        DIRECTORIES
            .iter()
            .try_for_each(|name| self.out.write_all(&archive::header::blob_directory(name)))
    }

    fn blob(
        &mut self,
        blob: &ShippedBlob<'_>,
        event: &(dyn Fn(Transfer) + Sync),
    ) -> Result<(), Fault> {
        let (digest, size) = (blob.digest, blob.size);
        self.out.write_all(&blob_header(digest, size))?;
        let mut done = 0;
        blob.pour(|bytes| {
            self.out.write_all(bytes)?;
            done += bytes.len() as u64;
            event(Transfer::Part { digest, size, done });
            Ok::<(), Fault>(())
        })?;
        Ok(self.pad(size)?)
    }

    fn documents(
        &mut self,
        format: OutputFormat,
        shipment: &Shipment<'_>,
        names: &[Reference],
    ) -> Result<(), Fault> {
        let (config, layers) = &shipment.local;
        for document in &shipment.documents {
            if format != OutputFormat::DockerArchive || document.digest == *config {
                self.document(&blob_name(document.digest), document.bytes)?;
            }
        }
        if format != OutputFormat::DockerArchive {
            let documents = shipment.documents.iter().map(|document| document.digest);
            let blobs = shipment.blobs.iter().map(|blob| blob.digest);
            let mut seen: BTreeSet<Digest> = documents.chain(blobs).collect();
            self.referrers(shipment, &mut |digest| seen.insert(digest))?;
            let mut index = image::index(&shipment.entries(names));
            if let Some(list) = shipment.list(&[]) {
                self.document(&blob_name(list.digest), &list.bytes)?;
                image::set_referrers(&mut index, shipment.root.digest, list.digest);
            }
            self.document("index.json", &Document::of(&index).bytes)?;
        }
        if format != OutputFormat::OciArchive {
            let manifest = Document::of(&image::docker_manifest(*config, layers, names));
            self.document("manifest.json", &manifest.bytes)?;
        }
        if format != OutputFormat::DockerArchive {
            self.document("oci-layout", LAYOUT)?;
        }
        Ok(())
    }

    /// Writes what artifacts consist of, as far as `is_new` says yes to it.
    fn referrers(
        &mut self,
        shipment: &Shipment<'_>,
        is_new: &mut dyn FnMut(Digest) -> bool,
    ) -> Result<(), Fault> {
        for referrer in &shipment.referrers {
            for blob in referrer.blobs.iter().filter(|blob| is_new(blob.digest)) {
                self.blob(blob, &|_| {})?;
            }
            for document in &referrer.documents {
                if is_new(document.digest) {
                    self.document(&blob_name(document.digest), document.bytes)?;
                }
            }
        }
        Ok(())
    }

    fn document(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(&archive::header::blob(name, bytes.len() as u64))?;
        self.out.write_all(bytes)?;
        self.pad(bytes.len() as u64)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let rest = (size % BLOCK as u64) as usize;
        if rest == 0 { Ok(()) } else { self.out.write_all(&[0; BLOCK][rest..]) }
    }

    fn finish(mut self) -> io::Result<()> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()
    }
}
