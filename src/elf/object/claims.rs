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
