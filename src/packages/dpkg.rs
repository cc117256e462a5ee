//! dpkg's database: `status` and `info/` of Debian, `status.d/` of images without dpkg.

use super::{
    Database, Dependency, Entry, Format, Links, Listing, MAX_PACKAGES, Package, PackageId,
    Strength,
    relation::names,
    spelling::Spelling,
    stanza::{fields, paragraphs},
    unlisted,
};
use crate::path::ImagePath;

/// The directory of the database.
pub const DIRECTORY: &str = "/var/lib/dpkg";
/// The directory of packages in an image without dpkg: a paragraph and checksums of each.
pub const STATUS_DIRECTORY: &str = "/var/lib/dpkg/status.d";

/// The installed packages, before their lists of files are read.
#[derive(Debug)]
pub struct Status {
    packages: Vec<Package>,
}

impl Status {
    /// What `text` says: paragraphs of `status`, and of all files of `status.d`. Of two packages of
    /// one name and architecture, the first counts.
    pub fn parse(text: &[u8]) -> Self {
        let installed = paragraphs(text).filter_map(package);
        let mut packages: Vec<_> = installed.take(MAX_PACKAGES).collect();
        let key = |package: &Package| (package.name.clone(), package.architecture.clone());
        packages.sort_by_cached_key(key);
        packages.dedup_by(|a, b| (&a.name, &a.architecture) == (&b.name, &b.architecture));
        Self { packages }
    }

    /// Whether no package is installed.
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
    }

    /// The version of the first package of this name.
    pub fn version_of(&self, name: &str) -> Option<&str> {
        let package = self.packages.iter().find(|package| *package.name == *name)?;
        Some(&package.version)
    }

    /// Each package with the names that its files in `info` may have before their extension:
    /// `libc6:amd64`, or else `libc6`.
    pub fn file_names(&self) -> impl Iterator<Item = (PackageId, [String; 2])> {
        (0..).map(PackageId).zip(&self.packages).map(|(id, package)| (id, file_names(package)))
    }

    /// Adds to lists of checksums, which have neither links nor directories, those of `entries`
    /// that have the name of their package and of which no list has anything.
    pub fn complete(&self, lists: &mut [(PackageId, Listing)], entries: &[Entry]) {
        let lists = lists.iter_mut().filter_map(|(id, list)| {
            let package = self.packages.get(id.0 as usize)?;
            Some((package, list))
        });
        unlisted::complete(lists, entries);
    }

    /// The database. `lists` are in the packages' order. `links` are the links to directories in
    /// the root, and `diversions` is the file of this name.
    pub fn with_files(
        self,
        lists: impl IntoIterator<Item = (PackageId, Listing)>,
        links: Links,
        diversions: &[u8],
    ) -> Database {
        let path = ImagePath::new(DIRECTORY).unwrap_or_else(|_| ImagePath::root());
        let spelling = Spelling::new(links, diversions);
        let lists: Vec<_> = lists
            .into_iter()
            .map(|(id, list)| match self.packages.get(id.0 as usize) {
                Some(package) => (id, list.with_conffiles(&package.conffiles)),
                None => (id, list),
            })
            .collect();
        Database::new((Format::Dpkg, path), self.packages, lists, spelling)
    }
}

/// The names that a package's files in `info` may have before their extension.
pub fn file_names(package: &Package) -> [String; 2] {
    let Package { name, architecture, .. } = package;
    [format!("{name}:{architecture}"), name.to_string()]
}

/// The paragraph of `package` for `status.d`, where only packages are that an image has files of:
/// without the state that dpkg keeps, with the first line of the description, and with those
/// configuration files that `has`.
pub fn paragraph(package: &Package, has: impl Fn(&ImagePath) -> bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut line = |name: &[u8], value: &[u8]| {
        [name, b": ", value, b"\n"].iter().for_each(|part| out.extend_from_slice(part));
    };
    for (name, value) in fields(&package.text) {
        match name {
            b"Status" | b"Config-Version" | b"Triggers-Pending" | b"Triggers-Awaited" => {}
            b"Conffiles" => {
                let kept = value.split(|&b| b == b'\n').filter(|line| {
                    let path = conffiles(line).next();
                    path.is_some_and(|path| has(&path))
                });
                let kept: Vec<_> = kept.map(<[u8]>::trim_ascii).collect();
                if !kept.is_empty() {
                    line(b"Conffiles", &[b"\n ", &*kept.join(&b"\n "[..])].concat());
                }
            }
            b"Description" => {
                line(name, value.split(|&b| b == b'\n').next().unwrap_or_default());
            }
            _ => line(name, value),
        }
    }
    out
}

/// The package of a paragraph, if its files are there.
fn package(paragraph: &[u8]) -> Option<Package> {
    let mut package = Package::default();
    let mut source: &[u8] = b"";
    for (field, value) in fields(paragraph) {
        let text = || String::from_utf8_lossy(value).into();
        match field {
            b"Package" => package.name = text(),
            b"Status" if !has_files(value) => return None,
            b"Version" => package.version = text(),
            b"Architecture" => package.architecture = text(),
            b"Source" => source = value,
            b"Essential" => package.is_essential = value == b"yes",
            b"Priority" => package.priority = text(),
            b"Provides" => package.provides = names(value).collect(),
            b"Conffiles" => package.conffiles = conffiles(value).collect(),
            _ => {
                let of = |strength| Dependency::parse(value, strength);
                package.dependencies.extend(strength(field).into_iter().flat_map(of));
            }
        }
    }
    set_source(&mut package, source);
    package.text = paragraph.into();
    // Where Debian's policy puts it (12.5).
    package.licences.extend(ImagePath::new(format!("/usr/share/doc/{}/copyright", package.name)));
    is_name(&package.name).then_some(package)
}

/// Whether the files of a package in this state are there: the last of three words says so.
fn has_files(status: &[u8]) -> bool {
    let state = status.rsplit(|&b| b == b' ').next();
    !matches!(state, Some(b"not-installed" | b"config-files" | b"half-installed"))
}

fn strength(field: &[u8]) -> Option<Strength> {
    Some(match field {
        b"Pre-Depends" => Strength::PreDepends,
        b"Depends" => Strength::Depends,
        b"Recommends" => Strength::Recommends,
        b"Suggests" => Strength::Suggests,
        b"Enhances" => Strength::Enhances,
        _ => return None,
    })
}

/// `Source: name (version)`: without one, the package's own.
fn set_source(package: &mut Package, source: &[u8]) {
    let source = String::from_utf8_lossy(source);
    let (name, version) = source.split_once('(').unwrap_or((&source, ""));
    let (name, version) = (name.trim(), version.trim_end_matches(')').trim());
    let or_own = |text: &str, own: &str| if text.is_empty() { own } else { text }.into();
    package.source = or_own(name, &package.name);
    package.source_version = or_own(version, &package.version);
}

/// Whether `name` can be a package's, which is the name of a file, too.
fn is_name(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'_');
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.len() < 200
        && name.bytes().all(is_plain)
}

/// Lines of a path and its checksum. Those of older versions of the package do not count.
fn conffiles(value: &[u8]) -> impl Iterator<Item = ImagePath> {
    value.split(|&b| b == b'\n').filter_map(|line| {
        let mut words = line.trim_ascii().split(|&b| b == b' ');
        let path = words.next().filter(|path| path.starts_with(b"/"))?;
        let is_obsolete = words.any(|word| matches!(word, b"obsolete" | b"remove-on-upgrade"));
        (!is_obsolete).then(|| ImagePath::new(path).ok()).flatten()
    })
}
