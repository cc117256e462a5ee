//! Writes a finished image to the outputs that were asked for. It copies blobs, decides nothing and
//! reads inputs only for a root file system on a stream.

mod archive;
pub mod attach;
mod early;
mod engine;
mod existing;
mod layout;
mod push;
mod rootfs;
mod shipment;
mod staged;
mod stream;
mod transfer;
mod upload;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use early::Uploads;
pub use engine::Loaded;
pub use existing::{is_archive, is_replaceable};
pub use push::{PushOptions, Pushed};
pub use shipment::{Shipment, ShippedBlob, ShippedDocument, ShippedReferrer};
pub use staged::{Staged, check_place};
use stream::{Sink, is_stream};
pub use transfer::{How, Moved, Transfer};

use crate::{
    archive::header::HeaderError,
    compress::Compression,
    digest::Digest,
    engine::EngineError,
    error_kind::{ErrorKind, with_causes},
    image::{Artifact, Bundle, Destination, OutputFormat, Reference, Replaced, Target},
    registry::{Registries, RegistryError},
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
    /// A blob is not, or no longer, what its digest says.
    #[error("the blob {0} is not what its digest says, or changed while it was copied")]
    Changed(Digest),
    /// A blob cannot be read from where it comes from.
    #[error("{}", unreadable(*digest, source))]
    Blob {
        /// The blob.
        digest: Digest,
        /// The reason.
        source: io::Error,
    },
    /// The image is not the one that is expected under a digest.
    #[error("the image has the digest {found}, not {wanted}")]
    OtherDigest {
        /// The digest that was asked for.
        wanted: Digest,
        /// The image's digest.
        found: Digest,
    },
    /// A tag leads to another image, and may not be moved.
    #[error("{name} is another image already: {found}")]
    Taken {
        /// The name.
        name: String,
        /// The digest that the tag leads to.
        found: Digest,
    },
    /// A registry or the network failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// An engine does not take the image.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The directory exists and is not an OCI layout.
    #[error("`{}` is not an OCI layout: {why}", path.display())]
    NoLayout {
        /// The directory.
        path: PathBuf,
        /// Why it is not an OCI layout.
        why: String,
    },
    /// Several registries and engines have failed, and no output has the image.
    #[error("{}", .0.iter().map(|one| with_causes(one)).collect::<Vec<_>>().join("; "))]
    Several(Vec<OutputError>),
}

impl OutputError {
    /// The error of an image that no output has got, if there are `faults`.
    fn of(mut faults: Vec<Self>) -> Option<Self> {
        match faults.len() {
            0 | 1 => faults.pop(),
            _ => Some(Self::Several(faults)),
        }
    }

    /// What the error means to the caller.
    pub fn kind(&self) -> ErrorKind {
        // A blob may be fetched when it is written.
        if let Some(error) = RegistryError::inside(self) {
            return error.kind();
        }
        match self {
            Self::Changed(_) | Self::OtherDigest { .. } => ErrorKind::Digest,
            Self::NoLayout { .. } => ErrorKind::Refused,
            Self::Taken { .. } => ErrorKind::Registry,
            Self::Registry(error) => error.kind(),
            Self::Engine(error) => error.kind(),
            Self::Several(faults) => faults.first().map_or(ErrorKind::Registry, Self::kind),
            Self::Blob { .. } => ErrorKind::Input,
            Self::Io { .. }
            | Self::Stdout(_)
            | Self::Content(_)
            | Self::Header(_)
            | Self::Store(_) => ErrorKind::Local,
        }
    }
}

/// Says which blob cannot be read, unless the reason does.
fn unreadable(digest: Digest, source: &io::Error) -> String {
    let why = source.to_string();
    match why.contains(&digest.to_string()) {
        true => why,
        false => format!("cannot read the blob {digest}"),
    }
}

/// How images are written to registries and engines.
#[derive(Clone, Copy)]
pub struct Remotes<'a> {
    /// How registries are reached.
    pub registries: &'a Registries,
    /// What they have to fulfil.
    pub push: PushOptions,
    /// Is told how far transfers are.
    pub event: &'a (dyn Fn(Transfer) + Sync),
}

impl std::fmt::Debug for Remotes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remotes").field("push", &self.push).finish_non_exhaustive()
    }
}

/// What was written, other than files.
#[derive(Debug, Default)]
pub struct Written {
    /// Images that are no longer in a layout, each with the layout's directory.
    pub replaced: Vec<(PathBuf, Replaced)>,
    /// Images in registries, in the order of the targets.
    pub pushed: Vec<Pushed>,
    /// Images in engines, in the order of the targets.
    pub loaded: Vec<Loaded>,
    /// Why registries and engines have not got the image which other outputs have.
    pub faults: Vec<OutputError>,
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
    /// The registries and repositories that blobs come from, as far as they come from one.
    origins: BTreeMap<Digest, (String, String)>,
    /// Artifacts about the image.
    artifacts: Vec<Artifact>,
    /// Uploads that begin while layers are packed.
    uploads: Option<Arc<Uploads>>,
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
                (OutputFormat::OciLayout | OutputFormat::Rootfs, _) => None,
                (_, Destination::Stdout | Destination::Registry(_) | Destination::Engine(_)) => {
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
                let pending = spool.insert(Pending::temporary(scratch)?);
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
        Ok(Self {
            layout: own_layout,
            targets,
            primary,
            scratch: spool,
            root,
            store,
            durability,
            origins: BTreeMap::new(),
            artifacts: Vec::new(),
            uploads: None,
        })
    }

    /// The writer for the merged root file system while layers are packed, if an output is one and
    /// is a file.
    pub fn root(&self) -> Option<PartWriter> {
        self.root.as_ref().map(|(_, pending)| pending.part_writer())
    }

    /// Says which registries and repositories blobs come from, so that these are asked for them.
    pub fn set_origins(&mut self, origins: BTreeMap<Digest, (String, String)>) {
        self.origins = origins;
    }

    /// Artifacts about the image that are written beside it: to registries, layouts and archives
    /// of OCI's form.
    pub fn set_artifacts(&mut self, artifacts: Vec<Artifact>) {
        self.artifacts = artifacts;
    }

    /// Lets uploads to registries begin while layers are packed, and returns them.
    ///
    /// # Errors
    /// If a registry cannot be asked for a tag that must not be moved.
    pub fn upload_early(
        &mut self,
        registries: &Registries,
        options: PushOptions,
    ) -> Result<Arc<Uploads>, OutputError> {
        let uploads = Arc::new(Uploads::new(&self.targets, registries, options.immutable)?);
        self.uploads = Some(Arc::clone(&uploads));
        Ok(uploads)
    }

    /// The store to which layers are written.
    pub fn store(&mut self) -> &mut Store {
        &mut self.store
    }

    /// Copies a layer of a base image, unchanged, to the store, if an output needs it there.
    ///
    /// # Errors
    /// If it cannot be read or written, or its bytes do not match its digest.
    pub fn keep(&mut self, blob: &Blob) -> Result<Blob, OutputError> {
        layout::copy(&mut self.store, blob)
    }

    /// Writes `bundle`, whose layers' bytes are `blobs`, to each target under the names that
    /// `names` returns for it. `root` returns the merged file system, for an
    /// [`OutputFormat::Rootfs`] that was not written through [`Outputs::root`].
    ///
    /// # Errors
    /// The error of the first file or layout that cannot be written; those before it are complete.
    /// If no output is complete, those of registries and engines; otherwise these are in
    /// [`Written::faults`].
    pub fn write(
        mut self,
        bundle: &Bundle,
        blobs: &[Blob],
        root: &dyn Fn() -> Tree,
        names: &dyn Fn(&Target) -> Vec<Reference>,
        remotes: Remotes<'_>,
    ) -> Result<Written, OutputError> {
        let artifacts = std::mem::take(&mut self.artifacts);
        let for_files = artifacts.iter().filter(|artifact| !artifact.is_for_registries);
        let mut shipment = Shipment::of_bundle(bundle, blobs, for_files, &self.origins);
        let mut written = Written::default();
        let is_own = |own: &Option<(usize, Pending)>, number| {
            own.as_ref().is_some_and(|(own, _)| *own == number)
        };
        // The other outputs are copied from the primary one, so they come first: a commit gives up
        // the primary's open file. Registries and engines come last, when all files are complete.
        for (number, target) in self.targets.iter().enumerate() {
            if is_own(&self.primary, number) || is_own(&self.root, number) || is_remote(target) {
                continue;
            }
            match (target.format, &target.destination) {
                (OutputFormat::Rootfs, _) => match &self.root {
                    Some((_, done)) => rootfs::copy(done, self.sink(target))?,
                    None => rootfs::write(&root(), self.sink(target))?,
                },
                (_, destination) => {
                    let is_own = matches!(destination, Destination::Path(dir)
                        if self.layout.as_ref() == Some(dir));
                    let blobs = if is_own { &[] } else { &shipment.blobs[..] };
                    let names = names(target);
                    written.add(target, self.durability, (&shipment, blobs), &names, &|_| {})?;
                }
            }
        }
        if let Some((number, pending)) = self.primary.take()
            && let Some(target) = self.targets.get(number)
        {
            let names = names(target);
            archive::complete(pending, &mut self.store, target.format, &shipment, &names)?;
        }
        if let Some((_, pending)) = self.root.take() {
            pending.commit(self.durability)?;
        }
        shipment.referrers = artifacts.iter().map(ShippedReferrer::of).collect();
        let mut is_complete = self.targets.iter().any(|target| !is_remote(target));
        for (number, target) in self.targets.iter().enumerate().filter(|(_, it)| is_remote(it)) {
            let early = self.uploads.as_ref().and_then(|uploads| uploads.queue(number));
            match written.send((target, early), &shipment, &names(target), remotes) {
                Ok(()) => is_complete = true,
                Err(fault) => written.faults.push(fault),
            }
        }
        drop(self.scratch);
        if !is_complete && let Some(error) = OutputError::of(std::mem::take(&mut written.faults)) {
            return Err(error);
        }
        Ok(written)
    }

    fn sink<'a>(&self, target: &'a Target) -> Sink<'a> {
        Sink {
            destination: &target.destination,
            compression: target.compression,
            durability: self.durability,
        }
    }
}

/// Writes `bytes` to the file at `path`, which appears whole or not at all; to a device or pipe as
/// it is.
///
/// # Errors
/// If it cannot be written.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), OutputError> {
    let (destination, compression) = (&Destination::Path(path.to_owned()), Compression::None);
    let sink = Sink { destination, compression, durability: Durability::Synced };
    sink.write(|out| Ok(io::Write::write_all(out, bytes)?))
}

/// Whether an output leaves this process by another way than a file or stream.
fn is_remote(target: &Target) -> bool {
    matches!(target.destination, Destination::Registry(_) | Destination::Engine(_))
}

/// Writes `shipment` to `target` under `names`, wherever its blobs come from. `tree` returns the
/// merged file system, for [`OutputFormat::Rootfs`].
///
/// # Errors
/// [`OutputError`]; the target is as it was before, except for blobs in a layout or registry.
pub fn copy<E: From<OutputError>>(
    shipment: &Shipment<'_>,
    target: &Target,
    durability: Durability,
    names: &[Reference],
    remotes: Remotes<'_>,
    tree: impl FnOnce() -> Result<Tree, E>,
) -> Result<Written, E> {
    let mut written = Written::default();
    if target.format == OutputFormat::Rootfs {
        let (destination, compression) = (&target.destination, target.compression);
        rootfs::write(&tree()?, Sink { destination, compression, durability })?;
    } else if is_remote(target) {
        written.send((target, None), shipment, names, remotes)?;
    } else {
        let all = (shipment, &shipment.blobs[..]);
        written.add(target, durability, all, names, remotes.event)?;
    }
    Ok(written)
}

impl Written {
    /// Writes a shipment with these of its blobs to a file, stream or layout.
    fn add(
        &mut self,
        target: &Target,
        durability: Durability,
        (shipment, blobs): (&Shipment<'_>, &[ShippedBlob<'_>]),
        names: &[Reference],
        event: &(dyn Fn(Transfer) + Sync),
    ) -> Result<(), OutputError> {
        event(Transfer::Begin {
            blobs: blobs.len(),
            bytes: blobs.iter().map(|one| one.size).sum(),
        });
        match (target.format, &target.destination) {
            (OutputFormat::OciLayout, Destination::Path(dir)) => {
                let replaced = layout::write((dir, durability), shipment, blobs, names, event)?;
                self.replaced.extend(replaced.into_iter().map(|old| (dir.clone(), old)));
                Ok(())
            }
            (format, destination) => {
                let sink = Sink { destination, compression: target.compression, durability };
                sink.write(|out| archive::whole(out, format, shipment, names, event))
            }
        }
    }

    /// Writes a shipment to a registry or an engine.
    fn send(
        &mut self,
        (target, early): (&Target, Option<&early::Queue>),
        shipment: &Shipment<'_>,
        names: &[Reference],
        remotes: Remotes<'_>,
    ) -> Result<(), OutputError> {
        let Remotes { registries, push, event } = remotes;
        match &target.destination {
            Destination::Registry(name) => {
                let repository = registries.repository(&name.registry, &name.repository)?;
                self.pushed.push(push::push(shipment, name, (&repository, early), push, event)?);
            }
            Destination::Engine(image) => {
                self.loaded.push(engine::load(shipment, image.engine, names, event)?);
            }
            Destination::Path(_) | Destination::Stdout => {}
        }
        Ok(())
    }
}
