//! A Python script → the installed packages that it imports, and those that these import.
//!
//! This does not parse Python. It looks at lines that import, and at the requirements that packages
//! declare.

use std::collections::{BTreeMap, BTreeSet};

use super::files;
use crate::{
    elf::{Lookup as _, ReadFailure},
    languages::Python,
    path::ImagePath,
    plan::builder::ImageBuilder,
};

/// Bytes of a source file that are read.
const MAX_SOURCE: usize = 1 << 20;
/// Source files that are read for one script.
const MAX_SOURCES: usize = 20_000;
/// Depth of directories.
const MAX_DEPTH: usize = 12;
/// Modules and packages of one script.
const MAX_MODULES: usize = 2000;

/// What one script leads to.
#[derive(Debug, Default)]
pub(super) struct Modules {
    /// Each path that belongs to a module, by the module's or package's name.
    pub(super) paths: BTreeMap<Vec<u8>, BTreeSet<ImagePath>>,
}

/// The installed modules that the script with this text needs.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn modules(
    text: &[u8],
    language: &Python,
    builder: &ImageBuilder<'_>,
) -> Result<Modules, ReadFailure> {
    let mut finder = Finder::new(language, builder)?;
    finder.ask(named(text, Depth::All));
    let required = required(text);
    finder.ask_packages(required);
    while let Some(name) = finder.asked.pop() {
        if finder.out.paths.len() < MAX_MODULES {
            finder.take(&name)?;
        }
    }
    Ok(finder.out)
}

/// A package's metadata.
#[derive(Debug)]
struct Package {
    /// `NAME-VERSION.dist-info` or `.egg-info`.
    path: ImagePath,
    /// The modules that it declares; its own name if it declares none.
    modules: BTreeSet<Vec<u8>>,
    /// Packages that it requires.
    requires: BTreeSet<Vec<u8>>,
}

struct Finder<'g> {
    language: &'g Python,
    builder: &'g ImageBuilder<'g>,
    /// The directories of packages, with what is in each.
    dirs: Vec<(ImagePath, BTreeSet<Vec<u8>>)>,
    packages: BTreeMap<Vec<u8>, Package>,
    asked: Vec<Vec<u8>>,
    seen: BTreeSet<Vec<u8>>,
    sources: usize,
    out: Modules,
}

impl<'g> Finder<'g> {
    fn new(language: &'g Python, builder: &'g ImageBuilder<'g>) -> Result<Self, ReadFailure> {
        let mut dirs = Vec::new();
        for pattern in &language.packages {
            for path in files::expand(pattern.as_bytes(), builder)? {
                let names = builder.view.list(path.as_bytes())?.unwrap_or_default();
                if !names.is_empty() {
                    dirs.push((path, names.into_iter().collect()));
                }
            }
        }
        let mut finder = Self {
            language,
            builder,
            dirs,
            packages: BTreeMap::new(),
            asked: Vec::new(),
            seen: BTreeSet::new(),
            sources: 0,
            out: Modules::default(),
        };
        finder.read_packages()?;
        Ok(finder)
    }

    fn read(&self, path: &ImagePath) -> Result<Option<Vec<u8>>, ReadFailure> {
        let Ok(found) = self.builder.view.find(path.as_bytes())? else { return Ok(None) };
        Ok(self.builder.view.read(&found, MAX_SOURCE)?.ok())
    }

    fn read_packages(&mut self) -> Result<(), ReadFailure> {
        let mut packages = BTreeMap::new();
        for (dir, names) in &self.dirs {
            for name in names {
                let mut endings = self.language.metadata.iter();
                let is_info = endings.any(|ending| name.ends_with(ending.as_bytes()));
                let Some(package) = package_name(name).filter(|_| is_info) else { continue };
                let Ok(path) = dir.join(name) else { continue };
                let text = |file: &str| -> Result<Vec<u8>, ReadFailure> {
                    let Ok(path) = path.join(file) else { return Ok(Vec::new()) };
                    Ok(self.read(&path)?.unwrap_or_default())
                };
                let modules = words(&text("top_level.txt")?);
                let mut requires = required_by_metadata(&text("METADATA")?);
                requires.extend(required_by_list(&text("requires.txt")?));
                let modules = if modules.is_empty() { [package.clone()].into() } else { modules };
                packages.entry(package).or_insert(Package { path, modules, requires });
            }
        }
        self.packages = packages;
        Ok(())
    }

    fn ask(&mut self, names: BTreeSet<Vec<u8>>) {
        self.asked.extend(names.into_iter().filter(|name| self.seen.insert(name.clone())));
    }

    /// Asks for packages by their own names, and for what they require.
    fn ask_packages(&mut self, names: BTreeSet<Vec<u8>>) {
        let mut left: Vec<_> = names.into_iter().collect();
        while let Some(name) = left.pop() {
            let Some(package) = self.packages.get_mut(&name) else { continue };
            let modules = package.modules.clone();
            // Taking the requirements out ensures that a package is handled once.
            left.extend(std::mem::take(&mut package.requires));
            self.out.paths.entry(name).or_default().insert(package.path.clone());
            self.ask(modules);
        }
    }

    /// Takes the module `name` if it is installed as a directory, source file or extension.
    fn take(&mut self, name: &[u8]) -> Result<(), ReadFailure> {
        let source = [name, self.language.source.as_bytes()].concat();
        let extension = [name, b"."].concat();
        let libraries = [name, b".libs"].concat();
        let is_part = |entry: &[u8]| {
            let is_extension = entry.starts_with(&extension)
                && entry.ends_with(self.language.extension.as_bytes());
            entry == name || entry == source || entry == libraries || is_extension
        };
        let parts = |(dir, names): &(ImagePath, BTreeSet<Vec<u8>>)| {
            let parts = names
                .iter()
                .filter(|entry| is_part(entry))
                .filter_map(|entry| dir.join(entry).ok());
            parts.collect::<Vec<_>>()
        };
        let found = self.dirs.iter().map(parts).find(|parts| !parts.is_empty()).unwrap_or_default();
        if found.is_empty() {
            return Ok(());
        }
        let owners = self.packages.iter().filter(|(_, package)| package.modules.contains(name));
        let owners: BTreeSet<Vec<u8>> = owners.map(|(name, _)| name.clone()).collect();
        self.ask_packages(owners);
        for path in found {
            self.look(&path, 0)?;
            self.out.paths.entry(name.to_vec()).or_default().insert(path);
        }
        Ok(())
    }

    /// Asks for what the sources at and below `path` import, except in tests: those import what
    /// nothing else needs.
    fn look(&mut self, path: &ImagePath, depth: usize) -> Result<(), ReadFailure> {
        if path.file_name().ends_with(self.language.source.as_bytes()) {
            self.sources += 1;
            if self.sources <= MAX_SOURCES
                && let Some(text) = self.read(path)?
            {
                self.ask(named(&text, Depth::Outer));
            }
            return Ok(());
        }
        if depth > MAX_DEPTH || self.language.without_imports.contains(path.file_name()) {
            return Ok(());
        }
        for name in self.builder.view.list(path.as_bytes())?.unwrap_or_default() {
            if let Ok(child) = path.join(&name) {
                self.look(&child, depth + 1)?;
            }
        }
        Ok(())
    }
}

/// Which imports count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// All.
    All,
    /// Those at the top level of a module. Indented imports may fail; a package declares what it
    /// needs there as a requirement.
    Outer,
}

/// The first parts of the names of modules that `text` imports or formats: `"hgext.%s"`.
fn named(text: &[u8], depth: Depth) -> BTreeSet<Vec<u8>> {
    let mut out = BTreeSet::new();
    for line in text.split(|&b| b == b'\n') {
        let indented = line.first().is_some_and(u8::is_ascii_whitespace);
        let line = line.trim_ascii();
        let counts = depth == Depth::All || !indented;
        if let Some(list) = line.strip_prefix(b"import ").filter(|_| counts) {
            out.extend(list.split(|&b| b == b',').filter_map(identifier));
        } else if let Some(module) = line.strip_prefix(b"from ").filter(|_| counts) {
            out.extend(identifier(module));
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

/// The Python identifier at the start of `text`.
fn identifier(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii_start();
    let end =
        text.iter().position(|b| !b.is_ascii_alphanumeric() && *b != b'_').unwrap_or(text.len());
    let name = text.get(..end)?;
    (end > 0 && !name.first()?.is_ascii_digit()).then(|| name.to_vec())
}

/// The packages that a generated entry point asks for: `load_entry_point('httpie==3.2.1', …)`.
fn required(text: &[u8]) -> BTreeSet<Vec<u8>> {
    let lines = text.split(|&b| b == b'\n');
    let quoted = lines.flat_map(|line| line.split(|&b| b == b'\'' || b == b'"').skip(1).step_by(2));
    let pinned = quoted.filter(|text| memchr::memmem::find(text, b"==").is_some());
    pinned.filter_map(package_name).collect()
}

/// `Requires-Dist` of core metadata, without what only extras need.
fn required_by_metadata(text: &[u8]) -> BTreeSet<Vec<u8>> {
    let lines = text.split(|&b| b == b'\n').filter_map(|line| line.strip_prefix(b"Requires-Dist:"));
    lines
        .filter(|line| memchr::memmem::find(line, b"extra ==").is_none())
        .filter_map(package_name)
        .collect()
}

/// The lines of `requires.txt` before the first `[extra]`.
fn required_by_list(text: &[u8]) -> BTreeSet<Vec<u8>> {
    text.split(|&b| b == b'\n')
        .take_while(|line| !line.starts_with(b"["))
        .filter_map(package_name)
        .collect()
}

/// The package's name at the start of a requirement or of the name of a metadata directory,
/// normalised as PyPA compares names: lower case, `_` for every run of `-`, `_` and `.`. A version
/// begins with a digit after `-`.
fn package_name(text: &[u8]) -> Option<Vec<u8>> {
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

fn words(text: &[u8]) -> BTreeSet<Vec<u8>> {
    let lines = text.split(|&b| b == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
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
}
