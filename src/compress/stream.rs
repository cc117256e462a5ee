//! Compressing a stream whose length is not known.

use std::io::{self, Write};

use super::{Compression, Encoder, Trailer};

/// Writes what is written to it compressed to another writer. Call [`Stream::finish`] at the end.
#[derive(Debug)]
pub struct Stream<W> {
    out: W,
    encoder: Encoder,
    trailer: Trailer,
    frame_len: usize,
    frame: Vec<u8>,
    encoded: Vec<u8>,
}

impl<W: Write> Stream<W> {
    /// Begins a stream, whose bytes depend on the compression and on what is written alone.
    ///
    /// # Errors
    /// If `out` cannot be written, or there is no memory for the encoder.
    pub fn new(mut out: W, compression: Compression) -> io::Result<Self> {
        let frame_len = compression.frame_len(u64::MAX);
        let trailer = Trailer::new(compression);
        out.write_all(trailer.header())?;
        Ok(Self {
            out,
            encoder: Encoder::new(compression, frame_len)?,
            trailer,
            frame_len,
            frame: Vec::with_capacity(frame_len),
            encoded: Vec::new(),
        })
    }

    /// Writes the end of the stream, and returns the other writer.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.frame.is_empty() {
            self.write_frame()?;
        }
        self.out.write_all(&self.trailer.finish()?)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn write_frame(&mut self) -> io::Result<()> {
        self.trailer.push(&self.encoder.encode(&self.frame, &mut self.encoded)?);
        self.frame.clear();
        self.out.write_all(&self.encoded)
    }
}

impl<W: Write> Write for Stream<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.frame.len() == self.frame_len {
            self.write_frame()?;
        }
        let taken = bytes.len().min(self.frame_len - self.frame.len());
        self.frame.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        Ok(taken)
    }

    /// Does nothing: a frame that ended here would change the bytes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::compress::{Format, decoder};

    #[test]
    fn the_bytes_do_not_depend_on_the_writes_and_read_back() {
        let data: Vec<u8> = (0..5_000_000_u32).map(|n| (n / 7) as u8).collect();
        for compression in [Compression::None, Compression::GZIP, Compression::ZSTD] {
            let write = |data: &[u8], len: usize| {
                let mut stream = Stream::new(Vec::new(), compression).unwrap();
                data.chunks(len).for_each(|part| stream.write_all(part).unwrap());
                stream.finish().unwrap()
            };
            for data in [&data[..], &[]] {
                let stream = write(data, 1 << 20);
                assert!(stream == write(data, 12_345), "{compression}");
                let mut back = Vec::new();
                let format = Format::sniff(&stream);
                decoder(format, &stream[..]).unwrap().read_to_end(&mut back).unwrap();
                assert!(back == data, "{compression}");
            }
        }
    }
}
