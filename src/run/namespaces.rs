//! Entering new namespaces (namespaces(7)), which a process can do only while it has one thread.

use std::path::Path;

use rustix::{io::Errno, thread::UnshareFlags};

use super::{
    capabilities, signals,
    spec::RunSpec,
    stage_error::{StageError, trying},
};
use crate::source::list_directory;

/// uid and gid of `nobody`, which stands in for root: no program in a sandbox runs as the host's
/// root.
const NOBODY: u32 = 65534;

/// The uid and gid to run as instead of root. `None` for other users, and where `nobody` is not
/// mapped into this user namespace.
pub(super) fn unprivileged_owner() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    // Lines of a map: first id inside, first id outside, count (user_namespaces(7)).
    let is_mapped = |file| {
        let map = fs_err::read_to_string(file).unwrap_or_default();
        map.lines().any(|line| {
            let mut fields = line.split_whitespace().map(str::parse::<u64>);
            match (fields.next(), fields.next(), fields.next()) {
                (Some(Ok(first)), Some(Ok(_)), Some(Ok(count))) => {
                    (first..first.saturating_add(count)).contains(&u64::from(NOBODY))
                }
                _ => false,
            }
        })
    };
    (is_mapped("/proc/self/uid_map") && is_mapped("/proc/self/gid_map")).then_some((NOBODY, NOBODY))
}

/// Whether this process is the machine's root, and no user namespace makes it another user.
pub(super) fn is_real_root() -> bool {
    // What belongs to the machine's root is shown as the overflow user's where that has no number.
    rustix::process::geteuid().is_root()
        && rustix::fs::stat("/proc/sys").is_ok_and(|stat| stat.st_uid == 0)
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
