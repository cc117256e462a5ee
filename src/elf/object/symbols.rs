//! The dynamic symbols of an object. The search for libraries does not need them.

use std::{collections::BTreeSet, io, sync::Arc};

use goblin::{
    container::Container,
    elf::sym::{Symtab, sym32, sym64},
};

use super::{Bytes, HEADER_LEN, Header, Kind, ObjectError, ReadAt, Stop, dynamic, segments};

/// Symbols of one object; the largest libraries in use have some 300,000.
const MAX_SYMBOLS: u64 = 1 << 20;

/// Names in an object's dynamic symbol table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Symbols {
    /// Undefined: what it takes from others, weakly or not.
    pub imported: BTreeSet<Arc<[u8]>>,
    /// Defined and visible to others.
    pub exported: BTreeSet<Arc<[u8]>>,
}

/// Reads the dynamic symbol table of an object of `len` bytes through `read_at`. Empty where it has
/// none.
///
/// # Errors
/// As [`super::Object::read`].
pub fn symbols(len: u64, read_at: ReadAt<'_>) -> Result<Result<Symbols, ObjectError>, io::Error> {
    Stop::split(read(len, read_at))
}

fn read(len: u64, read_at: ReadAt<'_>) -> Result<Symbols, Stop> {
    let mut out = Symbols::default();
    let mut bytes = Bytes::new(len, read_at);
    let header = Header::parse(bytes.get(0, len.min(HEADER_LEN as u64), "ELF header")?)?;
    if matches!(header.kind, Kind::Other(_)) {
        return Ok(out);
    }
    let segments = segments(&mut bytes, &header)?;
    let Some(section) = dynamic::find(&mut bytes, &header, &segments)? else { return Ok(out) };
    let Some(mut tables) = section.symbol_tables(&mut bytes)? else { return Ok(out) };
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
    let raw = bytes.get(tables.symbols, count * size, "DT_SYMTAB")?.to_vec();
    let count = usize::try_from(count).unwrap_or(0);
    let table =
        Symtab::parse(&raw, 0, count, ctx).map_err(|_| ObjectError::Truncated("DT_SYMTAB"))?;
    for symbol in table.iter().filter(|symbol| symbol.st_name != 0) {
        // Another table may follow the last symbol: a value that is not a valid offset ends the
        // reading.
        let name = match tables.strings.get(&mut bytes, symbol.st_name as u64, "DT_SYMTAB") {
            Ok(name) => name,
            Err(Stop::Object(_)) => break,
            Err(failure) => return Err(failure),
        };
        if symbol.st_shndx == 0 {
            out.imported.insert(name);
        } else if symbol.st_bind() != 0 {
            out.exported.insert(name);
        }
    }
    Ok(out)
}
