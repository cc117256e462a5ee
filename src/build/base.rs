//! What a stage starts from: an image in a file or directory, or a tarball.

use std::{
    cell::Cell,
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    BuildError, Cause,
    stage::{OpenBase, Stage},
};
use crate::{
    image::{Config, History, ImageName, Platform},
    oci::{self, UnpackedImage},
    path::ImagePath,
    plan::{self, Base, PlannedLayer},
    recipe::evaluate::Inherited,
    source::{self, HostRoot, SourceError},
    tree::{Node, Tree},
    uninterrupted,
};

/// What a base image is opened with.
#[derive(Debug)]
pub struct BaseContext<'a> {
    /// Where relative paths are looked up first.
    pub context: &'a Path,
    /// How files become trees.
    pub source: &'a source::InputOptions,
    /// The platform that is wanted.
    pub platform: Option<&'a Platform>,
    /// The platform of what does not say its own.
    pub fallback_platform: &'a Platform,
    /// How images are opened.
    pub image: &'a oci::OpenOptions,
}

/// What a name without a transport may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BareName {
    /// A file or directory.
    File,
    /// A file or directory if there is one, otherwise an image in a registry, as in FROM.
    FileOrRegistry,
}

impl<'a> BaseContext<'a> {
    /// Paths are those of the working directory. `platforms` are the one that is wanted, and that
    /// of what does not say its own.
    pub fn here(
        source: &'a source::InputOptions,
        image: &'a oci::OpenOptions,
        (platform, fallback_platform): (Option<&'a Platform>, &'a Platform),
    ) -> Self {
        Self { context: Path::new(""), source, platform, fallback_platform, image }
    }
}

/// Opens the image that `pack --base` names.
///
/// # Errors
/// [`BuildError::Base`]
pub fn open_base(name: &str, options: &BaseContext<'_>) -> Result<OpenBase, BuildError> {
    open(name, BareName::File, None, options)
        .map_err(|cause| BuildError::Base { name: name.into(), cause: Box::new(cause) })
}

/// Opens the image that FROM, `--from`, `--base` or `--sysroot` names. Relative paths are taken
/// from the context if they exist there, otherwise from the current directory.
pub(super) fn open(
    name: &str,
    bare: BareName,
    platform: Option<&str>,
    options: &BaseContext<'_>,
) -> Result<OpenBase, Cause> {
    if let Some(tarball) = name.strip_prefix("rootfs:") {
        return rootfs(name, tarball, options);
    }
    let wanted = match platform {
        Some(text) => {
            Some(text.parse::<Platform>().map_err(|error| Cause::Platform(error.to_string()))?)
        }
        None => options.image.platform.clone(),
    };
    let fault = Cell::new(None);
    let there = |path: &Path| match place(path, options) {
        Ok(place) => place.is_some(),
        Err(error) => {
            fault.set(Some(error));
            false
        }
    };
    let image = match bare {
        BareName::FileOrRegistry => ImageName::parse_in_recipe(name, there),
        BareName::File => ImageName::parse(name, there),
    };
    if let Some(error) = fault.into_inner() {
        return Err(error.into());
    }
    let mut image = image?;
    if let ImageName::Stored(stored) = &mut image {
        match place(&stored.path, options)? {
            Some(path) => stored.path = path,
            None if stored.transport.is_none() => return Err(Cause::NoImage(name.into())),
            None => {}
        }
    }
    let options_of_image = oci::OpenOptions { platform: wanted, ..options.image.clone() };
    let image = oci::open(&image, &options_of_image)?.unpack_pieces()?;
    for layer in &image.layers {
        if layer.document().is_none() {
            return Err(Cause::Layer(format!("{:?}", layer.format)));
        }
    }
    Ok(of_image(Arc::new(image), options))
}

fn of_image(image: Arc<UnpackedImage>, options: &BaseContext<'_>) -> OpenBase {
    let config = Config { created: options.source.mtime.of_image(), ..image.image.config.clone() };
    let mut tree = image.merged();
    tree.add_parents(|path| plan::parent(path, options.source.mtime));
    let base = Base { tree, layers: Vec::new(), config, platform_known: true, is_scratch: false };
    OpenBase { base, image: Some(image) }
}

/// Where the context or else the current directory has `path`.
pub(super) fn place(
    path: &Path,
    options: &BaseContext<'_>,
) -> Result<Option<PathBuf>, SourceError> {
    for path in [options.context.join(path), path.into()] {
        let found = source::if_present(uninterrupted::metadata(&path))
            .map_err(|source| SourceError::Unreadable { path: path.clone(), source })?;
        if found.is_some() {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// A tarball as the one layer of an image.
fn rootfs(name: &str, path: &str, options: &BaseContext<'_>) -> Result<OpenBase, Cause> {
    let missing = || Cause::not_found(path);
    let path = place(Path::new(path), options)?.ok_or_else(missing)?;
    let real = uninterrupted::canonicalize(&path)
        .map_err(|source| SourceError::Unreadable { path: path.clone(), source })?;
    let node = found(&real)?.ok_or_else(missing)?;
    let Some(file) = node.file() else { return Err(missing()) };
    let tree = source::unpack(&path.display().to_string(), file, options.source)?;
    of_tree(name, tree, options)
}

/// `tree` as the one layer of an image, whose history says `name`.
pub(super) fn of_tree(
    name: &str,
    mut tree: Tree,
    options: &BaseContext<'_>,
) -> Result<OpenBase, Cause> {
    tree.add_parents(|path| plan::parent(path, options.source.mtime));
    plan::set_times(&mut tree, options.source.mtime)?;
    let mut base = Base { is_scratch: false, ..scratch(options) };
    let empty_layer = tree.is_empty();
    base.config.history.push(History { created_by: name.into(), empty_layer });
    if !empty_layer {
        base.layers.push(PlannedLayer::new("1", tree));
    }
    Ok(OpenBase { base, image: None })
}

/// The file at a real path of the host.
fn found(path: &Path) -> Result<Option<Node>, SourceError> {
    use std::os::unix::ffi::OsStrExt as _;
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    let unreadable = |source| SourceError::Unreadable { path: dir.into(), source };
    let host = HostRoot::new(dir).map_err(unreadable)?;
    let Ok(name) = ImagePath::new(name.as_bytes()) else { return Ok(None) };
    Ok(host.node(&name)?.ok().flatten())
}

/// The stage, unless its image asks for instructions to be carried out in whatever starts from it.
pub(super) fn without_triggers(stage: Stage) -> Result<Stage, Cause> {
    match stage.image.as_ref().and_then(|image| image.image.config.trigger()) {
        Some(trigger) => Err(Cause::Triggers(trigger.to_owned())),
        None => Ok(stage),
    }
}

/// An image without files, for the platform that was asked for or this machine's.
pub(super) fn scratch(options: &BaseContext<'_>) -> Base {
    let platform = options.platform.unwrap_or(options.fallback_platform).clone();
    let platform_known = options.platform.is_some();
    Base { platform_known, ..Base::scratch(platform, options.source.mtime.of_image()) }
}

/// What a base image gives to the evaluation.
pub(super) fn inherited(stage: &Stage) -> Inherited {
    let config = &stage.config;
    let pair = |entry: &String| {
        entry.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let env: BTreeMap<String, String> = config.env.iter().filter_map(pair).collect();
    Inherited {
        env,
        workdir: config.workdir.as_ref().and_then(|dir| ImagePath::new(dir).ok()),
        shell: config.shell.clone().unwrap_or_default(),
    }
}
