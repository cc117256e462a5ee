//! File capabilities: setcap(8) text → the `security.capability` attribute. Pure.

/// The attribute's name.
pub const NAME: &[u8] = b"security.capability";

/// Names by number (`linux/capability.h`).
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// Why a text is not a list of capabilities.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CapabilityError {
    /// No capability has this name.
    #[error(
        "unknown capability `{0}`: names are those of capabilities(7), such as cap_net_bind_service"
    )]
    Unknown(String),
    /// The text does not have the form `NAMES+FLAGS`.
    #[error("`{0}` names no capabilities: write them as setcap(8) does, `cap_net_bind_service+ep`")]
    Syntax(String),
}

/// Parses `text` into the attribute's value. `text` holds clauses such as
/// `cap_net_raw,cap_net_admin+ep`, separated by blanks, with `=` or `+` before the flags `e`, `i`,
/// `p`; `all` means every capability. The kernel has a single effective bit for the whole file.
///
/// # Errors
/// [`CapabilityError`] for the first clause that is malformed.
pub fn parse(text: &str) -> Result<Vec<u8>, CapabilityError> {
    let syntax = || CapabilityError::Syntax(text.into());
    let (mut effective, mut permitted, mut inheritable) = (false, 0_u64, 0_u64);
    let mut clauses = 0;
    for clause in text.split_whitespace() {
        let (names, flags) = clause.split_once(['+', '=']).ok_or_else(syntax)?;
        if flags.is_empty() || !flags.bytes().all(|b| b"eip".contains(&b)) {
            return Err(syntax());
        }
        let mut set = 0;
        for name in names.split(',') {
            set |= bits(name)?;
        }
        effective |= flags.contains('e');
        permitted |= if flags.contains('p') { set } else { 0 };
        inheritable |= if flags.contains('i') { set } else { 0 };
        clauses += 1;
    }
    if clauses == 0 {
        return Err(syntax());
    }
    // struct vfs_cap_data, revision 2: little-endian; the low 32 bits of each set, then the high
    // 32.
    let words = [
        0x0200_0000 | u64::from(effective),
        permitted,
        inheritable,
        permitted >> 32,
        inheritable >> 32,
    ];
    Ok(words.iter().flat_map(|word| (*word as u32).to_le_bytes()).collect())
}

/// The capabilities that a process must be able to get for the kernel to start a file with the
/// attribute `value`: if the effective bit is set, all that are permitted (capabilities(7),
/// "Capability-dumb binaries"). Bit N stands for the capability with the number N.
pub fn required(value: &[u8]) -> u64 {
    let word = |at: usize| {
        let bytes = value.get(4 * at..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)))
    };
    let (revision, is_effective) = (word(0) >> 24, word(0) & 1 == 1);
    match (is_effective, revision) {
        (false, _) => 0,
        // Revision 1 has sets of 32 bits.
        (true, 1) => word(1),
        (true, _) => word(1) | word(3) << 32,
    }
}

/// The names of the capabilities in `set`, as `CAP_NET_RAW` without `CAP_`, which is how
/// `--cap-add` of docker and podman takes them.
pub fn names(set: u64) -> Vec<String> {
    let names = NAMES.iter().enumerate();
    names
        .filter(|(number, _)| set >> number & 1 == 1)
        .map(|(_, name)| name.to_ascii_uppercase())
        .collect()
}

/// The set of the capabilities called `names`, in lower case without `cap_`.
pub fn set(names: &[&str]) -> u64 {
    let number = |name: &&str| NAMES.iter().position(|known| known == name);
    names.iter().filter_map(number).fold(0, |set, number| set | 1 << number)
}

fn bits(name: &str) -> Result<u64, CapabilityError> {
    let lower = name.to_ascii_lowercase();
    if lower == "all" {
        return Ok((1 << NAMES.len()) - 1);
    }
    let bare = lower.strip_prefix("cap_").unwrap_or(&lower);
    let number = NAMES.iter().position(|known| *known == bare);
    number.map(|number| 1 << number).ok_or_else(|| CapabilityError::Unknown(name.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_setcap_writes() {
        // `setcap cap_net_bind_service+ep f; getfattr -e hex -n security.capability f` on Debian
        // 12.
        let wanted = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(parse("cap_net_bind_service+ep").unwrap(), wanted);
        assert_eq!(parse("CAP_NET_BIND_SERVICE=pe").unwrap(), wanted);
    }

    #[test]
    fn high_numbers_go_into_the_second_word() {
        let wanted = [0, 0, 0, 2, 0, 0, 0, 0, 0, 32, 0, 0, 128, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(parse("cap_bpf+p cap_net_raw+i").unwrap(), wanted);
    }

    #[test]
    fn only_what_is_effective_is_required() {
        let required = |text| names(required(&parse(text).unwrap()));
        assert_eq!(required("cap_net_raw+ep"), ["NET_RAW"]);
        assert_eq!(required("cap_bpf,cap_chown=pe"), ["CHOWN", "BPF"]);
        assert!(required("cap_net_raw+p").is_empty());
        assert!(required("cap_net_raw+ei").is_empty());
        assert_eq!(names(super::required(&[1, 0, 0, 1, 0, 32, 0, 0])), ["NET_RAW"]);
        assert_eq!(super::required(b"x"), 0);
        assert_eq!(set(&["net_raw", "chown"]), 1 << 13 | 1);
    }

    #[test]
    fn refuses_what_setcap_refuses() {
        assert_eq!(parse("cap_nope+p"), Err(CapabilityError::Unknown("cap_nope".into())));
        for text in ["", "cap_net_raw", "cap_net_raw+", "cap_net_raw+x"] {
            assert_eq!(parse(text), Err(CapabilityError::Syntax(text.into())));
        }
    }
}
