//! What `imgb inspect` shows of an image.

use crate::{
    explain::{
        usage::InstalledPackage,
        waste::{Duplicates, Hidden},
    },
    image::Platform,
    oci::UnpackedImage,
    tree::Tree,
};

/// What is shown of an image.
pub(super) struct Inspected<'a> {
    pub(super) unpacked: &'a UnpackedImage,
    /// The platforms of the images that have its name.
    pub(super) platforms: Vec<Platform>,
    /// The number of the only layer that is shown, from 0.
    pub(super) layer: Option<usize>,
    /// The whole file system, or that of the layer.
    pub(super) tree: &'a Tree,
    pub(super) hidden: Vec<Hidden>,
    pub(super) duplicates: Vec<Duplicates>,
    pub(super) packages: Vec<InstalledPackage>,
}
