//! Checks whether the fields of an object are consistent: a loader trusts them and crashes if they
//! are not.
//!
//! Checks only properties that the output of every linker has. Section headers are ignored, since
//! stripped programs may have none.

use std::io;

use goblin::elf::{ProgramHeader, dynamic as dy, header as eh, program_header as ph};

use super::{Bytes, HEADER_LEN, Header, Kind, ObjectError, ReadAt, Stop, dynamic, segments};

/// Entries that hold the address of a table, each with the entry that holds its length, or 0.
const TABLES: [(u64, u64, &str); 17] = [
    (dy::DT_STRTAB, dy::DT_STRSZ, "DT_STRTAB"),
    (dy::DT_RELA, dy::DT_RELASZ, "DT_RELA"),
    (dy::DT_REL, dy::DT_RELSZ, "DT_REL"),
    (dy::DT_JMPREL, dy::DT_PLTRELSZ, "DT_JMPREL"),
    (dy::DT_INIT_ARRAY, dy::DT_INIT_ARRAYSZ, "DT_INIT_ARRAY"),
    (dy::DT_FINI_ARRAY, dy::DT_FINI_ARRAYSZ, "DT_FINI_ARRAY"),
    (dy::DT_PREINIT_ARRAY, dy::DT_PREINIT_ARRAYSZ, "DT_PREINIT_ARRAY"),
    (DT_RELR, DT_RELRSZ, "DT_RELR"),
    (dy::DT_SYMTAB, 0, "DT_SYMTAB"),
    (dy::DT_HASH, 0, "DT_HASH"),
    (dy::DT_GNU_HASH, 0, "DT_GNU_HASH"),
    (dy::DT_VERSYM, 0, "DT_VERSYM"),
    (dy::DT_VERNEED, 0, "DT_VERNEED"),
    (dy::DT_VERDEF, 0, "DT_VERDEF"),
    (dy::DT_PLTGOT, 0, "DT_PLTGOT"),
    (dy::DT_INIT, 0, "DT_INIT"),
    (dy::DT_FINI, 0, "DT_FINI"),
];

/// Pairs of entries: the first is invalid without the second.
const PAIRS: [(u64, u64, &str); 14] = [
    (dy::DT_STRTAB, dy::DT_STRSZ, "DT_STRSZ"),
    (dy::DT_STRSZ, dy::DT_STRTAB, "DT_STRTAB"),
    (dy::DT_NEEDED, dy::DT_STRTAB, "DT_STRTAB"),
    (dy::DT_STRTAB, dy::DT_SYMTAB, "DT_SYMTAB"),
    (dy::DT_SYMTAB, dy::DT_SYMENT, "DT_SYMENT"),
    (dy::DT_RELA, dy::DT_RELASZ, "DT_RELASZ"),
    (dy::DT_RELASZ, dy::DT_RELA, "DT_RELA"),
    (dy::DT_RELA, dy::DT_RELAENT, "DT_RELAENT"),
    (dy::DT_REL, dy::DT_RELSZ, "DT_RELSZ"),
    (dy::DT_JMPREL, dy::DT_PLTRELSZ, "DT_PLTRELSZ"),
    (dy::DT_JMPREL, dy::DT_PLTREL, "DT_PLTREL"),
    (dy::DT_PLTREL, dy::DT_JMPREL, "DT_JMPREL"),
    (dy::DT_INIT_ARRAYSZ, dy::DT_INIT_ARRAY, "DT_INIT_ARRAY"),
    (dy::DT_VERNEED, dy::DT_VERSYM, "DT_VERSYM"),
];

const DT_RELRSZ: u64 = 35;
const DT_RELR: u64 = 36;

/// Checks an object of `len` bytes, read through `read_at`, for an inconsistency that keeps it from
/// running. Returns the name of the invalid field or entry.
///
/// # Errors
/// Like [`super::Object::read`].
pub fn layout(
    len: u64,
    read_at: ReadAt<'_>,
) -> Result<Result<Option<&'static str>, ObjectError>, io::Error> {
    Stop::split(read(len, read_at))
}

fn read(len: u64, read_at: ReadAt<'_>) -> Result<Option<&'static str>, Stop> {
    let mut bytes = Bytes::new(len, read_at);
    let header = Header::parse(bytes.get(0, len.min(HEADER_LEN as u64), "ELF header")?)?;
    // An object for no operating system (Guile's compiled code) has its own loader.
    if matches!(header.kind, Kind::Other(_)) || header.osabi == eh::ELFOSABI_STANDALONE {
        return Ok(None);
    }
    let segments = segments(&mut bytes, &header)?;
    if let Some(wrong) = of_segments(&header, &segments) {
        return Ok(Some(wrong));
    }
    let Some(section) = dynamic::find(&mut bytes, &header, &segments)? else { return Ok(None) };
    let map = Map { segments: &segments, is_64: header.machine.is_64 };
    let value = |tag| section.value(tag);
    if let Some(wrong) = map.of_entries(&header, &value) {
        return Ok(Some(wrong));
    }
    map.of_contents(&mut bytes, &value)
}

/// The segments that are mapped (PT_LOAD).
fn loads(segments: &[ProgramHeader]) -> impl Iterator<Item = &ProgramHeader> {
    segments.iter().filter(|segment| segment.p_type == ph::PT_LOAD)
}

/// Whether `len` bytes at `address` lie in a segment, or in the `slack` bytes after it.
fn holds(load: &ProgramHeader, address: u64, len: u64, slack: u64) -> bool {
    let room = load.p_memsz.saturating_add(slack);
    let before = address.checked_sub(load.p_vaddr);
    before.and_then(|before| room.checked_sub(before)).is_some_and(|room| len <= room)
}

/// Checks what the kernel and the loader map according to the program headers.
fn of_segments(header: &Header, segments: &[ProgramHeader]) -> Option<&'static str> {
    let mut end = 0;
    for load in loads(segments) {
        let Some(own) = load.p_vaddr.checked_add(load.p_memsz) else { return Some("PT_LOAD") };
        // The kernel does not check the offset of a segment without bytes in the file.
        let is_even = load.p_filesz == 0 || (load.p_vaddr ^ load.p_offset) & 0xfff == 0;
        // Segments must be in ascending order, as the specification requires: the first and the
        // last determine how much address space is reserved.
        if load.p_filesz > load.p_memsz || load.p_vaddr < end || !is_even {
            return Some("PT_LOAD");
        }
        end = own;
    }
    // The largest address space that a machine gives to a program. IA-64 keeps code and data in
    // regions that are further apart.
    let first = loads(segments).next().map_or(0, |load| load.p_vaddr);
    let is_bounded = header.machine.arch != eh::EM_IA_64;
    if is_bounded && end - first > 1 << if header.machine.is_64 { 46 } else { 32 } {
        return Some("PT_LOAD");
    }
    let is_program =
        segments.iter().any(|s| s.p_type == ph::PT_INTERP) || header.kind == Kind::Exec;
    // On PPC64, the entry address is that of a function descriptor.
    let is_code =
        |load: &ProgramHeader| load.p_flags & ph::PF_X != 0 || header.machine.arch == eh::EM_PPC64;
    if is_program && !loads(segments).any(|load| holds(load, header.entry, 1, 0) && is_code(load)) {
        return Some("entry address");
    }
    segments.iter().find_map(|segment| of_segment(header, segments, segment))
}

/// Checks one program header against the mapped segments.
fn of_segment(
    header: &Header,
    segments: &[ProgramHeader],
    one: &ProgramHeader,
) -> Option<&'static str> {
    /// RELRO is rounded up to whole pages; this is the largest page size.
    const PAGE: u64 = 0x1_0000;
    /// Maximum thread-local bytes of one object: no thread could be started with more.
    const MAX_TLS: u64 = 1 << 30;
    let mapped =
        |len: u64, slack: u64| loads(segments).find(|load| holds(load, one.p_vaddr, len, slack));
    match one.p_type {
        ph::PT_DYNAMIC if one.p_filesz > 0 => {
            (one.p_filesz > one.p_memsz || mapped(one.p_memsz, 0).is_none()).then_some("PT_DYNAMIC")
        }
        ph::PT_PHDR => {
            let offset = mapped(one.p_memsz, 0)
                .map(|load| load.p_offset.wrapping_add(one.p_vaddr - load.p_vaddr));
            (offset != Some(header.phoff)).then_some("PT_PHDR")
        }
        ph::PT_TLS => {
            let fits = one.p_filesz <= one.p_memsz && one.p_memsz <= MAX_TLS;
            let aligned = one.p_align == 0 || one.p_align.is_power_of_two();
            let image = one.p_filesz == 0 || mapped(one.p_filesz, 0).is_some();
            (!fits || !aligned || !image).then_some("PT_TLS")
        }
        ph::PT_GNU_RELRO if one.p_memsz > 0 => {
            mapped(one.p_memsz, PAGE).is_none().then_some("PT_GNU_RELRO")
        }
        // Notes in separate debug files are not mapped.
        ph::PT_NOTE | ph::PT_GNU_PROPERTY if one.p_vaddr != 0 && one.p_memsz > 0 => {
            mapped(one.p_memsz, 0).is_none().then_some("PT_NOTE")
        }
        _ => None,
    }
}

/// Checks addresses against the mapped segments.
struct Map<'a> {
    segments: &'a [ProgramHeader],
    is_64: bool,
}

impl Map<'_> {
    /// The mapped segment that holds `len` bytes at `address`.
    fn holder(&self, address: u64, len: u64) -> Option<&ProgramHeader> {
        // An empty table must still start in the segment.
        loads(self.segments).find(|load| holds(load, address, len.max(1), 0))
    }

    /// Checks the entries of the dynamic section.
    fn of_entries(
        &self,
        header: &Header,
        value: &dyn Fn(u64) -> Option<u64>,
    ) -> Option<&'static str> {
        let (word, symbol) = if self.is_64 { (8, 24) } else { (4, 16) };
        for (tag, other, name) in PAIRS {
            if value(tag).is_some_and(|value| value != 0) && value(other).is_none() {
                return Some(name);
            }
        }
        for (tag, size, name) in TABLES {
            let Some(address) = value(tag).filter(|address| *address != 0) else { continue };
            let len = if size == 0 { 1 } else { value(size).unwrap_or(0) };
            let Some(load) = self.holder(address, len) else { return Some(name) };
            if load.p_flags & ph::PF_R == 0 && !matches!(tag, dy::DT_INIT | dy::DT_FINI) {
                return Some(name);
            }
            let is_code =
                matches!(tag, dy::DT_INIT | dy::DT_FINI) && header.machine.arch != eh::EM_PPC64;
            if is_code && load.p_flags & ph::PF_X == 0 {
                return Some(name);
            }
            let unaligned = match tag {
                dy::DT_STRTAB | dy::DT_INIT | dy::DT_FINI | dy::DT_PLTGOT => 0,
                dy::DT_VERSYM => address % 2,
                dy::DT_HASH | dy::DT_VERNEED | dy::DT_VERDEF => address % 4,
                _ => address % word,
            };
            if unaligned != 0 {
                return Some(name);
            }
        }
        let entries = [
            (dy::DT_SYMENT, symbol, "DT_SYMENT"),
            (dy::DT_RELAENT, word * 3, "DT_RELAENT"),
            (dy::DT_RELENT, word * 2, "DT_RELENT"),
        ];
        for (tag, wanted, name) in entries {
            if value(tag).is_some_and(|size| size != wanted) {
                return Some(name);
            }
        }
        let plt = match value(dy::DT_PLTREL) {
            None => 1,
            Some(dy::DT_RELA) => word * 3,
            Some(dy::DT_REL) => word * 2,
            Some(_) => return Some("DT_PLTREL"),
        };
        let multiples = [
            (dy::DT_RELASZ, word * 3, "DT_RELASZ"),
            (dy::DT_RELSZ, word * 2, "DT_RELSZ"),
            (dy::DT_PLTRELSZ, plt, "DT_PLTRELSZ"),
            (dy::DT_INIT_ARRAYSZ, word, "DT_INIT_ARRAYSZ"),
            (dy::DT_FINI_ARRAYSZ, word, "DT_FINI_ARRAYSZ"),
        ];
        multiples
            .into_iter()
            .find(|(tag, of, _)| value(*tag).is_some_and(|size| size % of != 0))
            .map(|(.., name)| name)
    }

    /// Checks the bytes that must be zero at the start and end of tables: if one is not, the
    /// address is not that of the table.
    fn of_contents(
        &self,
        bytes: &mut Bytes<'_>,
        value: &dyn Fn(u64) -> Option<u64>,
    ) -> Result<Option<&'static str>, Stop> {
        let symbol = if self.is_64 { 24 } else { 16 };
        let ends = |tag, size| Some((value(tag)?, value(size)?.checked_sub(1)?));
        let strings = ends(dy::DT_STRTAB, dy::DT_STRSZ);
        let zeros = [
            // Symbol number 0 is undefined (gABI, "Symbol Table") and has no version.
            value(dy::DT_SYMTAB).map(|at| (at, symbol, "DT_SYMTAB")),
            value(dy::DT_VERSYM).map(|at| (at, 2, "DT_VERSYM")),
            strings.map(|(at, _)| (at, 1, "DT_STRTAB")),
            strings.and_then(|(at, last)| Some((at.checked_add(last)?, 1, "DT_STRSZ"))),
        ];
        for (address, len, name) in zeros.into_iter().flatten() {
            let Some((offset, end)) = dynamic::file_offset(self.segments, address) else {
                return Ok(Some(name));
            };
            if end - offset < len || bytes.get(offset, len, name)?.iter().any(|&byte| byte != 0) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}
