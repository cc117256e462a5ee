//! Who owns a file: the package databases of a root file system, as plain values.
//!
//! The caller reads a database's files and hands in their bytes ([`dpkg::Status`]); this module
//! answers which package owns a path, what a package depends on, and which files it has. Databases
//! may be hostile: sizes and counts are bounded, and what cannot be understood is skipped.

pub mod apk;
mod checksums;
pub mod dpkg;
mod files;
mod relation;
pub mod rpm;
mod rpm_header;
mod spelling;
mod sqlite;
mod stanza;
mod unlisted;

use std::fmt;

use crate::path::ImagePath;

pub use checksums::checksum;
pub use files::{Listing, MAX_TEXT};
pub use relation::{Dependency, Strength};
pub use spelling::Links;
pub use sqlite::SqliteError;
pub use unlisted::Entry;

use files::FileIndex;
use spelling::Spelling;

/// Packages that are read from one database at most.
pub const MAX_PACKAGES: usize = 100_000;

/// Whose database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Debian's dpkg.
    Dpkg,
    /// Alpine's apk.
    Apk,
    /// rpm, in SQLite.
    Rpm,
}

/// The directories that databases are in.
pub const DIRECTORIES: [&str; 5] =
    [dpkg::DIRECTORY, "/lib/apk/db", "/usr/lib/apk/db", rpm::DIRECTORIES[0], rpm::DIRECTORIES[1]];

/// The packages of a root file system and the files that they own.
#[derive(Debug)]
pub struct Database {
    format: Format,
    path: ImagePath,
    packages: Vec<Package>,
    /// Names and what packages provide, in order: name, whether it is provided only, package.
    names: Vec<(Box<str>, bool, PackageId)>,
    files: FileIndex,
    spelling: Spelling,
}

/// A package of one database. The order is that of names, then architectures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageId(u32);

/// An installed package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// The name without an architecture.
    pub name: Box<str>,
    /// The whole version, with epoch and revision.
    pub version: Box<str>,
    /// The architecture in the database's words; `all` or `noarch` for none.
    pub architecture: Box<str>,
    /// The name of the source package that it was built from.
    pub source: Box<str>,
    /// The version of the source package.
    pub source_version: Box<str>,
    /// Whether each system of the distribution has it (`Essential: yes`), or one of several like
    /// it, by whose common name an essential package depends on them.
    pub is_essential: bool,
    /// `Priority`: `required`, `important`, `standard`, `optional`, `extra`; may be empty.
    pub priority: Box<str>,
    /// What it depends on, in the database's order.
    pub dependencies: Vec<Dependency>,
    /// Other names that it satisfies dependencies by.
    pub provides: Vec<Box<str>>,
    /// Configuration files that the user may have changed.
    pub conffiles: Vec<ImagePath>,
    /// The licence, if the database says it: an expression in the database's words.
    pub licence: Option<Box<str>>,
    /// Where the licence is. A directory on the way may be a link to another package's.
    pub licences: Vec<ImagePath>,
    /// What the database says of it, as it is written there; empty if it is not text.
    pub text: Box<[u8]>,
}

impl Package {
    /// Whether it has no code for a machine, only data or scripts.
    pub fn is_for_all(&self) -> bool {
        matches!(&*self.architecture, "all" | "noarch")
    }
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

impl Database {
    /// `packages` in order, with the files that each owns.
    fn new(
        (format, path): (Format, ImagePath),
        packages: Vec<Package>,
        lists: impl IntoIterator<Item = (PackageId, Listing)>,
        spelling: Spelling,
    ) -> Self {
        let mut names = Vec::new();
        for (number, package) in (0..).zip(&packages) {
            let id = PackageId(number);
            names.push((package.name.clone(), false, id));
            names.extend(package.provides.iter().map(|name| (name.clone(), true, id)));
        }
        names.sort_unstable();
        names.dedup();
        let files = FileIndex::new(packages.len(), lists);
        let mut database = Self { format, path, packages, names, files, spelling };
        for id in database.essential_providers() {
            if let Some(package) = database.packages.get_mut(id.0 as usize) {
                package.is_essential = true;
            }
        }
        database
    }

    /// The packages that provide what essential ones depend on by a name that no package has, as
    /// `base-files` depends on `awk`: each system has one of them.
    fn essential_providers(&self) -> Vec<PackageId> {
        let is_package = |name: &str| {
            let mut found = self.find(name).filter_map(|id| self.package(id));
            found.any(|package| *package.name == *name)
        };
        let essential = self.packages.iter().filter(|package| package.is_essential);
        let needs = essential.flat_map(|package| &package.dependencies);
        let needs = needs.filter(|need| need.strength <= Strength::Depends);
        let virtual_only = needs
            .filter(|need| !need.alternatives.iter().any(|name| is_package(name)))
            .flat_map(|need| &need.alternatives);
        virtual_only.flat_map(|name| self.find(name)).collect()
    }

    /// The packages that own a real path, in order. Directories usually have several owners. A link
    /// that `update-alternatives` made has none: ask for what it leads to.
    pub fn owners(&self, path: &ImagePath) -> Vec<PackageId> {
        let path = path.relative();
        let mut owners = Vec::new();
        if self.spelling.is_only(path) {
            owners.extend(self.files.owners(path));
        } else {
            for (place, diverted) in self.spelling.places(path) {
                for spelled in self.spelling.spellings(&place) {
                    owners.extend(self.files.owners(&spelled).filter(|id| {
                        let package = self.package(*id);
                        package.is_some_and(|package| diverted.applies_to(&package.name))
                    }));
                }
            }
        }
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    /// Whether packages of one source own the files at both paths.
    pub fn are_of_one_source(&self, one: &ImagePath, other: &ImagePath) -> bool {
        let source = |id: &PackageId| self.package(*id).map(|package| &package.source);
        let others = self.owners(other);
        let owners = self.owners(one);
        let mut sources = owners.iter().filter_map(source);
        sources.any(|one| others.iter().filter_map(source).any(|other| one == other))
    }

    /// Whether a path has owners, and all of them are of one source.
    pub fn is_of_one_source(&self, path: &ImagePath) -> bool {
        let owners = self.owners(path);
        let mut sources = owners.iter().map(|id| self.package(*id).map(|one| &one.source));
        sources.next().is_some_and(|first| sources.all(|other| other == first))
    }

    /// Whether every list names the directories of its files, so that nothing has an owner in a
    /// directory that has none.
    pub fn lists_directories(&self) -> bool {
        self.format == Format::Dpkg
            && self.files.are_whole()
            && self.spelling.stays_in_directories()
    }

    /// Whose database it is.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The real path of its file or directory in the root.
    pub fn path(&self) -> &ImagePath {
        &self.path
    }

    /// A package.
    pub fn package(&self, id: PackageId) -> Option<&Package> {
        self.packages.get(id.0 as usize)
    }

    /// All packages, in order.
    pub fn packages(&self) -> impl Iterator<Item = (PackageId, &Package)> {
        (0..).map(PackageId).zip(&self.packages)
    }

    /// The real paths that a package owns, files and directories, in the database's order.
    pub fn files(&self, id: PackageId) -> impl Iterator<Item = ImagePath> {
        let name = self.package(id).map_or("", |package| &*package.name);
        let listed = self.files.of(id);
        listed.filter_map(move |listed| ImagePath::new(self.spelling.real(listed, name)).ok())
    }

    /// The real path of what a package lists as `listed`.
    pub fn real_path(&self, id: PackageId, listed: &[u8]) -> Option<ImagePath> {
        let name = self.package(id).map_or("", |package| &*package.name);
        ImagePath::new(self.spelling.real(listed, name)).ok()
    }

    /// `path` with the link at its beginning followed, as in [`Database::files`].
    pub fn merged(&self, path: &ImagePath) -> ImagePath {
        ImagePath::new(self.spelling.canonical(path.relative())).unwrap_or_else(|_| path.clone())
    }

    /// The packages of this name, then those that provide it, each in order. Of apk and rpm, a name
    /// may also be that of a library or a command, as dependencies have it.
    pub fn find(&self, name: &str) -> impl Iterator<Item = PackageId> {
        let start = self.names.partition_point(|(known, _, _)| **known < *name);
        let from = self.names.get(start..).unwrap_or_default();
        from.iter().take_while(move |(known, _, _)| **known == *name).map(|(_, _, id)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "\
Package: mawk
Status: install ok installed
Architecture: amd64
Source: mawk-src (1.3)
Version: 1.3.4-1
Provides: awk (= 1), posix-awk
Pre-Depends: libc6 (>= 2.33)
Recommends: wamerican | wordlist
Conffiles:
 /etc/mawk.rc 0123456789abcdef0123456789abcdef
 /etc/old.rc 0123456789abcdef0123456789abcdef obsolete

Package: gone
Status: deinstall ok config-files
Version: 1

Package: libc6
Status: install ok installed
Architecture: i386
Version: 2.36

Package: libc6
Status: install ok installed
Architecture: amd64
Essential: yes
Pre-Depends: awk
Version: 2.36

Package: dash
Status: hold ok triggers-pending
Architecture: all
Version: 0.5
";

    const DIVERSIONS: &str = "\
/bin/sh
/bin/sh.distrib
dash
/usr/share/doc/dash/README
/usr/share/doc/dash/README.local
:
";

    fn path(text: &str) -> ImagePath {
        ImagePath::new(text).unwrap()
    }

    fn database() -> Database {
        let status = dpkg::Status::parse(STATUS.as_bytes());
        let names: Vec<_> = status.file_names().map(|(_, [long, _])| long).collect();
        assert_eq!(names, ["dash:all", "libc6:amd64", "libc6:i386", "mawk:amd64"]);
        let sums = "0123456789abcdef0123456789abcdef  usr/bin/mawk\nnonsense\n";
        let lists = [
            Listing::of_paths("/.\n/bin\n/bin/sh\n/usr/share/doc/dash/README".into()),
            Listing::of_paths("/.\n/lib\n/lib/libc.so.6\n/bin/sh\n".into()),
            Listing::of_paths("/lib/libc.so.6\n".into()),
            Listing::of_checksums(sums.into()),
        ];
        let links = vec![(path("/bin"), path("/usr/bin")), (path("/lib"), path("/usr/lib"))];
        let lists = (0..).map(PackageId).zip(lists);
        status.with_files(lists, links, DIVERSIONS.as_bytes())
    }

    #[test]
    fn packages_say_what_they_are_and_need() {
        let database = database();
        let mawk = database.package(PackageId(3)).unwrap();
        assert_eq!((&*mawk.source, &*mawk.source_version), ("mawk-src", "1.3"));
        assert_eq!(mawk.conffiles, [path("/etc/mawk.rc")]);
        let needs: Vec<_> = mawk.dependencies.iter().map(|one| one.strength).collect();
        assert_eq!(needs, [Strength::PreDepends, Strength::Recommends]);
        assert_eq!(*mawk.dependencies[1].alternatives, ["wamerican".into(), "wordlist".into()]);
        let libc = database.package(PackageId(1)).unwrap();
        assert_eq!((&*libc.source, &*libc.source_version), ("libc6", "2.36"));
        assert!(libc.is_essential && database.package(PackageId(0)).unwrap().is_for_all());
        // An essential package depends on what it provides, and no package has that name.
        assert!(mawk.is_essential && !database.package(PackageId(0)).unwrap().is_essential);
        let find = |name: &str| database.find(name).map(|id| id.0).collect::<Vec<_>>();
        assert_eq!((find("libc6"), find("awk"), find("gone")), (vec![1, 2], vec![3], vec![]));
    }

    #[test]
    fn files_are_found_under_merged_and_diverted_paths() {
        let database = database();
        let owners =
            |of: &str| -> Vec<u32> { database.owners(&path(of)).iter().map(|id| id.0).collect() };
        let expected: [(&str, Vec<u32>); 9] = [
            ("/usr/bin/mawk", vec![3]),
            // Lists of checksums leave configuration files out.
            ("/etc/mawk.rc", vec![3]),
            ("/usr/lib/libc.so.6", vec![1, 2]),
            ("/lib/libc.so.6", vec![1, 2]),
            ("/usr/bin/sh", vec![0]),
            ("/usr/bin/sh.distrib", vec![1]),
            ("/usr/share/doc/dash/README", vec![]),
            ("/usr/share/doc/dash/README.local", vec![0]),
            ("/nothing", vec![]),
        ];
        for (of, wanted) in expected {
            assert_eq!(owners(of), wanted, "{of}");
        }
        let files = |id| database.files(PackageId(id)).collect::<Vec<_>>();
        let readme = path("/usr/share/doc/dash/README.local");
        assert_eq!(files(0), [path("/usr/bin"), path("/usr/bin/sh"), readme]);
        assert_eq!(files(1)[1..], ["/usr/lib/libc.so.6", "/usr/bin/sh.distrib"].map(path));
    }

    #[test]
    fn checksums_and_diversions_to_elsewhere_do_not_name_directories() {
        let database = |list: Listing, diversions: &str| {
            let status = dpkg::Status::parse(STATUS.as_bytes());
            status.with_files([(PackageId(0), list)], Links::new(), diversions.as_bytes())
        };
        let paths = || Listing::of_paths(b"/.\n/bin\n/bin/sh\n".to_vec());
        assert!(database(paths(), "/bin/sh\n/bin/sh.distrib\n:\n").lists_directories());
        assert!(!database(paths(), "/bin/sh\n/opt/sh\n:\n").lists_directories());
        let bare = Listing::of_paths(b"/opt/tool\n".to_vec());
        assert!(!database(bare, "").lists_directories());
        let checksums = format!("{}  bin/sh\n", "0".repeat(32));
        assert!(!database(Listing::of_checksums(checksums.into()), "").lists_directories());
    }
}
