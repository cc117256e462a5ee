//! Paths that need no file of the sysroot in an image, and what languages' runtimes do with files.
//! Data only, with the lookups in it.

use crate::languages::Languages;

/// Directories whose files are those of the kernel or the container engine.
const SYSTEM_DIRS: [&[u8]; 5] = [b"/proc", b"/sys", b"/dev", b"/run", b"/var/run"];

/// Directories for temporary files. What an image lacks there is not looked for in the sysroot.
const TEMPORARY_DIRS: [&[u8]; 2] = [b"/tmp", b"/var/tmp"];

/// Files that an engine, or imgb itself, generates for each image. Those of another system would be
/// wrong there.
const GENERATED_FILES: [&[u8]; 5] = [
    b"/etc/ld.so.cache",
    b"/etc/ld.so.preload",
    b"/etc/hosts",
    b"/etc/hostname",
    b"/etc/resolv.conf",
];

/// Files that identify a machine, or hold its users' passwords and rights.
const PERSONAL_FILES: [&[u8]; 9] = [
    b"/etc/gshadow",
    b"/etc/gshadow-",
    b"/etc/machine-id",
    b"/etc/shadow",
    b"/etc/shadow-",
    b"/etc/sudoers",
    b"/var/lib/dbus/machine-id",
    b"/var/lib/systemd/random-seed",
    b"/var/lib/systemd/credential.secret",
];

/// Directories with files of that kind, and with what a machine's users and programs have left.
const PERSONAL_DIRS: [&[u8]; 7] = [
    b"/etc/ssl/private",
    b"/etc/sudoers.d",
    b"/root",
    b"/var/lib/private",
    b"/var/log",
    b"/var/mail",
    b"/var/spool",
];

/// What the names of a machine's keys for SSH start with.
const HOST_KEYS: &[u8] = b"/etc/ssh/ssh_host_";

/// Whether a path is one that an image provides itself.
pub(super) fn is_image_path(path: &[u8]) -> bool {
    path != b"/"
        && !SYSTEM_DIRS.iter().any(|dir| is_within(path, dir))
        && !GENERATED_FILES.contains(&path)
}

/// Whether a path is in a directory for temporary files.
pub(super) fn is_temporary(path: &[u8]) -> bool {
    TEMPORARY_DIRS.iter().any(|dir| is_within(path, dir))
}

/// Whether a file belongs to a machine or to one of its users: their settings are in `/home` below
/// names with a dot.
pub(super) fn is_personal(path: &[u8]) -> bool {
    let is_setting =
        |path: &[u8]| path.split(|&byte| byte == b'/').any(|part| part.first() == Some(&b'.'));
    PERSONAL_FILES.contains(&path)
        || PERSONAL_DIRS.iter().any(|dir| is_within(path, dir))
        || path.starts_with(HOST_KEYS)
        || path.strip_prefix(b"/home/").is_some_and(is_setting)
}

/// Whether a directory holds what unrelated programs have installed: one of the root directory, or
/// of `/usr` and `/usr/local`.
pub(super) fn is_shared(dir: &[u8]) -> bool {
    let dir = [&b"/usr/local/"[..], b"/usr/", b"/"].iter().find_map(|top| dir.strip_prefix(*top));
    dir.is_none_or(|below| !below.contains(&b'/'))
}

/// The path of the source that a runtime requires beside the compiled file `path`; `None` for other
/// files.
pub(super) fn required_source(path: &[u8]) -> Option<Vec<u8>> {
    Languages::builtin().source(path)
}

fn is_within(path: &[u8], dir: &[u8]) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_prefix_of_names_does_not_matter() {
        for path in ["/process", "/developer/x", "/etc/hosts.allow"] {
            assert!(is_image_path(path.as_bytes()), "{path}");
        }
        for path in ["/proc/1", "/proc", "/", "/etc/hosts"] {
            assert!(!is_image_path(path.as_bytes()), "{path}");
        }
        assert!(is_temporary(b"/tmp/x") && !is_temporary(b"/tmpfile"));
    }

    #[test]
    fn knows_what_belongs_to_a_machine_and_what_programs_share() {
        for path in ["/etc/shadow", "/root/x", "/etc/ssh/ssh_host_rsa_key", "/home/me/.config/x"] {
            assert!(is_personal(path.as_bytes()), "{path}");
        }
        for path in ["/etc/ssh/ssh_config", "/rootfs", "/home/me/app/data", "/usr/lib/.x"] {
            assert!(!is_personal(path.as_bytes()), "{path}");
        }
        for dir in ["/", "/etc", "/usr/lib", "/usr/local/share"] {
            assert!(is_shared(dir.as_bytes()), "{dir}");
        }
        assert!(!is_shared(b"/usr/share/app") && !is_shared(b"/opt/app"));
    }

    #[test]
    fn finds_the_sources_of_compiled_files() {
        let source = |path: &str| required_source(path.as_bytes());
        assert_eq!(source("/a/__pycache__/x.cpython-311.opt-1.pyc"), Some(b"/a/x.py".to_vec()));
        assert_eq!(source("/a/x.pyc"), None);
        assert_eq!(source("/a/__pycache__/x.py"), None);
    }
}
