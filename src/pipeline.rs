//! All steps in order, each taking the value of the one before, and the union of their errors.

mod deps;
mod layers;
mod notes;
mod repositories;
mod shared;

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    archive::spool::Limits,
    build::{self, BaseContext, BuildError, Built, OpenBase, OpenSysroot},
    check::{self, Report},
    compress::Compression,
    digest::Digest,
    elf::ReadFailure,
    error_kind::ErrorKind,
    explain::{bill::BillError, recorded::DocumentError},
    image::{Artifact, Bundle, BundleError, Platform, Reference, Replaced, Target},
    oci::{self, ImageError},
    output::{Loaded, OutputError, Outputs, PushOptions, Pushed, Remotes, Transfer, Written},
    pack::{self, PackError, Step},
    path::{ImagePath, glob::Glob},
    plan::{self, Base, Note, Plan, PlanError},
    recipe::Recipe,
    registry::Registries,
    reuse::{Place, Sources},
    source::{self, Input, Request, SourceError, Sysroot},
    store::{Durability, cache::Cache},
};

pub use deps::{DepsRequest, deps};
use layers::Packing;
use notes::{add, losses_of, lost};

/// What to pack, and how to decide about it.
#[derive(Debug)]
pub struct PackRequest {
    /// The inputs, in order.
    pub requests: Vec<Request>,
    /// The name of the image that they are put on.
    pub base: Option<String>,
    /// Where libraries and system files are looked up ([`OpenSysroot::open`]).
    pub sysroot: Option<PathBuf>,
    /// How the base and the sysroot are opened, where they are images.
    pub image: oci::OpenOptions,
    /// How inputs become trees.
    pub source: source::InputOptions,
    /// How the plan is made.
    pub plan: plan::PlanOptions,
    /// Refuse what looks like a secret in a directory.
    pub deny_secrets: bool,
}

/// The plan of an image, and the image whose layers lie below the plan's.
#[derive(Debug)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// The image below.
    pub base: Option<Arc<oci::UnpackedImage>>,
    /// Where files were looked up.
    pub sysroot: OpenSysroot,
}

/// One image to be written: its plan, and what that is put on.
#[derive(Debug)]
pub struct Part<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The image whose layers lie below the plan's.
    pub base: Option<&'a oci::UnpackedImage>,
    /// Annotations of its manifest; those of the [`Delivery`] take precedence.
    pub annotations: BTreeMap<String, String>,
}

/// Where images are written, and how.
#[derive(Debug)]
pub struct Delivery {
    /// The outputs.
    pub targets: Vec<Target>,
    /// Names for all of them; without any, each output's stem.
    pub names: Vec<Reference>,
    /// The name of an image that goes to stdout and was given none.
    pub fallback_name: Reference,
    /// How layers are compressed.
    pub compression: Compression,
    /// The number of threads; no influence on the bytes.
    pub jobs: NonZeroUsize,
    /// Where compressed layers are kept from one run to the next.
    pub cache: Option<Cache>,
    /// Where layers of other builds and machines are looked for.
    pub cache_from: Vec<Place>,
    /// Caches, as `oci:DIR` and `docker://NAME`, that layers are added to.
    pub cache_to: Vec<String>,
    /// Annotations of each manifest.
    pub annotations: BTreeMap<String, String>,
    /// This machine's platform, whose image of several `docker load` takes.
    pub machine: Platform,
    /// The directory for layers that no output can take while they are packed.
    pub scratch: PathBuf,
    /// Whether outputs are on the disk at the end.
    pub durability: Durability,
    /// How registries are reached.
    pub registries: Registries,
    /// What registries have to fulfil.
    pub push: PushOptions,
    /// The only digest that the image or index may have.
    pub expected: Option<Digest>,
}

/// What was written.
#[derive(Debug)]
pub struct Delivered {
    /// The image, or the index and its images, one for each part.
    pub bundle: Bundle,
    /// The layers of each part's plan, as they were made.
    pub layers: Vec<Vec<pack::Layer>>,
    /// Each target's names.
    pub names: Vec<Vec<Reference>>,
    /// What the user should know of the image as it was written.
    pub notes: Vec<Note>,
    /// Older builds of the image that are no longer in a layout, with the layout's directory.
    pub replaced: Vec<(PathBuf, Replaced)>,
    /// Images in registries, in the order of the targets.
    pub pushed: Vec<Pushed>,
    /// Images in engines, in the order of the targets.
    pub loaded: Vec<Loaded>,
    /// Why registries and engines have not got the image which other outputs have.
    pub faults: Vec<OutputError>,
}

/// Progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A phase begins.
    Phase(Phase),
    /// Layers are made: how much, and how much of it is done.
    Packing(Step),
    /// Blobs are sent to a registry or an engine.
    Moving(Transfer),
}

/// The phases, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The inputs are resolved.
    Inputs,
    /// What they need is looked up.
    Plan,
    /// The proof that the image will start.
    Check,
    /// Content is read, compressed and hashed.
    Layers,
    /// What is left of the outputs is written, and all of them reach the disk.
    Output,
}

/// An error of any step.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// With an input.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// While deciding.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// With a recipe.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Files that look like secrets, where none may be.
    #[error("these look like secrets: {}", list(.0))]
    Secrets(Vec<ImagePath>),
    /// With the base image.
    #[error(transparent)]
    Base(#[from] ImageError),
    /// While reading and compressing.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// Images that cannot be written together.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// While describing what images are made of.
    #[error(transparent)]
    Bill(#[from] BillError),
    /// While writing down why files are there.
    #[error("cannot attach the reasons: {0}")]
    Reasons(#[from] DocumentError),
    /// With an output.
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl Error {
    /// What the error means to the caller. Bytes of images are fetched by whatever reads them
    /// first, so that a registry's error may be inside any other.
    pub fn kind(&self) -> ErrorKind {
        let cause = match self {
            Self::Build(error) => error.cause().map(|cause| cause as &dyn std::error::Error),
            _ => None,
        };
        ImageError::kind_inside(cause.unwrap_or(self)).unwrap_or_else(|| self.own_kind())
    }

    fn own_kind(&self) -> ErrorKind {
        match self {
            Self::Source(error) => error.kind(),
            Self::Plan(error) => error.kind(),
            Self::Build(error) => error.kind(),
            Self::Secrets(_) | Self::Bundle(_) | Self::Reasons(_) => ErrorKind::Build,
            Self::Bill(_) => ErrorKind::Input,
            Self::Base(error) => error.kind(),
            Self::Pack(error) => error.kind(),
            Self::Output(error) => error.kind(),
        }
    }
}

impl From<ReadFailure> for Error {
    fn from(failure: ReadFailure) -> Self {
        Self::Source(failure.into())
    }
}

fn list(paths: &[ImagePath]) -> String {
    paths.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ")
}

/// Decides what the image holds. Reads metadata, ELF headers, the loader's configuration, and the
/// base image if there is one.
///
/// # Errors
/// [`Error::Source`], [`Error::Plan`], [`Error::Build`], [`Error::Secrets`].
pub fn plan(request: &PackRequest, event: &dyn Fn(Event)) -> Result<Planned, Error> {
    event(Event::Phase(Phase::Inputs));
    let options = &request.plan;
    let platforms = (options.platform.as_ref(), &options.fallback_platform);
    let context = BaseContext::here(&request.source, &request.image, platforms);
    let OpenBase { base, image } = match &request.base {
        Some(name) => build::open_base(name, &context)?,
        None => {
            let platform = options.fallback_platform.clone();
            let base = Base::scratch(platform, request.source.mtime.of_image());
            OpenBase { base, image: None }
        }
    };
    let files = base.files();
    let open = OpenSysroot::open(request.sysroot.as_deref(), &files, &context)?;
    let source = &*open.options(&request.source, &base.config.env);
    let sysroot = open.files(&files);
    let (inputs, secrets) = gather(request, sysroot, source)?;
    event(Event::Phase(Phase::Plan));
    let below = base.below(&files);
    let decision = plan::make(plan::Request { inputs, below, sysroot, source, options })?;
    drop(files);
    let mut plan = base.plan(decision, &options.settings);
    let of_base = image.iter().flat_map(|image| image.notes());
    let base_name = request.base.as_deref().unwrap_or_default();
    let of_base = of_base.map(|text| format!("{base_name}: {text}"));
    let sysroot_name = request.sysroot.as_deref().unwrap_or(Path::new("/")).display();
    let of_sysroot = open.notes().iter().map(|text| format!("{sysroot_name}: {text}"));
    plan.notes.extend(of_base.chain(of_sysroot).map(Note::warning).chain(secrets));
    Ok(Planned { plan, base: image, sysroot: open })
}

/// The inputs, and notes on files that look like secrets.
fn gather(
    request: &PackRequest,
    sysroot: Sysroot<'_>,
    options: &source::InputOptions,
) -> Result<(Vec<Input>, Vec<Note>), Error> {
    let inputs = source::gather(&request.requests, sysroot, options)?;
    let secrets = build::suspects(&inputs)?;
    if request.deny_secrets && !secrets.is_empty() {
        return Err(Error::Secrets(secrets));
    }
    let hint = "leave it out with --exclude, or name it as an input of its own";
    let note = |path: &ImagePath| build::secret_note(path, hint);
    let mut notes: Vec<Note> = secrets.iter().map(note).collect();
    notes.extend(ambiguous(&request.requests, sysroot)?);
    Ok((inputs, notes))
}

/// An absolute path that exists in the sysroot is the sysroot's: where the host has it as well,
/// that may have been meant.
fn ambiguous(requests: &[Request], sysroot: Sysroot<'_>) -> Result<Vec<Note>, ReadFailure> {
    let hint = "name the host's by a relative path";
    let mut notes = Vec::new();
    for request in requests {
        if let Some(path) = request.ambiguous(sysroot)? {
            let text = format!("`{path}` is taken from the sysroot, and the host has it as well");
            notes.push(Note::warning(text).with_hint(hint));
        }
    }
    Ok(notes)
}

/// Proves that the image of `plan` will start: everything is resolved again among the plan's own
/// files. `allow_missing` are the names that may be missing.
///
/// # Errors
/// [`Error::Source`] where a file of the image cannot be read.
pub fn prove(plan: &Plan, allow_missing: &[Glob]) -> Result<Report, Error> {
    let options = check::CheckOptions { allow_missing, strict: false };
    Ok(check::prove(&plan.merged(), &plan.config, options)?)
}

/// Decides what the image of a recipe holds.
///
/// # Errors
/// [`Error::Build`]
pub fn build(recipe: &Recipe, options: &build::BuildOptions) -> Result<Built, Error> {
    Ok(build::build(recipe, options)?)
}

/// Reads what the plans of `parts` name and writes it to every target: one image, or an index of
/// one image for each part. The layers of a base lie below its plan's and are copied byte for byte.
/// A root file system, and an archive without an index, take one part.
///
/// # Errors
/// [`Error::Pack`], [`Error::Output`]; a target that failed is as it was before. [`Error::Base`]
/// where the base image is not what it was, [`Error::Bundle`] where two parts have one platform.
/// Where only some registries and engines fail, their errors are in [`Delivered::faults`].
pub fn deliver(
    parts: &[Part<'_>],
    delivery: &Delivery,
    event: &(dyn Fn(Event) + Sync),
) -> Result<Delivered, Error> {
    deliver_with(parts, delivery, &|_| Ok(Vec::new()), event)
}

/// As [`deliver`]; `artifacts` are put beside the image in outputs that have a place for them.
///
/// # Errors
/// As [`deliver`], and those of `artifacts`.
pub fn deliver_with(
    parts: &[Part<'_>],
    delivery: &Delivery,
    artifacts: &dyn Fn(&Bundle) -> Result<Vec<Artifact>, Error>,
    event: &(dyn Fn(Event) + Sync),
) -> Result<Delivered, Error> {
    event(Event::Phase(Phase::Layers));
    let mut outputs =
        Outputs::open(delivery.targets.clone(), &delivery.scratch, delivery.durability)?;
    let (mut images, mut layers, mut blobs) = (Vec::new(), Vec::new(), Vec::new());
    let mut notes = Vec::new();
    let sources = (!delivery.cache_from.is_empty()).then(|| {
        Sources::open(delivery.cache_from.clone(), delivery.compression, delivery.opening())
    });
    let uploads = match delivery.expected {
        None => Some(outputs.upload_early(&delivery.registries, delivery.push)?),
        // It may turn out not to be wanted.
        Some(_) => None,
    };
    let to_caches = shared::uploads(delivery);
    let packing = Packing {
        delivery,
        sources: sources.as_ref(),
        uploads: uploads.as_deref(),
        to_caches: to_caches.as_ref(),
    };
    for part in parts {
        let (image, packed) = packing.pack(part, &mut outputs, &mut blobs, event)?;
        losses_of(&part.plan.config, &image, delivery, &mut notes);
        let capabilities = part.plan.layers.iter().flat_map(|one| check::capabilities(&one.tree));
        add(&mut notes, capabilities.map(|finding| Note::warning(finding.to_string())));
        images.push(image);
        layers.push(packed);
    }
    let bundle = Bundle::new(images, &delivery.machine)?;
    event(Event::Phase(Phase::Output));
    let root = || parts.first().map(|part| part.plan.merged()).unwrap_or_default();
    let names = |target: &Target| delivery.names_of(target);
    if let Some(wanted) = delivery.expected.filter(|wanted| *wanted != bundle.digest()) {
        return Err(OutputError::OtherDigest { wanted, found: bundle.digest() }.into());
    }
    let moving = |transfer| event(Event::Moving(transfer));
    let (registries, push) = (&delivery.registries, delivery.push);
    outputs.set_origins(repositories::of_layers(parts, sources.as_ref()));
    outputs.set_artifacts(artifacts(&bundle)?);
    let remotes = Remotes { registries, push, event: &moving };
    let written = outputs.write(&bundle, &blobs, &root, &names, remotes)?;
    let Written { replaced, pushed, loaded, faults } = written;
    let (others, replaced): (Vec<_>, Vec<_>) =
        replaced.into_iter().partition(|(_, replaced)| replaced.is_other);
    notes.extend(others.iter().map(|(layout, replaced)| lost(layout, replaced)));
    let problems = sources.iter().flat_map(Sources::problems);
    notes.extend(problems.map(Note::warning));
    let names = delivery.targets.iter().map(names).collect();
    let mut delivered =
        Delivered { bundle, layers, names, notes, replaced, pushed, loaded, faults };
    let kept = shared::keep_layers(&delivered, delivery, to_caches);
    delivered.notes.extend(kept);
    Ok(delivered)
}

impl Delivery {
    /// How the images of `cache_from` and `cache_to` are opened.
    fn opening(&self) -> oci::OpenOptions {
        oci::OpenOptions {
            platform: None,
            // Layers are the same whatever platform an image is for.
            any: true,
            machine: self.machine.clone(),
            spool: self.scratch.clone(),
            limits: Limits::default(),
            registries: self.registries.clone(),
            pieces: None,
        }
    }

    /// The names of the image in `target`.
    pub fn names_of(&self, target: &Target) -> Vec<Reference> {
        target.names(&self.names, &self.fallback_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The network fails while a layer is read, wherever that is.
    #[test]
    fn errors_of_late_reads_say_the_kind_of_what_failed() {
        use crate::{registry::RegistryError, source::content::ContentError, store::StoreError};
        let network = || {
            let (action, host, why) = ("read".into(), "registry".into(), "refused".into());
            ImageError::Registry(RegistryError::Network { action, host, why })
        };
        let digest = Digest::of("x");
        let changed = || {
            let digest = Digest::of("y");
            ImageError::Digest { what: "blob", wanted: digest, found: digest }
        };
        let late =
            [(network as fn() -> ImageError, ErrorKind::Registry), (changed, ErrorKind::Digest)];
        for (error, kind) in late {
            let read = || std::io::Error::other(error());
            let content = || ContentError::Archive { name: "i".into(), offset: 0, source: read() };
            let path = || PathBuf::from("/f");
            let step = BuildError::Base {
                name: "i".into(),
                cause: Box::new(SourceError::Unreadable { path: path(), source: read() }.into()),
            };
            for error in [
                Error::Pack(content().into()),
                Error::Pack(ContentError::Read { path: path(), source: read() }.into()),
                Error::Source(SourceError::Unreadable { path: path(), source: read() }),
                Error::Plan(SourceError::Unreadable { path: path(), source: read() }.into()),
                Error::Output(content().into()),
                Error::Output(
                    StoreError::Io { action: "read", path: path(), source: read() }.into(),
                ),
                Error::Output(OutputError::Blob { digest, source: read() }),
                Error::Base(ImageError::Unreadable { name: "i".into(), source: read() }),
                Error::Build(step),
            ] {
                assert_eq!(error.kind(), kind, "{error:?}");
            }
        }
    }

    #[test]
    fn a_base_that_changed_says_its_own_kind() {
        let digest = Digest::of("x");
        let changed = ImageError::Size { digest, wanted: 1, found: 2 };
        for (error, kind) in
            [(ImageError::MissingBlob(digest), ErrorKind::Refused), (changed, ErrorKind::Digest)]
        {
            assert_eq!(Error::Base(error).kind(), kind);
        }
    }
}
