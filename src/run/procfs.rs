//! What /proc says of a process (proc(5)).

use std::{fs::File, io, io::Read as _, os::fd::OwnedFd, path::PathBuf};

use rustix::{
    fs::{Mode, OFlags},
    io::retry_on_intr,
};

/// Bytes of a file in /proc that are read.
const MAX_FILE: u64 = 64 << 10;

/// The text of a file in /proc. It need not be UTF-8: the kernel cuts names of processes after 15
/// bytes, and a process may have any bytes as its name.
///
/// # Errors
/// If it cannot be read.
pub(super) fn read(path: &str) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&fs_err::read(path)?).into_owned())
}

/// As [`read`]; empty where the kernel has no such file.
///
/// # Errors
/// If it is there and cannot be read.
pub(super) fn read_if_there(path: &str) -> io::Result<String> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        text => text,
    }
}

/// The /proc that was mounted when this was opened, whatever is mounted there later.
pub(super) struct ProcFs(OwnedFd);

impl ProcFs {
    pub(super) fn open() -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(retry_on_intr(|| rustix::fs::open("/proc", flags, Mode::empty()))?))
    }

    /// The text of a file in the directory of process `pid`. `None` where it cannot be read.
    pub(super) fn read(&self, pid: i32, name: &str) -> Option<String> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let path = format!("{pid}/{name}");
        let open = || rustix::fs::openat(&self.0, &path, flags, Mode::empty());
        let file = retry_on_intr(open).ok()?;
        let mut bytes = Vec::new();
        File::from(file).take(MAX_FILE).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The target of a link such as `cwd` in the directory of process `pid`, as a path below the
    /// process's own root.
    pub(super) fn link(&self, pid: i32, name: &str) -> Option<Vec<u8>> {
        let read = |name: &str| {
            let path = PathBuf::from(format!("{pid}/{name}"));
            let target = retry_on_intr(|| rustix::fs::readlinkat(&self.0, &path, Vec::new()));
            Some(target.ok()?.into_bytes())
        };
        let target = read(name)?;
        // For a reader outside of the process's root, for instance a chroot, each target begins
        // with that root.
        let Some(root) = read("root").filter(|root| root != b"/") else { return Some(target) };
        match target.strip_prefix(&root[..]) {
            Some([]) => Some(b"/".to_vec()),
            Some(inner) if inner.starts_with(b"/") => Some(inner.to_vec()),
            _ => Some(target),
        }
    }

    /// The id of process `pid` in its own PID namespace (`NSpid`).
    pub(super) fn pid_inside(&self, pid: i32) -> Option<i32> {
        let text = self.read(pid, "status")?;
        let ids = text.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        ids.split_whitespace().last()?.parse().ok()
    }
}
