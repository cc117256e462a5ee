//! The second stage: process 1 of the new namespaces. It makes the surroundings, gives everything
//! up, starts the program, and reaps what the program leaves behind.

use std::{
    ffi::OsStr,
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::Command,
    time::Duration,
};

use rustix::{
    net::{AddressFamily, SendFlags, SocketType},
    process::{DumpableBehavior, Pid, Resource, Rlimit, Signal},
};

use super::{
    CANNOT_EXECUTE, NOT_FOUND, RunSpec, mounts,
    namespaces::{StageError, die_with_parent, drop_capabilities, trying},
    seccomp,
    signals::{self, Caught},
    tracer,
};

/// How often memory and disk are looked at.
const WATCH: Duration = Duration::from_millis(20);

pub(super) fn start(spec: &RunSpec, file: &Path) -> Result<u8, StageError> {
    die_with_parent()?;
    if spec.watch.is_some() {
        tracer::wait_to_be_watched(file)?;
    }
    let mut caught = Caught::new().map_err(trying("catch signals"))?;
    rustix::system::sethostname(b"imgb").map_err(trying("name the namespace"))?;
    // Without it nothing listens on 127.0.0.1; the program says so itself if it minds.
    let _ = loopback();
    mounts::prepare(spec)?;
    drop_capabilities()?;
    // The program has the same user and could look into this process otherwise.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(trying("close the runner's memory"))?;
    // Before the limits, which count this process, too.
    guard(spec.memory);
    limit(spec)?;
    seccomp::refuse().map_err(trying("filter system calls"))?;
    // Said here, since a program that is not there would fail with the same words.
    rustix::process::chdir(Path::new(&spec.workdir)).map_err(|errno| {
        let dir = crate::path::escape(spec.workdir.as_encoded_bytes());
        StageError {
            code: CANNOT_EXECUTE,
            ..trying(format!("enter the working directory `{dir}`"))(errno)
        }
    })?;
    let mut command = Command::new(&spec.program);
    let (name, args) =
        spec.args.split_first().map_or((&spec.program, &[][..]), |(name, args)| (name, args));
    command
        .arg0(name)
        .args(args)
        .env_clear()
        .envs(spec.env.iter().map(|(name, value)| (name, value)));
    let child = command.spawn().map_err(|error| cannot_start(&spec.program, error))?;
    let pid = signals::pid(&child).map_err(trying("start the program"))?;
    Ok(signals::code(caught.wait(pid).map_err(trying("wait for the program"))?))
}

/// The program could not be executed.
pub(super) fn cannot_start(program: &OsStr, error: io::Error) -> StageError {
    let code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { CANNOT_EXECUTE };
    let program = crate::path::escape(program.as_encoded_bytes());
    StageError { code, ..trying(format!("start `{program}`"))(error) }
}

/// Limits of the program and its children, each by itself; [`guard`] has them together.
fn limit(spec: &RunSpec) -> Result<(), StageError> {
    let set = |resource, value: u64| {
        let hard =
            rustix::process::getrlimit(resource).maximum.map_or(value, |hard| hard.min(value));
        let limit = Rlimit { current: Some(hard), maximum: Some(hard) };
        rustix::process::setrlimit(resource, limit).map_err(trying("limit the program"))
    };
    set(Resource::Core, 0)?;
    set(Resource::Nproc, spec.processes)?;
    if let Some(memory) = spec.memory {
        // Address space would be the wrong thing: a Go program reserves gigabytes and uses
        // kilobytes.
        set(Resource::Data, memory)?;
    }
    Ok(())
}

/// Ends the program when all processes of the namespace together have more than `memory` bytes that
/// no file has, or when the disk that the copy is on has less than a tenth left of what was free:
/// what a program writes, in whatever way, is never to stop what else the host does.
fn guard(memory: Option<u64>) {
    // A file system that does not tell its size sets no limit.
    let free = || rustix::fs::statvfs("/").map_or(u64::MAX, |stat| stat.f_bavail);
    let keep = match free() {
        u64::MAX => 0,
        free => free / 10,
    };
    std::thread::spawn(move || {
        let mut is_said = false;
        loop {
            std::thread::sleep(WATCH);
            let is_full = free() < keep;
            let processes = processes();
            let used = |memory| processes.iter().map(|&pid| used(pid)).sum::<u64>() > memory;
            if is_full || memory.is_some_and(used) {
                let what = if is_full { "nine tenths of the free disk" } else { "the memory" };
                let text =
                    format!("warning: the program has used {what} that it may have and is ended\n");
                if !std::mem::replace(&mut is_said, true) {
                    let _ = io::stderr().write_all(text.as_bytes());
                }
                for pid in processes {
                    let _ = rustix::process::kill_process(pid, Signal::KILL);
                }
            }
        }
    });
}

/// All processes of the namespace but this one.
fn processes() -> Vec<Pid> {
    let Ok(entries) = fs_err::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    numbers.filter(|&number| number != 1).filter_map(Pid::from_raw).collect()
}

/// Bytes in memory that no file has (proc(5), `status`).
fn used(pid: Pid) -> u64 {
    let text = fs_err::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()))
        .unwrap_or_default();
    let kilobytes = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
    let counted = |line: &&str| line.starts_with("RssAnon:") || line.starts_with("RssShmem:");
    text.lines().filter(counted).filter_map(kilobytes).sum::<u64>() * 1024
}

/// Sets the loopback interface up (rtnetlink(7), RTM_NEWLINK): a network namespace starts with it
/// down.
fn loopback() -> Result<(), rustix::io::Errno> {
    const NEWLINK: u16 = 16;
    const REQUEST: u16 = 1;
    const UP: u32 = 1;
    const LOOPBACK: i32 = 1;
    let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    let mut message = Vec::with_capacity(32);
    message.extend(32u32.to_ne_bytes());
    message.extend(NEWLINK.to_ne_bytes());
    message.extend(REQUEST.to_ne_bytes());
    message.extend([0; 8]);
    // struct ifinfomsg: family, padding, type, index, flags, which flags change.
    message.extend([0; 4]);
    message.extend(LOOPBACK.to_ne_bytes());
    message.extend(UP.to_ne_bytes());
    message.extend(UP.to_ne_bytes());
    rustix::net::send(&socket, &message, SendFlags::empty()).map(drop)
}
