use super::*;

/// A reader of `file`.
fn reader(file: &[u8]) -> impl FnMut(u64, &mut [u8]) -> io::Result<usize> + '_ {
    |offset, out| {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = file.get(from..).unwrap_or_default();
        let count = bytes.len().min(out.len());
        out[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }
}

/// Each member's name and contents, or `-`.
fn contents(file: &[u8]) -> Vec<String> {
    let mut read_at = reader(file);
    let members = members(file.len() as u64, &mut read_at).unwrap();
    let text = |member: &Member| {
        let name = String::from_utf8_lossy(&member.name).into_owned();
        match member.read(1 << 20, &mut reader(file)).unwrap() {
            Some(bytes) => format!("{name}={}", String::from_utf8_lossy(&bytes)),
            None => format!("{name}=-"),
        }
    };
    members.iter().map(text).collect()
}

/// A ZIP archive with a stored and a compressed member.
fn zip() -> Vec<u8> {
    let (mut out, mut list) = (Vec::new(), Vec::new());
    let mut deflated = Vec::new();
    let mut encoder = flate2::read::DeflateEncoder::new(&b"hello"[..], flate2::Compression::fast());
    encoder.read_to_end(&mut deflated).unwrap();
    for (name, method, data) in [("a.so", 0_u16, &b"hello"[..]), ("lib/b.so.1", 8, &deflated)] {
        let offset = out.len() as u32;
        let sizes = [(data.len() as u32).to_le_bytes(), 5_u32.to_le_bytes()].concat();
        let names = [(name.len() as u16).to_le_bytes(), 2_u16.to_le_bytes()].concat();
        let method = method.to_le_bytes();
        out.extend([&b"PK\x03\x04\x14\0\0\0"[..], &method, &[0; 8], &sizes, &names].concat());
        out.extend([name.as_bytes(), b"xx", data].concat());
        list.extend(
            [&b"PK\x01\x02\x14\0\x14\0\0\0"[..], &method, &[0; 8], &sizes, &names].concat(),
        );
        list.extend([&[0; 10][..], &offset.to_le_bytes(), name.as_bytes(), b"yy"].concat());
    }
    // The directory's entries have a comment length of 0 among the zeroes after the names' lengths.
    let (start, len) = (out.len() as u32, list.len() as u32);
    out.extend(list);
    out.extend([&b"PK\x05\x06\0\0\0\0\x02\0\x02\0"[..], &len.to_le_bytes()].concat());
    out.extend([&start.to_le_bytes()[..], &3_u16.to_le_bytes(), b"end"].concat());
    out
}

fn pyinstaller() -> Vec<u8> {
    let mut packed = Vec::new();
    let mut encoder = flate2::read::ZlibEncoder::new(&b"hello"[..], flate2::Compression::fast());
    encoder.read_to_end(&mut packed).unwrap();
    let (mut archive, mut list) = (b"plain".to_vec(), Vec::new());
    archive.extend(&packed);
    for (name, at, len, flag) in [("x", 0, 5, 0), ("lib/y.so", 5, packed.len() as u32, 1)] {
        let name = [name.as_bytes(), &[0; 3]].concat();
        let numbers: [u32; 4] = [18 + name.len() as u32, at, len, 5];
        list.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
        list.extend([&[flag, b'b'][..], &name].concat());
    }
    let at = archive.len() as u32;
    archive.extend(&list);
    let total = archive.len() as u32 + COOKIE;
    let numbers: [u32; 4] = [total, at, list.len() as u32, 311];
    archive.extend(b"MEI\x0c\x0b\x0a\x0b\x0e");
    archive.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
    archive.extend([0; 64]);
    archive
}

const COOKIE: u32 = 88;

#[test]
fn a_zip_archive_alone_or_after_something() {
    let wanted = ["a.so=hello", "lib/b.so.1=hello"];
    assert_eq!(contents(&zip()), wanted);
    assert_eq!(contents(&[&b"#!/usr/bin/python3\n"[..], &zip()].concat()), wanted);
}

#[test]
fn an_archive_of_pyinstaller_before_other_sections() {
    let file = [&b"\x7fELF program"[..], &pyinstaller(), &[0; 500]].concat();
    assert_eq!(contents(&file), ["x=plain", "lib/y.so=hello"]);
}

#[test]
fn damaged_archives_are_read_as_far_as_they_go() {
    for file in [zip(), pyinstaller()] {
        for at in 0..file.len() {
            contents(&file[..at]);
            for byte in [0, 0x7f, 0xff] {
                let mut damaged = file.clone();
                damaged[at] = byte;
                contents(&damaged);
            }
        }
    }
    assert!(contents(b"").is_empty() && contents(b"PK\x05\x06").is_empty());
}
