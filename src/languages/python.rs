//! Python text and the metadata of packages → names of modules and packages. Pure.
//!
//! This does not parse Python. It looks at lines that import, and at the requirements that packages
//! declare.

use std::collections::{BTreeMap, BTreeSet};

use super::Python;

/// Modules that one script starts.
const MAX_STARTED: usize = 100;

/// Modules that quoted texts of one script name.
const MAX_QUOTED: usize = 200;

/// Which imports count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// All.
    All,
    /// Those at the top level of a module. Indented imports may fail; a package declares what it
    /// needs there as a requirement.
    Outer,
    /// The others.
    Inner,
}

/// The first parts of the names of modules that the text of a shell script starts: `python3 -m
/// asciidoc`.
pub fn started_modules(text: &[u8], language: &Python) -> BTreeSet<Vec<u8>> {
    const OPTION: &[u8] = b" -m ";
    let is_interpreter = |word: &[u8]| {
        let name = word.rsplit(|&b| b == b'/').next().unwrap_or_default();
        let version = name.strip_prefix(language.interpreter.as_bytes());
        version.is_some_and(|rest| rest.iter().all(|b| b.is_ascii_digit() || *b == b'.'))
    };
    let mut modules = BTreeSet::new();
    for at in memchr::memmem::find_iter(text, OPTION) {
        let (before, after) = text.split_at(at);
        let start = before.iter().rposition(|b| b" \t\n\"'`(;|&".contains(b));
        let word = before.get(start.map_or(0, |at| at + 1)..).unwrap_or_default();
        let after = after.get(OPTION.len()..).unwrap_or_default().trim_ascii_start();
        let end = after.iter().position(|b| !b.is_ascii_alphanumeric() && *b != b'_');
        let name = after.get(..end.unwrap_or(after.len())).unwrap_or_default();
        if is_interpreter(word) && !name.is_empty() && modules.len() < MAX_STARTED {
            modules.insert(name.to_vec());
        }
    }
    modules
}

/// The first parts of the names of modules that `text` imports or formats: `"hgext.%s"`.
pub fn named(text: &[u8], depth: Depth) -> BTreeSet<Vec<u8>> {
    let mut out = BTreeSet::new();
    for line in text.split(|&b| b == b'\n') {
        let indented = line.first().is_some_and(u8::is_ascii_whitespace);
        let line = line.trim_ascii();
        let counts = match depth {
            Depth::All => true,
            Depth::Outer => !indented,
            Depth::Inner => indented,
        };
        if let Some(list) = line.strip_prefix(b"import ").filter(|_| counts) {
            out.extend(list.split(|&b| b == b',').filter_map(identifier));
        } else if let Some(module) = line.strip_prefix(b"from ").filter(|_| counts) {
            out.extend(identifier(module));
        }
        if depth == Depth::Inner {
            continue;
        }
        for call in [&b"import_module("[..], b"__import__("] {
            if let Some(at) = memchr::memmem::find(line, call) {
                let rest = line.get(at + call.len()..).unwrap_or_default();
                out.extend(
                    rest.strip_prefix(b"\"")
                        .or_else(|| rest.strip_prefix(b"'"))
                        .and_then(identifier),
                );
            }
        }
        for quote in memchr::memchr2_iter(b'"', b'\'', line) {
            let rest = line.get(quote + 1..).unwrap_or_default();
            let Some(name) = identifier(rest) else { continue };
            let after = rest.get(name.len()..).unwrap_or_default();
            if after.starts_with(b".%s") || after.starts_with(b".{") {
                out.insert(name);
            }
        }
    }
    out
}

/// The first parts of the names of modules with which quoted texts begin, maybe after `import`:
/// `exec('import app.tasks.' + name)`.
pub fn quoted(text: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut out = BTreeSet::new();
    for quote in memchr::memchr2_iter(b'"', b'\'', text) {
        let inside = text.get(quote + 1..).unwrap_or_default();
        let imported = [&b"import "[..], b"from "].iter().find_map(|it| inside.strip_prefix(*it));
        let path = imported.unwrap_or(inside);
        let Some(name) = identifier(path).filter(|name| path.starts_with(name)) else { continue };
        let after = path.get(name.len()..).unwrap_or_default();
        let is_dotted = after.strip_prefix(b".").and_then(|rest| rest.first());
        let is_below = is_dotted.is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_');
        if (is_below || imported.is_some()) && out.len() < MAX_QUOTED {
            out.insert(name);
        }
    }
    out
}

/// The Python identifier at the start of `text`.
fn identifier(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii_start();
    let end =
        text.iter().position(|b| !b.is_ascii_alphanumeric() && *b != b'_').unwrap_or(text.len());
    let name = text.get(..end)?;
    (end > 0 && !name.first()?.is_ascii_digit()).then(|| name.to_vec())
}

/// The packages that a generated entry point asks for: `load_entry_point('httpie==3.2.1', …)`.
pub fn required(text: &[u8]) -> BTreeSet<Vec<u8>> {
    let lines = text.split(|&b| b == b'\n');
    let quoted = lines.flat_map(|line| line.split(|&b| b == b'\'' || b == b'"').skip(1).step_by(2));
    let pinned = quoted.filter(|text| memchr::memmem::find(text, b"==").is_some());
    pinned.filter_map(package_name).collect()
}

/// `Requires-Dist` of core metadata, without what only extras need.
pub fn required_by_metadata(text: &[u8]) -> BTreeSet<Vec<u8>> {
    let lines = text.split(|&b| b == b'\n').filter_map(|line| line.strip_prefix(b"Requires-Dist:"));
    lines
        .filter(|line| memchr::memmem::find(line, b"extra ==").is_none())
        .filter_map(package_name)
        .collect()
}

/// The lines of `requires.txt` before the first `[extra]`.
pub fn required_by_list(text: &[u8]) -> BTreeSet<Vec<u8>> {
    text.split(|&b| b == b'\n')
        .take_while(|line| !line.starts_with(b"["))
        .filter_map(package_name)
        .collect()
}

/// The package's name at the start of a requirement or of the name of a metadata directory,
/// normalised as PyPA compares names: lower case, `_` for every run of `-`, `_` and `.`. A version
/// begins with a digit after `-`.
pub fn package_name(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii_start();
    let mut out = Vec::new();
    for (at, &byte) in text.iter().enumerate() {
        let next = text.get(at + 1);
        match byte {
            b'-' if next.is_some_and(u8::is_ascii_digit) => break,
            b'-' | b'_' | b'.' if out.last() == Some(&b'_') => {}
            b'-' | b'_' | b'.' => out.push(b'_'),
            _ if byte.is_ascii_alphanumeric() => out.push(byte.to_ascii_lowercase()),
            _ => break,
        }
    }
    (!out.is_empty()).then_some(out)
}

/// The lines of `text` that are not empty.
pub fn words(text: &[u8]) -> BTreeSet<Vec<u8>> {
    let lines = text.split(|&b| b == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

/// The namespaces that `text` takes from GObject introspection, each with its version if the text
/// names it: `gi.require_version('Gtk', '3.0')`, `from gi.repository import Gtk`.
pub fn namespaces(text: &[u8]) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
    let mut out = BTreeMap::new();
    for line in text.split(|&b| b == b'\n').map(<[u8]>::trim_ascii) {
        if let Some(at) = memchr::memmem::find(line, b"require_version(") {
            let rest = line.get(at..).unwrap_or_default();
            let mut quoted = rest.split(|b| b"\"'".contains(b)).skip(1).step_by(2);
            if let (Some(name), Some(version)) = (quoted.next(), quoted.next()) {
                out.insert(name.to_vec(), Some(version.to_vec()));
            }
        } else if let Some(list) = line.strip_prefix(b"from gi.repository import ") {
            for name in list.split(|&b| b == b',').filter_map(identifier) {
                out.entry(name).or_insert(None);
            }
        } else if let Some(rest) = line.strip_prefix(b"import gi.repository.") {
            out.extend(identifier(rest).map(|name| (name, None)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(names: BTreeSet<Vec<u8>>) -> String {
        names.iter().map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_a_text_imports() {
        let text =
            b"#!/usr/bin/python3\nimport os, numpy.linalg as n\nfrom . import own\n    from \
            yaml import x\n\
            x = importlib.import_module('lazy.sub')\n__import__(\"eager\")\nload(b'hgext.%s' % x)\n\
            f'plug.{x}'\n\
            # import\nimportant = 1\nprint('text. %s')\n";
        assert_eq!(join(named(text, Depth::All)), "eager hgext lazy numpy os plug yaml");
        assert_eq!(join(named(text, Depth::Outer)), "eager hgext lazy numpy os plug");
        assert_eq!(join(named(text, Depth::Inner)), "yaml");
    }

    #[test]
    fn modules_that_quoted_texts_name() {
        let text = b"exec('import one.runners.' + x); load(\"two.sub\"); f('import three')\n\
            print('four. five', 'six', ' seven.x', \"8.x\", \"nine.\", 'x/y.z')";
        assert_eq!(join(quoted(text)), "one three two");
    }

    #[test]
    fn modules_that_a_script_starts() {
        let text = b"#!/bin/sh\npython3 -m one.two x; exec /usr/bin/python3.11 -m  three \"$@\"\n\
            tar -m four; python3x -m five; A=$(python -m six)\npython3 -m ";
        let found = started_modules(text, &crate::languages::Languages::builtin().python);
        assert_eq!(join(found), "one six three");
    }

    #[test]
    fn what_packages_require() {
        assert_eq!(
            join(required(b"load_entry_point('HTTP.ie-x==3.2.1', 'console_scripts')")),
            "http_ie_x"
        );
        let metadata =
            b"Name: x\nRequires-Dist: attrs (>=19.2.0)\nRequires-Dist: mock ; extra == 'testing'\n";
        assert_eq!(join(required_by_metadata(metadata)), "attrs");
        assert_eq!(
            join(required_by_list(b"\nrequests[socks]>=2\nPy-Yaml\n[dev]\nflake8\n")),
            "py_yaml requests"
        );
        let name =
            |text: &str| package_name(text.as_bytes()).map(|name| String::from_utf8(name).unwrap());
        assert_eq!(name("jaraco.text-3.0.egg-info").as_deref(), Some("jaraco_text"));
        assert_eq!(name("python3_openid-2").as_deref(), Some("python3_openid"));
    }

    #[test]
    fn what_introspection_gives() {
        let text = b"import gi\ngi.require_version('Pango', \"1.0\")\n\
            from gi.repository import Pango, GLib as g\n  gi.require_version(name, '1')\n";
        let wanted = [(b"Pango".to_vec(), Some(b"1.0".to_vec())), (b"GLib".to_vec(), None)];
        assert_eq!(namespaces(text), wanted.into());
    }
}
