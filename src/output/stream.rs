//! Writes a stream to any destination: a file that appears when it is complete, a device or pipe,
//! or standard output.

use std::{
    io::{self, Seek as _, Write},
    path::Path,
};

use super::OutputError;
use crate::{
    compress::{self, Compression},
    image::Destination,
    source::content::ContentError,
    store::{Durability, Pending},
    uninterrupted,
};

/// A failure to read an input or to write the output.
pub(super) enum Fault {
    Read(ContentError),
    Write(io::Error),
    Other(OutputError),
}

impl From<OutputError> for Fault {
    fn from(error: OutputError) -> Self {
        Self::Other(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

impl Fault {
    /// The error of the output; `write` makes that of writing.
    pub(super) fn into_error(self, write: impl FnOnce(io::Error) -> OutputError) -> OutputError {
        match self {
            Self::Read(error) => error.into(),
            Self::Write(error) => write(error),
            Self::Other(error) => error,
        }
    }
}

/// Where a stream goes.
#[derive(Clone, Copy)]
pub(super) struct Sink<'a> {
    pub(super) destination: &'a Destination,
    pub(super) compression: Compression,
    /// For files.
    pub(super) durability: Durability,
}

impl Sink<'_> {
    /// Writes what `content` writes.
    pub(super) fn write(
        &self,
        content: impl FnOnce(&mut dyn Write) -> Result<(), Fault>,
    ) -> Result<(), OutputError> {
        let path = match self.destination {
            Destination::Stdout => {
                let written = self.compress(io::stdout().lock(), content);
                return written.map_err(|fault| fault.into_error(OutputError::Stdout));
            }
            Destination::Path(path) => path,
            Destination::Registry(_) | Destination::Engine(_) => {
                unreachable!("only files and streams are written as streams")
            }
        };
        let io = |action, source| OutputError::Io { action, path: path.clone(), source };
        let failed = |fault: Fault| fault.into_error(|error| io("write", error));
        if is_stream(path) {
            let file = std::fs::OpenOptions::new().write(true).open(path);
            let mut file = file.map_err(|error| io("open", error))?;
            self.compress(&file, content).map_err(failed)?;
            // An open file of this process may have been longer.
            if file.metadata().is_ok_and(|found| found.is_file()) {
                let end = file.stream_position();
                end.and_then(|end| file.set_len(end)).map_err(|error| io("write", error))?;
            }
            return Ok(());
        }
        let pending = Pending::create(path)?;
        self.compress(&**pending.file(), content).map_err(failed)?;
        Ok(pending.commit(self.durability)?)
    }

    /// Writes what `content` writes, compressed, to `out`.
    pub(super) fn compress(
        &self,
        mut out: impl Write,
        content: impl FnOnce(&mut dyn Write) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if self.compression == Compression::None {
            content(&mut out)?;
            return Ok(out.flush()?);
        }
        let mut stream = compress::Stream::new(out, self.compression)?;
        content(&mut stream)?;
        Ok(stream.finish().map(drop)?)
    }
}

/// Whether `path` is a device or pipe, or names an open file of this process (`/dev/stdout`). These
/// are written to and never replaced.
pub(super) fn is_stream(path: &Path) -> bool {
    let special = |metadata: std::fs::Metadata| !metadata.is_file() && !metadata.is_dir();
    let own = ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc/self/fd"]
        .iter()
        .any(|name| path.starts_with(name));
    uninterrupted::metadata(path).is_ok_and(|metadata| special(metadata) || own)
}
