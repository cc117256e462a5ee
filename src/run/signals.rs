//! Waiting for a child while signals go through to it.

use std::{
    io::{self, IsTerminal as _},
    os::fd::OwnedFd,
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus};
use signal_hook::{
    consts::signal::{
        SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2,
    },
    iterator::Signals,
};

use super::TIMED_OUT;

/// What a terminal sends to all processes in its foreground, the program among them.
const BY_TERMINAL: [i32; 3] = [SIGINT, SIGQUIT, SIGTSTP];
/// What else a user may want to tell the program.
const FORWARDED: [i32; 5] = [SIGHUP, SIGTERM, SIGUSR1, SIGUSR2, SIGCONT];

/// Signals that are caught from now on.
pub(super) struct Caught {
    signals: Signals,
    /// Whether the program hears the terminal itself.
    terminal: bool,
}

impl Caught {
    /// Catches what is forwarded. Made before the child is, so that none is lost.
    pub(super) fn new() -> io::Result<Self> {
        let all = BY_TERMINAL.iter().chain(&FORWARDED).chain([&SIGCHLD]);
        Ok(Self { signals: Signals::new(all)?, terminal: io::stdin().is_terminal() })
    }

    /// Waits for a signal, SIGCHLD among them, and forwards it to `child`.
    pub(super) fn next(&mut self, child: &OwnedFd) {
        for signal in self.signals.wait() {
            self.forward(child, signal);
        }
    }

    /// Waits until `child` has ended, and reaps whatever else ends meanwhile.
    pub(super) fn wait(&mut self, child: Pid) -> io::Result<WaitStatus> {
        let fd = rustix::process::pidfd_open(child, PidfdFlags::empty())?;
        loop {
            // It may have ended before its SIGCHLD could be caught.
            while let Some((pid, status)) = reap()? {
                if pid == child && !status.stopped() {
                    return Ok(status);
                }
            }
            self.next(&fd);
        }
    }

    fn forward(&self, child: &OwnedFd, number: i32) {
        if number == SIGCHLD {
            return;
        }
        if self.terminal && BY_TERMINAL.contains(&number) {
            if number == SIGTSTP {
                // The program stops, so the shell has to see this process stopped, too. What the
                // shell then continues is all of them. (Process 1 of a namespace cannot stop, and
                // need not.)
                let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::STOP);
            }
            return;
        }
        if let Some(signal) = Signal::from_named_raw(number) {
            // It may have ended just now.
            let _ = rustix::process::pidfd_send_signal(child, signal);
        }
    }
}

/// Any child that has ended.
fn reap() -> io::Result<Option<(Pid, WaitStatus)>> {
    match rustix::process::wait(WaitOptions::NOHANG) {
        Ok(ended) => Ok(ended),
        Err(rustix::io::Errno::CHILD) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Starts `command` and waits for it, at most for `timeout`.
pub(super) fn supervise(mut command: Command, timeout: Option<Duration>) -> io::Result<u8> {
    let mut caught = Caught::new()?;
    let child = command.spawn()?;
    let pid = pid(&child)?;
    let late = Arc::new(AtomicBool::new(false));
    if let Some(timeout) = timeout {
        let fd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        let late = Arc::clone(&late);
        // Ends with the process.
        std::thread::spawn(move || {
            std::thread::sleep(timeout);
            late.store(true, Ordering::SeqCst);
            // All its namespaces' processes die with it.
            let _ = rustix::process::pidfd_send_signal(&fd, Signal::KILL);
        });
    }
    let status = caught.wait(pid)?;
    Ok(if late.load(Ordering::SeqCst) && status.signaled() { TIMED_OUT } else { code(status) })
}

/// The process number of a child.
pub(super) fn pid(child: &Child) -> io::Result<Pid> {
    i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The exit code, as shells have it: 128 and the signal for a process that was ended by one.
pub(super) fn code(status: WaitStatus) -> u8 {
    let code = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 255,
    };
    u8::try_from(code & 0xff).unwrap_or(u8::MAX)
}
