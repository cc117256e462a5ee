//! The root file system of an image as one tar, made while its layers are: what is read for a layer
//! goes there, too, so that nothing is read twice.

use std::sync::atomic::{AtomicU64, Ordering};

use super::PackError;
use crate::{
    archive::write::{Layout, Want},
    source::content::Files,
    store::PartWriter,
};

/// Bytes that are gathered before they are written.
const BUFFER: usize = 1 << 20;

/// A root file system on its way.
#[derive(Debug)]
pub struct Rootfs<'a> {
    layout: &'a Layout<'a>,
    file: PartWriter,
    /// Bytes of each member's content that are written.
    written: Vec<AtomicU64>,
}

impl<'a> Rootfs<'a> {
    /// The archive `layout`, which goes to `file`, new and empty.
    pub fn new(layout: &'a Layout<'a>, file: PartWriter) -> Self {
        let written = (0..layout.members()).map(|_| AtomicU64::new(0)).collect();
        Self { layout, file, written }
    }

    /// Whether a layer of this layout is the whole root, byte for byte.
    pub(super) fn is(&self, layout: &Layout<'_>) -> bool {
        self.layout.is_same(layout)
    }

    /// Takes a part of the root, from `at` on.
    pub(super) fn part(&self, at: u64, bytes: &[u8]) -> Result<(), PackError> {
        Ok(self.file.write_at(bytes, at)?)
    }

    /// Takes bytes that were read for a layer, if the root has them.
    pub(super) fn take(&self, want: &Want<'_>, bytes: &[u8]) -> Result<(), PackError> {
        let Some((number, place)) = self.layout.place(want.path, want.file) else { return Ok(()) };
        self.file.write_at(bytes, place + want.offset)?;
        if let Some(written) = self.written.get(number) {
            written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Writes what no layer has brought: headers, and what is in the base image or came out of the
    /// cache. After a layer that is the `whole` root, nothing.
    ///
    /// # Errors
    /// Where content cannot be read or the file not be written.
    pub fn finish(self, whole: bool) -> Result<(), PackError> {
        if !whole {
            self.layout.gaps(|at, header| self.part(at, header))?;
            let mut files = Files::default();
            let mut buffer = Vec::new();
            for (number, place, file) in self.layout.contents() {
                let written =
                    self.written.get(number).map_or(0, |written| written.load(Ordering::Relaxed));
                let mut at = if written == file.len { file.len } else { 0 };
                while at < file.len {
                    buffer.resize((file.len - at).min(BUFFER as u64) as usize, 0);
                    files.read_at(&file.content, file.len, at, &mut buffer)?;
                    self.part(place + at, &buffer)?;
                    at += buffer.len() as u64;
                }
            }
        }
        Ok(self.file.set_len(self.layout.size())?)
    }
}
