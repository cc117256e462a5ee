//! Waiting for a child, and forwarding signals to it meanwhile.

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

/// Signals that a terminal sends to all processes in the foreground, the program included.
const BY_TERMINAL: [i32; 3] = [SIGINT, SIGQUIT, SIGTSTP];
/// Other signals that a user may send to imgb and mean for the program.
const FORWARDED: [i32; 5] = [SIGHUP, SIGTERM, SIGUSR1, SIGUSR2, SIGCONT];

/// Signals caught by this process.
pub(super) struct CaughtSignals {
    signals: Signals,
    /// Whether the program gets the signals of the terminal itself.
    terminal: bool,
}

impl CaughtSignals {
    /// Catches them from now on. Call it before the child is started, so that none is lost.
    pub(super) fn new() -> io::Result<Self> {
        let all = BY_TERMINAL.iter().chain(&FORWARDED).chain([&SIGCHLD]);
        Ok(Self { signals: Signals::new(all)?, terminal: io::stdin().is_terminal() })
    }

    /// Waits for a signal, which may be SIGCHLD, and forwards others to `child`.
    pub(super) fn next(&mut self, child: &OwnedFd) {
        for signal in self.signals.wait() {
            self.forward(child, signal);
        }
    }

    /// Waits until `child` has ended, and reaps all other children that end meanwhile.
    pub(super) fn wait(&mut self, child: Pid) -> io::Result<WaitStatus> {
        let fd = rustix::process::pidfd_open(child, PidfdFlags::empty())?;
        loop {
            // First, in case its SIGCHLD came before signals were caught.
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
                // The program stops, so the shell must see this process stopped too. It continues
                // all of them later. (Process 1 of a namespace cannot stop, and need not.)
                let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::STOP);
            }
            return;
        }
        if let Some(signal) = Signal::from_named_raw(number) {
            // Fails if the child has just ended.
            let _ = rustix::process::pidfd_send_signal(child, signal);
        }
    }
}

/// The status of any child that has changed its state, if there is one.
fn reap() -> io::Result<Option<(Pid, WaitStatus)>> {
    match rustix::process::wait(WaitOptions::NOHANG) {
        Ok(ended) => Ok(ended),
        Err(rustix::io::Errno::CHILD) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Starts `command` and waits for its exit code. Kills it after `timeout`.
pub(super) fn supervise(mut command: Command, timeout: Option<Duration>) -> io::Result<u8> {
    let mut caught = CaughtSignals::new()?;
    let child = command.spawn()?;
    let pid = pid(&child)?;
    let timed_out = Arc::new(AtomicBool::new(false));
    if let Some(timeout) = timeout {
        let fd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        let timed_out = Arc::clone(&timed_out);
        // This thread ends with the process.
        std::thread::spawn(move || {
            std::thread::sleep(timeout);
            timed_out.store(true, Ordering::SeqCst);
            // All processes in its PID namespace die with it.
            let _ = rustix::process::pidfd_send_signal(&fd, Signal::KILL);
        });
    }
    let status = caught.wait(pid)?;
    Ok(if timed_out.load(Ordering::SeqCst) && status.signaled() {
        TIMED_OUT
    } else {
        exit_code(status)
    })
}

/// The process id of a child.
pub(super) fn pid(child: &Child) -> io::Result<Pid> {
    i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The exit code as in shells: 128 plus the signal for a process that a signal ended.
pub(super) fn exit_code(status: WaitStatus) -> u8 {
    let code = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 255,
    };
    u8::try_from(code & 0xff).unwrap_or(u8::MAX)
}

/// Has this process killed when its parent ends (prctl(2), PR_SET_PDEATHSIG).
pub(super) fn die_with_parent() -> rustix::io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
}
