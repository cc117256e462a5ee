//! Entering new namespaces (namespaces(7)), which a process can do only while it has one thread.

use std::{io, path::Path};

use rustix::{
    io::{Errno, retry_on_intr},
    thread::UnshareFlags,
};

use super::{
    capabilities, procfs, signals,
    spec::RunSpec,
    stage_error::{StageError, trying},
};
use crate::source::list_directory;

/// uid and gid of `nobody`, which stands in for root: no program in a sandbox runs as the host's
/// root.
const NOBODY: u32 = 65534;

/// The uid and gid to run as instead of root. `None` for other users, and where `nobody` is not
/// mapped into this user namespace.
///
/// # Errors
/// If the maps cannot be read.
pub(super) fn unprivileged_owner() -> io::Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    // Lines of a map: first id inside, first id outside, count (user_namespaces(7)).
    let is_mapped = |file| {
        let map = procfs::read_if_there(file)?;
        io::Result::Ok(map.lines().any(|line| {
            let mut fields = line.split_whitespace().map(str::parse::<u64>);
            match (fields.next(), fields.next(), fields.next()) {
                (Some(Ok(first)), Some(Ok(_)), Some(Ok(count))) => {
                    (first..first.saturating_add(count)).contains(&u64::from(NOBODY))
                }
                _ => false,
            }
        }))
    };
    let are_mapped = is_mapped("/proc/self/uid_map")? && is_mapped("/proc/self/gid_map")?;
    Ok(are_mapped.then_some((NOBODY, NOBODY)))
}

/// Whether this process is the machine's root, and no user namespace makes it another user.
///
/// # Errors
/// If the system does not say.
pub(super) fn is_real_root() -> io::Result<bool> {
    if !rustix::process::geteuid().is_root() {
        return Ok(false);
    }
    // What belongs to the machine's root is shown as the overflow user's where that has no number.
    match retry_on_intr(|| rustix::fs::stat("/proc/sys")) {
        Ok(stat) => Ok(stat.st_uid == 0),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Moves this process into new namespaces, in which it has the user and group of `spec`. Only its
/// children are in the new PID namespace.
pub(super) fn enter(spec: &RunSpec) -> Result<(), StageError> {
    signals::die_with_parent().map_err(trying("prepare the runner"))?;
    close_inherited()?;
    if spec.session {
        rustix::process::setsid().map_err(trying::<Errno>("make a session"))?;
    }
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let all = UnshareFlags::NEWUSER
        | UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWCGROUP;
    #[expect(
        deprecated,
        reason = "unsafe only for shared file descriptors, which are not unshared here"
    )]
    rustix::thread::unshare(all).map_err(trying("make user namespaces"))?;
    let map = |name: &str, text: String| {
        fs_err::write(format!("/proc/self/{name}"), text).map_err(trying("map the user namespace"))
    };
    map("setgroups", "deny".into())?;
    map("uid_map", format!("{} {uid} 1", spec.uid))?;
    map("gid_map", format!("{} {gid} 1", spec.gid))?;
    capabilities::keep()
}

/// Closes all inherited files except the three standard streams: through an open directory of the
/// host the program could leave its root.
fn close_inherited() -> Result<(), StageError> {
    let names = list_directory(Path::new("/proc/self/fd"))
        .map_err(trying("close what the caller has open"))?;
    // The descriptor of the listing itself is among them, and closed by now.
    let descriptors = names.iter().filter_map(|name| name.to_str()?.parse::<i32>().ok());
    for descriptor in descriptors.filter(|descriptor| *descriptor > 2) {
        let _ = nix::unistd::close(descriptor);
    }
    Ok(())
}
