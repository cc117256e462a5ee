//! Calls that reach out of every namespace, refused by a filter in the kernel (seccomp(2)):
//! characters put into the terminal as if its user had typed them, and the keys of the caller's
//! session.

use std::io;

/// Refuses them from now on, for this thread and what it starts, which must be unable to gain
/// privileges.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) fn refuse() -> io::Result<()> {
    seccompiler::apply_filter(&filter()).map_err(|error| io::Error::other(error.to_string()))
}

/// Where the numbers are not known here, the program has no terminal: without one of its own, the
/// calls that matter most are refused.
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

    /// Numbers of one kind of programs (the kernel's tables, `linux/audit.h`).
    struct Calls {
        /// `AUDIT_ARCH_*`
        arch: u32,
        ioctl: &'static [u32],
        /// `add_key`, `request_key`, `keyctl`.
        keys: &'static [u32],
    }

    #[cfg(target_arch = "x86_64")]
    const KINDS: [Calls; 2] = [
        // The numbers of x32 have bit 30 set, and their own ioctl.
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

    /// What ioctl(2) does to a terminal in the name of its user: TIOCSTI, TIOCLINUX, TIOCSETD,
    /// TIOCCONS.
    const COMMANDS: [u32; 4] = [0x5412, 0x541c, 0x5423, 0x541d];

    /// Fields of `struct seccomp_data`; of the second argument the half that the kernel takes as
    /// the command.
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

    /// What follows, where the value is `k`; else that is jumped over.
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
