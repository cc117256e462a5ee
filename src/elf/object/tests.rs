use super::*;

fn parse(bytes: &[u8]) -> Result<Object, ObjectError> {
    Object::read(bytes.len() as u64, &mut |offset, buffer| {
        let from = &bytes[usize::try_from(offset).unwrap().min(bytes.len())..];
        let count = from.len().min(buffer.len());
        buffer[..count].copy_from_slice(&from[..count]);
        Ok(count)
    })
    .unwrap()
}

#[test]
fn what_is_no_elf_is_told_apart_at_once() {
    assert_eq!(parse(b""), Err(ObjectError::NotElf));
    assert_eq!(parse(b"#!/bin/sh\n"), Err(ObjectError::NotElf));
    assert_eq!(parse(b"\x7fELF"), Err(ObjectError::Truncated("ELF header")));
    assert_eq!(sniff(b"#!/bin/sh"), Sniffed::Script);
    assert_eq!(sniff(b"\x7fELF\x02"), Sniffed::Elf);
    assert_eq!(sniff(b"\x7fEL"), Sniffed::Data);
}

#[test]
fn this_very_test_is_a_program() {
    let exe = fs_err::read(std::env::current_exe().unwrap()).unwrap();
    let object = parse(&exe).unwrap();
    assert_eq!(object.linkage, Linkage::Dynamic);
    assert!(object.is_program() && object.interp.is_some());
    assert!(object.needed().any(|name| name.starts_with(b"libc.so")));
}
