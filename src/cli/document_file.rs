//! A document that a command writes: to a file, whole or not at all, or to stdout.

use std::{os::unix::fs::MetadataExt as _, path::Path};

use super::{failure::Failure, overlap::would_replace, terminal::print_data_bytes};
use crate::{output, pipeline, uninterrupted};

/// Writes `bytes` to `path`; `-` is stdout. `input` is the file that they were made from.
///
/// # Errors
/// If the file cannot be written, and if it is `input`, a part of it, or the archive of an image.
pub(super) fn write(path: &Path, bytes: &[u8], input: Option<&Path>) -> Result<(), Failure> {
    if path == Path::new("-") {
        return print_data_bytes(bytes);
    }
    if let Some(input) = input.filter(|input| is_same(path, input) || is_part(path, input)) {
        return Err(would_replace(&format!("`{}`", path.display()), input));
    }
    if output::is_archive(path).map_err(pipeline::Error::from)? {
        let failure = Failure::local(format!("`{}` is the archive of an image", path.display()));
        return Err(failure.with_hint("name another file, or remove it first"));
    }
    Ok(output::write_file(path, bytes).map_err(pipeline::Error::from)?)
}

/// Whether both are one file, by whatever path or link.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path| uninterrupted::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    id(one).is_some_and(|one| id(other) == Some(one))
}

/// Whether `path` is a document or blob of the layout in the directory `dir`.
fn is_part(path: &Path, dir: &Path) -> bool {
    let real = (uninterrupted::canonicalize(path), uninterrupted::canonicalize(dir));
    let (Ok(path), Ok(dir)) = real else { return false };
    let Ok(below) = path.strip_prefix(&dir) else { return false };
    let is_document =
        ["index.json", "oci-layout", "manifest.json"].iter().any(|name| below == Path::new(name));
    is_document || below.starts_with("blobs")
}
