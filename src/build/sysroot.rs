//! Where files come from that neither the inputs nor what lies below them has: a directory of the
//! host, an image, or the base itself.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    BaseContext, BuildError, Cause, OpenBase,
    base::{self, BareName},
};
use crate::{
    digest::Digest,
    image::DEFAULT_PATH,
    path::ImagePath,
    plan,
    source::{self, HostRoot, InputOptions, SourceError, Sysroot},
    tree::Tree,
    uninterrupted,
};

/// A sysroot that the user named, or that nothing else was named instead of.
#[derive(Debug)]
pub enum OpenSysroot {
    /// A directory of the host.
    Directory(HostRoot),
    /// The files of an image.
    Image(Box<SysrootImage>),
    /// The image that the new layers are put on.
    Base,
}

/// The files of an image, and where it has its commands.
#[derive(Debug)]
pub struct SysrootImage {
    tree: Tree,
    command_dirs: Vec<ImagePath>,
    /// What is odd about the image and harmless, as sentences.
    notes: Vec<String>,
    /// What identifies the image; `None` for a tarball.
    digest: Option<Digest>,
}

impl OpenSysroot {
    /// Opens what `name` names: a directory, unless it is an OCI layout, or else an image in any
    /// form that a base can have. Without a name it is the base if that is an operating system, so
    /// that an image is not mixed from two of them, and otherwise the root of this machine.
    /// Relative paths are taken from the context if they exist there.
    ///
    /// # Errors
    /// [`BuildError::Sysroot`]
    pub fn open(
        name: Option<&Path>,
        base: &Tree,
        options: &BaseContext<'_>,
    ) -> Result<Self, BuildError> {
        Self::try_open(name, plan::is_system(base), options).map_err(|cause| BuildError::Sysroot {
            name: name.unwrap_or(Path::new("/")).to_owned(),
            cause: Box::new(cause),
        })
    }

    pub(super) fn try_open(
        name: Option<&Path>,
        base_is_system: bool,
        options: &BaseContext<'_>,
    ) -> Result<Self, Cause> {
        let name = match name {
            Some(name) => name,
            None if base_is_system => return Ok(Self::Base),
            None => Path::new("/"),
        };
        if let Some(dir) = directory(name, options)? {
            let root = HostRoot::new(&dir)
                .map_err(|source| SourceError::Unreadable { path: dir, source })?;
            return Ok(Self::Directory(root));
        }
        let Some(text) = name.to_str() else {
            return Err(Cause::not_found(name.display().to_string()));
        };
        let OpenBase { base, image } = base::open(text, BareName::File, None, options)?;
        let env = base.config.env.iter().rev();
        let path = env.filter_map(|entry| entry.strip_prefix("PATH=")).next().unwrap_or_default();
        let command_dirs = search_path(path);
        let notes = image.iter().flat_map(|image| image.notes()).collect();
        let digest = image.as_ref().map(|image| image.image.digest());
        let tree = base.files().into_owned();
        Ok(Self::Image(Box::new(SysrootImage { tree, command_dirs, notes, digest })))
    }

    /// Its files. `base` are those of the image that the new layers are put on.
    pub fn files<'a>(&'a self, base: &'a Tree) -> Sysroot<'a> {
        match self {
            Self::Directory(root) => root.into(),
            Self::Image(image) => (&image.tree).into(),
            Self::Base => base.into(),
        }
    }

    /// What identifies it, if it is an image of its own.
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Self::Image(image) => image.digest,
            Self::Directory(_) | Self::Base => None,
        }
    }

    /// What is odd about the image and harmless, as sentences.
    pub fn notes(&self) -> &[String] {
        match self {
            Self::Image(image) => &image.notes,
            Self::Directory(_) | Self::Base => &[],
        }
    }

    /// `options` with the directories that bare names of commands are looked up in: an image has
    /// its own PATH, whose programs are not this machine's. `env` are the variables of the base.
    pub fn options<'o>(&self, options: &'o InputOptions, env: &[String]) -> Cow<'o, InputOptions> {
        let command_dirs = match self {
            Self::Directory(_) => return Cow::Borrowed(options),
            Self::Image(image) => image.command_dirs.clone(),
            Self::Base => {
                let path = env.iter().rev().find_map(|entry| entry.strip_prefix("PATH="));
                search_path(path.unwrap_or_default())
            }
        };
        Cow::Owned(InputOptions { command_dirs, versions: BTreeMap::new(), ..options.clone() })
    }
}

/// The directories of `path`, then the usual ones.
fn search_path(path: &str) -> Vec<ImagePath> {
    let dirs = path.split(':').chain(DEFAULT_PATH.split(':')).filter(|dir| dir.starts_with('/'));
    dirs.filter_map(|dir| ImagePath::new(dir).ok()).collect()
}

/// The directory of files that `name` names, unless it is an image.
fn directory(name: &Path, options: &BaseContext<'_>) -> Result<Option<PathBuf>, SourceError> {
    let Some(path) = base::place(name, options)? else { return Ok(None) };
    let find = |path: &Path| {
        source::if_present(uninterrupted::metadata(path))
            .map_err(|source| SourceError::Unreadable { path: path.to_owned(), source })
    };
    let is_directory = find(&path)?.is_some_and(|found| found.is_dir());
    let is_layout =
        find(&path.join("oci-layout"))?.is_some() && find(&path.join("index.json"))?.is_some();
    Ok((is_directory && !is_layout).then_some(path))
}
