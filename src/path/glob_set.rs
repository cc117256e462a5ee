//! Many patterns, tested at once.

use std::collections::BTreeMap;

use super::glob::Glob;

/// A set of patterns. Most of them start with the name of a directory, and only those whose
/// directories a path is in are compared with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GlobSet {
    /// The patterns by the directory that they start with; empty if they start with none.
    globs: BTreeMap<Vec<u8>, Vec<Glob>>,
}

impl GlobSet {
    /// Whether a pattern matches the whole of `path`, as [`Glob::matches`].
    pub fn matches(&self, path: &[u8]) -> bool {
        let dirs = memchr::memchr_iter(b'/', path).map(|slash| path.get(..slash));
        [Some(&b""[..])].into_iter().chain(dirs).flatten().any(|dir| {
            self.globs.get(dir).is_some_and(|globs| globs.iter().any(|glob| glob.matches(path)))
        })
    }

    /// Whether a pattern matches `path` or a directory above it.
    pub fn matches_above(&self, path: &[u8]) -> bool {
        let dirs = memchr::memchr_iter(b'/', path).filter_map(|slash| path.get(..slash));
        !self.globs.is_empty() && dirs.chain([path]).any(|path| self.matches(path))
    }
}

impl FromIterator<Glob> for GlobSet {
    fn from_iter<I: IntoIterator<Item = Glob>>(globs: I) -> Self {
        let mut set = Self::default();
        for glob in globs {
            set.globs.entry(glob.directory().to_vec()).or_default().push(glob);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_what_one_of_its_patterns_matches() {
        let patterns =
            ["a", "usr/share/x", "usr/lib/*-linux-*/y", "**/doc", "usr/li*/z", "opt/*", "o[np]t"];
        let globs: Vec<Glob> =
            patterns.iter().map(|pattern| Glob::new(pattern.as_bytes()).unwrap()).collect();
        let set: GlobSet = globs.iter().cloned().collect();
        for path in [
            "",
            "a",
            "a/b",
            "usr",
            "usr/share",
            "usr/share/x",
            "usr/share/x/y",
            "usr/share/xy",
            "usr/lib/i386-linux-gnu/y",
            "usr/lib/y",
            "doc",
            "usr/doc",
            "usr/doc/doc",
            "usr/lib/z",
            "opt",
            "opt/a",
            "opt/a/b",
            "ont",
        ] {
            let matches = |path: &str| globs.iter().any(|glob| glob.matches(path.as_bytes()));
            assert_eq!(set.matches(path.as_bytes()), matches(path), "{path}");
            let dirs = path.match_indices('/').map(|(slash, _)| &path[..slash]);
            let above = dirs.chain([path]).any(matches);
            assert_eq!(set.matches_above(path.as_bytes()), above, "{path}");
        }
        assert!(!GlobSet::default().matches(b"") && !GlobSet::default().matches_above(b"a/b"));
    }
}
