//! The components of an image: its packages, and what programs and files say of themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use super::{descriptions::Description, usage};
use crate::{
    components::{Component, Ecosystem, cargo, go, java, note, release::Release},
    elf::{self, Lookup as _, ReadFailure, Sniffed, sniff},
    packages::Format,
    path::ImagePath,
    tree::{FileNode, Tree},
    view::View,
};

/// Bytes of a description of a package.
const MAX_TEXT: usize = 4 << 20;
/// Components, and paths of all of them, that are kept: real images have a few thousand and a few
/// hundred thousand.
const MAX_ENTRIES: usize = 2_000_000;
/// Bytes of a copyright file.
const MAX_COPYRIGHT: usize = 1 << 20;
/// Bytes of a file's front that tell what it is.
const FRONT: usize = 4;

/// A component, where it says so, and its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub component: Component,
    /// The files that say so, in order.
    pub evidence: BTreeSet<ImagePath>,
    /// Its files in the image, in order.
    pub files: BTreeSet<ImagePath>,
}

/// What an image is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Its distribution.
    pub release: Release,
    /// The components, each once, in order.
    pub components: Vec<Found>,
}

/// The components of the file system `tree`.
///
/// # Errors
/// [`ReadFailure`] if a file cannot be read.
pub fn inventory(tree: &Tree) -> Result<Inventory, ReadFailure> {
    let view = View::of_tree(tree);
    let mut collector = Collector {
        tree,
        view,
        release: Release::default(),
        sources: BTreeMap::new(),
        all: BTreeMap::new(),
        left: MAX_ENTRIES,
    };
    collector.release = collector.release()?;
    collector.packages()?;
    for (path, node) in tree {
        if let Some(file) = node.file().filter(|file| file.len > 0) {
            collector.file(path, file)?;
        }
    }
    let Collector { release, all, .. } = collector;
    Ok(Inventory { release, components: all.into_values().collect() })
}

struct Collector<'a> {
    tree: &'a Tree,
    view: View<'a>,
    release: Release,
    /// The source packages of files that packages own.
    sources: BTreeMap<ImagePath, Rc<str>>,
    /// By package URL.
    all: BTreeMap<String, Found>,
    /// How many more components and paths are kept.
    left: usize,
}

impl Collector<'_> {
    fn release(&self) -> Result<Release, ReadFailure> {
        for path in ["/etc/os-release", "/usr/lib/os-release"] {
            if let Some((_, text)) = self.text(path.as_bytes(), MAX_TEXT)? {
                return Ok(Release::parse(&text));
            }
        }
        Ok(Release::default())
    }

    /// The file that `path` leads to, with its real path.
    fn text(&self, path: &[u8], limit: usize) -> Result<Option<(ImagePath, Vec<u8>)>, ReadFailure> {
        let Ok(found) = self.view.find(path)? else { return Ok(None) };
        Ok(self.view.read(&found, limit)?.ok().map(|text| (found.path, text)))
    }

    fn packages(&mut self) -> Result<(), ReadFailure> {
        let database = {
            let view = View::of_sysroot(self.tree);
            view.packages()?.map(|database| database.path().clone())
        };
        for one in usage::packages(self.tree)? {
            let package = &one.package;
            let ecosystem = match one.database {
                Format::Dpkg => Ecosystem::Deb,
                Format::Apk => Ecosystem::Apk,
                Format::Rpm => Ecosystem::Rpm,
            };
            let component = self.release.component(
                ecosystem,
                &package.name,
                &package.version,
                &package.architecture,
            );
            let Some(mut component) = component else { continue };
            if package.source != package.name && !package.source.is_empty() {
                let upstream = match package.source_version == package.version {
                    true => package.source.to_string(),
                    false => format!("{}@{}", package.source, package.source_version),
                };
                component.qualifiers.insert("upstream", upstream);
            }
            component.add_licences(package.licence.iter().map(ToString::to_string));
            if ecosystem == Ecosystem::Deb {
                for path in &package.licences {
                    if let Some((_, text)) = self.text(path.as_bytes(), MAX_COPYRIGHT)? {
                        component.add_licences(copyright(&text));
                    }
                }
            }
            // Notes in objects name the source package.
            let source: Rc<str> = Rc::from(&*package.source);
            let owned = one.files.iter().take(self.left);
            self.sources.extend(owned.map(|path| (path.clone(), source.clone())));
            self.add(component, database.iter().cloned(), one.files);
        }
        Ok(())
    }

    fn add(
        &mut self,
        component: Component,
        evidence: impl IntoIterator<Item = ImagePath>,
        files: impl IntoIterator<Item = ImagePath>,
    ) {
        let licences = component.licences.clone();
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            return;
        }
        let found = self.all.entry(component.purl()).or_insert_with(|| Found {
            component,
            evidence: BTreeSet::new(),
            files: BTreeSet::new(),
        });
        found.component.add_licences(licences);
        let before = found.evidence.len() + found.files.len();
        found.evidence.extend(evidence.into_iter().take(self.left));
        found.files.extend(files.into_iter().take(self.left));
        let added = found.evidence.len() + found.files.len() - before;
        self.left = self.left.saturating_sub(added);
    }

    /// Adds what one file says.
    fn file(&mut self, path: &ImagePath, file: &FileNode) -> Result<(), ReadFailure> {
        let name = path.file_name();
        if let Some(kind) = Description::of(path) {
            let text = self.view.head(file, MAX_TEXT)?.unwrap_or_default();
            if let Some(component) = kind.parse(&text) {
                let files = kind.files(path, self.tree, &self.view)?;
                self.add(component, [path.clone()], files);
            }
            return Ok(());
        }
        let Ok(reader) = self.view.reader(file)? else { return Ok(()) };
        if java::is_archive(name) {
            let name = String::from_utf8_lossy(name).into_owned();
            let found = reader.parse(|len, read_at| java::parse(&name, len, read_at).map(Ok))?;
            for component in found.unwrap_or_default() {
                self.add(component, [path.clone()], [path.clone()]);
            }
            return Ok(());
        }
        let front = self.view.head(file, FRONT)?.unwrap_or_default();
        if sniff(&front) != Sniffed::Elf {
            return Ok(());
        }
        let Ok(claims) = reader.parse(elf::claims)? else { return Ok(()) };
        let compiled = claims.auditable.iter().flat_map(|section| cargo::parse(section));
        let modules = claims.go.iter().flat_map(|info| go::parse(info));
        let packages = claims.package_notes.iter().filter_map(|text| note::parse(text));
        let packages: Vec<_> = packages.filter(|noted| !self.is_owned_by(path, noted)).collect();
        for component in compiled.chain(modules).chain(packages).collect::<Vec<_>>() {
            self.add(component, [path.clone()], [path.clone()]);
        }
        Ok(())
    }

    /// Whether the image's database has the package that an object says it was built in: its own
    /// name, or that of the source package of those that own the object.
    fn is_owned_by(&self, path: &ImagePath, noted: &Component) -> bool {
        self.sources.get(path).is_some_and(|source| **source == noted.name)
    }
}

/// The short names of licences in a copyright file of Debian (its format 1.0), each once.
fn copyright(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    if !text.lines().next().is_some_and(|first| first.starts_with("Format")) {
        return Vec::new();
    }
    let names = text.lines().filter_map(|line| line.strip_prefix("License:"));
    let mut all: Vec<String> = Vec::new();
    for name in names.map(str::trim).filter(|name| !name.is_empty()) {
        if !all.iter().any(|known| known == name) {
            all.push(name.to_owned());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Node;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let node = |(path, text): &(&str, &str)| {
            (ImagePath::new(path).unwrap(), Node::inline(0o644, text.as_bytes()))
        };
        files.iter().map(node).collect()
    }

    #[test]
    fn packages_and_files_say_what_they_are() {
        let status = "Package: one\nStatus: install ok installed\nArchitecture: amd64\n\
            Version: 1.2-3\nSource: src\n";
        let copyright = "Format: https://www.debian.org/doc/x\n\nFiles: *\nLicense: GPL-2+\n\n\
            Files: a\nLicense: MIT\n\nFiles: b\nLicense: MIT\n";
        let site = "/usr/lib/python3/site-packages";
        let tree = tree(&[
            ("/etc/os-release", "ID=debian\nVERSION_ID=12\n"),
            ("/var/lib/dpkg/status", status),
            ("/var/lib/dpkg/info/one.list", "/.\n/usr\n/usr/bin\n/usr/bin/one\n"),
            ("/usr/share/doc/one/copyright", copyright),
            ("/usr/bin/one", "x"),
            (&format!("{site}/foo-1.dist-info/METADATA"), "Name: foo\nVersion: 1\n"),
            (
                &format!("{site}/foo-1.dist-info/RECORD"),
                "foo.py,,\ngone.py,,\n../../../bin/foo,,\n",
            ),
            (&format!("{site}/foo.py"), "x"),
            ("/usr/bin/foo", "x"),
            ("/app/node_modules/a/package.json", r#"{"name":"a","version":"1"}"#),
            ("/app/node_modules/a/index.js", "x"),
            ("/app/node_modules/a/node_modules/b/package.json", r#"{"name":"b","version":"2"}"#),
            ("/var/gems/specifications/g-1.gemspec", "  s.name = \"g\"\n  s.version = \"1\"\n"),
            ("/var/gems/gems/g-1/lib/g.rb", "x"),
        ]);
        let found = inventory(&tree).unwrap();
        let one = |found: &Found| {
            let files: Vec<_> = found.files.iter().map(ToString::to_string).collect();
            (found.component.purl(), found.component.licences.join(" "), files.join(" "))
        };
        let all: Vec<_> = found.components.iter().map(one).collect();
        let expected = [
            (
                "pkg:deb/debian/one@1.2-3?arch=amd64&distro=debian-12&upstream=src",
                "GPL-2+ MIT",
                "/usr/bin/one",
            ),
            ("pkg:gem/g@1", "", "/var/gems/gems/g-1/lib/g.rb /var/gems/specifications/g-1.gemspec"),
            ("pkg:npm/a@1", "", "/app/node_modules/a/index.js /app/node_modules/a/package.json"),
            ("pkg:npm/b@2", "", "/app/node_modules/a/node_modules/b/package.json"),
            (
                "pkg:pypi/foo@1",
                "",
                "/usr/bin/foo /usr/lib/python3/site-packages/foo-1.dist-info/METADATA \
                 /usr/lib/python3/site-packages/foo.py",
            ),
        ];
        let expected: Vec<_> =
            expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())).to_vec();
        assert_eq!(all, expected);
    }
}
