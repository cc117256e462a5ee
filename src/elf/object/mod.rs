//! One ELF object: what its headers, its dynamic section and its notes tell a loader. Section
//! headers are not looked at: loaders do not, and stripped programs have none.

mod bytes;
mod claims;
mod constants;
mod dynamic;
mod error;
mod header;
mod layout;
mod notes;
mod strings;
mod symbols;
mod versions;

use std::{io, sync::Arc};

use goblin::elf::{ProgramHeader, program_header as ph};

use bytes::Bytes;
use error::Stop;

pub use bytes::ReadAt;
pub use claims::{Claims, claims};
pub use constants::constants;
pub use error::ObjectError;
pub use header::{Float, HEADER_LEN, Header, Kind, Machine};
pub use layout::layout;
pub use symbols::{exports, imports};
pub use versions::{NeededVersion, Verneed};

/// What the loader reads of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Machine, type and what else the header says.
    pub header: Header,
    /// How it is linked.
    pub linkage: Linkage,
    /// PT_INTERP without its NUL: the path that the kernel opens as the loader.
    pub interp: Option<Arc<[u8]>>,
    /// DT_NEEDED, DT_AUXILIARY and DT_FILTER in the section's order.
    pub requests: Vec<(Request, Arc<[u8]>)>,
    /// DT_SONAME; of several the last, as in glibc's `elf_get_dynamic_info`, here and below.
    pub soname: Option<Arc<[u8]>>,
    /// DT_RPATH, even where a DT_RUNPATH makes the loader ignore it.
    pub rpath: Option<Arc<[u8]>>,
    /// DT_RUNPATH.
    pub runpath: Option<Arc<[u8]>>,
    /// DT_FLAGS_1.
    pub flags_1: u64,
    /// Versions wanted of other objects.
    pub verneed: Vec<Verneed>,
    /// Versions that this object defines, its own name (`VER_FLG_BASE`) among them. `None` without
    /// DT_VERDEF.
    pub verdef: Option<Vec<Arc<[u8]>>>,
    /// Descriptors of the `.note.dlopen` notes: JSON text, unchecked.
    pub dlopen_notes: Vec<Vec<u8>>,
    /// Bytes up to the end of the last segment that is mapped (PT_LOAD); a whole file has at least
    /// as many.
    pub extent: u64,
    /// Whether a segment's address and offset do not go together.
    pub misaligned: bool,
}

/// How an object is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linkage {
    /// It has a dynamic section, which a loader reads. A static-pie program has one too, but no
    /// interpreter.
    Dynamic,
    /// No PT_DYNAMIC: nothing to resolve.
    Static,
    /// The debugging half of a stripped object (`objcopy --only-keep-debug`): its segments have no
    /// bytes. Data.
    DebugOnly,
}

/// Which tag asks for another object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    /// DT_NEEDED.
    Needed,
    /// DT_AUXILIARY: used if it is there.
    Auxiliary,
    /// DT_FILTER: must be there.
    Filter,
}

/// DF_1_NODEFLIB: neither default directories nor what the cache has of them.
pub const NODEFLIB: u64 = goblin::elf::dynamic::DF_1_NODEFLIB;
/// DF_1_PIE: a program, which nothing may need.
pub const PIE: u64 = goblin::elf::dynamic::DF_1_PIE;

/// What kind of file a first look at its front tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniffed {
    /// ELF magic.
    Elf,
    /// `#!`: the kernel starts its interpreter.
    Script,
    /// Neither.
    Data,
}

/// Tells ELF objects and scripts from data by the first four bytes of a file.
pub fn sniff(front: &[u8]) -> Sniffed {
    match front {
        [0x7f, b'E', b'L', b'F', ..] => Sniffed::Elf,
        [b'#', b'!', ..] => Sniffed::Script,
        _ => Sniffed::Data,
    }
}

/// Program headers of one object; kernels take 65,535, linkers write a dozen.
const MAX_HEADERS: usize = 4096;
/// Bytes of PT_INTERP: PATH_MAX, as the kernel's `load_elf_binary` has it.
const MAX_INTERP: u64 = 4096;

impl Object {
    /// Reads what a loader reads of an object of `len` bytes through `read_at`, and little else of
    /// the file.
    ///
    /// # Errors
    /// The outer error is the one of `read_at`, the inner one tells what is wrong with the
    /// contents. A dynamic section that is there but cannot be read is an error, never "static".
    pub fn read(len: u64, read_at: ReadAt<'_>) -> Result<Result<Self, ObjectError>, io::Error> {
        Stop::split(Self::parse(len, read_at))
    }

    fn parse(len: u64, read_at: ReadAt<'_>) -> Result<Self, Stop> {
        let mut bytes = Bytes::new(len, read_at);
        let header = Header::parse(bytes.get(0, len.min(HEADER_LEN as u64), "ELF header")?)?;
        let mut object = Self {
            header,
            linkage: Linkage::Static,
            interp: None,
            requests: Vec::new(),
            soname: None,
            rpath: None,
            runpath: None,
            flags_1: 0,
            verneed: Vec::new(),
            verdef: None,
            dlopen_notes: Vec::new(),
            extent: 0,
            misaligned: false,
        };
        if matches!(header.kind, Kind::Other(_)) {
            return Ok(object);
        }
        let segments = segments(&mut bytes, &header)?;
        let loads = segments.iter().filter(|segment| segment.p_type == ph::PT_LOAD);
        let ends = loads.map(|segment| segment.p_offset.saturating_add(segment.p_filesz));
        object.extent = ends.max().unwrap_or(0);
        let loads = segments.iter().filter(|segment| segment.p_type == ph::PT_LOAD);
        object.misaligned = loads.into_iter().any(is_misaligned);
        object.interp = interp(&mut bytes, &segments)?;
        if let Some(dynamic) = dynamic::find(&mut bytes, &header, &segments)? {
            object.linkage = dynamic.linkage();
            dynamic.read_into(&mut object, &mut bytes)?;
        }
        if object.linkage != Linkage::DebugOnly {
            object.dlopen_notes = notes::dlopen(&mut bytes, &header, &segments)?;
        }
        Ok(object)
    }

    /// DT_NEEDED names in order.
    pub fn needed(&self) -> impl Iterator<Item = &Arc<[u8]>> {
        self.requests
            .iter()
            .filter(|(request, _)| *request == Request::Needed)
            .map(|(_, name)| name)
    }

    /// Whether a loader works on it: a dynamic section and an interpreter, or a library.
    pub fn is_program(&self) -> bool {
        self.interp.is_some() || self.header.kind == Kind::Exec || self.flags_1 & PIE != 0
    }

    /// Whether the kernel can start it and it is meant to be started. Linkers did not always mark
    /// static programs that can lie anywhere: these have an entry and nothing that makes a library.
    pub fn can_start(&self) -> bool {
        let like_a_library = self.soname.is_some() || !self.requests.is_empty();
        let unmarked = self.header.kind == Kind::Dyn && self.header.entry != 0 && !like_a_library;
        self.is_program() || unmarked
    }
}

/// Whether a loader refuses to map a segment so (`_dl_map_object_from_fd`).
fn is_misaligned(load: &ProgramHeader) -> bool {
    let align = load.p_align;
    !align.is_power_of_two() && align != 0
        || align > 1 && load.p_vaddr.wrapping_sub(load.p_offset) & align.wrapping_sub(1) != 0
}

fn segments(bytes: &mut Bytes<'_>, header: &Header) -> Result<Vec<ProgramHeader>, Stop> {
    let (ctx, count) = (header.machine.ctx(), usize::from(header.phnum));
    if count == 0 {
        return Ok(Vec::new());
    }
    if !header.standard_phentsize {
        return Err(ObjectError::Malformed("size of a program header").into());
    }
    if count > MAX_HEADERS {
        return Err(ObjectError::TooMany { what: "program headers", limit: MAX_HEADERS }.into());
    }
    let size = count * ProgramHeader::size(ctx);
    let table = bytes.get(header.phoff, size as u64, "program headers")?;
    ProgramHeader::parse(table, 0, count, ctx)
        .map_err(|_| ObjectError::Truncated("program headers").into())
}

fn interp(bytes: &mut Bytes<'_>, segments: &[ProgramHeader]) -> Result<Option<Arc<[u8]>>, Stop> {
    let Some(segment) = segments.iter().find(|s| s.p_type == ph::PT_INTERP && s.p_filesz > 0)
    else {
        return Ok(None);
    };
    if segment.p_filesz > MAX_INTERP {
        return Err(ObjectError::TooMany { what: "bytes of PT_INTERP", limit: 4096 }.into());
    }
    let path = bytes.get(segment.p_offset, segment.p_filesz, "PT_INTERP")?;
    // The kernel requires the last byte to be NUL and takes the bytes before the first NUL.
    match (path.last(), path.split(|&b| b == 0).next()) {
        (Some(0), Some(path)) if !path.is_empty() => Ok(Some(path.into())),
        _ => Err(ObjectError::Malformed("PT_INTERP").into()),
    }
}

#[cfg(test)]
mod tests;
