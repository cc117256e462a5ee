//! Sparse files: members that hold only the regions of a file with data, and a map of where these
//! belong. GNU tar has written four forms: type `S` with its map in the header and in blocks after
//! it, and three in PAX records (GNU tar manual, "Storing Sparse Files"). libarchive writes the
//! last.

use super::{Fault, fields};
use crate::{archive::header::BLOCK, tree::Region};

/// Regions of one file at most: as many as fit into an extension header of 1 MiB.
const MAX_REGIONS: usize = 1 << 16;

/// Where the map of a member in GNU's own format starts, and how many entries its header holds.
const IN_HEADER: (usize, usize) = (386, 4);
/// The same for a block that continues the map.
const IN_CONTINUATION: (usize, usize) = (0, 21);
/// Bytes of an entry: offset and length, twelve bytes each.
const ENTRY: usize = 24;

/// Offset in the file and length in bytes of each region with data, in the order of the map.
pub(super) type Map = Vec<(u64, u64)>;

/// What the PAX records `GNU.sparse.*` of one header say.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// `major` and `minor`; the versions 0.0 and 0.1 may leave them out.
    version: (Option<u64>, Option<u64>),
    /// The name of the file. That of the header is invented.
    pub(super) name: Option<Vec<u8>>,
    /// `size` and `realsize`: if both are there, readers disagree about which counts.
    size: Option<u64>,
    real_size: Option<u64>,
    entries: Option<u64>,
    /// Offsets and lengths in turn, from `map` or from `offset` and `numbytes`.
    numbers: Vec<u64>,
}

/// How a member with PAX records is stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Not sparse.
    Plain,
    /// The length of the file, and its map (versions 0.0 and 0.1).
    Mapped(u64, Map),
    /// The length of the file. Its map is at the start of the content (version 1.0).
    MapInContent(u64),
}

impl Records {
    /// Takes the record `GNU.sparse.KEY`.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        let number = || decimal(value).ok_or(Fault::Record);
        match key {
            b"major" => self.version.0 = Some(number()?),
            b"minor" => self.version.1 = Some(number()?),
            b"name" => self.name = Some(fields::name(value).ok_or(Fault::Record)?),
            b"size" => self.size = Some(number()?),
            b"realsize" => self.real_size = Some(number()?),
            b"numblocks" => self.entries = Some(number()?),
            b"offset" if self.numbers.len().is_multiple_of(2) => self.add(number()?)?,
            b"numbytes" if !self.numbers.len().is_multiple_of(2) => self.add(number()?)?,
            b"map" if self.numbers.is_empty() => {
                for part in value.split(|&byte| byte == b',').filter(|_| !value.is_empty()) {
                    self.add(decimal(part).ok_or(Fault::Map)?)?;
                }
            }
            _ => return Err(Fault::Map),
        }
        Ok(())
    }

    fn add(&mut self, number: u64) -> Result<(), Fault> {
        if self.numbers.len() >= 2 * MAX_REGIONS {
            return Err(Fault::TooMany("regions in a sparse file"));
        }
        self.numbers.push(number);
        Ok(())
    }

    /// Whether there was no such record.
    pub(super) fn is_empty(&self) -> bool {
        self.version == (None, None)
            && self.name.is_none()
            && self.size.is_none()
            && self.real_size.is_none()
            && self.entries.is_none()
            && self.numbers.is_empty()
    }

    /// The form of the member that these records stand before.
    pub(super) fn form(&self) -> Result<Form, Fault> {
        if self.is_empty() {
            return Ok(Form::Plain);
        }
        let size = match (self.size, self.real_size) {
            (Some(size), Some(other)) if size != other => return Err(Fault::Map),
            (size, other) => size.or(other).ok_or(Fault::Map)?,
        };
        match self.version {
            // Go takes this for a file that is not sparse.
            (None, None) if self.numbers.is_empty() => Err(Fault::Map),
            (Some(1), Some(0)) if self.numbers.is_empty() => Ok(Form::MapInContent(size)),
            (None, None) | (Some(0), Some(0 | 1)) => {
                let map: Map =
                    self.numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
                let complete =
                    self.numbers.len().is_multiple_of(2) && self.entries == Some(map.len() as u64);
                if complete { Ok(Form::Mapped(size, map)) } else { Err(Fault::Map) }
            }
            _ => Err(Fault::Sparse),
        }
    }
}

/// Reads the entries of a map in a header of GNU's format, or in a block that continues it.
/// Returns whether another block continues the map.
pub(super) fn old_entries(
    block: &[u8; BLOCK],
    continuation: bool,
    map: &mut Map,
) -> Result<bool, Fault> {
    let (start, count) = if continuation { IN_CONTINUATION } else { IN_HEADER };
    let end = start + count * ENTRY;
    let number =
        |field: &[u8]| fields::number(field).and_then(|n| u64::try_from(n).ok()).ok_or(Fault::Map);
    for entry in block[start..end].chunks_exact(ENTRY).take_while(|entry| entry[0] != 0) {
        if map.len() >= MAX_REGIONS {
            return Err(Fault::TooMany("regions in a sparse file"));
        }
        let (offset, len) = entry.split_at(ENTRY / 2);
        // GNU tar ends the map at a length that is missing, Go does not.
        if len[0] == 0 {
            return Err(Fault::Map);
        }
        map.push((number(offset)?, number(len)?));
    }
    Ok(block[end] != 0)
}

/// Reads the map at the start of a member's content (version 1.0): the number of entries, then
/// offset and length of each, in decimal, each with a newline after it. Returns the map and how
/// many bytes of `content` it takes, a whole number of blocks. `None` if the map goes on after the
/// end of `content`.
pub(super) fn map_in_content(content: &[u8]) -> Result<Option<(Map, u64)>, Fault> {
    let mut lines = content.split_inclusive(|&byte| byte == b'\n');
    let mut taken = 0;
    let mut next = || match lines.next() {
        Some(line) => match line.strip_suffix(b"\n") {
            Some(digits) => {
                taken += line.len() as u64;
                decimal(digits).map(Some).ok_or(Fault::Map)
            }
            None => Ok(None),
        },
        None => Ok(None),
    };
    let Some(count) = next()? else { return Ok(None) };
    if count > MAX_REGIONS as u64 {
        return Err(Fault::TooMany("regions in a sparse file"));
    }
    let mut map = Map::new();
    for _ in 0..count {
        let (Some(offset), Some(len)) = (next()?, next()?) else { return Ok(None) };
        map.push((offset, len));
    }
    Ok(Some((map, taken.next_multiple_of(BLOCK as u64))))
}

/// The regions of a file of `size` bytes, whose data is at `content` in the archive, `stored`
/// bytes long. Regions are in order, do not overlap, end in the file, and take all of the data: as
/// Go's archive/tar demands it.
pub(super) fn regions(
    map: &[(u64, u64)],
    size: u64,
    content: u64,
    stored: u64,
) -> Result<Vec<Region>, Fault> {
    let (mut end, mut taken) = (0u64, 0u64);
    let mut regions = Vec::with_capacity(map.len());
    for &(start, len) in map {
        if start < end {
            return Err(Fault::Map);
        }
        end = start.checked_add(len).filter(|end| *end <= size).ok_or(Fault::Map)?;
        if len > 0 {
            regions.push(Region { start, at: content + taken, len });
        }
        taken = taken.checked_add(len).filter(|taken| *taken <= stored).ok_or(Fault::Map)?;
    }
    if taken == stored { Ok(regions) } else { Err(Fault::Map) }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    fields::decimal(digits).filter(|&number| i64::try_from(number).is_ok())
}
