//! Refuses, by a seccomp(2) filter, what no namespace confines: putting characters into the
//! terminal as if its user had typed them, changing the console, using the keys of the caller's
//! session, reading the kernel's messages, and slowing down or limiting process 1, which is imgb's
//! own. Unless the user allows them, it also refuses kernel interfaces that few programs need
//! and that most escapes from containers went through.

use std::io;

/// Processes of imgb's own that the program must not slow down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own<'a> {
    /// The threads of process 1.
    pub(super) threads: &'a [u32],
    /// Whether stages are in the program's process group, as at a terminal.
    pub(super) share_group: bool,
}

/// Installs the filter for this thread and everything that it starts. The thread must have set
/// PR_SET_NO_NEW_PRIVS. `risky` allows nested namespaces, io_uring(7), userfaultfd(2), bpf(2),
/// perf_event_open(2) and sockets of all families.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) fn refuse(own: Own<'_>, risky: bool) -> io::Result<()> {
    seccompiler::apply_filter(&filter(own, risky))
        .map_err(|error| io::Error::other(error.to_string()))
}

/// On machines whose call numbers are not in the table, takes away the controlling terminal
/// instead: without one the kernel refuses the calls that matter most.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn refuse(_: Own<'_>, _: bool) -> io::Result<()> {
    // It fails where the stages lead a session, which has no terminal either.
    let _ = rustix::process::setsid();
    Ok(())
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use table::filter;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod table {
    use seccompiler::sock_filter;

    use super::Own;

    /// Call numbers for one kind of program (the kernel's tables, `linux/audit.h`).
    struct Calls {
        /// `AUDIT_ARCH_*`
        arch: u32,
        /// The bits of a number that count.
        mask: u32,
        ioctl: &'static [u32],
        /// `add_key`, `request_key`, `keyctl`, `syslog`.
        always: &'static [u32],
        /// Calls that change the limits or the scheduling of the thread that is their first
        /// argument: `prlimit64`, `sched_setparam`, `sched_setscheduler`, `sched_setaffinity`,
        /// `sched_setattr`.
        of_threads: &'static [u32],
        setpriority: u32,
        /// `setns`, `userfaultfd`, `bpf`, `perf_event_open`.
        risky: &'static [u32],
        clone: u32,
        unshare: u32,
        socket: u32,
        /// Makes sockets too; only in old 32-bit programs.
        socketcall: Option<u32>,
    }

    /// The same number for all kinds of programs.
    const CLONE3: u32 = 435;
    /// `io_uring_setup`, `io_uring_enter`, `io_uring_register`.
    const IO_URING: [u32; 3] = [425, 426, 427];

    #[cfg(target_arch = "x86_64")]
    const KINDS: [Calls; 2] = [
        Calls {
            arch: 0xc000_003e,
            // Bit 30 marks x32 calls, which have an ioctl of their own.
            mask: !(1 << 30),
            ioctl: &[16, 514],
            always: &[248, 249, 250, 103],
            of_threads: &[302, 142, 144, 203, 314],
            setpriority: 141,
            risky: &[308, 323, 321, 298],
            clone: 56,
            unshare: 272,
            socket: 41,
            socketcall: None,
        },
        Calls {
            arch: 0x4000_0003,
            mask: !0,
            ioctl: &[54],
            always: &[286, 287, 288, 103],
            of_threads: &[340, 154, 156, 241, 351],
            setpriority: 97,
            risky: &[346, 374, 357, 336],
            clone: 120,
            unshare: 310,
            socket: 359,
            socketcall: Some(102),
        },
    ];

    #[cfg(target_arch = "aarch64")]
    const KINDS: [Calls; 2] = [
        Calls {
            arch: 0xc000_00b7,
            mask: !0,
            ioctl: &[29],
            always: &[217, 218, 219, 116],
            of_threads: &[261, 118, 119, 122, 274],
            setpriority: 140,
            risky: &[268, 282, 280, 241],
            clone: 220,
            unshare: 97,
            socket: 198,
            socketcall: None,
        },
        Calls {
            arch: 0x4000_0028,
            mask: !0,
            ioctl: &[54],
            always: &[309, 310, 311, 103],
            of_threads: &[369, 154, 156, 241, 380],
            setpriority: 97,
            risky: &[375, 388, 386, 364],
            clone: 120,
            unshare: 337,
            socket: 281,
            socketcall: Some(102),
        },
    ];

    /// Commands of ioctl(2) that act on a terminal as its user would: TIOCSTI, TIOCLINUX, TIOCSETD,
    /// TIOCCONS.
    const COMMANDS: [u32; 4] = [0x5412, 0x541c, 0x5423, 0x541d];
    /// The high bytes of the commands that change a console and its keyboard (ioctl_console(2)).
    const CONSOLE_COMMANDS: [u32; 2] = [0x4b00, 0x5600];

    /// All `CLONE_NEW*` of clone(2). The one for time namespaces works only with unshare(2).
    const NAMESPACES: u32 = 0x7e02_0000;
    const TIME_NAMESPACE: u32 = 0x80;
    /// AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET: what network namespaces confine.
    const FAMILIES: [u32; 5] = [1, 2, 10, 16, 17];
    /// The sub-call of socketcall(2) that makes a socket.
    const SOCKETCALL_SOCKET: u32 = 1;

    /// The arguments of setpriority(2) for all processes of a group, and for all of a user, imgb's
    /// own among them.
    const PRIO_PGRP: u32 = 1;
    const PRIO_USER: u32 = 2;

    /// Offsets in `struct seccomp_data`. FIRST and SECOND are the halves of the arguments that the
    /// kernel takes as flags, as family and as command.
    const NUMBER: u32 = 0;
    const ARCH: u32 = 4;
    const FIRST: u32 = 16;
    const SECOND: u32 = 24;

    const LOAD: u16 = 0x20;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const JUMP_IF_ANY_BIT: u16 = 0x45;
    const RETURN: u16 = 0x06;
    const ALLOW: u32 = 0x7fff_0000;
    const FAIL: u32 = 0x0005_0000;
    const EPERM: u32 = 1;
    const ENOSYS: u32 = 38;
    const EAFNOSUPPORT: u32 = 97;

    fn step(code: u16, k: u32) -> sock_filter {
        sock_filter { code, jt: 0, jf: 0, k }
    }

    fn fail(errno: u32) -> Vec<sock_filter> {
        vec![step(RETURN, FAIL | errno)]
    }

    /// The steps `then` if `jump` holds for the loaded value and `k`; otherwise they are skipped.
    fn when(jump: u16, k: u32, then: Vec<sock_filter>) -> Vec<sock_filter> {
        let jf = u8::try_from(then.len()).unwrap_or(u8::MAX);
        let mut out = vec![sock_filter { code: jump, jt: 0, jf, k }];
        out.extend(then);
        out
    }

    fn equal(k: u32, then: Vec<sock_filter>) -> Vec<sock_filter> {
        when(JUMP_IF_EQUAL, k, then)
    }

    fn ioctl() -> Vec<sock_filter> {
        let mut out = vec![step(LOAD, SECOND)];
        out.extend(COMMANDS.into_iter().flat_map(|command| equal(command, fail(EPERM))));
        out.push(step(AND, 0xffff_ff00));
        out.extend(CONSOLE_COMMANDS.into_iter().flat_map(|high| equal(high, fail(EPERM))));
        out.push(step(RETURN, ALLOW));
        out
    }

    /// Refuses to change the threads `own`. A call names its thread in the argument at `offset`.
    fn spare(own: &[u32], offset: u32) -> Vec<sock_filter> {
        let mut out = vec![step(LOAD, offset)];
        out.extend(own.iter().flat_map(|&thread| equal(thread, fail(EPERM))));
        out.push(step(RETURN, ALLOW));
        out
    }

    /// What is refused always.
    fn always(kind: &Calls, own: Own<'_>) -> Vec<sock_filter> {
        let mut out = Vec::new();
        out.extend(kind.ioctl.iter().flat_map(|&number| equal(number, ioctl())));
        out.extend(kind.always.iter().flat_map(|&number| equal(number, fail(EPERM))));
        out.extend(
            kind.of_threads.iter().flat_map(|&number| equal(number, spare(own.threads, FIRST))),
        );
        let mut priority = vec![step(LOAD, FIRST)];
        priority.extend(equal(PRIO_USER, fail(EPERM)));
        if own.share_group {
            priority.extend(equal(PRIO_PGRP, fail(EPERM)));
        }
        priority.extend(spare(own.threads, SECOND));
        out.extend(equal(kind.setpriority, priority));
        out
    }

    /// What is refused unless the user allows it.
    fn risky(kind: &Calls) -> Vec<sock_filter> {
        let flags = |bits| {
            let mut out = vec![step(LOAD, FIRST)];
            out.extend(when(JUMP_IF_ANY_BIT, bits, fail(EPERM)));
            out.push(step(RETURN, ALLOW));
            out
        };
        let mut families = vec![step(LOAD, FIRST)];
        let allowed = || vec![step(RETURN, ALLOW)];
        families.extend(FAMILIES.into_iter().flat_map(|family| equal(family, allowed())));
        families.extend(fail(EAFNOSUPPORT));
        let mut out = Vec::new();
        let refused = kind.risky.iter().chain(&IO_URING);
        out.extend(refused.flat_map(|&number| equal(number, fail(EPERM))));
        // Its flags are in memory, where no filter can read them. The C library then uses clone(2).
        out.extend(equal(CLONE3, fail(ENOSYS)));
        out.extend(equal(kind.clone, flags(NAMESPACES)));
        out.extend(equal(kind.unshare, flags(NAMESPACES | TIME_NAMESPACE)));
        out.extend(equal(kind.socket, families));
        if let Some(socketcall) = kind.socketcall {
            let mut calls = vec![step(LOAD, FIRST)];
            calls.extend(equal(SOCKETCALL_SOCKET, fail(EPERM)));
            calls.push(step(RETURN, ALLOW));
            out.extend(equal(socketcall, calls));
        }
        out
    }

    /// The program for the kernel (bpf of `linux/filter.h`); all jumps go forward and are short.
    pub(super) fn filter(own: Own<'_>, allows_risky: bool) -> Vec<sock_filter> {
        let mut out = vec![step(LOAD, ARCH)];
        for kind in KINDS {
            let mut calls = vec![step(LOAD, NUMBER), step(AND, kind.mask)];
            calls.extend(always(&kind, own));
            if !allows_risky {
                calls.extend(risky(&kind));
            }
            calls.push(step(RETURN, ALLOW));
            out.extend(equal(kind.arch, calls));
        }
        out.push(step(RETURN, ALLOW));
        out
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// A jump over more steps than 255 would land in the middle of the steps.
        #[test]
        fn all_jumps_are_short() {
            for allows_risky in [false, true] {
                let own = Own { threads: &[1, 2, 3], share_group: true };
                let filter = filter(own, allows_risky);
                for (at, step) in filter.iter().enumerate() {
                    assert!(step.jf < u8::MAX && at + usize::from(step.jf) < filter.len());
                }
            }
        }
    }
}
