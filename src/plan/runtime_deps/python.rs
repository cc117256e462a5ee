//! A Python script → the installed packages that it imports, and those that these import.
//!
//! No parser of Python: lines that import, and the requirements that packages declare.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    elf::{Lookup as _, ReadFailure},
    path::{ImagePath, glob::Glob},
    plan::builder::ImageBuilder,
};

/// Where distributions and pip keep packages, the first that Python searches first.
const DIRS: [(&str, &str); 5] = [
    ("/usr/local/lib/python3*", "dist-packages"),
    ("/usr/local/lib/python3*", "site-packages"),
    ("/usr/lib/python3*", "site-packages"),
    ("/usr/lib64/python3*", "site-packages"),
    ("/usr/lib/python3*", "dist-packages"),
];
/// Bytes of a source file that are read.
const MAX_SOURCE: usize = 1 << 20;
/// Source files that are read for one script.
const MAX_SOURCES: usize = 20_000;
/// Directories in directories that are gone into.
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
pub(super) fn modules(text: &[u8], builder: &ImageBuilder<'_>) -> Result<Modules, ReadFailure> {
    let mut finder = Finder::new(builder)?;
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
    /// Modules that it says it has; its own name if it does not say.
    modules: BTreeSet<Vec<u8>>,
    /// Packages that it requires.
    requires: BTreeSet<Vec<u8>>,
}

struct Finder<'g> {
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
    fn new(builder: &'g ImageBuilder<'g>) -> Result<Self, ReadFailure> {
        let list = |path: &ImagePath| -> Result<Vec<Vec<u8>>, ReadFailure> {
            let names = builder.view.list(path.as_bytes())?;
            Ok(builder.view.wanted(path.as_bytes(), names).unwrap_or_default())
        };
        let mut dirs = Vec::new();
        for (parents, name) in DIRS {
            let Ok(pattern) = ImagePath::new(parents) else { continue };
            let (Some(dir), Ok(glob)) = (pattern.parent(), Glob::plain(pattern.file_name())) else {
                continue;
            };
            for parent in list(&dir)?.into_iter().filter(|name| glob.matches(name)) {
                let Ok(path) = dir.join(&parent).and_then(|path| path.join(name)) else { continue };
                let names: BTreeSet<Vec<u8>> = list(&path)?.into_iter().collect();
                if !names.is_empty() {
                    dirs.push((path, names));
                }
            }
        }
        let mut finder = Self {
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
                let is_info = name.ends_with(b".dist-info") || name.ends_with(b".egg-info");
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

    /// Asks for packages by their own names, and what they require.
    fn ask_packages(&mut self, names: BTreeSet<Vec<u8>>) {
        let mut left: Vec<_> = names.into_iter().collect();
        while let Some(name) = left.pop() {
            let Some(package) = self.packages.get_mut(&name) else { continue };
            let modules = package.modules.clone();
            // A package is asked for once: what it requires is taken out.
            left.extend(std::mem::take(&mut package.requires));
            self.out.paths.entry(name).or_default().insert(package.path.clone());
            self.ask(modules);
        }
    }

    /// Takes a module, if it is installed: a directory, a source file or an extension of this name.
    fn take(&mut self, name: &[u8]) -> Result<(), ReadFailure> {
        let source = [name, b".py"].concat();
        let extension = [name, b"."].concat();
        let libraries = [name, b".libs"].concat();
        let is_part = |entry: &[u8]| {
            let is_extension = entry.starts_with(&extension) && entry.ends_with(b".so");
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

    /// Asks for what the sources at and below `path` import. Those of tests import what nothing
    /// else does.
    fn look(&mut self, path: &ImagePath, depth: usize) -> Result<(), ReadFailure> {
        if path.file_name().ends_with(b".py") {
            self.sources += 1;
            if self.sources <= MAX_SOURCES
                && let Some(text) = self.read(path)?
            {
                self.ask(named(&text, Depth::Outer));
            }
            return Ok(());
        }
        if depth > MAX_DEPTH || matches!(path.file_name(), b"test" | b"tests" | b"__pycache__") {
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
    /// Those that a module makes in any case when it is loaded. In what is indented stand imports
    /// that may fail; what a package needs there it requires.
    Outer,
}

/// The first parts of the modules that `text` imports, or formats names of: `"hgext.%s"`.
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

/// The Python identifier that `text` begins with.
fn identifier(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii_start();
    let end =
        text.iter().position(|b| !b.is_ascii_alphanumeric() && *b != b'_').unwrap_or(text.len());
    let name = text.get(..end)?;
    (end > 0 && !name.first()?.is_ascii_digit()).then(|| name.to_vec())
}

/// The packages that a script's starter asks for: `load_entry_point('httpie==3.2.1', …)`.
fn required(text: &[u8]) -> BTreeSet<Vec<u8>> {
    let lines = text.split(|&b| b == b'\n');
    let quoted = lines.flat_map(|line| line.split(|&b| b == b'\'' || b == b'"').skip(1).step_by(2));
    let pinned = quoted.filter(|text| memchr::memmem::find(text, b"==").is_some());
    pinned.filter_map(package_name).collect()
}

/// `Requires-Dist` of core metadata, less what only extras want.
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

/// The name that a requirement or a directory of metadata begins with, as PyPA's names are
/// compared: lower case, `_` for every run of `-`, `_` and `.`. A version begins with a digit after
/// `-`.
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
        let text = b"#!/usr/bin/python3\nimport os, numpy.linalg as n\nfrom . import own\n    from yaml import x\n\
            x = importlib.import_module('lazy.sub')\n__import__(\"eager\")\nload(b'hgext.%s' % x)\nf'plug.{x}'\n\
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
