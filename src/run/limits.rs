//! Limits on what a program and its children may use of the host.

use std::{
    io::{self, Write as _},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rustix::process::{Resource, Rlimit};

use super::{
    capabilities, memory,
    spec::RunSpec,
    stage_error::{StageError, trying},
};
use crate::error_kind::with_causes;

/// How often memory and disk are checked, at the most and at the least.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);
const SHORTEST_INTERVAL: Duration = Duration::from_micros(500);

/// Blocks of 4 KiB, and files, that a program can write in a second: more than any disk takes.
const BLOCKS_PER_SECOND: u64 = 2 << 20;
const FILES_PER_SECOND: u64 = 1 << 20;

/// The exit code of a program that is ended: as of one that SIGKILL ended.
const ENDED: i32 = 128 + 9;

/// Processes and threads of imgb itself that count as the program's user: the stages, and the
/// threads of the guard.
const OWN_THREADS: u64 = 4;

/// Sets the limits for each single process (setrlimit(2)). [`enforce_totals`] limits all processes
/// together.
pub(super) fn set_per_process(spec: &RunSpec) -> Result<(), StageError> {
    let set = |resource, value: u64| {
        let hard =
            rustix::process::getrlimit(resource).maximum.map_or(value, |hard| hard.min(value));
        let limit = Rlimit { current: Some(hard), maximum: Some(hard) };
        rustix::process::setrlimit(resource, limit).map_err(trying("limit the program"))
    };
    // The kernel writes no core that large, and starts no handler of the host (core(5)) for this
    // limit, which it takes for that of the handler itself. For 0 it would.
    set(Resource::Core, 1)?;
    set(Resource::Nproc, spec.processes.saturating_add(OWN_THREADS))?;
    if let Some(memory) = spec.memory {
        // Not the address space: a Go program reserves gigabytes and uses kilobytes.
        set(Resource::Data, memory)?;
    }
    Ok(())
}

/// Whether the program is being ended because it exceeds a limit.
static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// Starts threads that end process 1, and with it all processes of the namespace, when together
/// they use more than `limit` bytes of memory, or when they have used nine tenths of the memory
/// that was available at first, or when the disk that holds the image's copy has less than a tenth
/// left of the space or of the files that were free at first: whatever the program does, and how,
/// must not disturb what else runs on the host. What the machine has is not guarded if the system
/// does not say it, as in a hardened container: a warning says so. Returns the ids of process 1 and
/// its threads.
///
/// Call it while this thread has capabilities: the new ones need one, to look into processes that
/// hide from their own user.
///
/// # Errors
/// If the system does not say what the disk has free, or refuses a thread.
pub(super) fn enforce_totals(limit: Option<u64>) -> io::Result<Vec<u32>> {
    let (disk, machine) = (Disk::new()?, machine());
    let mut threads = vec![std::process::id()];
    // Reading what every process has open may take long. Nothing else may wait for that.
    let memory_files = memory::Files::default();
    if limit.is_some() {
        let files = memory_files.clone();
        threads.extend(start_thread(move || {
            files.count();
            thread::sleep(CHECK_INTERVAL);
        })?);
    }
    threads.extend(start_thread(move || {
        let room = disk.room();
        thread::sleep(room.unwrap_or(CHECK_INTERVAL));
        match room {
            None => end("nine tenths of the free disk"),
            _ if machine.as_ref().is_some_and(memory::Machine::is_exhausted) => {
                end("nine tenths of the free memory");
            }
            _ if memory_files.are_too_many() => end("more open files than imgb can count"),
            _ if limit.is_some_and(|limit| memory::exceeds(limit, &memory_files)) => {
                end("the memory");
            }
            _ => {}
        }
    })?);
    Ok(threads)
}

/// The machine's memory; `None`, and perhaps a warning, where the system does not say it. The limit
/// of [`enforce_totals`] does not need it.
fn machine() -> Option<memory::Machine> {
    memory::Machine::new().unwrap_or_else(|error| {
        let text = "warning: the machine's memory is not guarded";
        let _ = writeln!(io::stderr(), "{text}: {}", with_causes(&error));
        None
    })
}

/// Starts a thread that repeats `work` and has one capability, to look into processes. Returns its
/// id.
fn start_thread(work: impl Fn() + Send + 'static) -> io::Result<Option<u32>> {
    let (sender, id) = mpsc::channel();
    let work = move || {
        let _ = sender.send(rustix::thread::gettid().as_raw_nonzero().get());
        // Without it, only what is in such processes is not counted.
        let _ = capabilities::keep_only_ptrace();
        loop {
            work();
        }
    };
    thread::Builder::new().spawn(work)?;
    Ok(id.recv().ok().and_then(|id| u32::try_from(id).ok()))
}

/// Ends all processes of the namespace, because the program has used all of `what`.
fn end(what: &str) -> ! {
    IS_ENDING.store(true, Ordering::SeqCst);
    // Before the warning, which may wait for someone to read it: the program can fill the pipe.
    let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    let text = format!("warning: the program has used {what} that it may have and is ended\n");
    let _ = io::stderr().write_all(text.as_bytes());
    // The kernel kills all processes of a namespace whose process 1 ends, at once, and none of them
    // can start another one any more (pid_namespaces(7)).
    std::process::exit(ENDED);
}

/// Does not return if the program was ended because it exceeds a limit: the thread that ends it
/// says so, and then ends this process.
pub(super) fn wait_if_ending() {
    while IS_ENDING.load(Ordering::SeqCst) {
        thread::park();
    }
}

/// The disk that holds the image's copy, and what of it the program has to leave.
struct Disk {
    blocks: u64,
    files: u64,
}

impl Disk {
    fn new() -> io::Result<Self> {
        let (blocks, files) = Self::free()?;
        // A file system that does not tell its size sets no limit, nor does one that makes files
        // as it needs them.
        let tenth = |free: u64| if free == u64::MAX { 0 } else { free / 10 };
        Ok(Self { blocks: tenth(blocks), files: tenth(files) })
    }

    /// Free blocks of 4 KiB, and files that can be made.
    fn free() -> io::Result<(u64, u64)> {
        let stat = rustix::io::retry_on_intr(|| rustix::fs::statvfs("/"))?;
        let files = if stat.f_files == 0 { u64::MAX } else { stat.f_favail };
        Ok((stat.f_bavail.saturating_mul(stat.f_frsize) >> 12, files))
    }

    /// How long the program needs at least to fill what it may; `None` if it has.
    fn room(&self) -> Option<Duration> {
        // What fails now is asked for again a moment later.
        let Ok((blocks, files)) = Self::free() else { return Some(CHECK_INTERVAL) };
        let (blocks, files) = (blocks.checked_sub(self.blocks)?, files.checked_sub(self.files)?);
        let micros = (blocks.saturating_mul(1_000_000) / BLOCKS_PER_SECOND)
            .min(files.saturating_mul(1_000_000) / FILES_PER_SECOND);
        Some(Duration::from_micros(micros).clamp(SHORTEST_INTERVAL, CHECK_INTERVAL))
    }
}
