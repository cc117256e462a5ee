//! The file systems that the program sees: the copy as its root, and the few that an engine adds.

use std::{
    io::{IsTerminal as _, Write as _},
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags},
    io::Errno,
    mount::{MountFlags, MountPropagationFlags, UnmountFlags},
};

use super::{
    RunSpec,
    namespaces::{StageError, trying},
};

/// Devices without privileges, which every engine gives.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Links in `/dev`.
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];

/// Makes the copy the root of this process, and nothing else of the host reachable.
pub(super) fn prepare(spec: &RunSpec) -> Result<(), StageError> {
    let mounting = |what: &str| trying::<Errno>(format!("mount {what}"));
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(mounting("privately"))?;
    let root = Path::new(&spec.root);
    rustix::mount::mount_bind(root, root).map_err(mounting("the image's copy"))?;
    rustix::process::chdir(root).map_err(trying::<Errno>("enter the image's copy"))?;
    // Where the image has a link in the place of a mount point, it must not lead the mount astray.
    for dir in ["proc", "dev"] {
        let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(rustix::fs::CWD, dir, flags, Mode::empty(), resolve).map_err(
            |errno| {
                trying::<Errno>(format!("mount on the image's /{dir}, which is no directory"))(
                    errno,
                )
            },
        )?;
    }
    devices().map_err(mounting("/dev"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    match rustix::mount::mount("proc", "proc", "proc", flags, None) {
        Ok(()) => cover().map_err(mounting("over parts of /proc"))?,
        // A container whose own /proc has covered parts may not have another without them.
        Err(errno) => drop(writeln!(std::io::stderr(), "warning: no /proc in the run: {errno}")),
    }
    rustix::process::pivot_root(".", ".").map_err(mounting("the image's copy as root"))?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(mounting("nothing of the host"))?;
    rustix::process::chdir("/").map_err(trying::<Errno>("enter the image's copy"))?;
    protect(spec).map_err(mounting("the image's copy without set-user-ID"))
}

fn devices() -> Result<(), Errno> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    rustix::mount::mount("dev", "dev", "tmpfs", flags, c"mode=755,size=65536")?;
    for name in DEVICES {
        let to = format!("dev/{name}");
        let new =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        drop(rustix::fs::open(&to, new, Mode::from_raw_mode(0o666))?);
        match rustix::mount::mount_bind(format!("/dev/{name}"), &to) {
            // A host may be without one of them.
            Err(Errno::NOENT) => rustix::fs::unlink(&to)?,
            done => done?,
        }
    }
    terminal()?;
    for (target, name) in LINKS {
        rustix::fs::symlink(target, format!("dev/{name}"))?;
    }
    for dir in ["dev/shm", "dev/pts"] {
        rustix::fs::mkdir(dir, Mode::from_raw_mode(0o755))?;
    }
    let private = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("shm", "dev/shm", "tmpfs", private, c"mode=1777,size=65536k")?;
    // Pseudo-terminals are nothing that a start depends on.
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    let _ = rustix::mount::mount(
        "devpts",
        "dev/pts",
        "devpts",
        flags,
        c"newinstance,ptmxmode=0666,mode=620",
    );
    Ok(())
}

/// The caller's terminal as `/dev/console`, as engines have it: ttyname(3) looks for it below
/// `/dev`.
fn terminal() -> Result<(), Errno> {
    if !std::io::stdin().is_terminal() {
        return Ok(());
    }
    let Ok(device) = fs_err::read_link("/proc/self/fd/0") else { return Ok(()) };
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    drop(rustix::fs::open("dev/console", flags, Mode::from_raw_mode(0o600))?);
    // One from another mount namespace has no path here, and the program does without its name.
    rustix::mount::mount_bind(&device, "dev/console").or_else(|_| rustix::fs::unlink("dev/console"))
}

/// Files of `/proc` that tell of the whole host, and directories, which engines cover (runc's
/// `maskedPaths`).
const COVERED: [&str; 5] = ["kcore", "keys", "latency_stats", "sched_debug", "timer_list"];
const EMPTIED: [&str; 3] = ["acpi", "asound", "scsi"];

fn cover() -> Result<(), Errno> {
    for name in COVERED {
        match rustix::mount::mount_bind("dev/null", format!("proc/{name}")) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(errno) => return Err(errno),
        }
    }
    for name in EMPTIED {
        let flags =
            MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
        match rustix::mount::mount("none", format!("proc/{name}"), "tmpfs", flags, c"size=0k") {
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// No set-user-ID programs, no devices, and if asked for no writes.
fn protect(spec: &RunSpec) -> Result<(), Errno> {
    // What the file system of the copy is mounted with cannot be taken off in here.
    let own = rustix::fs::statvfs("/")?.f_flag;
    let kept = [
        (rustix::fs::StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (rustix::fs::StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (rustix::fs::StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (rustix::fs::StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
        (rustix::fs::StatVfsMountFlags::RDONLY, MountFlags::RDONLY),
    ];
    let mut flags = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV;
    for (has, keep) in kept {
        if own.contains(has) {
            flags |= keep;
        }
    }
    if spec.read_only {
        flags |= MountFlags::RDONLY;
        // As podman does: what is read-only still has a place for temporary files.
        let private = MountFlags::NOSUID | MountFlags::NODEV;
        for dir in ["/tmp", "/run"] {
            if rustix::fs::stat(dir).is_ok() {
                let _ = rustix::mount::mount("tmp", dir, "tmpfs", private, c"mode=1777,size=256m");
            }
        }
    }
    rustix::mount::mount_remount("/", flags, c"")
}
