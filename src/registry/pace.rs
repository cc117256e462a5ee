//! A peer that sends or takes a byte now and then would hold a connection for as long as it likes:
//! in each window of time, some bytes have to move.

use std::{
    io::{self, Read},
    time::{Duration, Instant},
};

/// Bytes for each second of a window, on average: less than a modem's.
const MIN_RATE: f64 = 512.0;

/// A reader that fails if the peer is too slow.
pub(super) struct Paced<R> {
    inner: R,
    /// Whether `inner` reads from the peer. Otherwise what is read is sent to it.
    receives: bool,
    window: Duration,
    /// The time in this window for which the peer was waited.
    waited: Duration,
    moved: u64,
    returned: Instant,
}

impl<R> Paced<R> {
    /// Reads from a peer. What the caller does between two reads does not count.
    pub(super) fn receiving(inner: R, window: Duration) -> Self {
        Self::new(inner, window, true)
    }

    /// Reads what is sent to a peer: the time between two reads counts, in which it is sent.
    pub(super) fn sending(inner: R, window: Duration) -> Self {
        Self::new(inner, window, false)
    }

    fn new(inner: R, window: Duration, receives: bool) -> Self {
        let returned = Instant::now();
        Self { inner, receives, window, waited: Duration::ZERO, moved: 0, returned }
    }
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let begun = Instant::now();
        let read = self.inner.read(buf)?;
        let (before, returned) = (self.returned, Instant::now());
        self.returned = returned;
        self.waited += if self.receives { returned - begun } else { begun - before };
        self.moved += read as u64;
        if self.waited >= self.window {
            if (self.moved as f64) < MIN_RATE * self.waited.as_secs_f64() && read > 0 {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the transfer is too slow"));
            }
            (self.waited, self.moved) = (Duration::ZERO, 0);
        }
        Ok(read)
    }
}
