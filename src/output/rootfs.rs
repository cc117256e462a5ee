//! Writes the root file system as one tar archive, for `docker import`.

use std::io::{self, Write};

use super::{OutputError, is_stream, open_stream};
use crate::{
    archive::write::TarLayout,
    image::Destination,
    source::content::{ContentError, Files},
    store::{Durability, Extent, Pending},
    tree::Tree,
};

/// Writes `tree`, which contains the parents of all its paths, to `destination`, a stream. Files
/// are read a second time.
pub(super) fn write(destination: &Destination, tree: &Tree) -> Result<(), OutputError> {
    let layout = TarLayout::new(tree)?;
    match destination {
        Destination::Stdout => {
            tar(&layout, io::stdout().lock()).map_err(|fault| fault.at(OutputError::Stdout))
        }
        Destination::Path(path) => {
            let io = |source| OutputError::Io { action: "write", path: path.clone(), source };
            tar(&layout, open_stream(path)?).map_err(|fault| fault.at(io))
        }
    }
}

/// Whether `destination` is a file, so that the root can be written there in any order.
pub(super) fn is_file(destination: &Destination) -> bool {
    matches!(destination, Destination::Path(path) if !is_stream(path))
}

/// Copies `root`, which is complete, to `destination`.
pub(super) fn copy(
    root: &Pending,
    destination: &Destination,
    durability: Durability,
) -> Result<(), OutputError> {
    let read = |source| OutputError::Io { action: "read", path: root.target().into(), source };
    let len = root.file().metadata().map_err(read)?.len();
    let mut from = Extent { file: root.file().clone(), offset: 0 }.reader(len);
    match destination {
        Destination::Stdout => {
            let mut out = io::stdout().lock();
            io::copy(&mut from, &mut out).and_then(|_| out.flush()).map_err(OutputError::Stdout)
        }
        Destination::Path(path) => {
            let io = |source| OutputError::Io { action: "write", path: path.clone(), source };
            if is_stream(path) {
                return io::copy(&mut from, &mut open_stream(path)?).map(drop).map_err(io);
            }
            let pending = Pending::create(path)?;
            io::copy(&mut from, &mut &**pending.file()).map_err(io)?;
            Ok(pending.commit(durability)?)
        }
    }
}

/// A failure to read an input or to write the output.
enum Fault {
    Read(ContentError),
    Write(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

impl Fault {
    fn at(self, write: impl FnOnce(io::Error) -> OutputError) -> OutputError {
        match self {
            Self::Read(error) => error.into(),
            Self::Write(error) => write(error),
        }
    }
}

fn tar(layout: &TarLayout<'_>, mut out: impl Write) -> Result<(), Fault> {
    let mut files = Files::default();
    layout.write(&mut out, |want, buffer| {
        files.read_at(&want.file.content, want.file.len, want.offset, buffer).map_err(Fault::Read)
    })?;
    Ok(out.flush()?)
}
