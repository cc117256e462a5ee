//! Text → the names of libraries in it. Pure.

use std::collections::BTreeSet;

use super::Texts;

/// Names of one text.
const MAX_NAMES: usize = 1000;
/// Bytes of a name.
const MAX_NAME: usize = 256;

/// The names in the source of a program: quoted ones (`CDLL('libmagic.so.1')`), and those that a
/// function completes (`find_library("yaml")`), as `libyaml.so`.
pub fn in_source(text: &[u8], language: &Texts) -> BTreeSet<Vec<u8>> {
    let mut names = BTreeSet::new();
    for at in memchr::memmem::find_iter(text, b".so") {
        let (before, after) = text.split_at(at);
        let start = before.iter().rev().take(MAX_NAME).take_while(|b| in_name(b)).count();
        let end = after.iter().take(MAX_NAME).take_while(|b| in_name(b)).count();
        let name = text.get(at - start..at + end).unwrap_or_default();
        let quoted = before.len().checked_sub(start + 1).and_then(|i| text.get(i));
        let is_quoted = quoted.is_some_and(|b| b"\"'".contains(b)) && quoted == after.get(end);
        if is_quoted && is_library(name) && names.len() < MAX_NAMES {
            names.insert(name.to_vec());
        }
    }
    for call in &language.completing {
        for at in memchr::memmem::find_iter(text, call.as_bytes()) {
            let rest = text.get(at + call.len()..).unwrap_or_default().trim_ascii_start();
            let Some((quote @ (b'"' | b'\''), rest)) = rest.split_first() else { continue };
            let end = rest.iter().take(MAX_NAME).take_while(|b| in_stem(b)).count();
            let name = rest.get(..end).unwrap_or_default();
            if end > 0 && rest.get(end) == Some(quote) && names.len() < MAX_NAMES {
                names.insert([b"lib", name, b".so"].concat());
            }
        }
    }
    names
}

/// The names and paths in a text of any other form: configuration, and GObject's typelibs. Other
/// binary files, such as `/etc/ld.so.cache`, list what the system has, not what is needed.
pub fn in_configuration(text: &[u8]) -> BTreeSet<Vec<u8>> {
    if text.contains(&0) && !text.starts_with(b"GOBJ\n") {
        return BTreeSet::new();
    }
    let tokens = text.split(|b| !in_name(b)).filter(|token| token.len() <= MAX_NAME);
    tokens.filter(|token| is_library(token)).take(MAX_NAMES).map(<[u8]>::to_vec).collect()
}

/// Whether `name`, which may be a path, has the form of a library's name: `libx.so`, `x.so.1`.
fn is_library(name: &[u8]) -> bool {
    let file = name.rsplit(|&b| b == b'/').next().unwrap_or_default();
    let Some(at) = memchr::memmem::rfind(file, b".so") else { return false };
    let version = file.get(at + 3..).unwrap_or_default();
    let is_version = version.first().is_none_or(|b| *b == b'.')
        && version.iter().all(|b| b.is_ascii_digit() || *b == b'.');
    at > 0 && is_version && file.first().is_some_and(u8::is_ascii_alphanumeric)
}

fn in_name(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || b"._+-/".contains(b)
}

fn in_stem(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || b"._+-".contains(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::languages::Languages;

    #[track_caller]
    fn check(found: BTreeSet<Vec<u8>>, wanted: &str) {
        let found: Vec<_> = found.iter().map(|name| String::from_utf8_lossy(name)).collect();
        assert_eq!(found.join(" "), wanted);
    }

    #[test]
    fn names_in_sources() {
        let texts = &Languages::builtin().texts;
        let python = b"m = ctypes.CDLL('libmagic.so.1') # libno.so\nx = find_library(\"yaml\")\n\
            'libcut.so.1\" 'a libb.so.2' '.so' 'lib.so.x' '/opt/x/y.so' find_library(name)";
        check(in_source(python, texts), "/opt/x/y.so libmagic.so.1 libyaml.so");
        check(
            in_source(b"ffi_lib 'foo'\nlocal c = ffi.load(\"bar-2\")", texts),
            "libbar-2.so libfoo.so",
        );
        check(in_source(b"'.so", texts), "");
    }

    #[test]
    fn names_in_configuration() {
        let text = b"[SQLite3]\nDriver=libsqlite3odbc.so\nSetup = /usr/lib/x.so.2 # a.sox b.so.c\n\
            {\"library_path\": \"../libv.so\"} libpango-1.0.so.0,libg.so .so";
        check(
            in_configuration(text),
            "../libv.so /usr/lib/x.so.2 libg.so libpango-1.0.so.0 libsqlite3odbc.so",
        );
        check(in_configuration(b"glibc-ld.so.cache1.1\0libx.so.1\0/usr/lib/libx.so.1\0"), "");
        check(
            in_configuration(b"GOBJ\nMETADATA\r\n\x1a\0libpango-1.0.so.0\0"),
            "libpango-1.0.so.0",
        );
    }
}
