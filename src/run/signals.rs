//! Catching signals while a child runs, and forwarding them to it.
//!
//! imgb, its stages and the program are in process groups and sessions such that `kill(0, …)` of
//! the program never reaches imgb's own group: the caller's shell and its neighbours are there. If
//! the program runs at a terminal, the stages and the program are one group, which the caller
//! makes the terminal's foreground group. Otherwise the stages are a session of their own, and the
//! program is another one.

use std::{io, os::fd::OwnedFd, process::Child};

use nix::sys::signal::SigSet;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus};
use signal_hook::{
    consts::signal::{
        SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2,
    },
    iterator::Signals,
};

use super::procfs;

/// Signals that a terminal sends to all processes of its foreground group.
const BY_TERMINAL: [i32; 3] = [SIGINT, SIGQUIT, SIGTSTP];
/// Other signals that a user may send to imgb and mean for the program.
const FORWARDED: [i32; 5] = [SIGHUP, SIGTERM, SIGUSR1, SIGUSR2, SIGCONT];

/// Which process catches signals, and what it does with those of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Catcher {
    /// Its child leads a process group, which gets the terminal's signals as a whole.
    AboveGroup,
    /// Its child is a stage, which forwards all signals itself.
    AboveStage,
    /// A stage outside of the PID namespace, with its child in the same group: the terminal sends
    /// its signals to both.
    StageInGroup,
    /// A stage outside of the PID namespace that leads a session.
    StageOfSession,
    /// Process 1 of the PID namespace, with the program in the same group.
    InitInGroup,
    /// Process 1 of the PID namespace. The program leads a session.
    InitOfSession,
}

/// Signals caught by this process.
pub(super) struct CaughtSignals {
    signals: Signals,
    catcher: Catcher,
    interrupts: u32,
}

impl CaughtSignals {
    /// Catches them from now on. Call it before the child is started, so that none is lost.
    pub(super) fn new(catcher: Catcher) -> io::Result<Self> {
        let ignored = Ignored::of_this_process()?;
        let all = BY_TERMINAL.into_iter().chain(FORWARDED);
        let caught = all.filter(|signal| !ignored.has(*signal)).chain([SIGCHLD]);
        Ok(Self { signals: Signals::new(caught)?, catcher, interrupts: 0 })
    }

    /// Waits for a signal, which may be SIGCHLD, and forwards others to `child`, whose descriptor
    /// is `fd`.
    pub(super) fn next(&mut self, child: Pid, fd: &OwnedFd) {
        for signal in self.signals.wait() {
            self.interrupts += u32::from(signal == SIGINT);
            self.forward(child, fd, signal);
        }
    }

    /// The signals that have come and are not forwarded yet.
    pub(super) fn pending(&mut self) -> Vec<i32> {
        self.signals.pending().collect()
    }

    /// Sends `child` the signals that came before it was started. It was not yet in the group that
    /// gets those of the terminal.
    pub(super) fn send_early(&mut self, child: Pid, early: Vec<i32>) -> io::Result<()> {
        let fd = rustix::process::pidfd_open(child, PidfdFlags::empty())?;
        for number in early {
            self.interrupts += u32::from(number == SIGINT);
            match Signal::from_named_raw(number) {
                Some(signal) if [SIGINT, SIGQUIT].contains(&number) => {
                    // It fails if the child has just ended.
                    let _ = rustix::process::pidfd_send_signal(&fd, signal);
                }
                _ => self.forward(child, &fd, number),
            }
        }
        Ok(())
    }

    /// How many times SIGINT was caught.
    pub(super) fn interrupts(&self) -> u32 {
        self.interrupts
    }

    /// Waits until `child` has ended, and reaps all other children that end meanwhile.
    pub(super) fn wait(&mut self, child: Pid) -> io::Result<WaitStatus> {
        self.wait_for(child, WaitOptions::NOHANG)
    }

    /// As [`Self::wait`], also until `child` has stopped.
    pub(super) fn wait_or_stop(&mut self, child: Pid) -> io::Result<WaitStatus> {
        self.wait_for(child, WaitOptions::NOHANG | WaitOptions::UNTRACED)
    }

    fn wait_for(&mut self, child: Pid, options: WaitOptions) -> io::Result<WaitStatus> {
        let fd = rustix::process::pidfd_open(child, PidfdFlags::empty())?;
        loop {
            // First, in case its SIGCHLD came before signals were caught.
            while let Some((pid, status)) = reap(options)? {
                if pid == child {
                    return Ok(status);
                }
            }
            self.next(child, &fd);
        }
    }

    fn forward(&self, child: Pid, fd: &OwnedFd, number: i32) {
        use Catcher::{AboveGroup, InitInGroup, InitOfSession, StageInGroup, StageOfSession};
        if number == SIGCHLD {
            return;
        }
        let is_by_terminal = BY_TERMINAL.contains(&number);
        let Some(signal) = Signal::from_named_raw(number) else { return };
        // Each fails if the child has just ended.
        let _ = match self.catcher {
            StageInGroup | InitInGroup if is_by_terminal => Ok(()),
            // The kernel does not stop a session at SIGTSTP if no shell could continue it.
            InitOfSession if number == SIGTSTP => {
                rustix::process::kill_process_group(child, Signal::STOP)
            }
            AboveGroup | InitOfSession if is_by_terminal || number == SIGCONT => {
                rustix::process::kill_process_group(child, signal)
            }
            _ => rustix::process::pidfd_send_signal(fd, signal),
        };
        // The caller sees the stage stopped and stops too. Process 1 of a namespace cannot stop.
        if number == SIGTSTP && matches!(self.catcher, StageInGroup | StageOfSession) {
            stop();
        }
    }
}

/// Holds the signals that imgb catches back from this thread, and from a child that it starts
/// meanwhile, until [`release`]: the kernel drops a signal for process 1 of a PID namespace that
/// neither catches nor blocks it (pid_namespaces(7)).
pub(super) fn hold_back() -> io::Result<()> {
    Ok(all().thread_block()?)
}

/// Ends [`hold_back`]. The signals that came meanwhile are delivered.
pub(super) fn release() -> io::Result<()> {
    Ok(all().thread_unblock()?)
}

fn all() -> SigSet {
    let numbers = BY_TERMINAL.into_iter().chain(FORWARDED);
    numbers.filter_map(|number| nix::sys::signal::Signal::try_from(number).ok()).collect()
}

/// Stops this process until it is continued.
pub(super) fn stop() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::STOP);
}

/// The status of any child that has changed its state, if there is one.
fn reap(options: WaitOptions) -> io::Result<Option<(Pid, WaitStatus)>> {
    match rustix::process::wait(options) {
        Ok(ended) => Ok(ended),
        Err(rustix::io::Errno::CHILD) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// The signals that this process was started to ignore, as by nohup(1): the program ignores them
/// too. Bit N - 1 stands for the signal with the number N.
pub(super) struct Ignored(u64);

impl Ignored {
    /// Those that are ignored now.
    ///
    /// # Errors
    /// If the kernel's answer cannot be read.
    pub(super) fn of_this_process() -> io::Result<Self> {
        let status = procfs::read_if_there("/proc/self/status")?;
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        Ok(Self(mask.unwrap_or(0)))
    }

    /// Whether the signal with this number is among them.
    pub(super) fn has(&self, number: i32) -> bool {
        self.0 >> (number - 1) & 1 == 1
    }
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
