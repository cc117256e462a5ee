use std::io::{Read as _, Write as _};

use proptest::prelude::*;

use super::*;

fn libdeflate(data: &[u8], level: i32) -> Vec<u8> {
    let mut compressor =
        libdeflater::Compressor::new(libdeflater::CompressionLvl::new(level).unwrap_or_default());
    let mut out = vec![0; compressor.deflate_compress_bound(data.len())];
    let len = compressor.deflate_compress(data, &mut out).unwrap();
    out.truncate(len);
    out
}

fn zlib(data: &[u8], level: u32) -> Vec<u8> {
    let mut writer =
        flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(level));
    writer.write_all(data).unwrap();
    writer.finish().unwrap()
}

fn inflate(stream: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::DeflateDecoder::new(stream).read_to_end(&mut out).unwrap();
    out
}

/// Bytes of `len` from a fixed generator: `skew` low ones are text-like, high ones random.
fn sample(len: usize, skew: u32, mut seed: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(len);
    while out.len() < len {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let value = seed >> 16;
        if value % 97 < 7 && out.len() > 300 {
            let from = out.len() - 1 - (value as usize % 290);
            let copied: Vec<u8> = out[from..(from + 40).min(out.len())].to_vec();
            out.extend(copied);
        } else {
            out.push((value % skew) as u8);
        }
    }
    out.truncate(len);
    out
}

fn padded(stream: &[u8]) -> Vec<u8> {
    [stream, &[0xff; PADDING]].concat()
}

#[track_caller]
fn check(data: &[u8], stream: Vec<u8>) {
    let short = libdeflate(b"a short one", 1);
    let (last, last_of_short) =
        last_blocks(&padded(&stream), &padded(&short)).expect("valid streams");
    assert_eq!(last_blocks(&padded(&short), &padded(&stream)), Some((last_of_short, last)));
    assert_eq!(last_blocks(&padded(&stream), &padded(&stream)), Some((last, last)));
    assert_eq!(last_block(&padded(&stream)), Some(last));
    for end in (0..stream.len()).take(300) {
        assert_eq!(last_blocks(&padded(&stream[..end]), &padded(&short)), None);
    }
    let mut joined = Vec::new();
    last_of_short.append_open(&padded(&short), &mut joined);
    last.append_open(&padded(&stream), &mut joined);
    joined.extend([3, 0]);
    assert!(
        inflate(&joined) == [b"a short one", data].concat(),
        "other bytes for a sample of {}",
        data.len()
    );
}

#[test]
fn every_kind_of_block_joins() {
    for len in [0, 1, 2, 100, 5_000, 70_000, 400_000] {
        for skew in [2, 30, 256, 60_000] {
            let data = sample(len, skew, len as u32 + skew);
            for level in [1, 6, 9, 12] {
                check(&data, libdeflate(&data, level));
            }
            for level in [0, 1, 9] {
                check(&data, zlib(&data, level));
            }
        }
    }
}

proptest! {
    #[test]
    fn streams_join(data in proptest::collection::vec(0u8..40, 0..3000), level in 1..=12) {
        check(&data, libdeflate(&data, level));
    }

    #[test]
    fn no_bytes_hang_or_panic(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        last_blocks(&padded(&data), &padded(&data));
        last_block(&padded(&data));
    }

    #[test]
    fn no_damage_hangs_or_panics(at in 0usize..2000, with in any::<u8>()) {
        let mut stream = libdeflate(&sample(9000, 60, 1), 6);
        let at = at % stream.len();
        stream[at] = with;
        last_blocks(&padded(&stream), &padded(&[]));
        last_blocks(&padded(&stream), &padded(&stream));
    }
}
