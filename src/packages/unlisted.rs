//! What lists of checksums leave out: links and directories. Their names tell whose they are.

use std::collections::BTreeMap;

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

impl Entry {
    /// Whether it has the name of `package`, or the part of it before a hyphen: `postgresql` for
    /// postgresql-common. A command is that of a package that lists nothing.
    fn is_of(&self, package: &Package, lists_nothing: bool) -> bool {
        let named = |name: &[u8]| {
            let rest = package.name.as_bytes().strip_prefix(name);
            !name.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"-"))
        };
        (lists_nothing || !self.is_command)
            && (named(self.path.file_name()) || self.target.as_deref().is_some_and(named))
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
    for (package, list) in lists.iter_mut().filter(|(_, list)| list.is_of_checksums()) {
        let lists_nothing = list.paths().next().is_none();
        for (path, entry) in left.iter().filter(|(_, entry)| entry.is_of(package, lists_nothing)) {
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
