//! Guesses from names whether a path mentioned in a file belongs to that file.

/// Directories that many programs share.
const SHARED: &[&[u8]] =
    &[b"usr", b"local", b"share", b"lib", b"lib32", b"lib64", b"libexec", b"etc", b"opt", b"var"];
/// The shortest name, in bytes, that may be a prefix of the other: shorter ones match by chance.
const MIN_PREFIX: usize = 4;

/// Whether the first part of `path` that is not a shared directory has the name of `file`, which is
/// the file name of an object or script. Versions and suffixes do not count:
/// `/usr/share/tesseract-ocr/5` and `libtesseract.so.5` match.
pub fn is_named_after(path: &[u8], file: &[u8]) -> bool {
    let mut parts = path.split(|&b| b == b'/').filter(|part| !part.is_empty());
    let Some(part) = parts.find(|part| !is_shared(part)) else { return false };
    let (path, object) = (stem(part), stem(file));
    let begins = |short: &[u8], long: &[u8]| short.len() >= MIN_PREFIX && long.starts_with(short);
    path.len() > 1 && (path == object || begins(&path, &object) || begins(&object, &path))
}

/// Whether `part` is a directory that many programs share, or one of a target's libraries
/// (`x86_64-linux-gnu`).
pub(super) fn is_shared(part: &[u8]) -> bool {
    SHARED.contains(&part) || memchr::memmem::find(part, b"-linux-").is_some()
}

/// The letters and digits at the start of `name`, without a `lib` prefix and a version.
fn stem(name: &[u8]) -> Vec<u8> {
    let name = name.strip_prefix(b"lib").filter(|rest| rest.len() > 1).unwrap_or(name);
    let end = name.iter().position(|b| !b.is_ascii_alphanumeric()).unwrap_or(name.len());
    let front = name.get(..end).unwrap_or_default().to_ascii_lowercase();
    let digits = front.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let plain = front.get(..front.len() - digits).unwrap_or_default();
    if plain.len() > 1 { plain.to_vec() } else { front }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, file: &str, wanted: bool) {
        assert_eq!(is_named_after(path.as_bytes(), file.as_bytes()), wanted, "{path} {file}");
    }

    #[test]
    fn names_less_versions_and_additions() {
        check("/usr/share/bison", "bison", true);
        check("/usr/share/swig4.0", "swig4.0", true);
        check("/usr/share/tesseract-ocr/5/tessdata/", "libtesseract.so.5", true);
        check("/usr/lib/x86_64-linux-gnu/sox", "libsox.so.3", true);
        check("/usr/lib/x86_64-linux-gnu/libmariadb3/plugin", "libmariadb.so.3", true);
        check("/usr/lib/ocaml", "ocamlrun", true);
        check("/etc/unbound", "unbound-checkconf", true);
        check("/usr/libexec/sudo/sudoers.so", "sudo", true);
        check("/usr/lib/p7zip/7z.so", "7z", false);
        check("/usr/share/git-core", "less", false);
        check("/usr/share/dotnet", "dot", false);
        check("/usr/share", "usr", false);
        check("/usr/lib/x86_64-linux-gnu", "x86", false);
    }
}
