//! Positioned reads of one file, a window at a time: a library of 100 MB costs the pages that are
//! looked at.

use std::io;

use super::{ObjectError, Stop};

/// What is read where nothing longer is asked for: headers, notes and small string tables fit in
/// one.
const WINDOW: u64 = 8 << 10;

/// A reader of bytes at an offset: fills the front of the buffer, says how much; 0 is the end of
/// the file.
pub type ReadAt<'a> = &'a mut dyn FnMut(u64, &mut [u8]) -> io::Result<usize>;

/// A file's bytes, as far as they were asked for.
pub(super) struct Bytes<'a> {
    len: u64,
    read_at: ReadAt<'a>,
    windows: Vec<(u64, Vec<u8>)>,
}

impl<'a> Bytes<'a> {
    pub(super) fn new(len: u64, read_at: ReadAt<'a>) -> Self {
        Self { len, read_at, windows: Vec::new() }
    }

    /// Exactly `len` bytes at `offset`; `what` names them in the error. The caller caps `len`.
    pub(super) fn get(&mut self, offset: u64, len: u64, what: &'static str) -> Result<&[u8], Stop> {
        let end = offset.checked_add(len).filter(|&end| end <= self.len);
        let Some(end) = end else { return Err(ObjectError::Truncated(what).into()) };
        let at = match self
            .windows
            .iter()
            .position(|w| w.0 <= offset && end <= w.0 + w.1.len() as u64)
        {
            Some(at) => at,
            None => self.fill(offset, len)?,
        };
        let window = self.windows.get(at).and_then(|(start, bytes)| {
            let from = usize::try_from(offset - start).ok()?;
            bytes.get(from..from.checked_add(usize::try_from(len).ok()?)?)
        });
        Ok(window.ok_or(ObjectError::Truncated(what))?)
    }

    /// The bytes at `offset` up to the next NUL, which must come before `end`.
    pub(super) fn string(
        &mut self,
        offset: u64,
        end: u64,
        limit: usize,
        what: &'static str,
    ) -> Result<&[u8], Stop> {
        let end = end.min(self.len);
        let mut len = 128;
        loop {
            let there = end.saturating_sub(offset).min(len);
            if let Some(nul) = self.get(offset, there, what)?.iter().position(|&b| b == 0) {
                return self.get(offset, nul as u64, what);
            }
            if there < len {
                return Err(ObjectError::Unterminated(what).into());
            }
            if len > limit as u64 {
                return Err(ObjectError::TooMany { what, limit }.into());
            }
            len *= 8;
        }
    }

    /// Exactly `len` bytes at `offset`, for a table that is read once; otherwise as
    /// [`Bytes::get`].
    pub(super) fn read(
        &mut self,
        offset: u64,
        len: u64,
        what: &'static str,
    ) -> Result<Vec<u8>, Stop> {
        let end = offset.checked_add(len).filter(|&end| end <= self.len);
        end.ok_or(ObjectError::Truncated(what))?;
        let mut bytes = vec![0; usize::try_from(len).map_err(|_| ObjectError::Truncated(what))?];
        self.read_exact(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads a window that starts at `offset` and holds at least `len` bytes, if the file does.
    fn fill(&mut self, offset: u64, len: u64) -> Result<usize, Stop> {
        let size = len.max(WINDOW).min(self.len - offset);
        let mut bytes = vec![0; usize::try_from(size).map_err(|_| ObjectError::Truncated("file"))?];
        self.read_exact(offset, &mut bytes)?;
        self.windows.push((offset, bytes));
        Ok(self.windows.len() - 1)
    }

    fn read_exact(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), Stop> {
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match (self.read_at)(offset + filled as u64, rest) {
                Ok(0) => return Err(shrunk().into()),
                Ok(count) => filled += count.min(rest.len()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn shrunk() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read")
}
