//! Limits on what a program and its children may use of the host.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use rustix::process::{Pid, Resource, Rlimit, Signal};

use super::{
    spec::RunSpec,
    stage_error::{StageError, trying},
};

/// How often memory and disk are checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

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
    set(Resource::Nproc, spec.processes)?;
    if let Some(memory) = spec.memory {
        // Not the address space: a Go program reserves gigabytes and uses kilobytes.
        set(Resource::Data, memory)?;
    }
    Ok(())
}

/// Starts a thread that kills all processes of the namespace when together they use more than
/// `memory` bytes that are not in files, or when the disk that holds the image's copy has less than
/// a tenth left of the space that was free at first: whatever the program writes, and how, must not
/// disturb what else runs on the host.
pub(super) fn enforce_totals(memory: Option<u64>) {
    // A file system that does not tell its size sets no limit.
    let free = || rustix::fs::statvfs("/").map_or(u64::MAX, |stat| stat.f_bavail);
    let keep = match free() {
        u64::MAX => 0,
        free => free / 10,
    };
    std::thread::spawn(move || {
        let mut has_warned = false;
        loop {
            std::thread::sleep(CHECK_INTERVAL);
            let is_full = free() < keep;
            let processes = processes();
            let exceeds = |memory| processes.iter().map(|&pid| used(pid)).sum::<u64>() > memory;
            if is_full || memory.is_some_and(exceeds) {
                let what = if is_full { "nine tenths of the free disk" } else { "the memory" };
                let text =
                    format!("warning: the program has used {what} that it may have and is ended\n");
                if !std::mem::replace(&mut has_warned, true) {
                    let _ = io::stderr().write_all(text.as_bytes());
                }
                for pid in processes {
                    let _ = rustix::process::kill_process(pid, Signal::KILL);
                }
            }
        }
    });
}

/// All processes of the namespace except this one, which is process 1.
fn processes() -> Vec<Pid> {
    let Ok(entries) = fs_err::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    numbers.filter(|&number| number != 1).filter_map(Pid::from_raw).collect()
}

/// Bytes of a process's memory that are not in files (proc(5), `status`).
fn used(pid: Pid) -> u64 {
    let text = fs_err::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()))
        .unwrap_or_default();
    let kilobytes = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
    let is_counted = |line: &&str| line.starts_with("RssAnon:") || line.starts_with("RssShmem:");
    text.lines().filter(is_counted).filter_map(kilobytes).sum::<u64>() * 1024
}
