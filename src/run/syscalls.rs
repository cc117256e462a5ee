//! Decodes the system calls that name a path from the registers and memory of a stopped process
//! (syscalls(2); the kernel's tables for x86-64, including 32-bit programs, and AArch64).

use std::io::IoSliceMut;

use nix::{
    errno::Errno,
    libc::c_long,
    sys::{
        ptrace,
        uio::{RemoteIoVec, process_vm_readv},
    },
    unistd::Pid,
};
use rustix::fs::OFlags;

use crate::{path::ImagePath, trace::Call};

/// Whether this machine's registers can be decoded, so that processes can be traced.
pub(super) const CAN_TRACE: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

/// Bytes of a page. The page after the one that a string starts in may not be mapped.
const PAGE: usize = 4096;

/// Signals from here on have no names in the crates through which signals are passed on without
/// `unsafe` code. glibc cancels threads with the first one.
const FIRST_REAL_TIME: i32 = 32;

/// Which arguments of a call are its directory, path and flags, by number.
#[derive(Clone, Copy, Debug)]
struct ArgPositions {
    dir: Option<usize>,
    path: usize,
    flags: Flags,
    call: Call,
}

#[derive(Clone, Copy, Debug)]
enum Flags {
    None,
    In(usize),
    /// At the start of the `struct open_how` that this argument points to.
    At(usize),
    /// Not an argument: the call creates as if `O_CREAT` were set.
    Create,
}

/// A call that names a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathCall {
    /// The file descriptor of the directory; `None` for the working directory.
    pub(super) dir: Option<i32>,
    /// As the program wrote it.
    pub(super) path: Vec<u8>,
    pub(super) call: Call,
    /// Whether the call opens the file for reading if it exists, and creates it otherwise.
    pub(super) reads_or_creates: bool,
}

/// The numbering of system calls that a process uses.
#[derive(Clone, Copy, Debug)]
enum Table {
    Native,
    #[cfg(target_arch = "x86_64")]
    I386,
}

/// The registers of a process that stopped at the start or end of a system call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registers {
    table: Table,
    number: u64,
    args: [u64; 6],
    /// At the end of a call, its result: negative for an error.
    pub(super) result: i64,
    /// Whether the process stopped at the start of the call.
    pub(super) is_entry: bool,
}

impl Registers {
    /// Reads them. `None` where the process is gone.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn of(pid: Pid) -> Option<Self> {
        /// The code segment of 32-bit programs, which have other call numbers and registers.
        const USER32: u64 = 0x23;
        /// -ENOSYS, the result register at the start of a call (`do_syscall_64`).
        const NO_RESULT: i64 = -38;
        let regs = ptrace::getregs(pid).ok()?;
        if regs.cs == USER32 || is_by_interrupt(pid, regs.rip) {
            let args = [regs.rbx, regs.rcx, regs.rdx, regs.rsi, regs.rdi, regs.rbp];
            let result = i64::from(regs.rax as i32);
            return Some(Self {
                table: Table::I386,
                number: u64::from(regs.orig_rax as u32),
                args: args.map(|arg| u64::from(arg as u32)),
                result,
                is_entry: result == NO_RESULT,
            });
        }
        let result = regs.rax.cast_signed();
        Some(Self {
            table: Table::Native,
            // Bit 30 marks the x32 variants, which have the same path arguments.
            number: regs.orig_rax & !0x4000_0000,
            args: [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9],
            result,
            is_entry: result == NO_RESULT,
        })
    }

    /// Reads them. `None` where the process is gone.
    #[cfg(target_arch = "aarch64")]
    pub(super) fn of(pid: Pid) -> Option<Self> {
        let r = ptrace::getregs(pid).ok()?.regs;
        Some(Self {
            table: Table::Native,
            number: r[8],
            args: [r[0], r[1], r[2], r[3], r[4], r[5]],
            result: r[0].cast_signed(),
            // `report_syscall_enter` puts 0 there, `report_syscall_exit` 1.
            is_entry: r[7] == 0,
        })
    }

    /// Not supported on other machines.
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    pub(super) fn of(_: Pid) -> Option<Self> {
        None
    }

    /// The path that the call names. `None` where it names none, or the path cannot be read.
    pub(super) fn path_call(&self, pid: Pid) -> Option<PathCall> {
        let positions = match self.table {
            Table::Native => positions(self.number)?,
            #[cfg(target_arch = "x86_64")]
            Table::I386 => positions_of_i386(self.number)?,
        };
        let arg = |at: usize| self.args.get(at).copied();
        let flags = match positions.flags {
            Flags::None => 0,
            Flags::Create => (OFlags::CREATE | OFlags::WRONLY | OFlags::TRUNC).bits(),
            Flags::In(at) => arg(at)? as u32,
            Flags::At(at) => {
                let mut how = [0; 8];
                (read(pid, arg(at)?, &mut how) == how.len())
                    .then_some(u64::from_ne_bytes(how) as u32)?
            }
        };
        let flags = OFlags::from_bits_retain(flags);
        let creates = flags.intersects(OFlags::CREATE | OFlags::TRUNC);
        let for_new = OFlags::EXCL | OFlags::TRUNC | OFlags::WRONLY;
        let path = string(pid, arg(positions.path)?)?;
        // An empty path means the descriptor itself.
        (!path.is_empty()).then_some(())?;
        Some(PathCall {
            // AT_FDCWD and all other negative values mean the working directory.
            dir: positions.dir.and_then(arg).map(|fd| fd as i32).filter(|fd| *fd >= 0),
            path,
            call: if creates { Call::Create } else { positions.call },
            reads_or_creates: creates && !flags.intersects(for_new),
        })
    }

    /// The descriptor of the directory that the call lists (getdents(2)).
    pub(super) fn listed_directory(&self) -> Option<i32> {
        let lists = match (self.table, self.number) {
            #[cfg(target_arch = "x86_64")]
            (Table::Native, 78 | 217) | (Table::I386, 141 | 220) => true,
            #[cfg(target_arch = "aarch64")]
            (Table::Native, 61) => true,
            _ => false,
        };
        if lists { self.args.first().map(|fd| *fd as i32) } else { None }
    }

    /// The thread that the call sends a real-time signal to, by its id in the sender's namespace.
    pub(super) fn signals_thread(&self) -> Option<i32> {
        let (thread, signal) = match (self.table, self.number) {
            #[cfg(target_arch = "x86_64")]
            (Table::Native, 200) | (Table::I386, 238) => (0, 1), // tkill
            // tgkill, rt_tgsigqueueinfo
            #[cfg(target_arch = "x86_64")]
            (Table::Native, 234 | 297) | (Table::I386, 270 | 335) => (1, 2),
            #[cfg(target_arch = "aarch64")]
            (Table::Native, 130) => (0, 1),
            #[cfg(target_arch = "aarch64")]
            (Table::Native, 131 | 240) => (1, 2),
            _ => return None,
        };
        let signal = *self.args.get::<usize>(signal)? as i32;
        (signal >= FIRST_REAL_TIME).then_some(*self.args.get::<usize>(thread)? as i32)
    }
}

const fn at(dir: usize, flags: Flags, call: Call) -> Option<ArgPositions> {
    Some(ArgPositions { dir: Some(dir), path: dir + 1, flags, call })
}

#[cfg(target_arch = "x86_64")]
fn positions(number: u64) -> Option<ArgPositions> {
    let plain = |flags, call| Some(ArgPositions { dir: None, path: 0, flags, call });
    match number {
        2 => plain(Flags::In(1), Call::Open),              // open
        85 => plain(Flags::Create, Call::Open),            // creat
        59 => plain(Flags::None, Call::Execute),           // execve
        4 | 6 | 21 | 89 => plain(Flags::None, Call::Look), // stat, lstat, access, readlink
        80 => plain(Flags::None, Call::Look),              // chdir
        257 => at(0, Flags::In(2), Call::Open),            // openat
        437 => at(0, Flags::At(2), Call::Open),            // openat2
        322 => at(0, Flags::None, Call::Execute),          // execveat
        262 | 267 | 269 => at(0, Flags::None, Call::Look), // newfstatat, readlinkat, faccessat
        332 | 439 => at(0, Flags::None, Call::Look),       // statx, faccessat2
        _ => None,
    }
}

/// As [`positions`], for 32-bit programs.
#[cfg(target_arch = "x86_64")]
fn positions_of_i386(number: u64) -> Option<ArgPositions> {
    let plain = |flags, call| Some(ArgPositions { dir: None, path: 0, flags, call });
    match number {
        5 => plain(Flags::In(1), Call::Open),              // open
        8 => plain(Flags::Create, Call::Open),             // creat
        11 => plain(Flags::None, Call::Execute),           // execve
        12 | 33 | 85 => plain(Flags::None, Call::Look),    // chdir, access, readlink
        106 | 107 => plain(Flags::None, Call::Look),       // stat, lstat
        195 | 196 => plain(Flags::None, Call::Look),       // stat64, lstat64
        295 => at(0, Flags::In(2), Call::Open),            // openat
        437 => at(0, Flags::At(2), Call::Open),            // openat2
        358 => at(0, Flags::None, Call::Execute),          // execveat
        300 | 305 | 307 => at(0, Flags::None, Call::Look), // fstatat64, readlinkat, faccessat
        383 | 439 => at(0, Flags::None, Call::Look),       // statx, faccessat2
        _ => None,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn positions(number: u64) -> Option<ArgPositions> {
    let plain = |flags, call| Some(ArgPositions { dir: None, path: 0, flags, call });
    match number {
        56 => at(0, Flags::In(2), Call::Open),          // openat
        437 => at(0, Flags::At(2), Call::Open),         // openat2
        221 => plain(Flags::None, Call::Execute),       // execve
        281 => at(0, Flags::None, Call::Execute),       // execveat
        79 | 78 | 48 => at(0, Flags::None, Call::Look), // newfstatat, readlinkat, faccessat
        291 | 439 => at(0, Flags::None, Call::Look),    // statx, faccessat2
        49 => plain(Flags::None, Call::Look),           // chdir
        _ => None,
    }
}

/// Whether a 64-bit process makes a 32-bit call, by the instruction `int 0x80` just before the
/// address at which it continues. glibc never does that.
#[cfg(target_arch = "x86_64")]
fn is_by_interrupt(pid: Pid, next_instruction: u64) -> bool {
    let mut instruction = [0; 2];
    read(pid, next_instruction.wrapping_sub(2), &mut instruction) == 2
        && instruction == [0xcd, 0x80]
}

/// Reads memory of a process and returns the number of bytes that could be read.
fn read(pid: Pid, from: u64, out: &mut [u8]) -> usize {
    let Ok(base) = usize::try_from(from) else { return 0 };
    let remote = [RemoteIoVec { base, len: out.len() }];
    match process_vm_readv(pid, &mut [IoSliceMut::new(out)], &remote) {
        Ok(count) => count,
        // Container engines that allow ptrace(2) may still refuse this.
        Err(Errno::EPERM | Errno::ENOSYS) => peek(pid, base, out),
        Err(_) => 0,
    }
}

/// As [`read`], word by word, up to the word in which a string ends.
fn peek(pid: Pid, base: usize, out: &mut [u8]) -> usize {
    let mut count = 0;
    for part in out.chunks_mut(size_of::<c_long>()) {
        let Some(at) = base.checked_add(count) else { break };
        let Ok(word) = ptrace::read(pid, std::ptr::without_provenance_mut(at)) else { break };
        for (byte, of_word) in part.iter_mut().zip(word.to_ne_bytes()) {
            *byte = of_word;
        }
        count += part.len();
        if part.contains(&0) && part.len() == size_of::<c_long>() {
            break;
        }
    }
    count
}

/// Reads a string without its NUL; `None` where it has none within PATH_MAX.
fn string(pid: Pid, from: u64) -> Option<Vec<u8>> {
    let (mut out, mut at) = (Vec::new(), from);
    let mut page = [0; PAGE];
    while out.len() <= ImagePath::MAX {
        let left = PAGE - usize::try_from(at % PAGE as u64).unwrap_or(0);
        let part = page.get_mut(..left)?;
        let count = read(pid, at, part);
        let part = part.get(..count).filter(|part| !part.is_empty())?;
        match memchr::memchr(0, part) {
            Some(end) => {
                out.extend_from_slice(part.get(..end)?);
                return (out.len() <= ImagePath::MAX).then_some(out);
            }
            None => out.extend_from_slice(part),
        }
        at = at.checked_add(count as u64)?;
    }
    None
}
