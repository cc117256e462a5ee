//! The notes of an object that hold dlopen metadata.

use goblin::elf::{ProgramHeader, note::NoteDataIterator, program_header as ph};

use super::{Bytes, Header, Stop};

/// `n_type` of `.note.dlopen` (UAPI.12 ELF dlopen metadata).
const TYPE: u32 = 0x407c_0c0a;
/// Bytes of all PT_NOTE segments that are looked at; real ones are below a kilobyte. What is larger
/// is passed over: a program may have notes of its own.
const MAX_NOTES: u64 = 1 << 20;

/// The descriptors of all dlopen notes, without the NULs that end them. A note that makes no sense
/// ends its segment, as it does for other readers: notes do not decide whether an object can be
/// loaded.
pub(super) fn dlopen(
    bytes: &mut Bytes<'_>,
    header: &Header,
    segments: &[ProgramHeader],
) -> Result<Vec<Vec<u8>>, Stop> {
    let mut out = Vec::new();
    let mut left = MAX_NOTES;
    for segment in segments.iter().filter(|s| s.p_type == ph::PT_NOTE) {
        if segment.p_filesz > left {
            continue;
        }
        left -= segment.p_filesz;
        let data = bytes.get(segment.p_offset, segment.p_filesz, "PT_NOTE")?;
        let alignment = if segment.p_align == 8 { 8 } else { 4 };
        let ctx = (alignment, header.machine.ctx());
        let notes = NoteDataIterator { data, size: data.len(), offset: 0, ctx };
        for note in notes.map_while(Result::ok) {
            if note.n_type == TYPE && note.name == "FDO" {
                let text = note.desc.split(|&b| b == 0).next().unwrap_or_default();
                out.push(text.to_vec());
            }
        }
    }
    Ok(out)
}
