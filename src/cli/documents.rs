//! Documents about an image that are made together with it: in files, and attached.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Value, json};

use super::{
    document_file,
    failure::Failure,
    options::documents::{DocumentArgs, Kind},
    overlap::{Inputs, absolute_path, would_replace},
    parameters::parameters,
    terminal::print_message,
};
use crate::{
    compress,
    digest::Digest,
    error_kind::{system_reason, with_causes},
    explain::{
        bill::{About, subject},
        materials::materials,
        recorded,
    },
    image::{Artifact, Bundle, Destination, OutputFormat, Platform, Target},
    output::{self, Staged},
    pipeline::{Delivery, Error, Part},
    sbom::{
        document,
        provenance::{Material, Provenance, statement},
    },
    transfer::has_referrers,
    uninterrupted,
};

/// Bytes of an old document that are looked at: keys are sorted, so marks may be at its end.
const MAX_DOCUMENT: u64 = 64 << 20;

/// What is made, and where it goes.
#[derive(Debug, Default)]
pub(super) struct Documents {
    files: Vec<(Kind, PathBuf)>,
    /// What is attached, and whether in registries only.
    attached: Vec<(Kind, bool)>,
    /// What the images are made of, besides the files of their plans.
    materials: Vec<Material>,
    /// The command and its options.
    parameters: Value,
}

/// The documents of the images of one command.
pub(super) struct Making<'a> {
    documents: &'a Documents,
    parts: &'a [Part<'a>],
    name: String,
    /// What has been made, by the number of the image.
    made: RefCell<BTreeMap<(Kind, usize), Vec<u8>>>,
    attached: RefCell<Vec<Attached>>,
    /// The files, complete but without their names.
    staged: RefCell<Vec<(Kind, PathBuf, Staged)>>,
}

/// An artifact that was attached.
struct Attached {
    kind: Kind,
    digest: Digest,
    subject: Digest,
}

impl Documents {
    /// What `args` of the command with the arguments `A` asks for. A list without a file goes
    /// beside the first of `targets` that is a file or directory, and is attached in registries.
    ///
    /// # Errors
    /// If a document has no place, would replace an input or another output, or, without `force`,
    /// would replace a file that is not such a document. `outputs` are the paths of outputs, to
    /// which those of the documents are added.
    pub(super) fn of<A: Args>(
        args: &DocumentArgs,
        targets: &[Target],
        (inputs, outputs): (&Inputs, &mut BTreeSet<PathBuf>),
        platforms: &[Option<Platform>],
        force: bool,
    ) -> Result<Self, Failure> {
        let is_kept = |path: &&Path| !path.starts_with("/dev") && !path.starts_with("/proc");
        let beside = targets.iter().filter_map(Target::path).find(is_kept);
        let is_registry = |target: &Target| matches!(target.destination, Destination::Registry(_));
        let is_pushed = targets.iter().any(is_registry);
        let mut all = Self::default();
        for request in &args.sbom {
            let kind = Kind::from(request.format);
            match (&request.file, beside) {
                (Some(file), _) => all.files.push((kind, file.clone())),
                (None, Some(output)) => {
                    // Without the slash of `DIR/`.
                    let mut name = output.components().as_path().as_os_str().to_owned();
                    name.push(".");
                    name.push(kind.extension());
                    all.files.push((kind, name.into()));
                }
                (None, None) if is_pushed || targets.is_empty() => {}
                (None, None) => {
                    let failure = Failure::usage("--sbom does not say where the document goes");
                    let hint = "the image does not become a file: name one, as in --sbom \
                                spdx=app.spdx.json";
                    return Err(failure.with_hint(hint));
                }
            }
            if request.file.is_none() && is_pushed {
                all.attached.push((kind, true));
            }
        }
        all.files.extend(args.provenance.iter().map(|file| (Kind::Provenance, file.clone())));
        for kind in &args.attach {
            if !targets.is_empty() && !targets.iter().any(has_referrers) {
                let failure = Failure::usage("--attach: no output has a place for documents");
                let hint = "registries, OCI layouts and archives have, as in -o app.tar";
                return Err(failure.with_hint(hint));
            }
            all.attached.retain(|(other, _)| other != kind);
            all.attached.push((*kind, false));
        }
        for (kind, file) in &all.files {
            for file in places(*kind, file, platforms) {
                claim(&file, inputs, outputs)?;
                if !force {
                    refuse_other(&file)?;
                }
            }
        }
        if all.have_provenance() {
            all.parameters = parameters::<A>();
        }
        Ok(all)
    }

    /// Adds images by the names that the user gave them.
    pub(super) fn add_images(&mut self, images: impl IntoIterator<Item = (String, Digest)>) {
        for (name, digest) in images {
            let material = Material::named("image", name, digest);
            if !self.materials.contains(&material) {
                self.materials.push(material);
            }
        }
    }

    /// Adds the Buildfile.
    pub(super) fn add_buildfile(&mut self, name: &str, text: &str) {
        self.materials.push(Material::named("buildfile", name.to_owned(), Digest::of(text)));
    }

    /// Whether something is made that tells of the image's materials.
    pub(super) fn have_provenance(&self) -> bool {
        let attached = self.attached.iter().map(|(kind, _)| kind);
        self.files.iter().map(|(kind, _)| kind).chain(attached).any(|it| *it == Kind::Provenance)
    }
}

/// Adds the path of a document to those of `outputs`.
fn claim(file: &Path, inputs: &Inputs, outputs: &mut BTreeSet<PathBuf>) -> Result<(), Failure> {
    let shown = file.display();
    if file == Path::new("-") {
        return Err(Failure::usage("stdout is for the image's digest: name a file instead of `-`"));
    }
    let inputs = inputs.files.iter().chain(&inputs.base);
    if let Some(input) = inputs.into_iter().find(|input| document_file::is_same(file, input)) {
        return Err(would_replace(&format!("`{shown}`"), input));
    }
    let is_other = |other: &PathBuf| document_file::is_same(file, other);
    let absolute = absolute_path(file).map_err(|error| {
        Failure::local(format!("cannot write `{shown}`: {}", with_causes(&error)))
    })?;
    let is_in_layout = std::path::absolute(file)
        .is_ok_and(|file| outputs.iter().any(|output| file != *output && file.starts_with(output)));
    if is_in_layout {
        return Err(Failure::usage(format!("`{shown}` would be in the directory of an image")));
    }
    if outputs.iter().any(is_other) || absolute.is_some_and(|path| !outputs.insert(path)) {
        return Err(Failure::usage(format!("two outputs go to `{shown}`")));
    }
    Ok(())
}

/// The files of a document: of one about each image, one for each of several platforms.
fn places(kind: Kind, file: &Path, platforms: &[Option<Platform>]) -> Vec<PathBuf> {
    if kind == Kind::Provenance || platforms.len() < 2 {
        return vec![file.to_owned()];
    }
    let platforms = platforms.iter().flatten();
    platforms.map(|platform| of_platform(file, &platform.to_string())).collect()
}

/// Refuses to replace a file that is not a document of one of the kinds.
fn refuse_other(file: &Path) -> Result<(), Failure> {
    let shown = file.display();
    let is_document = is_document(file).map_err(|error| {
        Failure::local(format!("cannot read `{shown}`: {}", with_causes(&error)))
    })?;
    if is_document {
        return Ok(());
    }
    let message = format!("`{shown}` exists and is not such a document");
    Err(Failure::local(message).with_hint("use `--force` to replace it"))
}

/// Whether what is at `path` may be replaced: nothing, a device, an empty file, or a document.
fn is_document(path: &Path) -> io::Result<bool> {
    const MARKS: [&str; 3] = ["\"SPDXID\"", "\"bomFormat\"", "in-toto.io/Statement"];
    if !uninterrupted::metadata(path).is_ok_and(|found| found.is_file() && found.len() > 0) {
        return Ok(true);
    }
    let mut bytes = Vec::new();
    fs_err::File::open(path)?.take(MAX_DOCUMENT).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(MARKS.iter().any(|mark| text.contains(mark)))
}

impl<'a> Making<'a> {
    pub(super) fn new(
        documents: &'a Documents,
        parts: &'a [Part<'a>],
        delivery: &Delivery,
    ) -> Self {
        let names = delivery.targets.iter().map(|target| delivery.names_of(target));
        let name = names.flatten().next().unwrap_or_else(|| delivery.fallback_name.clone());
        Self {
            documents,
            parts,
            name: name.familiar(),
            made: RefCell::default(),
            attached: RefCell::default(),
            staged: RefCell::default(),
        }
    }

    /// Fails if a file cannot be created, before images are made.
    ///
    /// # Errors
    /// If a directory does not exist or cannot be written.
    pub(super) fn check_places(&self, targets: &[Target]) -> Result<(), Failure> {
        if self.documents.files.is_empty() {
            return Ok(());
        }
        // A layout is made with the directories above it, where its documents may go.
        let layouts = targets.iter().filter(|one| one.format == OutputFormat::OciLayout);
        for dir in layouts.filter_map(|one| one.path()?.parent()) {
            // Its errors do not name the path, as those of `fs_err` do.
            let make = || std::fs::DirBuilder::new().recursive(true).create(dir);
            uninterrupted::uninterrupted(make).map_err(|error| {
                let why = system_reason(&error);
                Failure::local(format!("cannot create `{}`: {why}", dir.display()))
            })?;
        }
        let platforms = self.parts.iter().map(|part| Some(part.plan.config.platform.clone()));
        let platforms: Vec<_> = platforms.collect();
        for (kind, file) in &self.documents.files {
            for place in places(*kind, file, &platforms) {
                output::check_place(&place).map_err(Error::from)?;
            }
        }
        Ok(())
    }

    /// The artifacts about the images of `bundle`, and about their index. The files are written as
    /// well, and get their names by [`Making::publish`].
    ///
    /// # Errors
    /// If a file of an image cannot be read, or a document cannot be written.
    pub(super) fn artifacts(&self, bundle: &Bundle) -> Result<Vec<Artifact>, Error> {
        let mut all = Vec::new();
        for (kind, is_for_registries) in &self.documents.attached {
            // Provenance is about the whole.
            let count = if *kind == Kind::Provenance { 1 } else { bundle.images().len() };
            for (at, image) in bundle.images().iter().enumerate().take(count) {
                let bytes = self.bytes(*kind, at, bundle)?;
                let whole = bundle.root();
                let of_image = image.descriptor();
                let subject = if *kind == Kind::Provenance { &whole } else { &of_image };
                let artifact = Artifact::new(subject, kind.media_type(), kind.extension(), bytes);
                let (digest, subject) = (artifact.manifest.digest, artifact.subject);
                self.attached.borrow_mut().push(Attached { kind: *kind, digest, subject });
                let is_for_registries = *is_for_registries;
                all.push(Artifact { is_for_registries, ..artifact });
            }
        }
        self.stage(bundle)?;
        Ok(all)
    }

    /// One document, which is made once.
    fn bytes(&self, kind: Kind, at: usize, bundle: &Bundle) -> Result<Vec<u8>, Error> {
        if let Some(made) = self.made.borrow().get(&(kind, at)) {
            return Ok(made.clone());
        }
        let bytes = self.make(kind, at, bundle)?;
        self.made.borrow_mut().insert((kind, at), bytes.clone());
        Ok(bytes)
    }

    fn make(&self, kind: Kind, at: usize, bundle: &Bundle) -> Result<Vec<u8>, Error> {
        let (Some(part), Some(image)) = (self.parts.get(at), bundle.images().get(at)) else {
            return Ok(Vec::new());
        };
        let plan = part.plan;
        let value: Value = match kind {
            Kind::Reasons => return Ok(recorded::document(plan)?),
            Kind::Provenance => statement(&self.provenance(bundle)?),
            Kind::Spdx | Kind::Cyclonedx => {
                let about = About {
                    name: self.name.clone(),
                    digest: image.manifest.digest,
                    platform: image.platform.to_string(),
                    created: plan.config.created,
                };
                let Some(format) = kind.format() else { return Ok(Vec::new()) };
                document(&subject(&plan.merged(), about)?, format)
            }
        };
        Ok(format!("{value:#}\n").into_bytes())
    }

    fn provenance(&self, bundle: &Bundle) -> Result<Provenance, Error> {
        let index = bundle.index().map(|index| index.digest);
        let images = bundle.images().iter().map(|image| image.manifest.digest);
        let subjects = index.into_iter().chain(images).map(|digest| (self.name.clone(), digest));
        let mut all = self.documents.materials.clone();
        for part in self.parts {
            for material in materials(part.plan)? {
                if !all.contains(&material) {
                    all.push(material);
                }
            }
        }
        Ok(Provenance {
            subjects: subjects.collect(),
            parameters: self.documents.parameters.clone(),
            format: compress::FORMAT,
            materials: all,
        })
    }

    /// Writes the files without their names, so that what keeps them from being written is known
    /// before an image is. Of several images, each has the platform in its name.
    fn stage(&self, bundle: &Bundle) -> Result<(), Error> {
        let images = bundle.images();
        for (kind, path) in &self.documents.files {
            let platforms: Vec<_> =
                images.iter().map(|image| Some(image.platform.clone())).collect();
            for (at, path) in places(*kind, path, &platforms).into_iter().enumerate() {
                let staged = Staged::new(&path, &self.bytes(*kind, at, bundle)?)?;
                self.staged.borrow_mut().push((*kind, path, staged));
            }
        }
        Ok(())
    }

    /// Gives the files their names.
    ///
    /// # Errors
    /// If one cannot get it.
    pub(super) fn publish(&self, quiet: bool) -> Result<(), Failure> {
        for (kind, path, staged) in self.staged.take() {
            staged.publish().map_err(Error::from)?;
            if !quiet {
                print_message(&format!("  {:<10} {}", kind.name(), path.display()));
            }
        }
        if !quiet {
            for one in self.attached.borrow().iter() {
                let (name, kind) = (one.kind.name(), one.kind.media_type());
                print_message(&format!("  {name:<10} attached as {kind}, {}", one.digest));
            }
        }
        Ok(())
    }

    /// What was attached, as JSON.
    pub(super) fn json(&self) -> Value {
        let one = |one: &Attached| {
            json!({
                "type": one.kind.media_type(),
                "digest": one.digest.to_string(),
                "subject": one.subject.to_string(),
            })
        };
        self.attached.borrow().iter().map(one).collect()
    }
}

/// The name for one of several platforms: `app.tar.linux-arm64.spdx.json`.
fn of_platform(path: &Path, platform: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let endings = [".spdx.json", ".cdx.json", ".json"];
    let ending = endings.into_iter().find(|ending| name.ends_with(ending)).unwrap_or_default();
    let stem = name.strip_suffix(ending).unwrap_or(&name);
    path.with_file_name(format!("{stem}.{}{ending}", platform.replace('/', "-")))
}
