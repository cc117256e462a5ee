//! The root file system as one tar, for `docker import`.

use std::io::{self, Write};

use super::{OutputError, Place, is_stream, open_stream};
use crate::{
    archive::write::Layout,
    source::content::{self, ContentError},
    store::{Durability, Pending},
    tree::Tree,
};

/// Writes `tree`, whose paths have their parents, to `place`.
pub(super) fn write(place: &Place, tree: &Tree) -> Result<(), OutputError> {
    let layout = Layout::new(tree)?;
    match place {
        Place::Stdout => tar(&layout, io::stdout().lock()).map_err(|fault| fault.at(OutputError::Stdout)),
        Place::Path(path) if is_stream(path) => {
            let io = |source| OutputError::Io { action: "write", path: path.clone(), source };
            tar(&layout, open_stream(path)?).map_err(|fault| fault.at(io))
        }
        Place::Path(path) => {
            let pending = Pending::create(path)?;
            let io = |source| OutputError::Io { action: "write", path: path.clone(), source };
            tar(&layout, &**pending.file()).map_err(|fault| fault.at(io))?;
            Ok(pending.commit(Durability::Synced)?)
        }
    }
}

/// Which side failed: what is read or what is written.
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

fn tar(layout: &Layout<'_>, mut out: impl Write) -> Result<(), Fault> {
    layout.write(&mut out, |want, buffer| {
        content::read_at(&want.file.content, want.file.len, want.offset, buffer).map_err(Fault::Read)
    })?;
    Ok(out.flush()?)
}
