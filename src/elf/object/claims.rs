//! What an object says of its making: sections and notes that build tools add and no loader reads.

use std::io;

use goblin::elf::{
    Elf, ProgramHeader, SectionHeader, note::NoteDataIterator, program_header as ph,
    section_header as sh,
};

use super::{Bytes, HEADER_LEN, Header, Kind, ObjectError, ReadAt, Stop, segments};

/// `n_type` of `.note.package` (UAPI.1 ELF package metadata).
const PACKAGE_NOTE: u32 = 0xcafe_1a7e;
/// Bytes of notes that are looked at.
const MAX_NOTES: u64 = 1 << 20;
/// Section headers that are looked at.
const MAX_SECTIONS: usize = 4096;
/// Bytes of a section that are read.
const MAX_SECTION: u64 = 8 << 20;
/// Bytes of the names of sections.
const MAX_NAMES: u64 = 1 << 20;
/// Bytes in which Go's build information is looked for, where no section has it.
const MAX_SEARCH: u64 = 4 << 20;
/// The start of Go's build information (`internal/buildinfo`).
const GO_MAGIC: &[u8] = b"\xff Go buildinf:";
/// Where the strings of Go's build information begin, and the bit of its flags that says so.
const GO_STRINGS: usize = 32;
const GO_INLINE: u8 = 2;

/// Sections and notes, as they are in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The section of cargo-auditable, `.dep-v0`: compressed JSON.
    pub auditable: Option<Vec<u8>>,
    /// Go's build information, from its magic on.
    pub go: Option<Vec<u8>>,
    /// The texts of the notes `.note.package`: JSON.
    pub package_notes: Vec<Vec<u8>>,
}

/// Reads the claims of an object of `len` bytes through `read_at`. A part that makes no sense is
/// left out.
///
/// # Errors
/// The outer error is the one of `read_at`, the inner one says that this is not an object.
pub fn claims(len: u64, read_at: ReadAt<'_>) -> io::Result<Result<Claims, ObjectError>> {
    Stop::split(read(len, read_at))
}

fn read(len: u64, read_at: ReadAt<'_>) -> Result<Claims, Stop> {
    let mut bytes = Bytes::new(len, read_at);
    let front = bytes.get(0, len.min(HEADER_LEN as u64), "ELF header")?.to_vec();
    let header = Header::parse(&front)?;
    let mut claims = Claims::default();
    if matches!(header.kind, Kind::Other(_)) {
        return Ok(claims);
    }
    let segments = segments(&mut bytes, &header)?;
    notes(&mut bytes, &header, &segments, &mut claims)?;
    let sections = optional(sections(&mut bytes, &header, &front))?.unwrap_or_default();
    for (name, section) in &sections {
        let len = section.sh_size.min(MAX_SECTION);
        let mut content = || optional(bytes.read(section.sh_offset, len, "section"));
        match &name[..] {
            b".dep-v0" if section.sh_size <= MAX_SECTION => claims.auditable = content()?,
            b".go.buildinfo" => claims.go = content()?,
            _ => {}
        }
    }
    claims.go = claims.go.filter(|info| info.starts_with(GO_MAGIC));
    if claims.go.is_none() && sections.is_empty() {
        claims.go = go_in_segments(&mut bytes, &segments)?;
    }
    let has_pointers = |info: &Vec<u8>| info.get(15).is_some_and(|flags| flags & GO_INLINE == 0);
    if let Some(info) = claims.go.take_if(|info| has_pointers(info)) {
        claims.go = go_by_pointers(&mut bytes, &segments, &info)?;
    }
    Ok(claims)
}

/// `None` where the object is at fault.
fn optional<T>(read: Result<T, Stop>) -> Result<Option<T>, Stop> {
    match Stop::split(read) {
        Ok(Ok(value)) => Ok(Some(value)),
        Ok(Err(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn notes(
    bytes: &mut Bytes<'_>,
    header: &Header,
    segments: &[ProgramHeader],
    claims: &mut Claims,
) -> Result<(), Stop> {
    let mut left = MAX_NOTES;
    for segment in segments.iter().filter(|segment| segment.p_type == ph::PT_NOTE) {
        let len = segment.p_filesz;
        let data = match len <= left {
            true => optional(bytes.get(segment.p_offset, len, "PT_NOTE").map(<[u8]>::to_vec))?,
            false => None,
        };
        let Some(data) = data else { continue };
        left -= len;
        let alignment = if segment.p_align == 8 { 8 } else { 4 };
        let ctx = (alignment, header.machine.ctx());
        let notes = NoteDataIterator { data: &data, size: data.len(), offset: 0, ctx };
        for note in notes.map_while(Result::ok) {
            if note.n_type == PACKAGE_NOTE && note.name == "FDO" {
                let text = note.desc.split(|&byte| byte == 0).next().unwrap_or_default();
                claims.package_notes.push(text.to_vec());
            }
        }
    }
    Ok(())
}

/// The sections with their names; those without content in the file are left out.
fn sections(
    bytes: &mut Bytes<'_>,
    header: &Header,
    front: &[u8],
) -> Result<Vec<(Vec<u8>, SectionHeader)>, Stop> {
    let malformed = || Stop::from(ObjectError::Malformed("section headers"));
    let parsed = Elf::parse_header(front).map_err(|_| malformed())?;
    let (ctx, count) = (header.machine.ctx(), usize::from(parsed.e_shnum));
    let size = SectionHeader::size(ctx);
    if count == 0 || count > MAX_SECTIONS || usize::from(parsed.e_shentsize) != size {
        return Err(malformed());
    }
    let table = bytes.read(parsed.e_shoff, (count * size) as u64, "section headers")?;
    let all = SectionHeader::parse_from(&table, 0, count, ctx).map_err(|_| malformed())?;
    let names = all.get(usize::from(parsed.e_shstrndx)).ok_or_else(malformed)?;
    let names = bytes.read(names.sh_offset, names.sh_size.min(MAX_NAMES), "section names")?;
    let there = all.into_iter().filter(|section| section.sh_type != sh::SHT_NOBITS);
    let named = there.filter_map(|section| {
        let name = names.get(section.sh_name..)?.split(|&byte| byte == 0).next()?;
        Some((name.to_vec(), section))
    });
    Ok(named.collect())
}

/// Go's build information in an object without section headers: at the start of its first writable
/// segment, aligned to 16 bytes, where Go's linker puts it.
fn go_in_segments(
    bytes: &mut Bytes<'_>,
    segments: &[ProgramHeader],
) -> Result<Option<Vec<u8>>, Stop> {
    let is_data =
        |segment: &&ProgramHeader| segment.p_type == ph::PT_LOAD && segment.p_flags & ph::PF_W != 0;
    let Some(data) = segments.iter().find(is_data) else { return Ok(None) };
    let len = data.p_filesz.min(MAX_SEARCH);
    let Some(data) = optional(bytes.read(data.p_offset, len, "data"))? else { return Ok(None) };
    let at = memchr::memmem::find_iter(&data, GO_MAGIC).find(|at| at.is_multiple_of(16));
    Ok(at.and_then(|at| Some(data.get(at..)?.to_vec())))
}

/// Go's build information as Go 1.18 and later write it, from that of older versions, which has the
/// addresses of two strings; `None` if they lead nowhere.
fn go_by_pointers(
    bytes: &mut Bytes<'_>,
    segments: &[ProgramHeader],
    info: &[u8],
) -> Result<Option<Vec<u8>>, Stop> {
    let Some([size @ (4 | 8), flags]) = info.get(14..16) else { return Ok(None) };
    let is_big = flags & 1 != 0;
    let mut inline = [GO_MAGIC, &[*size, GO_INLINE]].concat();
    let size = usize::from(*size);
    inline.resize(GO_STRINGS, 0);
    for number in 0..2 {
        let Some(address) = word(info, 16 + number * size, size, is_big) else { return Ok(None) };
        let Some(header) = at_address(bytes, segments, address, 2 * size as u64)? else {
            return Ok(None);
        };
        let fields = (word(&header, 0, size, is_big), word(&header, size, size, is_big));
        let (Some(text), Some(len)) = fields else { return Ok(None) };
        let Some(text) = at_address(bytes, segments, text, len)? else { return Ok(None) };
        let mut left = text.len();
        while left >= 0x80 {
            inline.push(left as u8 | 0x80);
            left >>= 7;
        }
        inline.push(left as u8);
        inline.extend(text);
    }
    Ok(Some(inline))
}

/// The number of `size` bytes at an offset.
fn word(bytes: &[u8], at: usize, size: usize, is_big: bool) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    let join = |all: u64, byte: &u8| all << 8 | u64::from(*byte);
    Some(match is_big {
        true => bytes.iter().fold(0, join),
        false => bytes.iter().rev().fold(0, join),
    })
}

/// The `len` bytes that are loaded to an address from the file.
fn at_address(
    bytes: &mut Bytes<'_>,
    segments: &[ProgramHeader],
    address: u64,
    len: u64,
) -> Result<Option<Vec<u8>>, Stop> {
    let offset = segments.iter().filter(|one| one.p_type == ph::PT_LOAD).find_map(|segment| {
        let inside = address.checked_sub(segment.p_vaddr)?;
        let is_whole = inside.checked_add(len)? <= segment.p_filesz;
        segment.p_offset.checked_add(inside).filter(|_| is_whole && len <= MAX_SECTION)
    });
    match offset {
        Some(offset) => optional(bytes.read(offset, len, "Go build information")),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program for x86-64 of one segment, at 4 MiB, with build information of Go 1.17.
    fn old_go() -> Vec<u8> {
        let mut out = b"\x7fELF\x02\x01\x01".to_vec();
        out.resize(16, 0);
        let mut put = |value: u64, size: usize| out.extend(&value.to_le_bytes()[..size]);
        // e_type, e_machine, e_version, e_entry, e_phoff, e_shoff, e_flags, e_ehsize, …
        for (value, size) in [(2, 2), (62, 2), (1, 4), (0x40_0000, 8), (64, 8), (0, 8), (0, 4)] {
            put(value, size);
        }
        for value in [64, 56, 1, 64, 0, 0] {
            put(value, 2);
        }
        // PT_LOAD, readable and writable: offset, addresses, sizes, alignment.
        for (value, size) in [(1, 4), (6, 4), (0, 8), (0x40_0000, 8), (0x40_0000, 8)] {
            put(value, size);
        }
        for value in [300, 300, 0x1000] {
            put(value, 8);
        }
        out.resize(128, 0);
        out.extend(GO_MAGIC);
        out.extend([8, 0]);
        for word in [0x40_0000_u64 + 160, 0x40_0000 + 176, 0x40_0000 + 192, 6, 0x40_0000 + 198, 9] {
            out.extend(word.to_le_bytes());
        }
        out.extend(b"go1.17the-modul");
        out.resize(300, 0);
        out
    }

    fn go(program: &[u8]) -> Option<Vec<u8>> {
        let read_at = &mut |offset: u64, out: &mut [u8]| {
            let rest = program.get(offset as usize..).unwrap_or_default();
            let count = rest.len().min(out.len());
            out[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        };
        claims(program.len() as u64, read_at).unwrap().unwrap().go
    }

    #[test]
    fn build_information_of_old_go_has_addresses() {
        let program = old_go();
        let info = go(&program).unwrap();
        assert_eq!(info[GO_STRINGS..], *b"\x06go1.17\x09the-modul");
        assert_eq!(info[14..16], [8, GO_INLINE]);
        // Addresses that lead nowhere, and lengths beyond the end.
        for (at, value) in [(144, 0_u64), (144, u64::MAX), (168, u64::MAX), (184, 1 << 40)] {
            let mut wrong = program.clone();
            wrong[at..at + 8].copy_from_slice(&value.to_le_bytes());
            assert_eq!(go(&wrong), None, "{at} {value}");
        }
    }
}
