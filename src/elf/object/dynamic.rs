//! Reads the dynamic section, whose entries goblin parses.

use std::ops::Range;

use goblin::elf::{Dynamic, ProgramHeader, dynamic as dy, program_header as ph};

use super::{
    Bytes, Header, Linkage, Object, ObjectError, Request, Stop, strings::Strings, versions::Chain,
};

/// Maximum bytes of the section: 65,536 entries of the 64-bit class.
const MAX_SIZE: u64 = 1 << 20;
/// Maximum DT_NEEDED, DT_AUXILIARY and DT_FILTER entries of one object.
const MAX_REQUESTS: usize = 16 << 10;

/// An object's dynamic section and the segments that its addresses lie in.
pub(super) struct Section<'a> {
    entries: Option<Dynamic>,
    header: &'a Header,
    segments: &'a [ProgramHeader],
}

/// Finds the dynamic section by PT_DYNAMIC, if there is one.
pub(super) fn find<'a>(
    bytes: &mut Bytes<'_>,
    header: &'a Header,
    segments: &'a [ProgramHeader],
) -> Result<Option<Section<'a>>, Stop> {
    // Loaders use the last PT_DYNAMIC.
    let Some(segment) = segments.iter().rev().find(|s| s.p_type == ph::PT_DYNAMIC) else {
        return Ok(None);
    };
    if segment.p_filesz == 0 || loads_nothing(segments, segment) {
        return Ok(Some(Section { entries: None, header, segments }));
    }
    if segment.p_filesz > MAX_SIZE {
        return Err(ObjectError::TooMany { what: "bytes of PT_DYNAMIC", limit: 1 << 20 }.into());
    }
    // Loaders find it by its address in memory; p_offset matters only in files without PT_LOAD.
    let offset =
        file_offset(segments, segment.p_vaddr).map_or(segment.p_offset, |(offset, _)| offset);
    let table = bytes.get(offset, segment.p_filesz, "PT_DYNAMIC")?;
    let alone = [ProgramHeader { p_offset: 0, ..segment.clone() }];
    let entries = Dynamic::parse(table, &alone, header.machine.ctx());
    let entries = entries.ok().flatten().ok_or(ObjectError::Truncated("PT_DYNAMIC"))?;
    Ok(Some(Section { entries: Some(entries), header, segments }))
}

/// Whether the segment that holds the dynamic section has no bytes in the file, as in separate
/// debug files, whose PT_DYNAMIC may keep its size.
fn loads_nothing(segments: &[ProgramHeader], dynamic: &ProgramHeader) -> bool {
    let mut loads = segments.iter().filter(|s| s.p_type == ph::PT_LOAD);
    let holder =
        loads.find(|s| dynamic.p_vaddr >= s.p_vaddr && dynamic.p_vaddr - s.p_vaddr < s.p_memsz);
    holder.is_some_and(|s| s.p_filesz == 0)
}

/// The file offset of the byte at `address`, and the file offset at which its segment ends.
pub(super) fn file_offset(segments: &[ProgramHeader], address: u64) -> Option<(u64, u64)> {
    let load = segments.iter().find(|s| {
        s.p_type == ph::PT_LOAD && address >= s.p_vaddr && address - s.p_vaddr < s.p_filesz
    })?;
    let offset = load.p_offset.checked_add(address - load.p_vaddr)?;
    Some((offset, load.p_offset.checked_add(load.p_filesz)?))
}

impl Section<'_> {
    pub(super) fn linkage(&self) -> Linkage {
        if self.entries.is_some() { Linkage::Dynamic } else { Linkage::DebugOnly }
    }

    /// The value of the last entry with `tag`, the one that glibc's `l_info` keeps.
    pub(super) fn value(&self, tag: u64) -> Option<u64> {
        let entries = self.entries.as_ref()?;
        entries.dyns.iter().rev().find(|entry| entry.d_tag == tag).map(|entry| entry.d_val)
    }

    /// The file range of the string table.
    fn strings(&self) -> Result<Option<Strings>, Stop> {
        let Some(address) = self.value(dy::DT_STRTAB) else { return Ok(None) };
        let (start, end) =
            file_offset(self.segments, address).ok_or(ObjectError::Unmapped("DT_STRTAB"))?;
        let size = match self.value(dy::DT_STRSZ) {
            Some(size) if size > end - start => {
                return Err(ObjectError::Unmapped("DT_STRSZ").into());
            }
            Some(size) => size,
            None => end - start,
        };
        Ok(Some(Strings::new(start, size)))
    }

    /// Fills in the fields that the section determines.
    pub(super) fn read_into(&self, object: &mut Object, bytes: &mut Bytes<'_>) -> Result<(), Stop> {
        let Some(entries) = &self.entries else { return Ok(()) };
        object.flags_1 = self.value(dy::DT_FLAGS_1).unwrap_or(0);
        let mut strings = self.strings()?;
        for entry in &entries.dyns {
            let (what, tag) = match entry.d_tag {
                dy::DT_NEEDED => ("DT_NEEDED", Some(Request::Needed)),
                DT_AUXILIARY => ("DT_AUXILIARY", Some(Request::Auxiliary)),
                DT_FILTER => ("DT_FILTER", Some(Request::Filter)),
                dy::DT_SONAME => ("DT_SONAME", None),
                dy::DT_RPATH => ("DT_RPATH", None),
                dy::DT_RUNPATH => ("DT_RUNPATH", None),
                _ => continue,
            };
            let strings = strings
                .as_mut()
                .ok_or(ObjectError::Malformed("dynamic section without DT_STRTAB"))?;
            let string = strings.get(bytes, entry.d_val, what)?;
            match (entry.d_tag, tag) {
                (_, Some(tag)) => object.requests.push((tag, string)),
                (dy::DT_SONAME, _) => object.soname = Some(string),
                (dy::DT_RPATH, _) => object.rpath = Some(string),
                _ => object.runpath = Some(string),
            }
            if object.requests.len() > MAX_REQUESTS {
                return Err(
                    ObjectError::TooMany { what: "needed libraries", limit: MAX_REQUESTS }.into()
                );
            }
        }
        if let Some(strings) = &mut strings {
            self.read_versions(object, bytes, strings)?;
        }
        Ok(())
    }

    fn read_versions(
        &self,
        object: &mut Object,
        bytes: &mut Bytes<'_>,
        strings: &mut Strings,
    ) -> Result<(), Stop> {
        let chain = |what, address, count| -> Result<Option<Chain>, Stop> {
            let Some(address) = self.value(address) else { return Ok(None) };
            let (offset, _) =
                file_offset(self.segments, address).ok_or(ObjectError::Unmapped(what))?;
            let count = self.value(count).unwrap_or(u64::MAX);
            Ok(Some(Chain { offset, count, big_endian: self.header.machine.big_endian }))
        };
        if let Some(chain) = chain("DT_VERNEED", dy::DT_VERNEED, dy::DT_VERNEEDNUM)? {
            object.verneed = chain.needed(bytes, strings)?;
        }
        if let Some(chain) = chain("DT_VERDEF", dy::DT_VERDEF, dy::DT_VERDEFNUM)? {
            object.verdef = Some(chain.defined(bytes, strings)?);
        }
        Ok(())
    }

    /// The locations of the symbol and string tables, and the number of symbols if DT_HASH gives
    /// it.
    pub(super) fn symbol_tables(&self, bytes: &mut Bytes<'_>) -> Result<Option<Tables>, Stop> {
        let (Some(symtab), Some(strings)) = (self.value(dy::DT_SYMTAB), self.strings()?) else {
            return Ok(None);
        };
        let (symbols, end) =
            file_offset(self.segments, symtab).ok_or(ObjectError::Unmapped("DT_SYMTAB"))?;
        // No entry holds the number of symbols, but DT_HASH gives it. Without it the symbols end
        // where the string table starts, as every linker lays them out, or with the segment.
        let count = match self.value(dy::DT_HASH).and_then(|hash| file_offset(self.segments, hash))
        {
            Some((hash, _)) if !self.wide_hash() => {
                let raw = bytes.get(hash, 8, "DT_HASH")?.get(4..8).and_then(|b| b.try_into().ok());
                let raw: [u8; 4] = raw.unwrap_or_default();
                let big = self.header.machine.big_endian;
                Some(u64::from(if big { u32::from_be_bytes(raw) } else { u32::from_le_bytes(raw) }))
            }
            _ => None,
        };
        let strings = strings.range();
        let end = if strings.start > symbols { end.min(strings.start) } else { end };
        Ok(Some(Tables { symbols, end, count, strings }))
    }

    /// Whether hash tables have 64-bit words, as on s390x and alpha.
    fn wide_hash(&self) -> bool {
        let machine = self.header.machine;
        machine.is_64 && matches!(machine.arch, goblin::elf::header::EM_S390 | 0x9026)
    }
}

/// Where an object's dynamic symbols are.
pub(super) struct Tables {
    pub(super) symbols: u64,
    pub(super) end: u64,
    pub(super) count: Option<u64>,
    pub(super) strings: Range<u64>,
}

/// Names an auxiliary filtee (Solaris extension of the gABI, which goblin does not define).
const DT_AUXILIARY: u64 = 0x7fff_fffd;
/// Names a standard filtee.
const DT_FILTER: u64 = 0x7fff_ffff;
