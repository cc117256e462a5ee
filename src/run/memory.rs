//! How much memory the processes of a PID namespace use, as far as /proc tells it.

use std::{collections::BTreeSet, path::Path};

use crate::source::list_directory;

/// Bytes of a block of stat(2).
const STAT_BLOCK: u64 = 512;

/// Whether all processes except process 1 use more than `limit` bytes together that are in no file
/// of a disk.
///
/// A first sum counts what processes share once for each of them, and is cheap. Only if that
/// exceeds the limit, each page is counted in proportion to its users (`smaps_rollup`).
pub(super) fn exceeds(limit: u64) -> bool {
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
    if sum_exceeds(0, resident) && sum_exceeds(0, proportional) {
        return true;
    }
    let shared = mounts() + sysv() + memory_files(&processes);
    shared > 0 && sum_exceeds(shared, resident) && sum_exceeds(shared, proportional)
}

/// Bytes that the whole machine has left for programs; `None` if the kernel does not say.
pub(super) fn available() -> Option<u64> {
    let available = kilobytes(&read("/proc/meminfo"), &["MemAvailable:"]);
    (available > 0).then_some(available)
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
    fs_err::read_to_string(file).unwrap_or_default()
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

/// Files of memfd_create(2) that processes have open: they use memory without being mapped.
fn memory_files(processes: &[u32]) -> u64 {
    let mut seen = BTreeSet::new();
    let mut total = 0;
    for pid in processes {
        let dir = format!("/proc/{pid}/fd");
        for fd in numbers(&dir) {
            let file = format!("{dir}/{fd}");
            let is_memory = fs_err::read_link(&file)
                .is_ok_and(|target| target.as_os_str().as_encoded_bytes().starts_with(b"/memfd:"));
            if is_memory
                && let Ok(stat) = rustix::fs::stat(&file)
                && seen.insert((stat.st_dev, stat.st_ino))
            {
                total += u64::try_from(stat.st_blocks).unwrap_or(0) * STAT_BLOCK;
            }
        }
    }
    total
}

/// What the file systems in memory hold that the sandbox mounts for the program.
fn mounts() -> u64 {
    let device = |dir: &str| rustix::fs::stat(dir).map(|stat| stat.st_dev).ok();
    let used = |dir: &&str| {
        let stat = rustix::fs::statvfs(*dir).ok()?;
        // Otherwise it is a directory on the image's disk.
        let is_mount = device(dir) != device("/");
        is_mount.then(|| stat.f_blocks.saturating_sub(stat.f_bfree) * stat.f_frsize)
    };
    ["/dev/shm", "/tmp", "/run"].iter().filter_map(used).sum()
}

/// Segments and messages of System V, which exist without a process that uses them
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
    column("/proc/sysvipc/shm", &["rss", "swap"]) + column("/proc/sysvipc/msg", &["cbytes"])
}
