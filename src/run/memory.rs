//! How much memory the processes of a PID namespace use, as far as /proc tells it.

use std::{
    collections::BTreeSet,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use rustix::io::retry_on_intr;

use super::procfs;
use crate::{source::list_directory, uninterrupted};

/// Bytes of a block of stat(2).
const STAT_BLOCK: u64 = 512;

/// Bytes of a semaphore of System V in the kernel: a line of a processor's cache.
const SEMAPHORE: u64 = 64;

/// How many sums in a row must exceed the limit. Processes are read one after the other, so a page
/// that more of them come to share in the meantime is counted too often: once in full for the
/// first, once in half for the second. It is not new to the next sum.
const SUMS: usize = 3;

/// How many open files [`Files::count`] looks at: about a second of work.
const MAX_FILES: usize = 1 << 20;

/// Whether all processes except process 1 use more than `limit` bytes together that are in no file
/// of a disk.
///
/// A first sum counts what processes share once for each of them, and is cheap. Only if that
/// exceeds the limit, each page is counted in proportion to its users (`smaps_rollup`).
pub(super) fn exceeds(limit: u64, files: &Files) -> bool {
    let processes = processes();
    // No more is looked at than needed: there may be many processes, and little time.
    let sum_exceeds = |start: u64, used: fn(u32) -> u64| {
        let mut sum = start;
        start > limit
            || processes.iter().any(|&pid| {
                sum += used(pid);
                sum > limit
            })
    };
    let is_exceeded_with = |start: u64| {
        sum_exceeds(start, resident) && (0..SUMS).all(|_| sum_exceeds(start, proportional))
    };
    if is_exceeded_with(0) {
        return true;
    }
    let shared = mounts() + sysv() + files.bytes.load(Ordering::Relaxed);
    shared > 0 && is_exceeded_with(shared)
}

/// The memory of the whole machine, as it was at first.
pub(super) struct Machine {
    /// Bytes left for programs.
    available: u64,
    /// See [`unmapped`].
    unmapped: u64,
}

impl Machine {
    /// `None` if the kernel does not say.
    ///
    /// # Errors
    /// If what it says cannot be read.
    pub(super) fn new() -> io::Result<Option<Self>> {
        let text = procfs::read_if_there("/proc/meminfo")?;
        let available = kilobytes(&text, &["MemAvailable:"]);
        Ok((available > 0).then_some(Self { available, unmapped: unmapped(&text) }))
    }

    /// Whether less than a tenth is left of what was available at first, and the program has most
    /// of the rest. Without that, the kernel might end another program instead.
    pub(super) fn is_exhausted(&self) -> bool {
        let text = read("/proc/meminfo");
        let keep = self.available / 10;
        if kilobytes(&text, &["MemAvailable:"]) >= keep {
            return false;
        }
        // What the kernel holds for programs (buffers of sockets, semaphores) belongs to no process
        // in /proc. What has come since the program started is taken for the program's.
        let grown = unmapped(&text).saturating_sub(self.unmapped);
        let most = (self.available - keep) / 2;
        most.checked_sub(grown).is_none_or(|rest| exceeds(rest, &Files::default()))
    }
}

/// Bytes that the kernel cannot take back and that are no private memory of processes: its own, and
/// shared memory (proc(5), `meminfo`).
fn unmapped(meminfo: &str) -> u64 {
    let other = ["MemFree:", "Buffers:", "Cached:", "SReclaimable:", "AnonPages:"];
    (kilobytes(meminfo, &["MemTotal:"]) + kilobytes(meminfo, &["Shmem:"]))
        .saturating_sub(kilobytes(meminfo, &other))
}

/// What is in files of memfd_create(2) that processes have open: they use memory without being
/// mapped.
#[derive(Clone, Default)]
pub(super) struct Files {
    bytes: Arc<AtomicU64>,
    are_too_many: Arc<AtomicBool>,
}

impl Files {
    /// Counts them. A sum that has grown is told at once.
    pub(super) fn count(&self) {
        let (mut seen, mut total, mut looked_at) = (BTreeSet::new(), 0, 0);
        for pid in processes() {
            let dir = format!("/proc/{pid}/fd");
            for fd in numbers(&dir) {
                looked_at += 1;
                if looked_at > MAX_FILES {
                    return self.are_too_many.store(true, Ordering::Relaxed);
                }
                let file = format!("{dir}/{fd}");
                let is_memory = uninterrupted::read_link(&file).is_ok_and(|target| {
                    target.as_os_str().as_encoded_bytes().starts_with(b"/memfd:")
                });
                if is_memory
                    && let Ok(stat) = retry_on_intr(|| rustix::fs::stat(&file))
                    && seen.insert((stat.st_dev, stat.st_ino))
                {
                    total += u64::try_from(stat.st_blocks).unwrap_or(0) * STAT_BLOCK;
                    self.bytes.fetch_max(total, Ordering::Relaxed);
                }
            }
        }
        self.bytes.store(total, Ordering::Relaxed);
    }

    /// Whether there are so many open files that counting them takes too long.
    pub(super) fn are_too_many(&self) -> bool {
        self.are_too_many.load(Ordering::Relaxed)
    }
}

/// All processes of the namespace except process 1, which is imgb's own.
fn processes() -> Vec<u32> {
    numbers("/proc").into_iter().filter(|&pid| pid != 1).collect()
}

/// The entries of a directory whose names are numbers.
fn numbers(dir: &str) -> Vec<u32> {
    let names = list_directory(Path::new(dir)).unwrap_or_default();
    names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect()
}

/// Kilobytes in the lines of `text` that start with one of `names`, as bytes.
fn kilobytes(text: &str, names: &[&str]) -> u64 {
    let number = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
    let lines = text.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
    lines.filter_map(number).sum::<u64>() * 1024
}

fn read(file: &str) -> String {
    procfs::read(file).unwrap_or_default()
}

/// Memory that is resident or swapped out (proc(5), `status`), with tables of pages.
fn resident(pid: u32) -> u64 {
    let names = ["RssAnon:", "RssShmem:", "VmSwap:", "VmPTE:"];
    kilobytes(&read(&format!("/proc/{pid}/status")), &names)
}

/// As [`resident`], each page divided by the number of its users.
fn proportional(pid: u32) -> u64 {
    match read(&format!("/proc/{pid}/smaps_rollup")) {
        // Not every kernel has it, and a process that has just ended has none.
        text if text.is_empty() => resident(pid),
        text => {
            let tables = kilobytes(&read(&format!("/proc/{pid}/status")), &["VmPTE:"]);
            kilobytes(&text, &["Pss_Anon:", "Pss_Shmem:", "SwapPss:"]) + tables
        }
    }
}

/// What the file systems in memory hold that the sandbox mounts for the program.
fn mounts() -> u64 {
    let device = |dir: &str| retry_on_intr(|| rustix::fs::stat(dir)).map(|stat| stat.st_dev).ok();
    let used = |dir: &&str| {
        let stat = retry_on_intr(|| rustix::fs::statvfs(*dir)).ok()?;
        // Otherwise it is a directory on the image's disk.
        let is_mount = device(dir) != device("/");
        is_mount.then(|| stat.f_blocks.saturating_sub(stat.f_bfree) * stat.f_frsize)
    };
    ["/dev/shm", "/tmp", "/run"].iter().filter_map(used).sum()
}

/// Segments, messages and semaphores of System V, which exist without a process that uses them
/// (proc(5), `sysvipc`).
fn sysv() -> u64 {
    let column = |file: &str, names: &[&str]| {
        let text = read(file);
        let mut lines = text.lines();
        let head: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
        let at: Vec<usize> =
            names.iter().filter_map(|name| head.iter().position(|column| column == name)).collect();
        let of_line = |line: &str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            at.iter().filter_map(|&at| fields.get(at)?.parse::<u64>().ok()).sum::<u64>()
        };
        lines.map(of_line).sum::<u64>()
    };
    column("/proc/sysvipc/shm", &["rss", "swap"])
        + column("/proc/sysvipc/msg", &["cbytes"])
        + column("/proc/sysvipc/sem", &["nsems"]) * SEMAPHORE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_holds_is_not_what_it_can_take_back() {
        let text = "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 500 kB\nBuffers: 10 kB\n\
                    Cached: 400 kB\nAnonPages: 200 kB\nShmem: 50 kB\nSReclaimable: 40 kB\n";
        assert_eq!(unmapped(text), 300 * 1024);
        assert_eq!(unmapped(""), 0);
    }
}
