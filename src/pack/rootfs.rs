//! The root file system of an image as one tar, written while its layers are made: content that is
//! read for a layer goes there too, so that no file is read twice.

use std::sync::atomic::{AtomicU64, Ordering};

use super::PackError;
use crate::{
    archive::write::{ContentRequest, TarLayout},
    source::content::Files,
    store::PartWriter,
};

/// Bytes read at once where a file goes to the root file system alone.
const BUFFER: usize = 1 << 20;

/// A root file system that is being written.
#[derive(Debug)]
pub struct Rootfs<'a> {
    layout: &'a TarLayout<'a>,
    file: PartWriter,
    /// Bytes written of each member's content.
    written: Vec<AtomicU64>,
}

impl<'a> Rootfs<'a> {
    /// Writes the archive `layout` to `file`, which is new and empty.
    pub fn new(layout: &'a TarLayout<'a>, file: PartWriter) -> Self {
        let written = (0..layout.members()).map(|_| AtomicU64::new(0)).collect();
        Self { layout, file, written }
    }

    /// Whether a layer with this layout is the whole root file system, byte for byte.
    pub(super) fn is_layer(&self, layout: &TarLayout<'_>) -> bool {
        self.layout.is_same(layout)
    }

    /// Takes the times of content that were computed for a layer.
    pub(super) fn take_times(&self, layout: &TarLayout<'_>) {
        self.layout.take_times(layout);
    }

    /// Writes bytes of the archive, from `at` on.
    pub(super) fn write_at(&self, at: u64, bytes: &[u8]) -> Result<(), PackError> {
        Ok(self.file.write_at(bytes, at)?)
    }

    /// Writes content that was read for a layer, if the root file system has this file.
    pub(super) fn write_content(
        &self,
        read: &ContentRequest<'_>,
        bytes: &[u8],
    ) -> Result<(), PackError> {
        let Some((number, start)) = self.layout.content_start(read.path, read.file) else {
            return Ok(());
        };
        self.file.write_at(bytes, start + read.offset)?;
        if let Some(written) = self.written.get(number) {
            written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Writes what no layer has brought: headers, and content that is in the base image or came out
    /// of the cache. Where a layer is the `whole` root file system, nothing is missing.
    ///
    /// # Errors
    /// If content cannot be read or the file cannot be written.
    pub fn finish(self, whole: bool) -> Result<(), PackError> {
        if !whole {
            let mut files = Files::default();
            let read = |want: ContentRequest<'_>, out: &mut [u8]| {
                Ok(files.read_at(&want.file.content, want.file.len, want.offset, out)?)
            };
            self.layout.headers(read, |at, header| self.write_at(at, header))?;
            let mut buffer = Vec::new();
            for (number, start, file) in self.layout.contents() {
                let written =
                    self.written.get(number).map_or(0, |written| written.load(Ordering::Relaxed));
                let mut at = if written == file.len { file.len } else { 0 };
                while at < file.len {
                    buffer.resize((file.len - at).min(BUFFER as u64) as usize, 0);
                    files.read_at(&file.content, file.len, at, &mut buffer)?;
                    self.write_at(start + at, &buffer)?;
                    at += buffer.len() as u64;
                }
            }
        }
        Ok(self.file.set_len(self.layout.size())?)
    }
}
