//! Configuration, manifest and index of an image in an OCI archive. Digests and sizes are filled
//! in, so that what reaches the checks is a well-formed lie.
#![no_main]

use imgb_fuzz::image;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| image::check(&image::archive(data)));
