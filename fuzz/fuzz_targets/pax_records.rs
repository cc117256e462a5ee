//! The records of extension headers: the input is the body of a PAX header, for one entry or for
//! all, or of a header with a long name, before a file and a directory.
#![no_main]

use imgb::archive::read::Whiteouts;
use imgb_fuzz::{check_line, tar, tree};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&kind, body)) = data.split_first() else { return };
    let kind = [b'x', b'x', b'g', b'L', b'K'][usize::from(kind) % 5];
    let mut writer = tar::Writer::default();
    writer.header(kind, b"extension", b"", body, |_| {});
    writer.member(b'0', b"dir/file", b"", b"0123456789");
    writer.member(b'5', b"dir", b"", b"");
    let bytes = writer.finish();
    for whiteouts in [Whiteouts::Apply, Whiteouts::Refuse] {
        match tree::read(&bytes, whiteouts) {
            Ok(contents) => {
                tree::check(&contents.change.tree, bytes.len() as u64);
                if whiteouts == Whiteouts::Refuse {
                    tree::check_roundtrip(&contents.change.tree);
                }
            }
            Err(error) => check_line(&error.to_string()),
        }
    }
});
