//! Starting the first process of a run, and waiting for its end: signals, the terminal, the
//! timeout.

use std::{
    io::{self, IsTerminal as _},
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::process::{PidfdFlags, Signal, WaitOptions};

use super::{
    foreground::Foreground,
    interrupt::{Interrupt, Interrupted},
    signals::{self, Catcher, CaughtSignals},
};

/// How a process is supervised.
#[derive(Clone, Copy, Debug)]
pub(super) struct Supervision {
    /// Whether the process makes itself the leader of a session. Otherwise it is made the leader of
    /// a process group, which gets the terminal.
    pub(super) leads_session: bool,
    /// Whether to wait for the descendants that it leaves too.
    pub(super) with_descendants: bool,
    /// How long it may run; then it is killed.
    pub(super) timeout: Option<Duration>,
}

/// Why a process is not supervised.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsupervised {
    /// A signal came before it was started.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The system refused.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Whether a program that prints to stdout, or to stderr, runs at a terminal: it reads from it, and
/// its output is not for another program that may be in the same foreground group.
pub(super) fn is_at_terminal(prints_to_stderr: bool) -> bool {
    let prints =
        if prints_to_stderr { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
    io::stdin().is_terminal() && prints
}

/// Starts `command` and waits for its exit code; `None` after the timeout. A signal that
/// `interrupt` has caught before ends it at once.
pub(super) fn supervise(
    mut command: Command,
    how: Supervision,
    interrupt: &Interrupt,
) -> Result<Option<u8>, Unsupervised> {
    let catcher = if how.leads_session { Catcher::AboveStage } else { Catcher::AboveGroup };
    let mut caught = CaughtSignals::new(catcher)?;
    // From here on signals are forwarded. None that came earlier is lost.
    interrupt.check()?;
    if !how.leads_session {
        command.process_group(0);
    }
    if how.with_descendants {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(io::Error::from)?;
    }
    let child = command.spawn()?;
    // It holds the child's ends of the pipes.
    drop(command);
    let pid = signals::pid(&child)?;
    let fd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from)?;
    let mut foreground = if how.leads_session { None } else { Foreground::of(pid) };
    if is_at_terminal(false) || is_at_terminal(true) {
        foreground.iter_mut().for_each(Foreground::give);
    }
    let timed_out = Arc::new(AtomicBool::new(false));
    if let Some(timeout) = how.timeout {
        let started = fd.try_clone().and_then(|fd| kill_after(timeout, fd, Arc::clone(&timed_out)));
        if let Err(error) = started {
            // Without the thread it could run forever.
            let _ = rustix::process::pidfd_send_signal(&fd, Signal::KILL);
            caught.wait(pid)?;
            return Err(error.into());
        }
    }
    let status = loop {
        let status = caught.wait_or_stop(pid)?;
        let Some(signal) = status.stopping_signal() else { break status };
        pause(signal, foreground.as_mut());
        let _ = match how.leads_session {
            true => rustix::process::pidfd_send_signal(&fd, Signal::CONT),
            false => rustix::process::kill_process_group(pid, Signal::CONT),
        };
    };
    if how.with_descendants {
        // Process 1 of the PID namespace ends after all others there.
        while rustix::process::wait(WaitOptions::empty()).is_ok() {}
    }
    foreground.iter_mut().for_each(Foreground::take_back);
    let is_timeout = timed_out.load(Ordering::SeqCst) && status.signaled();
    Ok((!is_timeout).then(|| signals::exit_code(status)))
}

/// Stops this process because the program has stopped, until both are continued. If it stopped
/// because it needs the terminal, and the caller has it, the program gets it instead.
fn pause(signal: i32, mut foreground: Option<&mut Foreground>) {
    let needs_terminal = [Signal::TTIN, Signal::TTOU].map(Signal::as_raw).contains(&signal);
    if !(needs_terminal && foreground.as_ref().is_some_and(|foreground| foreground.is_own())) {
        if let Some(foreground) = &mut foreground {
            foreground.take_back();
        }
        signals::stop();
    }
    if let Some(foreground) = foreground {
        foreground.give();
    }
}

/// Starts a thread that kills the process after `timeout`; it ends with this process. Where the
/// process is the parent of a PID namespace's process 1, all processes there die with it.
fn kill_after(timeout: Duration, process: OwnedFd, timed_out: Arc<AtomicBool>) -> io::Result<()> {
    let work = move || {
        thread::sleep(timeout);
        timed_out.store(true, Ordering::SeqCst);
        let _ = rustix::process::pidfd_send_signal(&process, Signal::KILL);
    };
    thread::Builder::new().spawn(work).map(drop)
}
