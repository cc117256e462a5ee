//! One file, several paths: links of the root such as `/lib`, and diversions of dpkg.

use std::{borrow::Cow, collections::BTreeMap};

use crate::path::ImagePath;

/// Directories that are links, each with the real path it leads to: `/lib` and `/usr/lib`. They
/// decide under which other paths a database may list a file.
pub type Links = Vec<(ImagePath, ImagePath)>;

/// A file that one package, or the administrator, moved out of the way of another (dpkg-divert(1)).
#[derive(Clone, Debug)]
struct Diversion {
    /// Where it is.
    to: Vec<u8>,
    /// The package whose own file is not diverted.
    by: Option<Box<str>>,
}

/// Whose files a path of a list stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Diverted<'a> {
    /// Those of every package.
    No,
    /// Those of this package only.
    Only(Option<&'a str>),
    /// Those of every package except this.
    Except(Option<&'a str>),
}

impl Diverted<'_> {
    pub(super) fn applies_to(self, package: &str) -> bool {
        match self {
            Self::No => true,
            Self::Only(by) => by == Some(package),
            Self::Except(by) => by != Some(package),
        }
    }
}

/// How paths of a database become real paths.
#[derive(Debug, Default)]
pub(super) struct Spelling {
    links: Links,
    /// By the real path of the diverted file, without a leading slash.
    diversions: BTreeMap<Vec<u8>, Diversion>,
    /// Where diverted files are → where their packages list them.
    diverted: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
}

impl Spelling {
    /// `diversions` is dpkg's file: three lines each, the path, the other path, and the package or
    /// `:`.
    pub(super) fn new(mut links: Links, diversions: &[u8]) -> Self {
        links.retain(|(link, to)| !link.is_root() && !to.is_within(link));
        let mut spelling = Self { links, ..Self::default() };
        let mut lines = diversions.split(|&b| b == b'\n');
        while let (Some(from), Some(to), Some(by)) = (lines.next(), lines.next(), lines.next()) {
            let [Some(from), Some(to)] = [from, to].map(|path| path.strip_prefix(b"/")) else {
                break;
            };
            let [from, to] = [from, to].map(|path| spelling.canonical(path).into_owned());
            let by = std::str::from_utf8(by).ok().filter(|by| *by != ":").map(Into::into);
            spelling.diverted.entry(to.clone()).or_default().push(from.clone());
            spelling.diversions.insert(from, Diversion { to, by });
        }
        spelling
    }

    /// Whether lists name what stands at the real path `path` by this path alone, whatever package
    /// it is of.
    pub(super) fn is_only(&self, path: &[u8]) -> bool {
        let is_below = |dir: &ImagePath| below(path, dir.relative()).is_some();
        !self.links.iter().any(|(link, to)| is_below(link) || is_below(to))
            && !self.diverted.contains_key(path)
            && !self.diversions.contains_key(path)
    }

    /// Whether each diverted file is in the directory where its package lists it.
    pub(super) fn stays_in_directories(&self) -> bool {
        let dir = |path: &[u8]| memchr::memrchr(b'/', path).map_or(0, |slash| slash);
        let is_same = |one: &[u8], other: &[u8]| one.get(..dir(one)) == other.get(..dir(other));
        self.diversions.iter().all(|(from, diversion)| is_same(from, &diversion.to))
    }

    /// `path` with the link at its beginning followed. Neither has a leading slash.
    pub(super) fn canonical<'p>(&self, path: &'p [u8]) -> Cow<'p, [u8]> {
        for (link, to) in &self.links {
            if let Some(rest) = below(path, link.relative()) {
                return Cow::Owned([to.relative(), rest].concat());
            }
        }
        Cow::Borrowed(path)
    }

    /// The real path of what `package` lists as `path`.
    pub(super) fn real(&self, path: &[u8], package: &str) -> Vec<u8> {
        let path = self.canonical(path);
        match self.diversions.get(&*path) {
            Some(diversion) if diversion.by.as_deref() != Some(package) => diversion.to.clone(),
            _ => path.into_owned(),
        }
    }

    /// The real paths that packages may list for what stands at the real path `path`, each with
    /// whose file it then is.
    pub(super) fn places<'s>(&'s self, path: &[u8]) -> Vec<(Vec<u8>, Diverted<'s>)> {
        let path = self.canonical(path).into_owned();
        let by = |path: &[u8]| self.diversions.get(path).map(|diversion| diversion.by.as_deref());
        let from = self.diverted.get(&path).into_iter().flatten();
        let mut places: Vec<_> =
            from.filter_map(|from| Some((from.clone(), Diverted::Except(by(from)?)))).collect();
        let own = by(&path).map_or(Diverted::No, Diverted::Only);
        places.push((path, own));
        places
    }

    /// The paths by which a list may name the real path `path`.
    pub(super) fn spellings(&self, path: &[u8]) -> Vec<Vec<u8>> {
        let other = |(link, to): &(ImagePath, ImagePath)| {
            below(path, to.relative()).map(|rest| [link.relative(), rest].concat())
        };
        let others = self.links.iter().filter_map(other);
        others.chain([path.to_vec()]).collect()
    }
}

/// What is left of `path` after `dir`: nothing, or a slash and more.
fn below<'p>(path: &'p [u8], dir: &[u8]) -> Option<&'p [u8]> {
    path.strip_prefix(dir).filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
}
