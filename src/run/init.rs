//! Process 1 of the new namespaces. It sets up what the program sees, gives up all privileges,
//! starts the program, and reaps the processes that the program leaves.

use std::{
    ffi::{CString, OsString},
    io,
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use nix::{
    libc::POSIX_SPAWN_SETSID,
    spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn},
    sys::signal::{SigSet, Signal},
};
use rustix::{
    io::Errno,
    net::{AddressFamily, SendFlags, SocketType},
    process::{DumpableBehavior, Pid},
};

use super::{
    CANNOT_EXECUTE, NOT_FOUND, RUNNER_FAILED, capabilities, gate, limits, mounts, seccomp,
    signals::{self, Catcher, CaughtSignals},
    spec::RunSpec,
    stage_error::{StageError, trying},
};
use crate::path::escape;

/// Runs the program of `spec` and returns its exit code. `file` is the gate to wait for where the
/// program is traced.
pub(super) fn run(spec: &RunSpec, file: &Path) -> Result<u8, StageError> {
    signals::die_with_parent().map_err(trying("prepare the runner"))?;
    if spec.watch.is_some() {
        gate::wait_until_open(file)?;
    }
    let catcher = if spec.session { Catcher::InitOfSession } else { Catcher::InitInGroup };
    let mut caught = CaughtSignals::new(catcher).map_err(trying("catch signals"))?;
    signals::release().map_err(trying("catch signals"))?;
    rustix::system::sethostname(b"imgb").map_err(trying("name the namespace"))?;
    // Without it nothing listens on 127.0.0.1. A program that needs it reports that itself.
    let _ = set_loopback_up();
    mounts::prepare(spec)?;
    // The program runs as the same user and could otherwise read this process's memory.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(trying("close the runner's memory"))?;
    // Before the limits, which apply to this process and its threads too.
    let own = limits::enforce_totals(spec.memory).map_err(trying("limit the program"))?;
    mounts::mask_autogroup(&own);
    capabilities::drop_all()?;
    limits::set_per_process(spec)?;
    let own = seccomp::Own { threads: &own, share_group: !spec.session };
    seccomp::refuse(own, spec.risky_syscalls).map_err(trying("filter system calls"))?;
    // Here and not in the child, where the error would be the same as for a missing program.
    rustix::process::chdir(Path::new(&spec.workdir)).map_err(|errno| {
        let dir = escape(spec.workdir.as_encoded_bytes());
        StageError {
            exit_code: CANNOT_EXECUTE,
            ..trying(format!("enter the working directory `{dir}`"))(errno)
        }
    })?;
    let early = caught.pending();
    let child = start(spec).map_err(|error| cannot_start(spec, error))?;
    caught.send_early(child, early).map_err(trying("catch signals"))?;
    let status = caught.wait(child).map_err(trying("wait for the program"))?;
    limits::wait_if_ending();
    Ok(signals::exit_code(status))
}

/// Starts the program. Where the stages lead a session, it leads another one: signals to its group
/// stay there, and it shares its part of the processors with no other session (sched(7),
/// autogroups). However many processes it has, the stages can still end them.
fn start(spec: &RunSpec) -> io::Result<Pid> {
    let c_string = |text: &OsString| CString::new(text.as_bytes()).map_err(io::Error::from);
    let args = match &spec.args[..] {
        [] => vec![c_string(&spec.program)?],
        args => args.iter().map(c_string).collect::<io::Result<Vec<_>>>()?,
    };
    let pair = |(name, value): &(OsString, OsString)| {
        CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).map_err(io::Error::from)
    };
    let env = spec.env.iter().map(pair).collect::<io::Result<Vec<_>>>()?;
    let mut attributes = PosixSpawnAttr::init()?;
    let mut flags = PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF;
    if spec.session {
        flags |= PosixSpawnFlags::from_bits_retain(POSIX_SPAWN_SETSID as _);
    }
    attributes.set_flags(flags)?;
    // The standard library ignores it in this process.
    let mut ignored = SigSet::empty();
    ignored.add(Signal::SIGPIPE);
    attributes.set_sigdefault(&ignored)?;
    let files = PosixSpawnFileActions::init()?;
    let child = posix_spawn(Path::new(&spec.program), &files, &attributes, &args, &env)?;
    Pid::from_raw(child.as_raw()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// What the system says where it is not the program that is at fault. EIO is not among it:
/// execve(2) says that of a damaged program too, such as one shorter than its headers claim.
const SYSTEM_FAULTS: [Errno; 4] = [Errno::NOMEM, Errno::AGAIN, Errno::MFILE, Errno::NFILE];

/// The error for the program of `spec` that cannot be executed.
pub(super) fn cannot_start(spec: &RunSpec, error: io::Error) -> StageError {
    let errno = Errno::from_io_error(&error);
    let is_of_system = errno.is_some_and(|errno| SYSTEM_FAULTS.contains(&errno));
    let exit_code = match error.kind() {
        io::ErrorKind::NotFound => NOT_FOUND,
        _ if is_of_system => RUNNER_FAILED,
        _ => CANNOT_EXECUTE,
    };
    // The limit applies to the runner too, which needs some memory to start any program.
    let is_limited = spec.memory.is_some() && errno == Some(Errno::NOMEM);
    let advice = is_limited.then_some("`--memory` may be too small for the program to start");
    let program = escape(spec.program.as_encoded_bytes());
    StageError { exit_code, advice, ..trying(format!("start `{program}`"))(error) }
}

/// Sets the loopback interface up (rtnetlink(7), RTM_NEWLINK): it is down in a new network
/// namespace.
fn set_loopback_up() -> Result<(), Errno> {
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
