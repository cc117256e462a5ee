//! Which process group is in the foreground of the caller's terminal (credentials(7), termios(3)).

use std::{fs::File, os::fd::OwnedFd};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use rustix::process::Pid;

/// The terminal that controls the caller's session, and the group of the program.
pub(super) struct Foreground {
    terminal: OwnedFd,
    group: Pid,
    /// Whether the terminal was given to the group and not taken back.
    is_given: bool,
}

impl Foreground {
    /// The one of this process. `None` without a controlling terminal.
    pub(super) fn of(group: Pid) -> Option<Self> {
        let terminal = File::options().read(true).write(true).open("/dev/tty").ok()?;
        Some(Self { terminal: terminal.into(), group, is_given: false })
    }

    /// Whether this process is in the foreground.
    pub(super) fn is_own(&self) -> bool {
        rustix::termios::tcgetpgrp(&self.terminal).is_ok_and(|pgrp| pgrp == own_group())
    }

    /// Gives the terminal to the program's group if this process is in the foreground.
    pub(super) fn give(&mut self) {
        if self.is_own() {
            self.is_given = self.set(self.group);
        }
    }

    /// Makes this process's group the foreground again if the terminal was given away.
    pub(super) fn take_back(&mut self) {
        if std::mem::take(&mut self.is_given) {
            self.set(own_group());
        }
    }

    fn set(&self, group: Pid) -> bool {
        // tcsetpgrp(3) sends SIGTTOU to a process in the background that does not block it.
        let mut blocked = SigSet::empty();
        blocked.add(Signal::SIGTTOU);
        let Ok(before) = blocked.thread_swap_mask(SigmaskHow::SIG_BLOCK) else { return false };
        let is_set = rustix::termios::tcsetpgrp(&self.terminal, group).is_ok();
        let _ = before.thread_set_mask();
        is_set
    }
}

fn own_group() -> Pid {
    rustix::process::getpgrp()
}
