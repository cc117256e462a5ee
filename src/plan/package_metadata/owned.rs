//! The files of an image that packages of the sysroot own.

use std::collections::BTreeMap;

use crate::{
    elf::ReadFailure,
    packages::{Database, PackageId},
    path::ImagePath,
    plan::builder::ImageBuilder,
    tree::{Content, Kind},
};

/// Where files are in the sysroot, and where in the image.
pub(super) type Files = BTreeMap<ImagePath, ImagePath>;

/// The files of each package.
pub(super) type Owned = BTreeMap<PackageId, Files>;

/// The packages that own some of `files`, with their real paths.
pub(super) fn by_package(files: Files, database: &Database) -> Owned {
    let mut owned = Owned::new();
    for (path, at) in files {
        for owner in database.owners(&path) {
            owned.entry(owner).or_default().insert(database.merged(&path), at.clone());
        }
    }
    owned
}

/// The files and links of the image that may be a package's.
pub(super) fn files(builder: &ImageBuilder<'_>) -> Result<Files, ReadFailure> {
    let mut files = Files::new();
    for (path, node) in &builder.added {
        let is_of_sysroot = match &node.kind {
            Kind::File(file) => !matches!(file.content, Content::Inline(_)),
            // `/lib` and its like belong to the packages that have them as directories.
            Kind::Symlink(_) => path.components().nth(1).is_some(),
            Kind::Directory | Kind::Special(_) => false,
        };
        if is_of_sysroot {
            files.insert(path.clone(), path.clone());
        }
    }
    for (path, node) in builder.inputs {
        if let Some(Content::Host(host)) = node.file().map(|file| &file.content)
            && let Some(there) = builder.view.in_sysroot(host, may_be_packaged)?
        {
            files.insert(there, path.clone());
        }
    }
    Ok(files)
}

/// Whether a distribution may install a file of this path below the root (FHS 3.0).
fn may_be_packaged(path: &[u8]) -> bool {
    let mut parts = path.split(|&b| b == b'/');
    match (parts.next(), parts.next()) {
        (Some(b"usr"), Some(second)) => second != b"local",
        (Some(b"bin" | b"sbin" | b"etc" | b"opt" | b"var" | b"boot"), Some(_)) => true,
        (Some(first), Some(_)) => first.starts_with(b"lib"),
        _ => false,
    }
}
