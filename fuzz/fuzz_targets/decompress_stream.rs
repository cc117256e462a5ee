//! The decoders of all formats: a stream gives the same bytes and the same verdict whatever the
//! size of the reads, and what a layer may be, a tarball may be too.
#![no_main]

use std::io::{self, Read};

use imgb::{
    archive::spool::{self, Limits},
    compress::{self, Format, MAX_SNIFF},
};
use imgb_fuzz::{check_message, scratch};
use libfuzzer_sys::fuzz_target;

/// Bytes that are read of a stream.
const LIMIT: u64 = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let format = Format::sniff(&data[..data.len().min(MAX_SNIFF)]);
    let whole = all(compress::decoder(format, data), 64 << 10);
    let by_bytes = all(compress::decoder(format, ByByte(data)), 1 << 10);
    match (&whole, &by_bytes) {
        (Ok(whole), Ok(other)) => assert!(whole == other, "other bytes in small reads"),
        (Err(error), Err(_)) => check_message(&error.to_string()),
        _ => panic!("another verdict in small reads: {whole:?} {by_bytes:?}"),
    }
    if let Ok(layer) = all(compress::layer_decoder(format, data), 4 << 10) {
        assert!(whole.is_ok_and(|whole| whole == layer), "a layer that is not a stream");
    }
    let limits = Limits { bytes: LIMIT, ratio: 100, ratio_from: 1 << 16, as_layer: false };
    let mut out = Vec::new();
    match spool::unpack("in", data, (&mut out, &scratch()), limits) {
        Ok(()) => assert!(out.len() as u64 <= LIMIT),
        Err(error) => check_message(&error.to_string()),
    }
    assert!(out.len() as u64 <= LIMIT);
});

fn all(decoder: io::Result<Box<dyn Read + '_>>, step: usize) -> Result<Vec<u8>, String> {
    let mut decoder = decoder.map_err(|error| error.to_string())?;
    let (mut out, mut buffer) = (Vec::new(), vec![0; step]);
    while (out.len() as u64) < LIMIT {
        match decoder.read(&mut buffer).map_err(|error| error.to_string())? {
            0 => break,
            len => out.extend(&buffer[..len]),
        }
    }
    out.truncate(LIMIT as usize);
    Ok(out)
}

/// Reads a byte at a time.
struct ByByte<'a>(&'a [u8]);

impl Read for ByByte<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = buf.len().min(1);
        self.0.read(&mut buf[..len])
    }
}
