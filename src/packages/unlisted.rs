//! What lists of checksums leave out: links and directories. Their names tell whose they are.

use std::collections::{BTreeMap, BTreeSet};

use super::{Listing, MAX_TEXT, Package};
use crate::path::ImagePath;

/// A link or directory in a directory that packages share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its real path.
    pub path: ImagePath,
    /// The last part of the path that a link leads to.
    pub target: Option<Vec<u8>>,
    /// What is in a directory.
    pub inside: Vec<Vec<u8>>,
    /// Whether it is a link among commands.
    pub is_command: bool,
}

/// Entries by the names that tell whose they are.
struct ByName<'e> {
    names: BTreeMap<&'e [u8], Vec<&'e Entry>>,
    /// Bytes of the longest name.
    longest: usize,
}

impl<'e> ByName<'e> {
    fn new(entries: impl IntoIterator<Item = &'e Entry>) -> Self {
        let mut names: BTreeMap<&[u8], Vec<&Entry>> = BTreeMap::new();
        for entry in entries {
            let target = entry.target.as_deref().unwrap_or_default();
            for name in BTreeSet::from([entry.path.file_name(), target]) {
                names.entry(name).or_default().push(entry);
            }
        }
        let longest = names.keys().map(|name| name.len()).max().unwrap_or_default();
        Self { names, longest }
    }

    /// The entries that have the name of `package`, or the part of it before a hyphen, by their
    /// paths: `postgresql` for postgresql-common. A command is that of a package that lists
    /// nothing.
    fn of(&self, package: &Package, lists_nothing: bool) -> BTreeMap<&'e [u8], &'e Entry> {
        let name = package.name.as_bytes();
        let ends = memchr::memchr_iter(b'-', name).chain([name.len()]);
        let ends = ends.filter(|end| (1..=self.longest).contains(end));
        let names = ends.filter_map(|end| name.get(..end));
        let entries = names.filter_map(|name| self.names.get(name)).flatten();
        let entries = entries.filter(|entry| lists_nothing || !entry.is_command);
        entries.map(|entry| (entry.path.relative(), *entry)).collect()
    }
}

/// Adds those of `entries` to the lists of checksums that no list has anything of.
pub(super) fn complete<'p>(
    lists: impl IntoIterator<Item = (&'p Package, &'p mut Listing)>,
    entries: &[Entry],
) {
    let mut left: BTreeMap<&[u8], &Entry> =
        entries.iter().map(|entry| (entry.path.relative(), entry)).collect();
    let mut lists: Vec<_> = lists.into_iter().collect();
    for path in lists.iter().flat_map(|(_, list)| list.paths()) {
        for end in memchr::memchr_iter(b'/', path).chain([path.len()]) {
            left.remove(path.get(..end).unwrap_or_default());
        }
    }
    // The packages of a hostile database may all have one name before a hyphen.
    let mut room = MAX_TEXT.saturating_sub(lists.iter().map(|(_, list)| list.text_len()).sum());
    let left = ByName::new(left.into_values());
    for (package, list) in lists.iter_mut().filter(|(_, list)| list.is_of_checksums()) {
        let lists_nothing = list.paths().next().is_none();
        for (path, entry) in left.of(package, lists_nothing) {
            let inside = entry.inside.iter().map(|name| path.len() + 1 + name.len());
            let Some(rest) = room.checked_sub(path.len() + inside.sum::<usize>()) else { return };
            room = rest;
            list.push(&[path]);
            entry.inside.iter().for_each(|name| list.push(&[path, b"/", name]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each of very many packages was compared with each of very many entries.
    #[test]
    fn many_packages_and_entries_are_not_compared_one_by_one() {
        let entries: Vec<Entry> = (0..100_000)
            .map(|number| Entry {
                path: ImagePath::new(format!("/usr/share/d{number}")).unwrap(),
                target: None,
                inside: Vec::new(),
                is_command: false,
            })
            .collect();
        let packages: Vec<Package> = (0..100_000)
            .map(|number| Package { name: format!("d{number}-x").into(), ..Package::default() })
            .collect();
        let mut lists: Vec<Listing> =
            packages.iter().map(|_| Listing::of_checksums(Vec::new())).collect();
        complete(packages.iter().zip(&mut lists), &entries);
        assert!(lists.iter().all(|list| list.paths().count() == 1));
    }

    #[test]
    fn names_tell_whose_unlisted_links_and_directories_are() {
        let entry = |path: &str, target: &str, inside: &[&str]| Entry {
            path: ImagePath::new(path).unwrap(),
            target: (!target.is_empty()).then(|| target.as_bytes().to_vec()),
            inside: inside.iter().map(|name| name.as_bytes().to_vec()).collect(),
            is_command: path.starts_with("/usr/bin"),
        };
        let entries = [
            entry("/etc/db", "", &["15"]),
            entry("/etc/dbx", "", &["a"]),
            entry("/usr/lib/modules", "db", &[]),
            entry("/usr/bin/db", "db-check", &[]),
            entry("/usr/share/db", "", &["x"]),
        ];
        let packages = ["db", "db-common", "dbx2"];
        let packages = packages.map(|name| Package { name: name.into(), ..Package::default() });
        let sum = "00112233445566778899aabbccddeeff  usr/share/db/x\n";
        let mut lists = ["", sum, ""].map(|text| Listing::of_checksums(text.into()));
        complete(packages.iter().zip(&mut lists), &entries);
        let paths = lists.each_ref().map(|list| {
            let paths = list.paths().map(|path| String::from_utf8_lossy(path).into_owned());
            paths.collect::<Vec<_>>().join(" ")
        });
        let common = "etc/db etc/db/15 usr/lib/modules";
        let wanted = [
            "etc/db etc/db/15 usr/bin/db usr/lib/modules".to_owned(),
            format!("usr/share/db/x {common}"),
            String::new(),
        ];
        assert_eq!(paths, wanted);
    }
}
