//! A document that a command writes: to a file, whole or not at all, or to stdout.

use std::{os::unix::fs::MetadataExt as _, path::Path};

use super::{failure::Failure, terminal::print_data_bytes};
use crate::{output, pipeline};

/// Writes `bytes` to `path`; `-` is stdout. `input` is the file that they were made from.
///
/// # Errors
/// If the file cannot be written, or is `input`.
pub(super) fn write(path: &Path, bytes: &[u8], input: Option<&Path>) -> Result<(), Failure> {
    if path == Path::new("-") {
        return print_data_bytes(bytes);
    }
    if let Some(input) = input.filter(|input| is_same(path, input)) {
        let (output, input) = (path.display(), input.display());
        let message = format!("the output `{output}` would replace the input `{input}`");
        return Err(Failure::usage(message));
    }
    Ok(output::write_file(path, bytes).map_err(pipeline::Error::from)?)
}

/// Whether both are one file, by whatever path or link.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path| fs_err::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    id(one).is_some_and(|one| id(other) == Some(one))
}
