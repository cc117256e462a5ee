//! Refuses, by a seccomp(2) filter, system calls that no namespace confines: putting characters
//! into the terminal as if its user had typed them, and using the keys of the caller's session.

use std::io;

/// Installs the filter for this thread and everything that it starts. The thread must have set
/// PR_SET_NO_NEW_PRIVS.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) fn refuse() -> io::Result<()> {
    seccompiler::apply_filter(&filter()).map_err(|error| io::Error::other(error.to_string()))
}

/// On machines whose call numbers are not in the table, takes away the controlling terminal
/// instead: without one the kernel refuses the calls that matter most.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn refuse() -> io::Result<()> {
    rustix::process::setsid()?;
    Ok(())
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use table::filter;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod table {
    use seccompiler::sock_filter;

    /// Call numbers for one kind of program (the kernel's tables, `linux/audit.h`).
    struct Calls {
        /// `AUDIT_ARCH_*`
        arch: u32,
        ioctl: &'static [u32],
        /// `add_key`, `request_key`, `keyctl`.
        keys: &'static [u32],
    }

    #[cfg(target_arch = "x86_64")]
    const KINDS: [Calls; 2] = [
        // x32 calls have bit 30 set, and an ioctl of their own.
        Calls {
            arch: 0xc000_003e,
            ioctl: &[16, X32 | 514],
            keys: &[248, 249, 250, X32 | 248, X32 | 249, X32 | 250],
        },
        Calls { arch: 0x4000_0003, ioctl: &[54], keys: &[286, 287, 288] },
    ];
    #[cfg(target_arch = "x86_64")]
    const X32: u32 = 1 << 30;

    #[cfg(target_arch = "aarch64")]
    const KINDS: [Calls; 2] = [
        Calls { arch: 0xc000_00b7, ioctl: &[29], keys: &[217, 218, 219] },
        Calls { arch: 0x4000_0028, ioctl: &[54], keys: &[309, 310, 311] },
    ];

    /// Commands of ioctl(2) that act on a terminal as its user would: TIOCSTI, TIOCLINUX, TIOCSETD,
    /// TIOCCONS.
    const COMMANDS: [u32; 4] = [0x5412, 0x541c, 0x5423, 0x541d];

    /// Offsets in `struct seccomp_data`. COMMAND is the half of the second argument that the kernel
    /// takes as the command.
    const NUMBER: u32 = 0;
    const ARCH: u32 = 4;
    const COMMAND: u32 = 24;

    const LOAD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const ALLOW: u32 = 0x7fff_0000;
    const REFUSE: u32 = 0x0005_0000 | 1; // EPERM

    fn step(code: u16, k: u32) -> sock_filter {
        sock_filter { code, jt: 0, jf: 0, k }
    }

    /// The steps `then` if the loaded value is `k`; otherwise they are skipped.
    fn when(k: u32, then: Vec<sock_filter>) -> Vec<sock_filter> {
        let jf = u8::try_from(then.len()).unwrap_or(u8::MAX);
        let mut out = vec![sock_filter { code: JUMP_IF_EQUAL, jt: 0, jf, k }];
        out.extend(then);
        out
    }

    /// The program for the kernel (bpf of `linux/filter.h`); all jumps go forward and are short.
    pub(super) fn filter() -> Vec<sock_filter> {
        let refuse = || vec![step(RETURN, REFUSE)];
        let mut out = vec![step(LOAD, ARCH)];
        for kind in KINDS {
            let mut terminal = vec![step(LOAD, COMMAND)];
            terminal.extend(COMMANDS.into_iter().flat_map(|command| when(command, refuse())));
            terminal.push(step(RETURN, ALLOW));
            let mut calls = vec![step(LOAD, NUMBER)];
            calls.extend(kind.ioctl.iter().flat_map(|&number| when(number, terminal.clone())));
            calls.extend(kind.keys.iter().flat_map(|&number| when(number, refuse())));
            calls.push(step(RETURN, ALLOW));
            out.extend(when(kind.arch, calls));
        }
        out.push(step(RETURN, ALLOW));
        out
    }
}
