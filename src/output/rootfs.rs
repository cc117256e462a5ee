//! Writes the merged root file system as one tar archive, for `docker import`.

use std::io::{self, Write};

use super::{
    OutputError,
    stream::{Fault, Sink, is_stream},
};
use crate::{
    archive::write::TarLayout,
    image::Destination,
    source::content::Files,
    store::{Extent, Pending},
    tree::Tree,
    uninterrupted,
};

/// Writes `tree`, which contains the parents of all its paths, to `sink`. Files are read a second
/// time.
pub(super) fn write(tree: &Tree, sink: Sink<'_>) -> Result<(), OutputError> {
    let layout = TarLayout::new(tree)?;
    let mut files = Files::default();
    sink.write(|out: &mut dyn Write| {
        layout.write(out, |want, buffer| {
            files
                .read_at(&want.file.content, want.file.len, want.offset, buffer)
                .map_err(Fault::Read)
        })
    })
}

/// Whether `destination` is a file, so that the root can be written there in any order.
pub(super) fn is_file(destination: &Destination) -> bool {
    matches!(destination, Destination::Path(path) if !is_stream(path))
}

/// Copies `root`, which is complete, to `sink`.
pub(super) fn copy(root: &Pending, sink: Sink<'_>) -> Result<(), OutputError> {
    let read = |source| OutputError::Io { action: "read", path: root.target().into(), source };
    let len = uninterrupted::uninterrupted(|| root.file().metadata()).map_err(read)?.len();
    let mut from = Extent { file: root.file().clone(), offset: 0 }.reader(len);
    sink.write(|mut out: &mut dyn Write| Ok(io::copy(&mut from, &mut out).map(drop)?))
}
