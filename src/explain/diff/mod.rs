//! How two images differ: in their configuration, layers, files and packages, and, if asked for, in
//! the bytes of their documents and layers.

mod blobs;
mod config;
mod error;
mod field;
mod files;
mod layers;
pub mod names;
mod packages;
mod reasons;
mod tars;

use serde_json::{Value, json};

use super::{reach::Attached, resolve::ResolveOptions};
use crate::oci::UnpackedImage;

pub use error::DiffError;
pub use field::Field;
pub use files::FileDifference;
pub use layers::{LayerChange, LayerDifference};
pub use packages::PackageDifference;
pub use reasons::{ReasonDifference, ReasonDifferences};

use files::Comparison;

/// How images are compared.
#[derive(Clone, Debug, Default)]
pub struct DiffOptions {
    /// Whether the bytes of documents, tars and compressed layers are compared, too.
    pub strict: bool,
    /// Names of fields whose differences do not count. The name of an object stands for all of its
    /// fields.
    pub ignore: Vec<String>,
}

impl DiffOptions {
    /// Whether a difference of the field or part `name` counts.
    pub fn counts(&self, name: &str) -> bool {
        let is_in = |ignored: &String| {
            let rest = name.strip_prefix(&**ignored);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        !self.ignore.iter().any(is_in)
    }

    /// Without the fields that do not count.
    fn counted(&self, mut fields: Vec<Field>) -> Vec<Field> {
        fields.retain(|field| self.counts(&field.name));
        fields
    }
}

/// How two images differ.
#[derive(Clone, Debug, Default)]
pub struct Difference {
    /// Fields of the configuration, by name.
    pub config: Vec<Field>,
    /// Layers, lowest first.
    pub layers: Vec<LayerDifference>,
    /// Files of the whole file systems, in order.
    pub files: Vec<FileDifference>,
    /// Packages that the images' databases list, in order.
    pub packages: Vec<PackageDifference>,
    /// Why files are there.
    pub reasons: ReasonDifferences,
    /// Bytes of documents and layers; empty unless they are asked for.
    pub bytes: Vec<ByteDifference>,
}

/// Bytes that differ although they may mean the same.
#[derive(Clone, Debug, PartialEq)]
pub struct ByteDifference {
    /// What has the bytes.
    pub part: Part,
    /// The numbers of the layer in both images, from 0.
    pub layer: Option<(usize, usize)>,
    /// The member of the tar.
    pub member: Option<Vec<u8>>,
    /// What differs.
    pub fields: Vec<Field>,
}

/// A part of an image whose bytes are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The manifest.
    Manifest,
    /// The configuration.
    Config,
    /// The tar of a layer.
    Tar,
    /// The compressed bytes of a layer.
    Blob,
}

impl Part {
    /// Its name in messages and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Config => "config",
            Self::Tar => "tar",
            Self::Blob => "blob",
        }
    }
}

/// Compares two images. `attached` are the reasons that are attached to them.
///
/// # Errors
/// [`DiffError`] if the content of an image cannot be read.
pub fn diff(
    a: &UnpackedImage,
    b: &UnpackedImage,
    options: &DiffOptions,
    (attached, resolve): ((Option<Attached>, Option<Attached>), &ResolveOptions),
) -> Result<Difference, DiffError> {
    let mut difference = Difference {
        config: options.counted(config::compare(&a.image.config, &b.image.config)),
        ..Difference::default()
    };
    let mut comparison = Comparison::new(options);
    let pairs = layers::pair(&a.layers, &b.layers);
    let same_tars =
        a.layers.iter().map(|layer| layer.diff_id).eq(b.layers.iter().map(|l| l.diff_id));
    if !same_tars {
        let (merged_a, merged_b) = (a.merged(), b.merged());
        difference.files = comparison.trees(&merged_a, &merged_b)?;
        difference.packages = packages::compare(&merged_a, &merged_b, options)?;
        difference.layers = layers::compare(&a.layers, &b.layers, &pairs, &mut comparison)?;
        if !options.counts("layers") {
            difference.layers.clear();
        }
    }
    // Without recorded ones, reasons follow from files and configuration.
    let are_recorded = attached.0.is_some() && attached.1.is_some();
    if options.counts("reasons") && (are_recorded || difference.is_of_content()) {
        difference.reasons = reasons::compare((a, b), attached, resolve)?;
    }
    if options.strict {
        let mut bytes = blobs::documents(&a.image, &b.image);
        for &(at_a, at_b) in &pairs {
            let (Some(at_a), Some(at_b)) = (at_a, at_b) else { continue };
            let (Some(layer_a), Some(layer_b)) = (a.layers.get(at_a), b.layers.get(at_b)) else {
                continue;
            };
            let mut found = Vec::new();
            if layer_a.diff_id != layer_b.diff_id {
                found = tars::compare(layer_a, layer_b)?;
            } else if layer_a.digest != layer_b.digest {
                found = blobs::compare((a, layer_a), (b, layer_b))?;
            }
            let in_layer = |one| ByteDifference { layer: Some((at_a, at_b)), ..one };
            bytes.extend(found.into_iter().map(in_layer));
        }
        bytes
            .iter_mut()
            .for_each(|one| one.fields = options.counted(std::mem::take(&mut one.fields)));
        bytes.retain(|one| !one.fields.is_empty());
        difference.bytes = bytes;
    }
    Ok(difference)
}

impl Difference {
    /// Whether the images are the same in all that was compared. Reasons that were found again
    /// follow from the images.
    pub fn is_empty(&self) -> bool {
        let has_other_reasons = self.reasons.recorded && !self.reasons.files.is_empty();
        !self.is_of_content() && !has_other_reasons && self.bytes.is_empty()
    }

    /// Whether the images differ in what they hold: their reasons are compared only then, unless
    /// builds attached some to both.
    pub fn is_of_content(&self) -> bool {
        let Self { config, layers, files, packages, reasons: _, bytes: _ } = self;
        !(config.is_empty() && layers.is_empty() && files.is_empty() && packages.is_empty())
    }

    /// As docs/json.md says. `a` and `b` are the images that were compared.
    pub fn json(&self, a: &UnpackedImage, b: &UnpackedImage) -> Value {
        let fields = |fields: &[Field]| fields.iter().map(Field::json).collect::<Vec<_>>();
        let layers = self.layers.iter().map(|one| one.json(&a.layers, &b.layers));
        let bytes = self.bytes.iter().map(|one| {
            json!({
                "part": one.part.name(),
                "layer_a": one.layer.map(|(a, _)| a),
                "layer_b": one.layer.map(|(_, b)| b),
                "member": one.member.as_ref().map(|name| crate::path::escape(name)),
                "fields": fields(&one.fields),
            })
        });
        json!({
            "config": fields(&self.config),
            "layers": layers.collect::<Vec<_>>(),
            "files": self.files.iter().map(FileDifference::json).collect::<Vec<_>>(),
            "packages": self.packages.iter().map(PackageDifference::json).collect::<Vec<_>>(),
            "reasons": self.reasons.json(),
            "bytes": bytes.collect::<Vec<_>>(),
        })
    }
}
