//! The maps of sparse files, in all four forms of GNU tar. What is accepted has its regions in
//! order and inside the file, takes all of the content, and reads as the map says.
#![no_main]

use imgb::{archive::read::Whiteouts, tree::Content};
use imgb_fuzz::{check_line, input::Input, tar, tree};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let form = input.byte() % 4;
    let content: Vec<u8> = (0..u16::from(input.byte()) * 4).map(|at| at as u8 | 1).collect();
    let mut writer = tar::Writer::default();
    match form {
        // Entries in the header itself and in blocks after it.
        0 => old_gnu(&mut writer, &mut input, &content),
        // The map at the start of the content.
        1 => {
            let real = input.number(2);
            let mut records = tar::record(b"GNU.sparse.major", b"1");
            records.extend(tar::record(b"GNU.sparse.minor", b"0"));
            records.extend(tar::record(b"GNU.sparse.realsize", real.to_string().as_bytes()));
            let mut body = input.0.to_vec();
            body.resize(body.len().next_multiple_of(512), 0);
            body.extend(&content);
            writer.header(b'x', b"pax", b"", &records, |_| {});
            writer.member(b'0', b"file", b"", &body);
        }
        // Whole records, or the numbers of records.
        _ => {
            let mut records = Vec::new();
            while form == 2 && input.has_more() {
                let key =
                    input.choose(&[&b"size"[..], b"numblocks", b"offset", b"numbytes", b"map"]);
                let value = if key == b"map" {
                    input.text().to_vec()
                } else {
                    input.number(2).to_string().into_bytes()
                };
                records.extend(tar::record(&[b"GNU.sparse.", key].concat(), &value));
            }
            records.extend(input.0);
            writer.header(b'x', b"pax", b"", &records, |_| {});
            writer.member(b'0', b"file", b"", &content);
        }
    }
    let bytes = writer.finish();
    for whiteouts in [Whiteouts::Apply, Whiteouts::Refuse] {
        match tree::read(&bytes, whiteouts) {
            Ok(contents) => {
                let files = contents.change.tree.iter().filter_map(|(_, node)| node.file());
                for file in files {
                    if let Content::Sparse(_, regions) = &file.content {
                        let taken: u64 = regions.iter().map(|region| region.len).sum();
                        assert!(taken <= bytes.len() as u64 && taken <= file.len);
                    }
                }
                tree::check(&contents.change.tree, bytes.len() as u64);
                tree::check_roundtrip(&contents.change.tree);
            }
            Err(error) => check_line(&error.to_string()),
        }
    }
});

fn old_gnu(writer: &mut tar::Writer, input: &mut Input<'_>, content: &[u8]) {
    let real = input.number(2);
    let (extended, count) = (input.byte() & 1, input.byte() % 5);
    let numbers: Vec<u64> = (0..2 * count).map(|_| input.number(2)).collect();
    let mut body = Vec::new();
    if extended == 1 {
        let mut block = [0; 512];
        let mut at = 0;
        while input.has_more() && at + 24 <= 504 {
            block[at..at + 12].copy_from_slice(format!("{:011o}\0", input.number(2)).as_bytes());
            at += 12;
        }
        block[504] = input.byte() & 1;
        body.extend(block);
    }
    let size = content.len();
    body.extend(content);
    writer.header(b'S', b"file", b"", &body, |header| {
        header[257..265].copy_from_slice(b"ustar  \0");
        header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        header[483..495].copy_from_slice(format!("{real:011o}\0").as_bytes());
        header[482] = extended;
        for (at, number) in numbers.iter().take(8).enumerate() {
            let start = 386 + 12 * at;
            header[start..start + 12].copy_from_slice(format!("{number:011o}\0").as_bytes());
        }
    });
}
