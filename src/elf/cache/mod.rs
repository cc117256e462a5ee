//! `/etc/ld.so.cache`, which ldconfig writes and glibc's loader reads
//! (`sysdeps/generic/dl-cache.h`).

mod write;

use std::{cmp::Ordering, sync::Arc};

use goblin::elf::header as eh;

use crate::elf::{Float, Machine};

pub use write::{write, write_in_order};

/// Maximum bytes read from a cache; the largest in use have about 300 kB.
pub const MAX_CACHE: usize = 32 << 20;

const MAGIC_OLD: &[u8] = b"ld.so-1.7.0";
const MAGIC_NEW: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER_LEN: usize = 48;
const ENTRY_LEN: usize = 24;
const EXTENSION_MAGIC: u32 = 0xeaa4_2174;
/// Set in the hwcap field of entries for a `glibc-hwcaps` subdirectory; the low half holds the
/// index of the subdirectory.
const HWCAP_EXTENSION: u64 = 1 << 62;

/// The entries of a cache in file order: names descending, processor-specific subdirectories before
/// plain directories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cache {
    entries: Vec<Entry>,
}

/// One library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name by which it is requested: its SONAME.
    pub name: Arc<[u8]>,
    /// Its path.
    pub path: Arc<[u8]>,
    /// The kind of objects that it is for: see [`flags`].
    pub flags: i32,
    /// The processor-specific subdirectory that it is in.
    pub hwcap: Hwcap,
}

/// Which processors an entry is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hwcap {
    /// All processors.
    #[default]
    None,
    /// Processors that can use this subdirectory of `glibc-hwcaps`.
    Level(Arc<[u8]>),
    /// Processors with these bits: a legacy subdirectory, for loaders before 2.37.
    Legacy(u64),
}

/// The subdirectories that the processor of a lookup can use.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// Names of `glibc-hwcaps` subdirectories, best first.
    pub levels: &'a [Arc<[u8]>],
    /// Legacy subdirectories; empty if the loader does not know any.
    pub legacy: &'a [Arc<[u8]>],
}

/// Why a file is not a valid cache. The loader then works without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// It has the magic of neither format.
    #[error("no ld.so.cache in a known format")]
    Magic,
    /// It is shorter than its header says.
    #[error("the cache is truncated")]
    Truncated,
    /// It was written for the other byte order.
    #[error("the cache has the wrong byte order")]
    ByteOrder,
}

/// Reads integers of one byte order. Reads 0 past the end, where no valid table reaches.
#[derive(Clone, Copy)]
struct Reader<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl<'a> Reader<'a> {
    fn u32(self, at: usize) -> u32 {
        let raw =
            self.bytes.get(at..).and_then(|b| b.first_chunk::<4>()).copied().unwrap_or_default();
        if self.big_endian { u32::from_be_bytes(raw) } else { u32::from_le_bytes(raw) }
    }

    fn u64(self, at: usize) -> u64 {
        let (first, second) = (u64::from(self.u32(at)), u64::from(self.u32(at + 4)));
        if self.big_endian { first << 32 | second } else { second << 32 | first }
    }

    fn string(self, at: u32) -> Option<&'a [u8]> {
        let from = self.bytes.get(usize::try_from(at).ok()?..)?;
        from.get(..from.iter().position(|&b| b == 0)?)
    }
}

impl Cache {
    /// Parses either format for a loader of the given byte order. Entries that point outside the
    /// file are left out, as the loader skips them.
    ///
    /// # Errors
    /// [`CacheError`] if the loader would ignore the whole cache.
    pub fn parse(bytes: &[u8], big_endian: bool) -> Result<Self, CacheError> {
        let start = Self::new_format(bytes, big_endian)?;
        let new = bytes.get(start..).ok_or(CacheError::Truncated)?;
        let reader = Reader { bytes: new, big_endian };
        let count = reader.u32(20) as usize;
        let table = count.checked_mul(ENTRY_LEN).and_then(|size| size.checked_add(HEADER_LEN));
        if table.is_none_or(|size| size > new.len()) {
            return Err(CacheError::Truncated);
        }
        // Bits 0 and 1: 0 unspecified, 1 invalid, 2 little-endian, 3 big-endian.
        let order = new.get(28).copied().unwrap_or_default() & 3;
        if order == 1 || order == 2 && big_endian || order == 3 && !big_endian {
            return Err(CacheError::ByteOrder);
        }
        let hwcaps = hwcap_names(reader);
        let entry = |index: usize| {
            let at = HEADER_LEN + index * ENTRY_LEN;
            let hwcap = match reader.u64(at + 16) {
                0 => Hwcap::None,
                bits if bits & HWCAP_EXTENSION != 0 => {
                    Hwcap::Level(hwcaps.get(usize::try_from(bits & 0xffff_ffff).ok()?)?.clone())
                }
                bits => Hwcap::Legacy(bits),
            };
            Some(Entry {
                flags: i32::from_ne_bytes(reader.u32(at).to_ne_bytes()),
                name: reader.string(reader.u32(at + 4))?.into(),
                path: reader.string(reader.u32(at + 8))?.into(),
                hwcap,
            })
        };
        Ok(Self { entries: (0..count).filter_map(entry).collect() })
    }

    /// The offset of the new format: 0, or after a table in the old format.
    fn new_format(bytes: &[u8], big_endian: bool) -> Result<usize, CacheError> {
        if bytes.starts_with(MAGIC_NEW) {
            return Ok(0);
        }
        if !bytes.starts_with(MAGIC_OLD) {
            return Err(CacheError::Magic);
        }
        let count = Reader { bytes, big_endian }.u32(12) as usize;
        let end = count
            .checked_mul(12)
            .and_then(|size| size.checked_add(16))
            .ok_or(CacheError::Truncated)?;
        // `ALIGN_CACHE`: the new header is aligned for its 64-bit fields.
        let start = end.checked_next_multiple_of(8).ok_or(CacheError::Truncated)?;
        let new = bytes.get(start..).ok_or(CacheError::Truncated)?;
        if new.starts_with(MAGIC_NEW) { Ok(start) } else { Err(CacheError::Magic) }
    }

    /// All entries, in file order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry that `_dl_load_cache_lookup` selects for `name`.
    pub fn lookup(&self, name: &[u8], machine: Machine, asking: Asking<'_>) -> Option<&Entry> {
        let flags = flags(machine);
        let same = self.same_name(name, machine);
        let mut best: Option<(usize, &Entry)> = None;
        for entry in same.iter().filter(|entry| flags.contains(&entry.flags)) {
            match &entry.hwcap {
                Hwcap::Legacy(bits) if !asking.has_legacy(*bits, machine) => {}
                // All entries for glibc-hwcaps subdirectories come before the others.
                Hwcap::None | Hwcap::Legacy(_) => {
                    return Some(best.map_or(entry, |(_, best)| best));
                }
                Hwcap::Level(level) => {
                    let rank = asking.levels.iter().position(|known| known == level);
                    if let Some(rank) =
                        rank.filter(|&rank| best.is_none_or(|(known, _)| rank < known))
                    {
                        best = Some((rank, entry));
                    }
                }
            }
        }
        best.map(|(_, entry)| entry)
    }

    /// The run of entries with `name` that the loader's binary search finds (`search_cache` in
    /// `elf/dl-cache.c`). In a file that is sorted differently it may miss some, as the loader
    /// does.
    fn same_name(&self, name: &[u8], machine: Machine) -> &[Entry] {
        let compare_at =
            |at: usize| self.entries.get(at).map(|entry| compare(name, &entry.name, machine));
        let (mut left, mut right) = (0, self.entries.len());
        while left < right {
            let middle = (left + right - 1) / 2;
            match compare_at(middle) {
                Some(Ordering::Less) => left = middle + 1,
                Some(Ordering::Equal) => {
                    let is_same = |at: &usize| compare_at(*at) == Some(Ordering::Equal);
                    let first = (0..=middle).rev().take_while(is_same).last().unwrap_or(middle);
                    let count = (middle..right).take_while(is_same).count();
                    return self.entries.get(first..middle + count).unwrap_or_default();
                }
                _ => right = middle,
            }
        }
        &[]
    }
}

impl Asking<'_> {
    /// Whether a processor searches a legacy subdirectory: each bit stands for a component of its
    /// path (`HWCAP_CHECK` in `elf/dl-cache.c`; the names are in `sysdeps/x86/dl-procinfo.c`).
    fn has_legacy(self, bits: u64, machine: Machine) -> bool {
        let names = |bit| match (bit, machine.arch) {
            (63, _) => "tls",
            (1, eh::EM_X86_64) => "x86_64",
            (2, eh::EM_X86_64) => "avx512_1",
            (50, eh::EM_X86_64) => "haswell",
            (51, eh::EM_X86_64) => "xeon_phi",
            _ => "",
        };
        let known = |part: &str| {
            let parts =
                |dir: &Arc<[u8]>| dir.split(|&b| b == b'/').any(|known| known == part.as_bytes());
            !part.is_empty() && self.legacy.iter().any(parts)
        };
        (0..64).filter(|bit| bits >> bit & 1 == 1).all(|bit| known(names(bit)))
    }
}

/// The names of `glibc-hwcaps` subdirectories, indexed as in the entries (extension section 1).
fn hwcap_names(reader: Reader<'_>) -> Vec<Arc<[u8]>> {
    let at = reader.u32(32) as usize;
    if at == 0 || reader.u32(at) != EXTENSION_MAGIC {
        return Vec::new();
    }
    let sections = (reader.u32(at + 4) as usize).min(64);
    let section = (0..sections).map(|i| at + 8 + 16 * i).find(|&section| reader.u32(section) == 1);
    let Some(section) = section else { return Vec::new() };
    let (offset, size) = (reader.u32(section + 8) as usize, reader.u32(section + 12) as usize);
    let count = (size / 4).min(1024);
    (0..count).filter_map(|i| Some(reader.string(reader.u32(offset + 4 * i))?.into())).collect()
}

/// The flags of the entries that a machine's loader accepts; ldconfig writes the first
/// (`_DL_CACHE_DEFAULT_ID` and `_dl_cache_check_flags` in `sysdeps/**/dl-cache.h`).
pub fn flags(machine: Machine) -> &'static [i32] {
    match (machine.arch, machine.is_64) {
        (eh::EM_X86_64, true) => &[0x303],
        (eh::EM_X86_64, false) => &[0x803],
        (eh::EM_AARCH64, _) => &[0xa03],
        (eh::EM_ARM, _) if machine.arm_float() == Some(Float::Hard) => &[0x903, 3],
        (eh::EM_ARM, _) => &[0xb03, 3],
        (eh::EM_PPC64, _) => &[0x503],
        (eh::EM_S390, true) => &[0x403],
        (eh::EM_SPARCV9, _) => &[0x103],
        // EF_MIPS_NAN2008 and EF_MIPS_ABI2.
        (eh::EM_MIPS, true) if machine.flags & 0x400 != 0 => &[0xe03],
        (eh::EM_MIPS, true) => &[0x703],
        (eh::EM_MIPS, _) if machine.flags & 0x420 == 0x420 => &[0xd03],
        (eh::EM_MIPS, _) if machine.flags & 0x20 != 0 => &[0x603],
        (eh::EM_MIPS, _) if machine.flags & 0x400 != 0 => &[0xc03],
        // EF_RISCV_FLOAT_ABI_DOUBLE.
        (eh::EM_RISCV, true) if machine.flags & 6 == 4 => &[0x1003],
        (eh::EM_RISCV, true) => &[0xf03],
        // EF_LARCH_ABI_DOUBLE_FLOAT.
        (eh::EM_LOONGARCH, _) if machine.flags & 7 == 3 => &[0x1203],
        (eh::EM_LOONGARCH, _) => &[0x1103],
        _ => &[3, 1],
    }
}

/// `_dl_cache_libcmp`: compares runs of digits as numbers and everything else bytewise, with the
/// machine's C types `int` and `char`.
pub fn compare(a: &[u8], b: &[u8], machine: Machine) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (first, second) = (a.first().copied(), b.first().copied());
        match (
            first.is_some_and(|x| x.is_ascii_digit()),
            second.is_some_and(|y| y.is_ascii_digit()),
        ) {
            (true, true) => {
                let (x, rest_a) = number(a);
                let (y, rest_b) = number(b);
                match x.cmp(&y) {
                    Ordering::Equal => (a, b) = (rest_a, rest_b),
                    unequal => return unequal,
                }
            }
            // The loop ends at the end of the first string, before the second's digits are
            // examined.
            (true, false) => return Ordering::Greater,
            (false, true) if first.is_some() => return Ordering::Less,
            _ => match (first, second) {
                (None, None) => return Ordering::Equal,
                (x, y) if x == y => {
                    a = a.get(1..).unwrap_or_default();
                    b = b.get(1..).unwrap_or_default();
                }
                (x, y) => return char_value(x, machine).cmp(&char_value(y, machine)),
            },
        }
    }
}

/// A plain `char` as an `int`: signed on some machines. The end of the string is NUL.
fn char_value(byte: Option<u8>, machine: Machine) -> i32 {
    let byte = byte.unwrap_or(0);
    match machine.arch {
        eh::EM_ARM | eh::EM_AARCH64 | eh::EM_PPC | eh::EM_PPC64 | eh::EM_S390 | eh::EM_RISCV => {
            byte.into()
        }
        _ => i32::from(i8::from_ne_bytes([byte])),
    }
}

/// The number at the start of `text`, as an `int` with wraparound, and the rest of `text`.
fn number(text: &[u8]) -> (i32, &[u8]) {
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let add = |value: i32, digit: &u8| value.wrapping_mul(10).wrapping_add(i32::from(digit - b'0'));
    (digits.iter().fold(0, add), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_by_value() {
        let machine = |arch| Machine { arch, is_64: true, big_endian: false, flags: 0 };
        let (x86, arm) = (machine(eh::EM_X86_64), machine(eh::EM_AARCH64));
        let x86_says = |a: &str, b: &str| compare(a.as_bytes(), b.as_bytes(), x86);
        assert_eq!(x86_says("libx.so.10", "libx.so.9"), Ordering::Greater);
        assert_eq!(x86_says("libx.so.1", "libx.so.01"), Ordering::Equal);
        assert_eq!(x86_says("libx.so", "libx.so.1"), Ordering::Less);
        assert_eq!(x86_says("lib1", "libx"), Ordering::Greater);
        // In glibc a C int wraps around here, and char is signed on x86.
        assert_eq!(x86_says("libq3000000000.so", "libq5.so"), Ordering::Less);
        assert_eq!(x86_says("libqé.so", "libqa.so"), Ordering::Less);
        assert_eq!(compare("libqé.so".as_bytes(), b"libqa.so", arm), Ordering::Greater);
    }

    #[test]
    fn what_is_no_cache_is_refused() {
        assert_eq!(Cache::parse(b"", false), Err(CacheError::Magic));
        assert_eq!(
            Cache::parse(b"ld.so-1.7.0\0\xff\xff\xff\xff", false),
            Err(CacheError::Truncated)
        );
        let mut cut = MAGIC_NEW.to_vec();
        cut.extend([1, 0, 0, 0]);
        assert_eq!(Cache::parse(&cut, false), Err(CacheError::Truncated));
    }
}
