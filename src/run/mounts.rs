//! Mounts the file systems that the program sees: the image's copy as its root, and /proc and /dev
//! as container engines provide them.

use std::{
    io::{IsTerminal as _, Write as _},
    path::Path,
};

use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags},
    io::{Errno, retry_on_intr},
    mount::{MountFlags, MountPropagationFlags, UnmountFlags},
};

use super::{
    spec::RunSpec,
    stage_error::{StageError, trying},
};
use crate::uninterrupted;

/// Devices that need no privileges, and that every engine provides.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Symbolic links in `/dev`: target and name.
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];

/// Makes the image's copy the root of this process, and everything else of the host unreachable.
pub(super) fn prepare(spec: &RunSpec) -> Result<(), StageError> {
    let mounting = |what: &str| trying::<Errno>(format!("mount {what}"));
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(mounting("privately"))?;
    let root = Path::new(&spec.root);
    rustix::mount::mount_bind(root, root).map_err(mounting("the image's copy"))?;
    rustix::process::chdir(root).map_err(trying::<Errno>("enter the image's copy"))?;
    // If the image has a symbolic link as a mount point, the mount must not follow it.
    for dir in ["proc", "dev"] {
        let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        retry_on_intr(|| rustix::fs::openat2(rustix::fs::CWD, dir, flags, Mode::empty(), resolve))
            .map_err(|errno| {
                trying::<Errno>(format!("mount on the image's /{dir}, which is not a directory"))(
                    errno,
                )
            })?;
    }
    mount_devices().map_err(mounting("/dev"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    match rustix::mount::mount("proc", "proc", "proc", flags, None) {
        Ok(()) => mask_proc().map_err(mounting("over parts of /proc"))?,
        // In a container whose own /proc has masked parts, the kernel refuses an unmasked one.
        Err(errno) => {
            let limit = match spec.memory {
                Some(_) => ", and --memory limits each process alone",
                None => "",
            };
            let _ = writeln!(std::io::stderr(), "warning: no /proc in the run: {errno}{limit}");
        }
    }
    rustix::process::pivot_root(".", ".").map_err(mounting("the image's copy as root"))?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(mounting("nothing of the host"))?;
    rustix::process::chdir("/").map_err(trying::<Errno>("enter the image's copy"))?;
    remount_root(spec).map_err(mounting("the image's copy without set-user-ID"))
}

fn mount_devices() -> Result<(), Errno> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    rustix::mount::mount("dev", "dev", "tmpfs", flags, c"mode=755,size=65536")?;
    for name in DEVICES {
        let to = format!("dev/{name}");
        let new =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        drop(retry_on_intr(|| rustix::fs::open(&to, new, Mode::from_raw_mode(0o666)))?);
        match rustix::mount::mount_bind(format!("/dev/{name}"), &to) {
            // The host does not have this device.
            Err(Errno::NOENT) => retry_on_intr(|| rustix::fs::unlink(&to))?,
            done => done?,
        }
    }
    mount_terminal()?;
    for (target, name) in LINKS {
        retry_on_intr(|| rustix::fs::symlink(target, format!("dev/{name}")))?;
    }
    for dir in ["dev/shm", "dev/pts"] {
        retry_on_intr(|| rustix::fs::mkdir(dir, Mode::from_raw_mode(0o755)))?;
    }
    let private = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("shm", "dev/shm", "tmpfs", private, c"mode=1777,size=65536k")?;
    // Programs start without pseudo-terminals too. The whole machine has a few thousand.
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    let _ = rustix::mount::mount(
        "devpts",
        "dev/pts",
        "devpts",
        flags,
        c"newinstance,ptmxmode=0666,mode=620,max=256",
    );
    Ok(())
}

/// Mounts the caller's terminal as `/dev/console`, as engines do: ttyname(3) looks for it below
/// `/dev`.
fn mount_terminal() -> Result<(), Errno> {
    if !std::io::stdin().is_terminal() {
        return Ok(());
    }
    let Ok(device) = uninterrupted::read_link("/proc/self/fd/0") else { return Ok(()) };
    // The path of a terminal from another mount namespace is here another terminal's, or nothing.
    let own = retry_on_intr(|| rustix::fs::fstat(std::io::stdin()))?;
    let there = retry_on_intr(|| rustix::fs::stat(&device));
    let id = |stat: &rustix::fs::Stat| (stat.st_dev, stat.st_ino, stat.st_rdev);
    if there.is_ok_and(|there| id(&there) != id(&own)) {
        return Ok(());
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    drop(retry_on_intr(|| rustix::fs::open("dev/console", flags, Mode::from_raw_mode(0o600)))?);
    // A terminal from another mount namespace has no path here. Programs do without its name.
    rustix::mount::mount_bind(&device, "dev/console")
        .or_else(|_| retry_on_intr(|| rustix::fs::unlink("dev/console")))
}

/// Files and directories of `/proc` that tell about the whole host, which engines mask (runc's
/// `maskedPaths`).
const MASKED_FILES: [&str; 5] = ["kcore", "keys", "latency_stats", "sched_debug", "timer_list"];
const MASKED_DIRS: [&str; 3] = ["acpi", "asound", "scsi"];

/// What root can change in the whole host there, whatever capabilities it lacks (runc's
/// `readonlyPaths`).
const READ_ONLY: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];

fn mask_proc() -> Result<(), Errno> {
    for name in READ_ONLY {
        let path = format!("proc/{name}");
        match rustix::mount::mount_bind(&path, &path) {
            Ok(()) => {
                let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
                let flags = flags | MountFlags::BIND | MountFlags::RDONLY;
                rustix::mount::mount_remount(&path, flags, c"")?;
            }
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    for name in MASKED_FILES {
        match rustix::mount::mount_bind("dev/null", format!("proc/{name}")) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(errno) => return Err(errno),
        }
    }
    for name in MASKED_DIRS {
        let flags =
            MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
        match rustix::mount::mount("none", format!("proc/{name}"), "tmpfs", flags, c"size=0k") {
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Masks the file by which a program could slow down process 1 (sched(7), autogroups): it is
/// reached through each of its `threads`.
pub(super) fn mask_autogroup(threads: &[u32]) {
    for thread in threads {
        // It does not exist where /proc or autogroups do not.
        let _ = rustix::mount::mount_bind("/dev/null", format!("/proc/{thread}/autogroup"));
    }
}

/// Remounts the root without set-user-ID programs and devices, and read-only if the spec says so.
fn remount_root(spec: &RunSpec) -> Result<(), Errno> {
    // Flags of the mount that the copy is on are locked in a user namespace (mount_namespaces(7)).
    let own = retry_on_intr(|| rustix::fs::statvfs("/"))?.f_flag;
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
        // As podman does: a read-only container still has a place for temporary files.
        let private = MountFlags::NOSUID | MountFlags::NODEV;
        for dir in ["/tmp", "/run"] {
            // Not over what a symbolic link of the image leads to, such as /proc, which imgb reads.
            let is_directory = retry_on_intr(|| rustix::fs::lstat(dir))
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
            if is_directory {
                let _ = rustix::mount::mount("tmp", dir, "tmpfs", private, c"mode=1777,size=256m");
            }
        }
    }
    rustix::mount::mount_remount("/", flags, c"")
}
