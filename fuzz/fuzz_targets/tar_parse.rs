//! The tar reader: whatever it accepts is a tree in which no path leads outside, and which is
//! written and read again as the same tree. The checksums of headers are set first.
#![no_main]

use imgb::archive::read::Whiteouts;
use imgb_fuzz::{check_line, tar, tree};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let bytes = tar::fix_checksums(data);
    let as_layer = tree::read(&bytes, Whiteouts::Apply);
    let as_tarball = tree::read(&bytes, Whiteouts::Refuse);
    for result in [&as_layer, &as_tarball] {
        match result {
            Ok(contents) => tree::check(&contents.change.tree, bytes.len() as u64),
            Err(error) => check_line(&error.to_string()),
        }
    }
    let Ok(contents) = as_tarball else { return };
    tree::check_roundtrip(&contents.change.tree);
    // A tarball may have more than a layer. What both take is the same tree.
    if let Ok(layer) = as_layer {
        assert_eq!(layer.change.tree.to_string(), contents.change.tree.to_string());
    }
});
