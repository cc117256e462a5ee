//! Traces a program and all processes that it starts, with ptrace(2), and records the paths in
//! their system calls.
//!
//! The tracing stage is the parent of the stage that starts the program, and attaches to it while
//! it waits at a [`Gate`]. So no call is missed, and the tracer needs no privileges.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write as _},
    path::Path,
};

use nix::{
    sys::{
        ptrace::{self, Options},
        signal::Signal,
    },
    unistd::Pid,
};
use rustix::process::{PidfdFlags, WaitOptions, WaitStatus};

use super::{
    RUNNER,
    access_log::AccessLog,
    gate::Gate,
    procfs::ProcFs,
    serving_channel::Requests,
    signals::CaughtSignals,
    stage_error::{StageError, trying},
    syscalls::{PathCall, Registers},
};
use crate::{
    path::escape,
    trace::{Access, Call},
};

/// `__WALL`: waits for threads of traced processes too.
const ALL: WaitOptions = WaitOptions::from_bits_retain(0x4000_0000);
/// SIGTRAP, and the same with the bit that marks stops at system calls (`PTRACE_O_TRACESYSGOOD`).
const TRAP: i32 = 5;
const SYSCALL_STOP: i32 = 0x80 | TRAP;
// Events of ptrace(2): PTRACE_EVENT_FORK and PTRACE_EVENT_VFORK are 1 and 2.
const EVENT_EXEC: i32 = 4;
const EVENT_CLONE: i32 = 3;
const EVENTS_OF_CHILDREN: [i32; 3] = [1, 2, EVENT_CLONE];
const EVENT_STOP: i32 = 128;

/// What to do with a process that stopped at a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterStop {
    Continue,
    /// Nothing: it is no longer traced, and runs.
    Detached,
}

/// The signal to deliver to a process that stopped because of it.
fn signal_to_pass(number: i32) -> Option<Signal> {
    let signal = Signal::try_from(number).ok();
    if signal.is_none() {
        let text = "cannot be passed on to a watched program and is lost";
        let _ = writeln!(io::stderr(), "warning: signal {number} {text}");
    }
    signal
}

/// A file that a system call names.
#[derive(Clone, Debug)]
struct NamedFile {
    /// From the root.
    path: Vec<u8>,
    call: Call,
    /// The program that makes the call; `None` for a stage of imgb's own.
    by: Option<String>,
    /// Whether the image lacked it, and it was served before the call was made.
    is_served: bool,
}

/// A process or thread that is traced.
#[derive(Clone, Debug, Default)]
struct Tracee {
    /// The program that it runs; `None` while it is still a stage of imgb's own.
    program: Option<String>,
    /// The system call that it is in.
    call: Option<NamedFile>,
    /// Whether to detach from it at its next stop.
    detach: bool,
}

/// Traces processes and records their accesses.
pub(super) struct Tracer {
    /// Of the host: another /proc may be mounted for the program.
    proc: ProcFs,
    log: AccessLog,
    /// Where files that the image lacks are asked for.
    server: Option<Requests>,
    tracees: BTreeMap<i32, Tracee>,
    /// Processes that stopped before the event that announces them came from their parents.
    early: BTreeSet<i32>,
    /// The number of threads detached from because of a signal that cannot be passed on.
    detached: usize,
}

impl Tracer {
    /// A tracer that records each access in the new file `out`, and asks `server` for each file
    /// before the program's system call looks for it.
    pub(super) fn new(out: &Path, server: Option<Requests>) -> Result<Self, StageError> {
        let proc = ProcFs::open().map_err(trying("open /proc"))?;
        let log = AccessLog::create(out).map_err(trying("write what is watched"))?;
        let (tracees, early) = (BTreeMap::new(), BTreeSet::new());
        Ok(Self { proc, log, server, tracees, early, detached: 0 })
    }

    /// Traces `first`, a child that waits at `gate`, and every process that it starts, until none
    /// is left. Returns how `first` ended.
    pub(super) fn follow(
        mut self,
        first: rustix::process::Pid,
        gate: Gate,
        caught: &mut CaughtSignals,
    ) -> Result<WaitStatus, StageError> {
        let child = first;
        let fd = rustix::process::pidfd_open(child, PidfdFlags::empty())
            .map_err(trying("watch the program"))?;
        let first = first.as_raw_nonzero().get();
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_EXITKILL;
        let at = Pid::from_raw(first);
        ptrace::seize(at, options).map_err(trying("watch the program"))?;
        // PTRACE_SYSCALL needs a process that is stopped.
        ptrace::interrupt(at).map_err(trying("watch the program"))?;
        self.tracees.insert(first, Tracee::default());
        gate.open().map_err(trying("watch the program"))?;
        let mut ended = None;
        loop {
            let (pid, status) = match rustix::process::wait(ALL | WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => (pid.as_raw_nonzero().get(), status),
                // Every stop of a traced process sends SIGCHLD. A second thread to wait in is not
                // possible: after unshare(2) of the PID namespace a process cannot start threads.
                Ok(None) | Err(rustix::io::Errno::INTR) => {
                    caught.next(child, &fd);
                    // The program ignores the first one.
                    if caught.interrupts() > 1 {
                        self.kill_all();
                    }
                    continue;
                }
                Err(rustix::io::Errno::CHILD) => break,
                Err(errno) => return Err(trying("wait for the program")(errno)),
            };
            if status.stopped() {
                self.handle_stop(pid, status.as_raw());
                continue;
            }
            self.tracees.remove(&pid);
            self.early.remove(&pid);
            if pid == first {
                ended = Some(status);
            }
        }
        if self.detached > 0 {
            let text = "threads got real-time signals and were not watched any further";
            let _ = writeln!(io::stderr(), "warning: {} {text}", self.detached);
        }
        ended
            .ok_or_else(|| trying("wait for the program")(io::Error::from(io::ErrorKind::NotFound)))
    }

    /// Kills every process that is traced.
    fn kill_all(&self) {
        for pid in self.tracees.keys().filter_map(|pid| rustix::process::Pid::from_raw(*pid)) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }

    /// Handles a stop, and lets the process continue. Errors are ignored: they mean that the
    /// process is gone.
    fn handle_stop(&mut self, pid: i32, raw: i32) {
        let (signal, event) = (raw >> 8 & 0xff, raw >> 16);
        let Some(detach) = self.tracees.get(&pid).map(|tracee| tracee.detach) else {
            self.early.insert(pid);
            return;
        };
        let mut deliver = None;
        match event {
            0 if signal == SYSCALL_STOP && detach => {}
            0 if signal == SYSCALL_STOP => match self.handle_call(pid) {
                AfterStop::Continue => {}
                AfterStop::Detached => return,
            },
            0 => deliver = signal_to_pass(signal),
            EVENT_EXEC => self.executed(pid),
            EVENT_STOP => {}
            event if EVENTS_OF_CHILDREN.contains(&event) => self.forked(pid, event),
            _ => {}
        }
        self.resume(pid, deliver);
    }

    fn resume(&mut self, pid: i32, deliver: Option<Signal>) {
        let at = Pid::from_raw(pid);
        let detach = self.tracees.get(&pid).is_some_and(|tracee| tracee.detach);
        let _ = match detach {
            true => ptrace::detach(at, deliver),
            false => ptrace::syscall(at, deliver),
        };
        if detach {
            self.tracees.remove(&pid);
        }
    }

    fn forked(&mut self, pid: i32, event: i32) {
        let Ok(child) = ptrace::getevent(Pid::from_raw(pid)) else { return };
        let Ok(child) = i32::try_from(child) else { return };
        let program = self.tracees.get(&pid).and_then(|tracee| tracee.program.clone());
        // Threads of imgb's own stages are not traced.
        let detach = program.is_none() && event == EVENT_CLONE;
        self.tracees.insert(child, Tracee { program, call: None, detach });
        if self.early.remove(&child) {
            self.resume(child, None);
        }
    }

    fn executed(&mut self, pid: i32) {
        // A thread that calls execve(2) takes over the id of its process.
        let former =
            ptrace::getevent(Pid::from_raw(pid)).ok().and_then(|former| i32::try_from(former).ok());
        let moved =
            former.filter(|former| *former != pid).and_then(|former| self.tracees.remove(&former));
        if let Some(moved) = moved {
            self.tracees.insert(pid, moved);
        }
        if self.is_stage(pid) {
            return;
        }
        let call = self.tracees.get(&pid).and_then(|tracee| tracee.call.clone());
        let name = call
            .map(|call| call.path)
            .filter(|name| !name.starts_with(b"/proc/"))
            .or_else(|| self.proc.link(pid, "exe"));
        self.tracees.entry(pid).or_default().program = Some(escape(&name.unwrap_or_default()));
    }

    /// Whether a process is a stage of imgb's own, which has not executed the program yet.
    fn is_stage(&self, pid: i32) -> bool {
        let own = format!("imgb\0{RUNNER}\0");
        self.proc.read(pid, "cmdline").is_some_and(|words| words.starts_with(&own))
    }

    /// Handles a stop at the start or the end of a system call.
    fn handle_call(&mut self, pid: i32) -> AfterStop {
        let at = Pid::from_raw(pid);
        let Some(registers) = Registers::of(at) else { return AfterStop::Continue };
        let call = self.tracees.get_mut(&pid).and_then(|tracee| tracee.call.take());
        if let Some(call) = call {
            self.call_ended(pid, call, registers.result);
            return AfterStop::Continue;
        }
        if !registers.is_entry {
            return AfterStop::Continue;
        }
        if let Some(thread) = registers.signals_thread() {
            return self.detach_thread(pid, thread);
        }
        let is_stage = self.tracees.get(&pid).is_none_or(|tracee| tracee.program.is_none());
        // Of imgb's own stages only the execve(2) of the program matters.
        let is_of_interest = |call: &PathCall| !is_stage || call.call == Call::Execute;
        let call = registers.path_call(at).filter(is_of_interest);
        let named = call.and_then(|call| self.name(pid, &call));
        if let Some(tracee) = self.tracees.get_mut(&pid) {
            tracee.call = named;
        }
        if let Some(fd) = registers.listed_directory().filter(|_| !is_stage) {
            self.listed(pid, fd);
        }
        AfterStop::Continue
    }

    /// The file that a call names, which is served first if the image lacks it.
    fn name(&mut self, pid: i32, call: &PathCall) -> Option<NamedFile> {
        let path = self.absolute(pid, call)?;
        let by = self.tracees.get(&pid).and_then(|tracee| tracee.program.clone());
        let wanted = if call.reads_or_creates { Call::Open } else { call.call };
        if call.call == Call::Create {
            self.serve_parent(pid, &path);
        }
        let Some(server) = &mut self.server else {
            return Some(NamedFile { path, call: call.call, by, is_served: false });
        };
        let is_served = server.ask(wanted, &path);
        if call.call == Call::Create && !is_served {
            server.leave(&path);
        }
        let call = if is_served { wanted } else { call.call };
        Some(NamedFile { path, call, by, is_served })
    }

    /// Serves the directory in which a program is about to create a file.
    fn serve_parent(&mut self, pid: i32, path: &[u8]) {
        let parent = path.rsplitn(2, |&byte| byte == b'/').nth(1).filter(|dir| !dir.is_empty());
        if let (Some(server), Some(parent)) = (&mut self.server, parent)
            && server.ask(Call::Look, parent)
        {
            self.record_served(pid, parent.to_vec(), Call::Look);
        }
    }

    /// Serves what a directory lacks that the program is about to list.
    fn listed(&mut self, pid: i32, fd: i32) {
        let Some(server) = &mut self.server else { return };
        let Some(path) = self.proc.link(pid, &format!("fd/{fd}")) else { return };
        if server.ask(Call::List, &path) {
            self.record_served(pid, path, Call::List);
        }
    }

    fn call_ended(&mut self, pid: i32, file: NamedFile, result: i64) {
        const NOENT: i64 = -2;
        const NOTDIR: i64 = -20;
        let NamedFile { path, call, by, is_served } = file;
        // The first program is executed by a stage.
        let by = by.or_else(|| self.tracees.get(&pid)?.program.clone());
        if let Some(by) = by
            && (is_served || result >= 0 || result == NOENT || result == NOTDIR)
        {
            self.log.add(&Access { path, call, found: result >= 0 && !is_served, by });
        }
    }

    /// Records what was served for a call that does not name it.
    fn record_served(&mut self, pid: i32, path: Vec<u8>, call: Call) {
        let by = self.tracees.get(&pid).and_then(|tracee| tracee.program.clone());
        if let Some(by) = by {
            self.log.add(&Access { path, call, found: false, by });
        }
    }

    /// The path that a call names, from the root.
    fn absolute(&self, pid: i32, call: &PathCall) -> Option<Vec<u8>> {
        if call.path.starts_with(b"/") {
            return Some(call.path.clone());
        }
        let dir = call.dir.map_or_else(
            || self.proc.link(pid, "cwd"),
            |fd| self.proc.link(pid, &format!("fd/{fd}")),
        );
        dir.filter(|dir| dir.starts_with(b"/")).map(|dir| [&dir[..], b"/", &call.path].concat())
    }

    /// Detaches from `thread`, to which `sender` is about to send a real-time signal, before the
    /// signal comes: it could not be passed on. The thread may be the sender.
    fn detach_thread(&mut self, sender: i32, thread: i32) -> AfterStop {
        let Some(pid) =
            self.tracees.keys().copied().find(|pid| self.proc.pid_inside(*pid) == Some(thread))
        else {
            return AfterStop::Continue;
        };
        self.detached += 1;
        if pid == sender {
            self.tracees.remove(&pid);
            let _ = ptrace::detach(Pid::from_raw(pid), None);
            return AfterStop::Detached;
        }
        if let Some(tracee) = self.tracees.get_mut(&pid) {
            tracee.detach = true;
        }
        // If it has stopped for another reason meanwhile, that stop is reported first.
        let _ = ptrace::interrupt(Pid::from_raw(pid));
        let target = rustix::process::Pid::from_raw(pid);
        match rustix::process::waitpid(target, ALL) {
            Ok(Some((_, status))) if status.stopped() => self.handle_stop(pid, status.as_raw()),
            _ => drop(self.tracees.remove(&pid)),
        }
        AfterStop::Continue
    }
}
