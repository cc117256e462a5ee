//! Archives of images as bytes, with the checksums of headers set.
#![no_main]

use imgb_fuzz::{image, tar};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| image::check(&tar::fix_checksums(data)));
