//! ELF objects, loader caches and `#!` lines as bytes. Short reads give the same result, and what
//! is read of a file is bounded by its length.
#![no_main]

use std::io;

use imgb::elf::{self, Cache, Object, ObjectError, Sniffed, dlopen, script};
use imgb_fuzz::check_line;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    script::shebang(data);
    for big_endian in [false, true] {
        if let Ok(cache) = Cache::parse(data, big_endian) {
            assert!(cache.entries().len() * 24 <= data.len());
        }
    }
    let (notes, errors) = dlopen::parse(data);
    assert!(notes.len() <= 1024);
    errors.iter().for_each(|error| drop(error.to_string()));
    if elf::sniff(data) != Sniffed::Elf {
        return;
    }
    let whole = with(data, data.len(), Object::read);
    assert_eq!(whole, with(data, 7, Object::read), "another result in short reads");
    match &whole {
        Ok(object) => {
            for note in &object.dlopen_notes {
                dlopen::parse(note);
            }
            let texts = object.requests.iter().map(|(_, text)| text);
            let texts = texts.chain(&object.interp).chain(&object.soname).chain(&object.rpath);
            texts.for_each(|text| assert!(!text.contains(&0) && text.len() <= data.len()));
        }
        Err(error) => check_line(&error.to_string()),
    }
    let _ = with(data, data.len(), elf::layout);
    if let Ok(ranges) = with(data, data.len(), elf::constants) {
        assert!(ranges.iter().all(|range| range.end <= data.len() as u64));
    }
    for symbols in [names(data, true), names(data, false)] {
        assert!(symbols.is_none_or(|(_, longest)| longest <= data.len()));
    }
});

type ReadAt<'a> = &'a mut dyn FnMut(u64, &mut [u8]) -> io::Result<usize>;
type Read<T> = fn(u64, ReadAt<'_>) -> Result<Result<T, ObjectError>, io::Error>;

/// The result of `read` on `data`, which it gets in parts of at most `step` bytes.
fn with<T>(data: &[u8], step: usize, read: Read<T>) -> Result<T, ObjectError> {
    let mut taken = 0;
    let mut read_at = |at: u64, out: &mut [u8]| {
        let rest = usize::try_from(at).ok().and_then(|at| data.get(at..)).unwrap_or_default();
        let len = rest.len().min(out.len()).min(step);
        out[..len].copy_from_slice(&rest[..len]);
        taken += len;
        Ok(len)
    };
    let result = read(data.len() as u64, &mut read_at).expect("memory does not fail");
    assert!(taken <= 64 * data.len() + (1 << 20), "{taken} bytes read of {}", data.len());
    result
}

/// The number of names, and the length of the longest.
fn names(data: &[u8], imports: bool) -> Option<(usize, usize)> {
    let (mut count, mut longest) = (0, 0);
    let each = |name: &[u8]| {
        count += 1;
        longest = longest.max(name.len());
    };
    let mut read_at = |at: u64, out: &mut [u8]| {
        let rest = usize::try_from(at).ok().and_then(|at| data.get(at..)).unwrap_or_default();
        let len = rest.len().min(out.len());
        out[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    };
    let len = data.len() as u64;
    let result = match imports {
        true => elf::imports(len, &mut read_at, each),
        false => elf::exports(len, &mut read_at, each),
    };
    result.expect("memory does not fail").ok().map(|()| (count, longest))
}
