//! Archives inside files: a ZIP archive, alone or after a program or script, and the archive that
//! PyInstaller appends to its programs. Files may be hostile: every size and count has a limit.

mod pyinstaller;
mod zip;

use std::io::{self, Read};

use crate::elf::ReadAt;

/// Members of one archive that are looked at.
const MAX_MEMBERS: usize = 200_000;
/// Bytes of a list of members.
const MAX_LIST: u64 = 64 << 20;
/// Bytes at the end of a file in which an archive's last record is looked for: a ZIP archive may
/// end with a comment of 64 KiB, and a program with the headers of its sections.
const TAIL: u64 = 256 << 10;

/// A file in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its path in the archive.
    pub name: Vec<u8>,
    /// Its size in bytes.
    pub len: u64,
    /// Where its bytes are in the file that holds the archive.
    place: Place,
    /// Bytes there.
    packed: u64,
    method: Method,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The bytes themselves.
    Data(u64),
    /// The header of a ZIP archive before them.
    LocalHeader(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Stored,
    Deflate,
    Zlib,
}

/// The files in the archive at the end of a file of `len` bytes; none if there is no archive, or a
/// damaged one.
///
/// # Errors
/// Those of `read_at`.
pub fn members(len: u64, read_at: ReadAt<'_>) -> io::Result<Vec<Member>> {
    let start = len.saturating_sub(TAIL);
    let tail = bytes(start, len - start, read_at)?;
    if let Some(list) = pyinstaller::List::find(&tail, start) {
        let list_bytes = bytes(list.start, list.len.min(MAX_LIST), read_at)?;
        return Ok(list.members(&list_bytes).take(MAX_MEMBERS).collect());
    }
    let Some(directory) = zip::Directory::find(&tail, start, read_at)? else {
        return Ok(Vec::new());
    };
    let list = bytes(directory.start, directory.len.min(MAX_LIST), read_at)?;
    Ok(directory.members(&list).take(MAX_MEMBERS).collect())
}

impl Member {
    /// Bytes that reading it takes at most: those in the file or those that come out.
    pub fn cost(&self) -> u64 {
        self.len.max(self.packed)
    }

    /// Its bytes; `None` if there are more than `limit`, or if they are damaged.
    ///
    /// # Errors
    /// Those of `read_at`.
    pub fn read(&self, limit: u64, read_at: ReadAt<'_>) -> io::Result<Option<Vec<u8>>> {
        if self.cost() > limit {
            return Ok(None);
        }
        let start = match self.place {
            Place::Data(start) => start,
            Place::LocalHeader(at) => match zip::data(at, read_at)? {
                Some(start) => start,
                None => return Ok(None),
            },
        };
        let packed = bytes(start, self.packed, read_at)?;
        if packed.len() as u64 != self.packed {
            return Ok(None);
        }
        Ok(match self.method {
            Method::Stored => Some(packed),
            Method::Deflate => inflate(flate2::read::DeflateDecoder::new(&packed[..]), self.len),
            Method::Zlib => inflate(flate2::read::ZlibDecoder::new(&packed[..]), self.len),
        })
    }
}

fn inflate(decoder: impl Read, len: u64) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    decoder.take(len).read_to_end(&mut out).ok()?;
    (out.len() as u64 == len).then_some(out)
}

/// Up to `len` bytes from `start` on: fewer at the end of the file.
fn bytes(start: u64, len: u64, read_at: ReadAt<'_>) -> io::Result<Vec<u8>> {
    const CHUNK: u64 = 1 << 20;
    let mut out = Vec::new();
    while (out.len() as u64) < len {
        let at = out.len();
        let want = (len - at as u64).min(CHUNK) as usize;
        out.resize(at + want, 0);
        let Some(offset) = start.checked_add(at as u64) else { break };
        let count = read_at(offset, &mut out[at..])?;
        if count < want {
            out.truncate(at + count);
            break;
        }
    }
    Ok(out)
}

/// The little-endian number of `N` bytes at `at`.
fn little<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let chunk: &[u8; N] = bytes.get(at..)?.first_chunk()?;
    Some(chunk.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests;
