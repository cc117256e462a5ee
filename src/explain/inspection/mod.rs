//! Everything that is said of one image: what `imgb inspect` shows.

mod json;

use std::io;

use serde_json::Value;

use super::{
    resolve::{ResolveOptions, Resolved, resolve},
    usage::{self, InstalledPackage},
    waste::{self, Duplicates, Hidden},
    why::unreached,
};
use crate::{
    elf::ReadFailure,
    error_kind::with_causes,
    image::Platform,
    oci::{Image, ImageError, UnpackedImage},
    packages::Format,
    path::ImagePath,
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
    /// What the image's programs lead to.
    pub reach: Reach,
    /// The packages of the whole file system.
    pub packages: Vec<InstalledPackage>,
}

/// What the programs of an image lead to.
#[derive(Debug)]
pub enum Reach {
    /// What is reached, and the files and links that are not, with their sizes, largest first.
    Known(Box<Resolved>, Vec<(ImagePath, u64)>),
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
    /// A file cannot be read.
    #[error("cannot read a file of the image")]
    Read(#[from] io::Error),
}

impl<'a> Inspection<'a> {
    /// What is said of the image whose whole file system is `merged`; its files are those of the
    /// layer `layer`, if one is given.
    ///
    /// # Errors
    /// [`InspectError`]
    pub fn new(
        unpacked: &'a UnpackedImage,
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
            reach: Reach::of(unpacked, merged, options),
            packages: usage::packages(merged)?,
        })
    }

    /// The files and links that nothing leads to; none if that is not known.
    pub fn unreached(&self) -> &[(ImagePath, u64)] {
        match &self.reach {
            Reach::Known(_, unreached) => unreached,
            Reach::Unknown(_) => &[],
        }
    }

    /// Why it is not known what is unreached.
    pub fn unresolved(&self) -> Option<&str> {
        match &self.reach {
            Reach::Known(..) => None,
            Reach::Unknown(why) => Some(why),
        }
    }

    /// As docs/json.md says.
    pub fn json(&self) -> Value {
        json::of(self)
    }
}

impl Reach {
    /// What the programs of an image lead to. A file that no program could use as it is, such as a
    /// malformed object, does not keep the rest of the image from being shown.
    fn of(unpacked: &UnpackedImage, merged: &Tree, options: &ResolveOptions) -> Self {
        match resolve(merged, &unpacked.image.config, options) {
            Ok(resolved) if resolved.starts.is_empty() && options.from.is_empty() => {
                let hint = "--from PATH names what it is for";
                Self::Unknown(format!("the image starts no program that it has ({hint})"))
            }
            Ok(resolved) => {
                let unreached = unreached(merged, &resolved.reached);
                Self::Known(Box::new(resolved), unreached)
            }
            Err(error) => Self::Unknown(with_causes(&error)),
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
