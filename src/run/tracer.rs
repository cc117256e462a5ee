//! Watching a program and all that it starts, by ptrace(2): which paths it names to the system.
//!
//! The stage that watches is the parent of the one that starts the program. It attaches to that
//! stage while the stage waits for a lock, so nothing is missed and nothing else is needed: neither
//! privileges nor a debugger.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use nix::{
    sys::{
        ptrace::{self, Options},
        signal::Signal,
    },
    unistd::Pid,
};
use rustix::{
    fs::{FlockOperation, Mode, OFlags},
    process::{PidfdFlags, WaitOptions, WaitStatus},
};

use super::{
    namespaces::{StageError, trying},
    signals::Caught,
    syscalls::{PathCall, Registers},
};
use crate::{
    path::escape,
    trace::{Access, Call},
};

/// Signals from here on have no names in the crates through which signals are passed on without
/// `unsafe` code. glibc cancels threads with the first one.
pub(super) const FIRST_REAL_TIME: i32 = 32;
/// `__WALL`: threads of watched processes are waited for as well.
const ALL: WaitOptions = WaitOptions::from_bits_retain(0x4000_0000);
/// Bytes of a file in /proc that are read.
const MAX_STATUS: u64 = 64 << 10;
/// Different accesses that are kept: more than any program has files.
const MAX_ACCESSES: usize = 1 << 20;
/// SIGTRAP, and with the bit that tells stops at calls from it (`PTRACE_O_TRACESYSGOOD`).
const TRAP: i32 = 5;
const SYSCALL_STOP: i32 = 0x80 | TRAP;
// Events of ptrace(2).
const EVENT_EXEC: i32 = 4;
const EVENT_CLONE: i32 = 3;
const EVENTS_OF_CHILDREN: [i32; 3] = [1, 2, EVENT_CLONE];
const EVENT_STOP: i32 = 128;

/// The file that keeps a stage waiting until somebody watches it.
pub(super) struct Gate(File);

impl Gate {
    /// Closes it.
    pub(super) fn close(file: &Path) -> Result<Self, StageError> {
        let file = File::from(open(file)?);
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .map_err(trying("prepare the watch"))?;
        Ok(Self(file))
    }

    fn open(self) -> io::Result<()> {
        Ok(rustix::fs::flock(&self.0, FlockOperation::Unlock)?)
    }
}

fn open(file: &Path) -> Result<OwnedFd, StageError> {
    rustix::fs::open(file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(trying("prepare the watch"))
}

/// Waits until the gate is open.
pub(super) fn wait_to_be_watched(file: &Path) -> Result<(), StageError> {
    rustix::fs::flock(open(file)?, FlockOperation::LockShared).map_err(trying("wait to be watched"))
}

/// What a process does after a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterStop {
    Continue,
    /// It is watched no longer and runs already.
    Detached,
}

/// The signal to pass on to a process that stopped for it.
fn signal_to_pass(number: i32) -> Option<Signal> {
    let signal = Signal::try_from(number).ok();
    if signal.is_none() {
        let text = "cannot be passed on to a watched program and is lost";
        let _ = writeln!(io::stderr(), "warning: signal {number} {text}");
    }
    signal
}

/// What is known of a process or thread that is watched.
#[derive(Clone, Debug, Default)]
struct Tracee {
    /// The program that it runs; `None` while it is still a stage of ours.
    program: Option<String>,
    /// The call that it is in.
    call: Option<PathCall>,
    /// Whether it is to be let go as soon as it stops.
    leaves: bool,
}

/// A watch on its way.
pub(super) struct Tracer {
    /// The host's /proc: the stage's own may become another.
    proc: OwnedFd,
    out: File,
    known: BTreeSet<Access>,
    tracees: BTreeMap<i32, Tracee>,
    /// Those that stopped before their parents said that they are there.
    early: BTreeSet<i32>,
    /// How many threads were let go for a signal that cannot be passed on.
    detached: usize,
}

impl Tracer {
    /// A watch that writes what it sees to the new file `out`, each access as JSON in a line of its
    /// own.
    pub(super) fn new(out: &Path) -> Result<Self, StageError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc = rustix::fs::open("/proc", flags, Mode::empty()).map_err(trying("open /proc"))?;
        let out = fs_err::File::create_new(out).map_err(trying("write what is watched"))?;
        let (known, tracees, early) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        Ok(Self { proc, out: out.into_parts().0, known, tracees, early, detached: 0 })
    }

    /// Watches `first`, a child that waits at `gate`, and all that it starts, until no process is
    /// left. Returns how `first` ended.
    pub(super) fn follow(
        mut self,
        first: rustix::process::Pid,
        gate: Gate,
        caught: &mut Caught,
    ) -> Result<WaitStatus, StageError> {
        let fd = rustix::process::pidfd_open(first, PidfdFlags::empty())
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
        // Only what has stopped once can be told to stop at its calls.
        ptrace::interrupt(at).map_err(trying("watch the program"))?;
        self.tracees.insert(first, Tracee::default());
        gate.open().map_err(trying("watch the program"))?;
        let mut ended = None;
        loop {
            let (pid, status) = match rustix::process::waitpid(None, ALL | WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => (pid.as_raw_nonzero().get(), status),
                // Every stop of a watched process sends SIGCHLD. No thread could wait while this
                // one forwards signals: a process whose children go into another namespace cannot
                // have one.
                Ok(None) | Err(rustix::io::Errno::INTR) => {
                    caught.next(&fd);
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

    /// Looks at a process that has stopped, and lets it go on. Where that fails, the process is
    /// gone.
    fn handle_stop(&mut self, pid: i32, raw: i32) {
        let (signal, event) = (raw >> 8 & 0xff, raw >> 16);
        let Some(leaves) = self.tracees.get(&pid).map(|tracee| tracee.leaves) else {
            self.early.insert(pid);
            return;
        };
        let mut deliver = None;
        match event {
            0 if signal == SYSCALL_STOP && leaves => {}
            0 if signal == SYSCALL_STOP => match self.at_call(pid) {
                AfterStop::Continue => {}
                AfterStop::Detached => return,
            },
            0 => deliver = signal_to_pass(signal),
            EVENT_EXEC => self.executed(pid),
            EVENT_STOP => {}
            event if EVENTS_OF_CHILDREN.contains(&event) => self.forked(pid, event),
            _ => {}
        }
        self.go_on(pid, deliver);
    }

    fn go_on(&mut self, pid: i32, deliver: Option<Signal>) {
        let at = Pid::from_raw(pid);
        let leaves = self.tracees.get(&pid).is_some_and(|tracee| tracee.leaves);
        let _ = match leaves {
            true => ptrace::detach(at, deliver),
            false => ptrace::syscall(at, deliver),
        };
        if leaves {
            self.tracees.remove(&pid);
        }
    }

    fn forked(&mut self, pid: i32, event: i32) {
        let Ok(child) = ptrace::getevent(Pid::from_raw(pid)) else { return };
        let Ok(child) = i32::try_from(child) else { return };
        let program = self.tracees.get(&pid).and_then(|tracee| tracee.program.clone());
        // A thread of our own stage is nothing to watch.
        let leaves = program.is_none() && event == EVENT_CLONE;
        self.tracees.insert(child, Tracee { program, call: None, leaves });
        if self.early.remove(&child) {
            self.go_on(child, None);
        }
    }

    fn executed(&mut self, pid: i32) {
        // A thread that executes becomes its process.
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
        let named = call.and_then(|call| self.absolute(pid, &call));
        let name =
            named.filter(|name| !name.starts_with(b"/proc/")).or_else(|| self.link(pid, "exe"));
        self.tracees.entry(pid).or_default().program = Some(escape(&name.unwrap_or_default()));
    }

    /// Whether a process is one of imgb's own, which has not become the program yet.
    fn is_stage(&self, pid: i32) -> bool {
        let own = format!("imgb\0{}\0", super::RUNNER);
        self.read(pid, "cmdline").is_some_and(|words| words.starts_with(&own))
    }

    /// Before or after a call.
    fn at_call(&mut self, pid: i32) -> AfterStop {
        let at = Pid::from_raw(pid);
        let Some(registers) = Registers::of(at) else { return AfterStop::Continue };
        let call = self.tracees.get_mut(&pid).and_then(|tracee| tracee.call.take());
        if let Some(call) = call {
            self.done(pid, &call, registers.result);
            return AfterStop::Continue;
        }
        if !registers.is_entry {
            return AfterStop::Continue;
        }
        if let Some(thread) = registers.signals_thread() {
            return self.detach_thread(pid, thread);
        }
        if let Some(tracee) = self.tracees.get_mut(&pid) {
            // A stage of ours does nothing of interest before it becomes the program.
            let is_of_interest =
                |call: &PathCall| tracee.program.is_some() || call.call == Call::Execute;
            tracee.call = registers.named(at).filter(is_of_interest);
        }
        AfterStop::Continue
    }

    fn done(&mut self, pid: i32, call: &PathCall, result: i64) {
        const NOENT: i64 = -2;
        const NOTDIR: i64 = -20;
        if result < 0 && result != NOENT && result != NOTDIR {
            return;
        }
        let by = self.tracees.get(&pid).and_then(|tracee| tracee.program.clone());
        if let (Some(by), Some(path)) = (by, self.absolute(pid, call)) {
            self.record(Access { path, call: call.call, found: result >= 0, by });
        }
    }

    /// The path that a call names, from the root.
    fn absolute(&self, pid: i32, call: &PathCall) -> Option<Vec<u8>> {
        if call.path.starts_with(b"/") {
            return Some(call.path.clone());
        }
        let dir = call
            .dir
            .map_or_else(|| self.link(pid, "cwd"), |fd| self.link(pid, &format!("fd/{fd}")));
        dir.filter(|dir| dir.starts_with(b"/")).map(|dir| [&dir[..], b"/", &call.path].concat())
    }

    /// Where a link in a process's directory of /proc leads, as the process itself would say it.
    fn link(&self, pid: i32, name: &str) -> Option<Vec<u8>> {
        let read = |name: &str| {
            let path = PathBuf::from(format!("{pid}/{name}"));
            Some(rustix::fs::readlinkat(&self.proc, path, Vec::new()).ok()?.into_bytes())
        };
        let target = read(name)?;
        // Somebody outside the program's root, as a chroot is, sees the root in front of every
        // path.
        match read("root").filter(|root| root != b"/") {
            Some(root) => match target.strip_prefix(&root[..]) {
                Some([]) => Some(b"/".to_vec()),
                Some(inner) if inner.starts_with(b"/") => Some(inner.to_vec()),
                _ => Some(target),
            },
            None => Some(target),
        }
    }

    fn record(&mut self, access: Access) {
        if self.known.len() >= MAX_ACCESSES || self.known.contains(&access) {
            return;
        }
        if let Ok(mut line) = serde_json::to_vec(&access) {
            line.push(b'\n');
            // Nobody reads it if the disk is full, and the program goes on.
            let _ = self.out.write_all(&line);
        }
        self.known.insert(access);
    }

    /// `sender` is about to send a real-time signal to `thread`: as it could not be passed on, the
    /// thread is let go before it comes. The thread may be the sender.
    fn detach_thread(&mut self, sender: i32, thread: i32) -> AfterStop {
        let Some(pid) =
            self.tracees.keys().copied().find(|pid| self.number_inside(*pid) == Some(thread))
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
            tracee.leaves = true;
        }
        // It may have stopped by itself; then that stop comes first.
        let _ = ptrace::interrupt(Pid::from_raw(pid));
        let target = rustix::process::Pid::from_raw(pid);
        match rustix::process::waitpid(target, ALL) {
            Ok(Some((_, status))) if status.stopped() => self.handle_stop(pid, status.as_raw()),
            _ => drop(self.tracees.remove(&pid)),
        }
        AfterStop::Continue
    }

    /// The number that a process has in its own namespace (proc(5), `NSpid`).
    fn number_inside(&self, pid: i32) -> Option<i32> {
        let text = self.read(pid, "status")?;
        text.lines()
            .find_map(|line| line.strip_prefix("NSpid:"))?
            .split_whitespace()
            .last()?
            .parse()
            .ok()
    }

    /// A file in a process's directory of /proc.
    fn read(&self, pid: i32, name: &str) -> Option<String> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file =
            rustix::fs::openat(&self.proc, format!("{pid}/{name}"), flags, Mode::empty()).ok()?;
        let mut bytes = Vec::new();
        File::from(file).take(MAX_STATUS).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}
