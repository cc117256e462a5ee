//! rpm's database in SQLite (`rpmdb.sqlite`): a table of the headers of all installed packages.

use super::{
    Database, Dependency, Format, Links, Listing, MAX_PACKAGES, MAX_TEXT, Package, PackageId,
    Strength,
    rpm_header::RpmHeader,
    spelling::Spelling,
    sqlite::{Sqlite, SqliteError, Value},
};
use crate::path::ImagePath;

/// The directories that may have the database, those of newer distributions first.
pub const DIRECTORIES: [&str; 2] = ["/usr/lib/sysimage/rpm", "/var/lib/rpm"];

/// Tags of a header (rpmtag.h).
mod tag {
    pub(super) const NAME: u32 = 1000;
    pub(super) const VERSION: u32 = 1001;
    pub(super) const RELEASE: u32 = 1002;
    pub(super) const EPOCH: u32 = 1003;
    pub(super) const LICENSE: u32 = 1014;
    pub(super) const ARCH: u32 = 1022;
    pub(super) const FILE_STATES: u32 = 1029;
    pub(super) const FILE_FLAGS: u32 = 1037;
    pub(super) const SOURCE_RPM: u32 = 1044;
    pub(super) const PROVIDES: u32 = 1047;
    pub(super) const REQUIRE_FLAGS: u32 = 1048;
    pub(super) const REQUIRES: u32 = 1049;
    pub(super) const DIR_INDEXES: u32 = 1116;
    pub(super) const BASE_NAMES: u32 = 1117;
    pub(super) const DIR_NAMES: u32 = 1118;
    pub(super) const RECOMMENDS: u32 = 5046;
    pub(super) const SUGGESTS: u32 = 5049;
    pub(super) const ENHANCES: u32 = 5055;
}

/// Flags of a file (rpmfiles.h).
const CONFIG: usize = 1 << 0;
const GHOST: usize = 1 << 6;
const LICENSE: usize = 1 << 7;
/// The state of a file that is there (rpmfiles.h).
const NORMAL: u8 = 0;
/// Flags of a requirement that scripts have before the package is unpacked (rpmds.h).
const BEFORE: usize = 1 << 6 | 1 << 9;

/// The database in `bytes`, the content of the `rpmdb.sqlite` at `path`. `links` are the links to
/// directories in the root.
///
/// # Errors
/// [`SqliteError`]
pub fn parse(bytes: &[u8], path: ImagePath, links: Links) -> Result<Database, SqliteError> {
    let mut packages: Vec<(Package, Listing)> = Vec::new();
    let mut len = 0;
    Sqlite::new(bytes)?.rows(b"Packages", &mut |row| {
        if let [_, Value::Bytes(blob), ..] = row
            && packages.len() < MAX_PACKAGES
            && len <= MAX_TEXT
            && let Some(header) = RpmHeader::new(blob)
            && let Some((package, list)) = package(&header)
        {
            len += list.text_len();
            packages.push((package, list));
        }
    })?;
    packages.sort_by_cached_key(|(package, _)| {
        (package.name.clone(), package.architecture.clone(), package.version.clone())
    });
    let (packages, lists): (Vec<_>, Vec<_>) = packages.into_iter().unzip();
    let lists = (0..).map(PackageId).zip(lists);
    Ok(Database::new((Format::Rpm, path), packages, lists, Spelling::new(links, b"")))
}

/// The package of a header, unless it is a key for signatures.
fn package(header: &RpmHeader<'_>) -> Option<(Package, Listing)> {
    let name = header.string(tag::NAME);
    if name.is_empty() || &*name == "gpg-pubkey" {
        return None;
    }
    let version = version(header);
    let (source, source_version) = source(&header.string(tag::SOURCE_RPM), header)
        .unwrap_or_else(|| (name.clone(), version.clone()));
    let mut package = Package {
        name,
        licence: Some(header.string(tag::LICENSE)).filter(|text| !text.is_empty()),
        architecture: header.string(tag::ARCH),
        source,
        source_version,
        version,
        provides: header.strings(tag::PROVIDES).map(text).collect(),
        dependencies: dependencies(header),
        ..Package::default()
    };
    let list = files(header, &mut package);
    Some((package, list))
}

/// `[EPOCH:]VERSION-RELEASE`
fn version(header: &RpmHeader<'_>) -> Box<str> {
    let (version, release) = (header.string(tag::VERSION), header.string(tag::RELEASE));
    let epoch = epoch(header);
    format!("{epoch}{version}-{release}").into()
}

fn epoch(header: &RpmHeader<'_>) -> String {
    header.numbers(tag::EPOCH).next().map_or_else(String::new, |epoch| format!("{epoch}:"))
}

/// Name and version of the source package, whose file is `NAME-VERSION-RELEASE.src.rpm`. It has the
/// package's epoch.
fn source(file: &str, header: &RpmHeader<'_>) -> Option<(Box<str>, Box<str>)> {
    let stem = file.strip_suffix(".src.rpm").or_else(|| file.strip_suffix(".nosrc.rpm"))?;
    let (rest, release) = stem.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    Some((name.into(), format!("{}{version}-{release}", epoch(header)).into()))
}

fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).into()
}

/// What a package needs: names of packages, libraries (`libc.so.6()(64bit)`) and paths. What rpm
/// itself has to understand is left out.
fn dependencies(header: &RpmHeader<'_>) -> Vec<Dependency> {
    let mut flags = header.numbers(tag::REQUIRE_FLAGS);
    let requires = header.strings(tag::REQUIRES).map(|name| {
        let is_before = flags.next().unwrap_or_default() & BEFORE != 0;
        (name, if is_before { Strength::PreDepends } else { Strength::Depends })
    });
    let weak = [
        (tag::RECOMMENDS, Strength::Recommends),
        (tag::SUGGESTS, Strength::Suggests),
        (tag::ENHANCES, Strength::Enhances),
    ];
    let weak = weak
        .into_iter()
        .flat_map(|(tag, strength)| header.strings(tag).map(move |name| (name, strength)));
    let all = requires.chain(weak).filter(|(name, _)| !name.starts_with(b"rpmlib("));
    all.map(|(name, strength)| Dependency { alternatives: alternatives(&text(name)), strength })
        .filter(|dependency| !dependency.alternatives.is_empty())
        .collect()
}

/// The names in a dependency: one, or those of `(a or b if c)` up to the condition.
fn alternatives(name: &str) -> Vec<Box<str>> {
    let Some(inner) = name.strip_prefix('(') else { return vec![name.into()] };
    let words = inner.split_whitespace().take_while(|word| !matches!(*word, "if" | "unless"));
    let mut names: Vec<Box<str>> = Vec::new();
    let mut is_version = false;
    for word in words {
        let is_comparison = matches!(word, "<" | "<=" | "=" | ">=" | ">");
        let is_operator = matches!(word, "or" | "and" | "with" | "without");
        if !is_comparison && !is_operator && !is_version {
            // The parentheses of `libc.so.6()(64bit)` are a part of the name.
            let opened = word.matches('(').count();
            let excess = word.matches(')').count().saturating_sub(opened);
            let word = word.trim_start_matches('(');
            names.push(word.get(..word.len() - excess).unwrap_or(word).into());
        }
        is_version = is_comparison;
    }
    names
}

/// The files that are there; notes configuration and licences in `package`.
fn files(header: &RpmHeader<'_>, package: &mut Package) -> Listing {
    let mut list = Listing::default();
    let dirs: Vec<&[u8]> = header.strings(tag::DIR_NAMES).collect();
    let mut flags = header.numbers(tag::FILE_FLAGS);
    let mut states = header.bytes(tag::FILE_STATES).iter();
    let names = header.strings(tag::BASE_NAMES).zip(header.numbers(tag::DIR_INDEXES));
    for (name, dir) in names {
        let flags = flags.next().unwrap_or_default();
        let state = states.next().copied().unwrap_or(NORMAL);
        let dir = dirs.get(dir).and_then(|dir| dir.strip_prefix(b"/"));
        let Some(dir) = dir.filter(|_| state == NORMAL) else { continue };
        let path = || ImagePath::new([dir, name].concat()).ok();
        if flags & CONFIG != 0 {
            package.conffiles.extend(path());
        }
        if flags & LICENSE != 0 {
            package.licences.extend(path());
        }
        if flags & GHOST == 0 {
            list.push(&[dir, name]);
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_dependencies_with_conditions() {
        let names = |text: &str| alternatives(text).join(" ");
        for (text, wanted) in [
            ("libc.so.6()(64bit)", "libc.so.6()(64bit)"),
            ("(a or b)", "a b"),
            (
                "(glibc-gconv-extra(x86-64) = 2.34 if redhat-rpm-config)",
                "glibc-gconv-extra(x86-64)",
            ),
            ("((a >= 1 with a < 2) or libb.so.1()(64bit))", "a a libb.so.1()(64bit)"),
        ] {
            assert_eq!(names(text), wanted, "{text}");
        }
    }
}
