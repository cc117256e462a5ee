//! Where an object keeps its constants, in which strings are looked for.

use std::{io, ops::Range};

use goblin::elf::program_header as ph;

use super::{Bytes, HEADER_LEN, Header, Kind, ObjectError, ReadAt, Stop, segments};

/// Ranges of the file, in the order of its program headers, that are mapped and are not code.
/// Linkers before `-z separate-code` put constants into the code segment, which is then included.
///
/// # Errors
/// As [`super::Object::read`].
pub fn constants(
    len: u64,
    read_at: ReadAt<'_>,
) -> Result<Result<Vec<Range<u64>>, ObjectError>, io::Error> {
    Stop::split(read(len, read_at))
}

fn read(len: u64, read_at: ReadAt<'_>) -> Result<Vec<Range<u64>>, Stop> {
    let mut bytes = Bytes::new(len, read_at);
    let header = Header::parse(bytes.get(0, len.min(HEADER_LEN as u64), "ELF header")?)?;
    if matches!(header.kind, Kind::Other(_)) {
        return Ok(Vec::new());
    }
    let segments = segments(&mut bytes, &header)?;
    let loads =
        || segments.iter().filter(|segment| segment.p_type == ph::PT_LOAD && segment.p_filesz > 0);
    let separate = loads().any(|segment| segment.p_flags & (ph::PF_W | ph::PF_X) == 0);
    let range = |segment: &ph::ProgramHeader| {
        segment.p_offset.min(len)..segment.p_offset.saturating_add(segment.p_filesz).min(len)
    };
    Ok(loads().filter(|segment| !separate || segment.p_flags & ph::PF_X == 0).map(range).collect())
}
