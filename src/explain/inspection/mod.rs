//! Everything that is said of one image: what `imgb inspect` shows.

mod json;

use std::io;

use serde_json::Value;

use super::{
    reach::{Attached, NO_PROGRAM, Reach},
    resolve::ResolveOptions,
    usage::{self, InstalledPackage},
    waste::{self, Duplicates, Hidden},
};
use crate::{
    digest::Digest,
    elf::ReadFailure,
    error_kind::{ErrorKind, with_causes},
    image::Platform,
    oci::{Image, ImageError, UnpackedImage},
    packages::Format,
    path::ImagePath,
    plan::PlanError,
    tree::Tree,
};

/// What is said of an image.
#[derive(Debug)]
pub struct Inspection<'a> {
    /// The image.
    pub unpacked: &'a UnpackedImage,
    /// The platforms of the images that have its name.
    pub platforms: Vec<Platform>,
    /// The number of the only layer that is shown, from 0.
    pub layer: Option<usize>,
    /// The whole file system, or that of the layer.
    pub tree: &'a Tree,
    /// What later layers hide, of all layers.
    pub hidden: Vec<Hidden>,
    /// What the whole file system has several times.
    pub duplicates: Vec<Duplicates>,
    /// What leads to its paths.
    pub reach: Reached,
    /// The packages of the whole file system.
    pub packages: Vec<InstalledPackage>,
}

/// What leads to the paths of an image.
#[derive(Debug)]
pub enum Reached {
    /// Reasons, and the files and links that have none, with their sizes, largest first.
    Known(Reach, Vec<(ImagePath, u64)>),
    /// Nothing can be said, for this reason.
    Unknown(String),
}

/// Why an image cannot be inspected.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The index has an entry that is wrong.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A file of the package database cannot be read.
    #[error(transparent)]
    Packages(#[from] ReadFailure),
    /// What leads to the paths cannot be found, because a file cannot be read.
    #[error(transparent)]
    Resolve(#[from] PlanError),
    /// A file cannot be read.
    #[error("cannot read a file of the image")]
    Read(#[from] io::Error),
}

impl InspectError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Image(error) => error.kind(),
            Self::Resolve(error) => ImageError::kind_inside(self).unwrap_or_else(|| error.kind()),
            Self::Packages(_) | Self::Read(_) => {
                ImageError::kind_inside(self).unwrap_or(ErrorKind::Input)
            }
        }
    }
}

impl<'a> Inspection<'a> {
    /// What is said of the image whose whole file system is `merged`; its files are those of the
    /// layer `layer`, if one is given. `attached` are the reasons that are attached to it.
    ///
    /// # Errors
    /// [`InspectError`]
    pub fn new(
        (unpacked, attached): (&'a UnpackedImage, Option<Attached>),
        merged: &'a Tree,
        layer: Option<usize>,
        options: &ResolveOptions,
    ) -> Result<Self, InspectError> {
        let tree = layer.and_then(|at| unpacked.layers.get(at));
        Ok(Self {
            unpacked,
            platforms: unpacked.image.platforms()?,
            layer,
            tree: tree.map_or(merged, |layer| &layer.change.tree),
            hidden: waste::hidden(&unpacked.layers, merged),
            duplicates: waste::duplicates(merged)?,
            reach: Reached::of(attached, unpacked, merged, options)?,
            packages: usage::packages(merged)?,
        })
    }

    /// The files and links that nothing leads to; none if that is not known.
    pub fn unreached(&self) -> &[(ImagePath, u64)] {
        match &self.reach {
            Reached::Known(_, unreached) => unreached,
            Reached::Unknown(_) => &[],
        }
    }

    /// Why it is not known what is unreached.
    pub fn unresolved(&self) -> Option<&str> {
        match &self.reach {
            Reached::Known(..) => None,
            Reached::Unknown(why) => Some(why),
        }
    }

    /// The digest of the artifact that has the reasons; `None` if they were found again.
    pub fn recorded(&self) -> Option<Digest> {
        match &self.reach {
            Reached::Known(reach, _) => reach.recorded(),
            Reached::Unknown(_) => None,
        }
    }

    /// As docs/json.md says.
    pub fn json(&self) -> Value {
        json::of(self)
    }
}

impl Reached {
    /// What leads to the paths of an image. A file that no program could use as it is, such as a
    /// malformed object, does not keep the rest of the image from being shown.
    ///
    /// # Errors
    /// If a file of the image cannot be read.
    fn of(
        attached: Option<Attached>,
        unpacked: &UnpackedImage,
        merged: &Tree,
        options: &ResolveOptions,
    ) -> Result<Self, PlanError> {
        match Reach::of(attached, merged, &unpacked.image.config, options) {
            Ok(Some(reach)) => {
                let unreached = reach.unreached(merged);
                Ok(Self::Known(reach, unreached))
            }
            Ok(None) => {
                let (message, hint) = NO_PROGRAM;
                Ok(Self::Unknown(format!("{message} ({hint})")))
            }
            Err(error) if error.kind() == ErrorKind::Input => Err(error),
            Err(error) => Ok(Self::Unknown(with_causes(&error))),
        }
    }
}

/// How each layer was made, from the configuration's history; empty if it does not say.
pub fn history(image: &Image) -> impl Iterator<Item = String> {
    let steps = image.config.original.get("history").and_then(Value::as_array);
    let steps = steps.cloned().unwrap_or_default().into_iter();
    let with_layer = steps.filter(|step| step.get("empty_layer") != Some(&Value::Bool(true)));
    let by = |step: Value| {
        let text = step.get("created_by").and_then(Value::as_str).unwrap_or_default();
        text.chars().take(80).collect()
    };
    with_layer.map(by).chain(std::iter::repeat(String::new()))
}

/// What a package database is called in messages and JSON.
pub fn database_name(format: Format) -> &'static str {
    match format {
        Format::Dpkg => "dpkg",
        Format::Apk => "apk",
        Format::Rpm => "rpm",
    }
}
