//! The dynamic symbols of an object. The search for libraries does not need them.

use std::{io, ops::Range};

use goblin::{
    container::Container,
    elf::sym::{Sym, Symtab, sym32, sym64},
};

use super::{Bytes, HEADER_LEN, Header, Kind, ObjectError, ReadAt, Stop, dynamic, segments};

/// Symbols of one object; the largest libraries in use have some 300,000.
const MAX_SYMBOLS: u64 = 1 << 20;
/// Bytes of a string table that are read; the largest in use have some 5 MB.
const MAX_TABLE: u64 = 32 << 20;
/// Bytes of all names of one object: they may overlap, so that a small table can spell many.
const MAX_NAMES: usize = 64 << 20;

/// Calls `each` with each undefined name in the dynamic symbol table of an object of `len` bytes:
/// what it takes from others, weakly or not. A name may come several times.
///
/// # Errors
/// As [`super::Object::read`].
pub fn imports(
    len: u64,
    read_at: ReadAt<'_>,
    each: impl FnMut(&[u8]),
) -> Result<Result<(), ObjectError>, io::Error> {
    Stop::split(read(len, read_at, |symbol| symbol.st_shndx == 0, each))
}

/// As [`imports`], with each name that the object defines and that others see.
///
/// # Errors
/// As [`super::Object::read`].
pub fn exports(
    len: u64,
    read_at: ReadAt<'_>,
    each: impl FnMut(&[u8]),
) -> Result<Result<(), ObjectError>, io::Error> {
    let is_export = |symbol: &Sym| symbol.st_shndx != 0 && symbol.st_bind() != 0;
    Stop::split(read(len, read_at, is_export, each))
}

fn read(
    len: u64,
    read_at: ReadAt<'_>,
    is_wanted: impl Fn(&Sym) -> bool,
    mut each: impl FnMut(&[u8]),
) -> Result<(), Stop> {
    let mut bytes = Bytes::new(len, read_at);
    let header = Header::parse(bytes.get(0, len.min(HEADER_LEN as u64), "ELF header")?)?;
    if matches!(header.kind, Kind::Other(_)) {
        return Ok(());
    }
    let segments = segments(&mut bytes, &header)?;
    let Some(section) = dynamic::find(&mut bytes, &header, &segments)? else { return Ok(()) };
    let Some(tables) = section.symbol_tables(&mut bytes)? else { return Ok(()) };
    let ctx = header.machine.ctx();
    let size = match ctx.container {
        Container::Little => sym32::SIZEOF_SYM,
        Container::Big => sym64::SIZEOF_SYM,
    } as u64;
    let room = tables.end.saturating_sub(tables.symbols) / size;
    let count = tables.count.map_or(room, |count| count.min(room));
    if count > MAX_SYMBOLS {
        return Err(ObjectError::TooMany { what: "dynamic symbols", limit: 1 << 20 }.into());
    }
    let raw = bytes.read(tables.symbols, count * size, "DT_SYMTAB")?;
    let count = usize::try_from(count).unwrap_or(0);
    let table =
        Symtab::parse(&raw, 0, count, ctx).map_err(|_| ObjectError::Truncated("DT_SYMTAB"))?;
    let Range { start, end } = tables.strings;
    let strings =
        bytes.read(start, end.min(len).saturating_sub(start).min(MAX_TABLE), "DT_STRTAB")?;
    let mut left = MAX_NAMES;
    for symbol in table.iter().filter(|symbol| symbol.st_name != 0 && is_wanted(symbol)) {
        // Another table may follow the last symbol: a value that is not a valid offset ends the
        // reading.
        let Some(front) = strings.get(symbol.st_name..) else { break };
        let front = front.get(..left).unwrap_or(front);
        let Some(end) = memchr::memchr(0, front) else { break };
        left -= end;
        each(front.get(..end).unwrap_or_default());
    }
    Ok(())
}
