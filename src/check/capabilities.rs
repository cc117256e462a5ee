//! File capabilities that containers do not have by default.

use std::collections::BTreeMap;

use super::{Finding, Findings};
use crate::{
    path::ImagePath,
    tree::{Tree, capability},
};

/// What containers of podman have (`DefaultCapabilities` of containers/common, since podman 4).
const PODMAN: [&str; 11] = [
    "chown",
    "dac_override",
    "fowner",
    "fsetid",
    "kill",
    "net_bind_service",
    "setfcap",
    "setgid",
    "setpcap",
    "setuid",
    "sys_chroot",
];

/// What containers of Docker and containerd have besides (moby's `oci/caps/defaults.go`).
const DOCKER: [&str; 3] = ["audit_write", "mknod", "net_raw"];

/// Warns of files that the kernel refuses to start in a container (`EPERM`), since their
/// capabilities are not all in its bounding set. One finding for all files that lack the same,
/// and one of its own for `program`.
pub(super) fn prove(tree: &Tree, program: Option<&ImagePath>, findings: &mut Findings) {
    let mut all: BTreeMap<(bool, u64), (ImagePath, usize)> = BTreeMap::new();
    let (podman, docker) = (capability::set(&PODMAN), capability::set(&DOCKER));
    for (path, node) in tree {
        let value = node.meta.xattrs.as_ref().and_then(|all| all.get(capability::NAME));
        let lacking = value.map_or(0, |value| capability::required(value)) & !podman;
        if lacking != 0 && node.file().is_some() {
            let key = (program != Some(path), lacking);
            all.entry(key).or_insert_with(|| (path.clone(), 0)).1 += 1;
        }
    }
    for ((_, lacking), (path, count)) in all {
        let docker = capability::names(lacking & !docker);
        findings.warn(Finding::Capabilities {
            path,
            count,
            docker,
            podman: capability::names(lacking),
        });
    }
}
