//! What images of different programs share.
//!
//! Each image has the same files of it, whatever else it has: the C library and what many programs
//! read at run time. Single files are named, since programs need different ones of these packages.
//! With all of it in one layer, images too small to be cut share that layer with large ones.

use crate::path::{ImagePath, escape};

/// The directories of libraries; what is below may be a directory of the machine's own.
const LIBRARY_DIRS: [&[u8]; 4] = [b"/lib", b"/lib64", b"/usr/lib", b"/usr/lib64"];

/// How names of libraries begin: the loaders and C libraries of glibc and musl, what unwinds
/// stacks, and OpenSSL's.
const LIBRARIES: [&[u8]; 9] = [
    b"ld-linux",
    b"ld64.so.",
    b"ld.so.",
    b"ld-musl-",
    b"libc.so.6",
    b"libc.musl-",
    b"libgcc_s.so.",
    b"libgcc_s-",
    b"libcrypto.so.",
];

/// Other files: time zones, names of services, certificates, and OpenSSL's configuration.
const FILES: [&[u8]; 6] = [
    b"/etc/protocols",
    b"/etc/services",
    b"/etc/ssl/certs/ca-certificates.crt",
    b"/etc/ssl/openssl.cnf",
    b"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    b"/etc/pki/tls/openssl.cnf",
];
const ZONES: &[u8] = b"/usr/share/zoneinfo/";

/// The name of the layer.
pub(super) const NAME: &str = "common";

/// Whether a file of the system is one of those that images share.
pub(super) fn is_common(path: &ImagePath) -> bool {
    let bytes = path.as_bytes();
    if FILES.contains(&bytes) || bytes.starts_with(ZONES) {
        return true;
    }
    let name = path.file_name();
    let is_library = LIBRARIES.iter().any(|prefix| name.starts_with(prefix));
    if !is_library && !path.parent_bytes().is_some_and(|dir| dir.ends_with(b"/ossl-modules")) {
        return false;
    }
    let Some(parent) = path.parent() else { return false };
    let is_dir = |dir: &ImagePath| LIBRARY_DIRS.contains(&dir.as_bytes());
    let is_multiarch = |dir: &ImagePath| {
        has(dir.file_name(), b"-linux-") && dir.parent().is_some_and(|above| is_dir(&above))
    };
    let is_library_dir = |dir: &ImagePath| is_dir(dir) || is_multiarch(dir);
    match parent.file_name() {
        b"ossl-modules" => parent.parent().is_some_and(|above| is_library_dir(&above)),
        _ => is_library && is_library_dir(&parent),
    }
}

/// What a common file belongs to where no package owns it.
pub(super) fn name(path: &ImagePath) -> String {
    match path.as_bytes().starts_with(ZONES) {
        true => escape(ZONES.strip_suffix(b"/").unwrap_or(ZONES)),
        false => path.to_string(),
    }
}

fn has(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|part| part == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_system_are_common_where_the_system_has_them() {
        let is_common = |path: &str| is_common(&ImagePath::new(path).unwrap());
        for path in [
            "/lib64/ld-linux-x86-64.so.2",
            "/usr/lib/x86_64-linux-gnu/libc.so.6",
            "/usr/lib/arm-linux-gnueabihf/ld-linux-armhf.so.3",
            "/lib/ld-musl-x86_64.so.1",
            "/usr/lib64/libgcc_s-13-20240316.so.1",
            "/usr/lib/libcrypto.so.3",
            "/usr/lib/x86_64-linux-gnu/ossl-modules/legacy.so",
            "/usr/share/zoneinfo/Europe/Berlin",
            "/etc/ssl/certs/ca-certificates.crt",
        ] {
            assert!(is_common(path), "{path}");
        }
        for path in [
            "/app/node_modules/x/libcrypto.so.3",
            "/usr/lib/x/libc.so.6",
            "/usr/lib/x86_64-linux-gnu/libm.so.6",
            "/usr/lib/x86_64-linux-gnu/libssl.so.3",
            "/usr/lib/x86_64-linux-gnu/x/libc.so.6",
            "/usr/lib/python3/ossl-modules/x.so",
            "/usr/share/zoneinfo",
            "/etc/ssl/certs/other.crt",
            "/",
        ] {
            assert!(!is_common(path), "{path}");
        }
    }
}
