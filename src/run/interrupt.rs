//! Signals that end imgb while it prepares a run, before there is a program that gets them.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGTERM};

use super::signals::Ignored;

/// A signal came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted by signal {0}")]
pub struct Interrupted(i32);

impl Interrupted {
    /// Ends this process as the signal would have.
    pub(super) fn end_process(self) {
        let _ = signal_hook::low_level::emulate_default_handler(self.0);
    }
}

/// Remembers the last signal that came, from [`Interrupt::catch`] on; 0 for none.
pub(super) struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// Catches the signals that usually end a process.
    pub(super) fn catch() -> io::Result<Self> {
        let ignored = Ignored::of_this_process()?;
        let last = Arc::new(AtomicUsize::new(0));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            if !ignored.has(signal) {
                let value = usize::try_from(signal).unwrap_or_default();
                signal_hook::flag::register_usize(signal, Arc::clone(&last), value)?;
            }
        }
        Ok(Self(last))
    }

    /// Fails if a signal has come.
    pub(super) fn check(&self) -> Result<(), Interrupted> {
        match i32::try_from(self.0.load(Ordering::SeqCst)) {
            Ok(0) | Err(_) => Ok(()),
            Ok(signal) => Err(Interrupted(signal)),
        }
    }
}
