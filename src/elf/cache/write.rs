//! Writes `/etc/ld.so.cache` in the new format only, which every glibc since 2.2 reads.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use crate::elf::Machine;

use super::{
    ENTRY_LEN, EXTENSION_MAGIC, Entry, HEADER_LEN, HWCAP_EXTENSION, Hwcap, MAGIC_NEW, compare,
};

/// A cache that holds exactly `entries`, for loaders with the byte order and `char` signedness of
/// `machine`. Neither the order of the entries nor duplicates affect the bytes.
pub fn write(entries: &[Entry], machine: Machine) -> Vec<u8> {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by(|a, b| order(a, b, machine));
    sorted.dedup();
    encode(&sorted, machine)
}

/// Like [`write()`], but entries with the same name keep their given order.
pub fn write_in_order(entries: &[Entry], machine: Machine) -> Vec<u8> {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by(|a, b| compare(&b.name, &a.name, machine));
    encode(&sorted, machine)
}

fn encode(sorted: &[&Entry], machine: Machine) -> Vec<u8> {
    let big_endian = machine.big_endian;
    let hwcaps: BTreeSet<&[u8]> = sorted.iter().filter_map(|entry| level(entry)).collect();
    let texts =
        sorted.iter().flat_map(|entry| [&*entry.name, &*entry.path]).chain(hwcaps.iter().copied());
    let texts: BTreeSet<&[u8]> = texts.collect();
    let start = HEADER_LEN + ENTRY_LEN * sorted.len();
    let mut strings = Vec::new();
    let mut offsets: BTreeMap<&[u8], usize> = BTreeMap::new();
    for text in texts {
        offsets.insert(text, start + strings.len());
        strings.extend_from_slice(text);
        strings.push(0);
    }
    let extension = (start + strings.len()).next_multiple_of(4);
    let mut out = Writer { bytes: Vec::with_capacity(extension + 64), big_endian };
    out.bytes.extend_from_slice(MAGIC_NEW);
    out.u32(sorted.len());
    out.u32(strings.len());
    out.bytes.extend_from_slice(&[if big_endian { 3 } else { 2 }, 0, 0, 0]);
    out.u32(if hwcaps.is_empty() { 0 } else { extension });
    out.bytes.resize(HEADER_LEN, 0);
    let offset = |text: &[u8]| offsets.get(text).copied().unwrap_or(start);
    for entry in sorted {
        let index = level(entry).and_then(|name| hwcaps.iter().position(|known| *known == name));
        let hwcap = match (&entry.hwcap, index) {
            (Hwcap::Legacy(bits), _) => *bits,
            (_, Some(index)) => HWCAP_EXTENSION | index as u64,
            (_, None) => 0,
        };
        out.raw(u32::from_ne_bytes(entry.flags.to_ne_bytes()));
        out.u32(offset(&entry.name));
        out.u32(offset(&entry.path));
        out.u32(0);
        out.u64(hwcap);
    }
    out.bytes.extend_from_slice(&strings);
    if !hwcaps.is_empty() {
        // The only section holds the names of the subdirectories
        // (`cache_extension_tag_glibc_hwcaps`).
        out.bytes.resize(extension, 0);
        out.raw(EXTENSION_MAGIC);
        for field in [1, 1, 0, extension + 24, 4 * hwcaps.len()] {
            out.u32(field);
        }
        hwcaps.iter().for_each(|name| out.u32(offset(name)));
    }
    out.bytes
}

/// `compare` of glibc's `elf/cache.c`: names descending, flags descending, processor-specific
/// subdirectories before plain directories. Ties are broken bytewise, so that the result does not
/// depend on the given order.
fn order(a: &Entry, b: &Entry, machine: Machine) -> Ordering {
    let by_hwcap = || match (&a.hwcap, &b.hwcap) {
        (Hwcap::Level(one), Hwcap::Level(other)) => one.cmp(other),
        (Hwcap::Level(_), _) => Ordering::Less,
        (_, Hwcap::Level(_)) => Ordering::Greater,
        (one, other) => other.cmp(one),
    };
    compare(&b.name, &a.name, machine)
        .then(b.flags.cmp(&a.flags))
        .then_with(by_hwcap)
        .then_with(|| (&a.name, &a.path).cmp(&(&b.name, &b.path)))
}

fn level(entry: &Entry) -> Option<&[u8]> {
    match &entry.hwcap {
        Hwcap::Level(name) => Some(name),
        _ => None,
    }
}

struct Writer {
    bytes: Vec<u8>,
    big_endian: bool,
}

impl Writer {
    fn raw(&mut self, value: u32) {
        let bytes = if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        self.bytes.extend_from_slice(&bytes);
    }

    /// Writes an offset or count: the paths of an image are shorter than 4 GiB in total.
    fn u32(&mut self, value: usize) {
        self.raw(u32::try_from(value).unwrap_or(u32::MAX));
    }

    fn u64(&mut self, value: u64) {
        let bytes = if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        self.bytes.extend_from_slice(&bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Cache;
    use super::*;

    fn entry(name: &str, path: &str, hwcap: Option<&str>) -> Entry {
        let text = |text: &str| text.as_bytes().into();
        Entry {
            name: text(name),
            path: text(path),
            flags: 0x303,
            hwcap: hwcap.map_or(Hwcap::None, |name| Hwcap::Level(text(name))),
        }
    }

    #[test]
    fn what_is_written_is_read_in_the_loaders_order() {
        let entries = [
            entry("liba.so.1", "/x/liba.so.1", None),
            entry("liba.so.10", "/x/liba.so.10", None),
            entry("liba.so.1", "/x/glibc-hwcaps/x86-64-v3/liba.so.1", Some("x86-64-v3")),
            entry("libb.so", "/y/libb.so", None),
            entry("libb.so", "/y/libb.so", None),
        ];
        for big_endian in [false, true] {
            let machine = Machine { arch: 62, is_64: true, big_endian, flags: 0 };
            let bytes = write(&entries, machine);
            let mut turned = entries.clone();
            turned.reverse();
            assert_eq!(write(&turned, machine), bytes);
            let cache = Cache::parse(&bytes, big_endian).unwrap();
            let paths: Vec<_> =
                cache.entries().iter().map(|e| String::from_utf8_lossy(&e.path)).collect();
            let wanted = [
                "/y/libb.so",
                "/x/liba.so.10",
                "/x/glibc-hwcaps/x86-64-v3/liba.so.1",
                "/x/liba.so.1",
            ];
            assert_eq!(paths, wanted);
        }
        let machine = Machine { arch: 62, is_64: true, big_endian: false, flags: 0 };
        assert_eq!(Cache::parse(&write(&[], machine), false).unwrap().entries(), []);
        assert!(Cache::parse(&write(&[], machine), true).is_err());
    }
}
