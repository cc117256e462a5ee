//! Limits on what a program and its children may use of the host.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use rustix::process::{Resource, Rlimit};

use super::{
    capabilities, memory,
    spec::RunSpec,
    stage_error::{StageError, trying},
};

/// How often memory and disk are checked, at the most and at the least.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);
const SHORTEST_INTERVAL: Duration = Duration::from_micros(500);

/// Blocks of 4 KiB, and files, that a program can write in a second: more than any disk takes.
const BLOCKS_PER_SECOND: u64 = 2 << 20;
const FILES_PER_SECOND: u64 = 1 << 20;

/// The exit code of a program that is ended: as of one that SIGKILL ended.
const ENDED: i32 = 128 + 9;

/// Processes and threads of imgb itself that count as the program's user: the stages, and the
/// thread of the guard.
const OWN_THREADS: u64 = 3;

/// Sets the limits for each single process (setrlimit(2)). [`enforce_totals`] limits all processes
/// together.
pub(super) fn set_per_process(spec: &RunSpec) -> Result<(), StageError> {
    let set = |resource, value: u64| {
        let hard =
            rustix::process::getrlimit(resource).maximum.map_or(value, |hard| hard.min(value));
        let limit = Rlimit { current: Some(hard), maximum: Some(hard) };
        rustix::process::setrlimit(resource, limit).map_err(trying("limit the program"))
    };
    set(Resource::Core, 0)?;
    set(Resource::Nproc, spec.processes.saturating_add(OWN_THREADS))?;
    if let Some(memory) = spec.memory {
        // Not the address space: a Go program reserves gigabytes and uses kilobytes.
        set(Resource::Data, memory)?;
    }
    Ok(())
}

/// Starts a thread that ends process 1, and with it all processes of the namespace, when together
/// they use more than `limit` bytes of memory, or when they have used nine tenths of the memory
/// that was available at first, or when the disk that holds the image's copy has less than a tenth
/// left of the space or of the files that were free at first: whatever the program does, and how,
/// must not disturb what else runs on the host.
///
/// Call it while this thread has capabilities: the new one needs one, to look into processes that
/// hide from their own user.
pub(super) fn enforce_totals(limit: Option<u64>) {
    let (disk, available) = (Disk::new(), memory::available());
    std::thread::spawn(move || {
        // Without it, only what is in such processes is not counted.
        let _ = capabilities::keep_only_ptrace();
        loop {
            let room = disk.room();
            std::thread::sleep(room.unwrap_or(CHECK_INTERVAL));
            let what = match room {
                None => "nine tenths of the free disk",
                _ if available.is_some_and(exhausts) => "nine tenths of the free memory",
                _ if limit.is_some_and(memory::exceeds) => "the memory",
                _ => continue,
            };
            let text =
                format!("warning: the program has used {what} that it may have and is ended\n");
            let _ = io::stderr().write_all(text.as_bytes());
            // The kernel kills all processes of a namespace whose process 1 ends, at once, and none
            // of them can start another one any more (pid_namespaces(7)).
            std::process::exit(ENDED);
        }
    });
}

/// Whether less than a tenth is left of the memory that was `available` at first, and the program
/// has most of the rest. Without that, the kernel might end another program instead.
fn exhausts(available: u64) -> bool {
    let keep = available / 10;
    memory::available().is_some_and(|left| left < keep) && memory::exceeds((available - keep) / 2)
}

/// The disk that holds the image's copy, and what of it the program has to leave.
struct Disk {
    blocks: u64,
    files: u64,
}

impl Disk {
    fn new() -> Self {
        let (blocks, files) = Self::free();
        // A file system that does not tell its size sets no limit, nor does one that makes files
        // as it needs them.
        let tenth = |free: u64| if free == u64::MAX { 0 } else { free / 10 };
        Self { blocks: tenth(blocks), files: tenth(files) }
    }

    /// Free blocks of 4 KiB, and files that can be made.
    fn free() -> (u64, u64) {
        let Ok(stat) = rustix::fs::statvfs("/") else { return (u64::MAX, u64::MAX) };
        let files = if stat.f_files == 0 { u64::MAX } else { stat.f_favail };
        (stat.f_bavail.saturating_mul(stat.f_frsize) >> 12, files)
    }

    /// How long the program needs at least to fill what it may; `None` if it has.
    fn room(&self) -> Option<Duration> {
        let (blocks, files) = Self::free();
        let (blocks, files) = (blocks.checked_sub(self.blocks)?, files.checked_sub(self.files)?);
        let micros = (blocks.saturating_mul(1_000_000) / BLOCKS_PER_SECOND)
            .min(files.saturating_mul(1_000_000) / FILES_PER_SECOND);
        Some(Duration::from_micros(micros).clamp(SHORTEST_INTERVAL, CHECK_INTERVAL))
    }
}
