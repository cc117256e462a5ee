//! Writes a finished image to the outputs that were asked for. It copies blobs, decides nothing and
//! reads inputs only for a root file system on a stream.

mod archive;
mod existing;
mod layout;
mod rootfs;
mod stream;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

pub use existing::is_replaceable;
use stream::{Sink, is_stream};

use crate::{
    archive::header::HeaderError,
    compress::Compression,
    digest::Digest,
    error_kind::ErrorKind,
    image::{Bundle, Destination, OutputFormat, Reference, Replaced, Target},
    source::content::ContentError,
    store::{Blob, Durability, PartWriter, Pending, Store, StoreError},
    tree::Tree,
};

/// Why an output cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The system refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// The action, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Standard output cannot be written.
    #[error("cannot write to stdout")]
    Stdout(#[source] io::Error),
    /// An input cannot be read for the root file system.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A node cannot be represented in an archive.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// An error on a file that imgb writes.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A layer is no longer what it was when it was verified.
    #[error("layer {0} changed while it was copied")]
    Changed(Digest),
    /// The directory exists and is not an OCI layout.
    #[error("`{}` is not an OCI layout: {why}", path.display())]
    NoLayout {
        /// The directory.
        path: PathBuf,
        /// Why it is not an OCI layout.
        why: String,
    },
}

impl OutputError {
    /// What the error means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Changed(_) => ErrorKind::Digest,
            Self::NoLayout { .. } => ErrorKind::Refused,
            Self::Io { .. }
            | Self::Stdout(_)
            | Self::Content(_)
            | Self::Header(_)
            | Self::Store(_) => ErrorKind::Local,
        }
    }
}

/// The outputs of one run. Each layer is written once, where the first output needs it.
#[derive(Debug)]
pub struct Outputs {
    targets: Vec<Target>,
    /// The archive that is written while layers are packed, with the index of its target in
    /// `targets`.
    primary: Option<(usize, Pending)>,
    /// The layout to which layers are written as they are packed.
    layout: Option<PathBuf>,
    /// A temporary file for layers if no output can take them while they are packed.
    scratch: Option<Pending>,
    /// The root file system that is written while layers are packed, with the index of its target
    /// in `targets`.
    root: Option<(usize, Pending)>,
    store: Store,
    durability: Durability,
}

impl Outputs {
    /// Opens the outputs that are written while layers are packed. `scratch` is the directory for a
    /// temporary file, used if all images go to stdout or other streams. `durability` applies to
    /// files and layouts.
    ///
    /// # Errors
    /// If an output's directory cannot be written.
    pub fn open(
        targets: Vec<Target>,
        scratch: &Path,
        durability: Durability,
    ) -> Result<Self, OutputError> {
        let archive = targets.iter().enumerate().find_map(|(number, target)| {
            match (&target.format, &target.destination) {
                (OutputFormat::OciLayout | OutputFormat::Rootfs, _) | (_, Destination::Stdout) => {
                    None
                }
                (_, Destination::Path(path)) => (target.compression == Compression::None
                    && !is_stream(path))
                .then_some((number, path)),
            }
        });
        let layout =
            targets.iter().find_map(|target| match (&target.format, &target.destination) {
                (OutputFormat::OciLayout, Destination::Path(path)) => Some(path),
                _ => None,
            });
        let (mut primary, mut spool, mut own_layout) = (None, None, None);
        let store = match (archive, layout) {
            (Some((number, path)), _) => {
                let (_, pending) = primary.insert((number, Pending::create(path)?));
                archive::store(pending, durability)
            }
            (None, Some(dir)) => layout::store(own_layout.insert(dir.clone()), durability)?,
            (None, None) => {
                let pending = spool.insert(Pending::create(&scratch.join("imgb-layers"))?);
                archive::scratch(pending)
            }
        };
        let mut root = None;
        for (number, target) in
            targets.iter().enumerate().filter(|(_, t)| t.format == OutputFormat::Rootfs)
        {
            if let (None, Destination::Path(path)) = (&root, &target.destination)
                && target.compression == Compression::None
                && rootfs::is_file(&target.destination)
            {
                root = Some((number, Pending::create(path)?));
            }
        }
        Ok(Self { layout: own_layout, targets, primary, scratch: spool, root, store, durability })
    }

    /// The writer for the merged root file system while layers are packed, if an output is one and
    /// is a file.
    pub fn root(&self) -> Option<PartWriter> {
        self.root.as_ref().map(|(_, pending)| pending.part_writer())
    }

    /// The store to which layers are written.
    pub fn store(&mut self) -> &mut Store {
        &mut self.store
    }

    /// Copies a layer of a base image, unchanged, to the store.
    ///
    /// # Errors
    /// If it cannot be read or written, or its bytes do not match its digest.
    pub fn keep(&mut self, blob: &Blob) -> Result<Blob, OutputError> {
        layout::copy(&mut self.store, blob)
    }

    /// Writes `bundle`, whose layers' bytes are `blobs`, to each target under the names that `names`
    /// returns for it. `root` returns the merged file system, for an [`OutputFormat::Rootfs`] that
    /// was not written through [`Outputs::root`]. Returns what was replaced in layouts, each with
    /// its layout's directory.
    ///
    /// # Errors
    /// The error of the first output that cannot be written; those before it are complete.
    pub fn write(
        mut self,
        bundle: &Bundle,
        blobs: &[Blob],
        root: &dyn Fn() -> Tree,
        names: &dyn Fn(&Target) -> Vec<Reference>,
    ) -> Result<Vec<(PathBuf, Replaced)>, OutputError> {
        let mut all_replaced = Vec::new();
        // The other outputs are copied from the primary one, so they come first: a commit gives up
        // the primary's open file.
        for (number, target) in self.targets.iter().enumerate() {
            let is_own = |own: &Option<(usize, Pending)>| {
                own.as_ref().is_some_and(|(own, _)| *own == number)
            };
            if is_own(&self.primary) || is_own(&self.root) {
                continue;
            }
            let names = names(target);
            let sink = Sink {
                destination: &target.destination,
                compression: target.compression,
                durability: self.durability,
            };
            match (target.format, &target.destination) {
                (OutputFormat::Rootfs, _) => match &self.root {
                    Some((_, done)) => rootfs::copy(done, sink)?,
                    None => rootfs::write(&root(), sink)?,
                },
                (OutputFormat::OciLayout, Destination::Path(dir)) => {
                    let missing = if self.layout.as_ref() == Some(dir) { &[] } else { blobs };
                    let replaced = layout::write((dir, self.durability), bundle, missing, &names)?;
                    all_replaced.extend(replaced.into_iter().map(|old| (dir.clone(), old)));
                }
                (OutputFormat::OciLayout, Destination::Stdout) => {}
                (format, _) => {
                    let write = |out: &mut dyn Write| {
                        archive::whole(out, format, bundle, blobs, &names).map_err(Into::into)
                    };
                    sink.write(write)?;
                }
            }
        }
        if let Some((number, pending)) = self.primary.take()
            && let Some(target) = self.targets.get(number)
        {
            archive::complete(pending, &mut self.store, target.format, bundle, &names(target))?;
        }
        if let Some((_, pending)) = self.root.take() {
            pending.commit(self.durability)?;
        }
        drop(self.scratch);
        Ok(all_replaced)
    }
}
