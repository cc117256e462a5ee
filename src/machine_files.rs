//! Files that describe a machine and its users, not its programs: what an image has of its own, and
//! what it never gets because something merely mentions it. Data only, with the lookups in it.

/// Directories whose files are those of the kernel or the container engine.
const SYSTEM_DIRS: [&str; 5] = ["/proc", "/sys", "/dev", "/run", "/var/run"];

/// Directories for temporary files.
const TEMPORARY_DIRS: [&str; 2] = ["/tmp", "/var/tmp"];

/// Files that an engine, or imgb itself, generates for each image. Those of another system would be
/// wrong there.
const GENERATED: [&str; 5] =
    ["/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

/// Files that rules generate for what an image needs of them, with their backups.
const ACCOUNTS: [&str; 4] =
    ["/etc/passwd*", "/etc/group*", "/etc/sub[ug]id*", "/etc/nsswitch.conf"];

/// Files that tell where a machine is and what is attached to it.
const SETTINGS: [&str; 7] = [
    "/etc/.pwd.lock",
    "/etc/adjtime",
    "/etc/fstab",
    "/etc/ld.so.*",
    "/etc/localtime",
    "/etc/mtab",
    "/etc/timezone",
];

/// Files that identify a machine, or hold its keys and its users' passwords and rights.
const PERSONAL_FILES: [&str; 11] = [
    "/etc/gshadow*",
    "/etc/krb5.keytab",
    "/etc/machine-id",
    "/etc/shadow*",
    "/etc/ssh/ssh_host_*",
    "/etc/ssl/private",
    "/etc/sudoers*",
    "/var/lib/dbus/machine-id",
    "/var/lib/private",
    "/var/lib/systemd/credential.secret",
    "/var/lib/systemd/random-seed",
];

/// Directories with what a machine's users and programs have left.
const PERSONAL_DIRS: [&str; 4] = ["/root", "/var/log", "/var/mail", "/var/spool"];

/// The directory of the users' own directories.
const HOMES: &str = "/home";

/// Directories in which a machine keeps its state. Programs need the directories themselves, and
/// what packages bring there.
const STATE_DIRS: [&str; 6] =
    ["/var/cache", "/var/lib/apt", "/var/lib/dpkg", "/var/log", "/var/mail", "/var/spool"];

/// Whether `path` is in a directory of the kernel or the engine.
pub fn is_system(path: &[u8]) -> bool {
    SYSTEM_DIRS.iter().any(|dir| is_within(path, dir))
}

/// Whether `path` is in a directory for temporary files.
pub fn is_temporary(path: &[u8]) -> bool {
    TEMPORARY_DIRS.iter().any(|dir| is_within(path, dir))
}

/// Whether each image has a file of its own at `path`.
pub fn is_generated(path: &[u8]) -> bool {
    GENERATED.iter().any(|file| file.as_bytes() == path)
}

/// Whether a file belongs to a machine or to one of its users: their settings are in `/home` below
/// names with a dot.
pub fn is_personal(path: &[u8]) -> bool {
    let is_setting =
        |path: &[u8]| path.split(|&byte| byte == b'/').any(|part| part.first() == Some(&b'.'));
    let is_personal = |file: &&str| match file.strip_suffix('*') {
        Some(front) => path.starts_with(front.as_bytes()),
        None => is_within(path, file),
    };
    PERSONAL_FILES.iter().any(is_personal)
        || PERSONAL_DIRS.iter().any(|dir| is_within(path, dir))
        || is_within(path, HOMES) && is_setting(path)
}

/// The places where personal files are: paths, some with a `*` at the end. Everything in a
/// directory among them counts.
pub fn personal_places() -> impl Iterator<Item = &'static str> {
    PERSONAL_FILES.into_iter().chain(PERSONAL_DIRS).chain([HOMES])
}

/// Whether `path` is in a directory in which a machine keeps its state.
pub fn is_state(path: &[u8]) -> bool {
    STATE_DIRS.iter().any(|dir| is_within(path, dir))
}

/// Patterns of the files that no guess adds to an image.
pub fn patterns() -> impl Iterator<Item = &'static str> {
    let lists = [&GENERATED[..], &ACCOUNTS, &SETTINGS, &PERSONAL_FILES];
    lists.into_iter().flatten().copied()
}

fn is_within(path: &[u8], dir: &str) -> bool {
    path.strip_prefix(dir.as_bytes()).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_prefix_of_names_does_not_matter() {
        for path in ["/process", "/developer/x", "/etc/hosts.allow", "/tmpfile", "/variable"] {
            let path = path.as_bytes();
            assert!(!is_system(path) && !is_generated(path) && !is_temporary(path));
        }
        assert!(is_system(b"/proc/1") && is_system(b"/proc") && is_generated(b"/etc/hosts"));
        assert!(is_temporary(b"/tmp/x") && is_state(b"/var/lib/dpkg/status"));
    }

    #[test]
    fn knows_what_belongs_to_a_machine_and_its_users() {
        for path in [
            "/etc/shadow",
            "/etc/shadow-",
            "/root/x",
            "/etc/ssh/ssh_host_rsa_key",
            "/etc/ssl/private/key.pem",
            "/etc/sudoers.d/me",
            "/home/me/.config/x",
        ] {
            assert!(is_personal(path.as_bytes()), "{path}");
        }
        for path in ["/etc/ssh/ssh_config", "/rootfs", "/home/me/app/data", "/usr/lib/.x"] {
            assert!(!is_personal(path.as_bytes()), "{path}");
        }
    }
}
