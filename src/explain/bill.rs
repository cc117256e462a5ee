//! The bill of materials of a file system.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use sha1::{Digest as _, Sha1};

use super::{components::inventory, contents::OfContents};
use crate::{
    digest::{Digest, Digesting},
    elf::ReadFailure,
    path::ImagePath,
    sbom::{Item, Subject, Sums},
    source::content,
    timestamp::Timestamp,
    tree::{FileNode, Tree},
};

/// What is said of an image as a whole.
#[derive(Clone, Debug)]
pub struct About {
    /// What it is called.
    pub name: String,
    /// Digest of the manifest, or of the configuration where there is no manifest.
    pub digest: Digest,
    /// `OS/ARCH[/VARIANT]`
    pub platform: String,
    /// When the configuration says that it was made.
    pub created: Timestamp,
}

/// Why the parts of an image cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum BillError {
    /// A file that describes a component cannot be read.
    #[error(transparent)]
    Read(#[from] ReadFailure),
    /// The content of a file cannot be read.
    #[error("cannot read {path}")]
    Content {
        /// Its path in the image.
        path: ImagePath,
        /// The reason.
        source: io::Error,
    },
}

/// The parts of the file system `tree`.
///
/// # Errors
/// [`BillError`]
pub fn subject(tree: &Tree, about: About) -> Result<Subject, BillError> {
    let inventory = inventory(tree)?;
    let mut known = OfContents::default();
    let mut files = BTreeMap::new();
    for (path, node) in tree {
        let Some(file) = node.file() else { continue };
        let sums = known.get(file, sums);
        let sums = sums.map_err(|source| BillError::Content { path: path.clone(), source })?;
        files.insert(path.clone(), sums);
    }
    let items = inventory.components.into_iter().map(|found| Item {
        component: found.component,
        evidence: found.evidence,
        files: found.files,
    });
    let About { name, digest, platform, created } = about;
    let release = inventory.release;
    Ok(Subject { name, digest, platform, created, release, components: items.collect(), files })
}

fn sums(file: &FileNode) -> io::Result<Sums> {
    let mut out = Digesting::new(Sha1Writer(Sha1::new()));
    let mut reader = content::open(&file.content, file.len).map_err(io::Error::other)?;
    io::copy(&mut reader, &mut out)?;
    let (Sha1Writer(sha1), sha256, _) = out.finish();
    Ok(Sums { sha1: sha1.finalize().into(), sha256 })
}

struct Sha1Writer(Sha1);

impl Write for Sha1Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
