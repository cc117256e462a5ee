//! What a program asked the system for when it was watched, and which of that an image lacks. Pure:
//! whoever watched the program hands its calls in, and says what there is.

mod path_list;
mod strace;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use path_list::{ListError, MAX_LIST, parse as parse_list, write as write_list};
pub use strace::{StraceError, read as read_strace};

/// What a program did with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Call {
    /// Only asked about it: stat(2), access(2), readlink(2).
    Look,
    /// Opened it to read.
    Open,
    /// Executed it.
    Execute,
    /// Opened it to make it.
    Create,
}

/// One path that a program named to the system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Access {
    /// Absolute, as the program named it: links are not resolved and `..` is still there.
    pub path: Vec<u8>,
    /// What for.
    pub call: Call,
    /// Whether it was there; `false` is ENOENT or ENOTDIR. Other refusals are no accesses.
    pub found: bool,
    /// The program that asked: the path it was executed by, or its name.
    pub by: String,
}

/// Where the program was watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// In an image: what it did not find may be missing there.
    InImage,
    /// On a system: what it read or found there is what an image has to hold.
    OnSystem,
}

/// What there is at a path in the sysroot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SysrootEntry {
    /// A regular file, and its length in bytes.
    File(u64),
    /// A directory.
    Directory,
}

/// What a sysroot has at a path, and by which path without `..` it is to be named.
pub type InSysroot<'a> = dyn Fn(&[u8]) -> Option<(Vec<u8>, SysrootEntry)> + 'a;

/// A path of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedFile {
    /// As the program named it.
    pub path: Vec<u8>,
    /// What for, at most.
    pub call: Call,
    /// Who asked first.
    pub by: String,
    /// What the sysroot has there, as far as it was looked at.
    pub in_sysroot: Option<SysrootEntry>,
}

/// What came of watching a program. Each list is in the order of its paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files that it read or executed.
    pub opened: Vec<TracedFile>,
    /// What the sysroot has and the image has not: a candidate for `--include`.
    pub missing: Vec<TracedFile>,
}

/// Below these are the kernel's and the engine's own files.
const SYSTEM_DIRS: [&[u8]; 5] = [b"/proc", b"/sys", b"/dev", b"/run", b"/var/run"];
/// Below these nothing that an image lacks is to be looked for elsewhere.
const TEMPORARY_DIRS: [&[u8]; 2] = [b"/tmp", b"/var/tmp"];

/// Files that an engine, or imgb itself, makes for each image: those of another system would be
/// wrong there.
const GENERATED_FILES: [&[u8]; 5] = [
    b"/etc/ld.so.cache",
    b"/etc/ld.so.preload",
    b"/etc/hosts",
    b"/etc/hostname",
    b"/etc/resolv.conf",
];

/// Sorts out `accesses`. `in_image` says whether the image that is compared with has something at a
/// path.
pub fn classify(
    accesses: &[Access],
    watched: Watched,
    sysroot: &InSysroot<'_>,
    in_image: &dyn Fn(&[u8]) -> bool,
) -> Report {
    let made: BTreeSet<&[u8]> = accesses
        .iter()
        .filter(|access| access.call == Call::Create)
        .map(|access| &*access.path)
        .collect();
    let mut seen: BTreeMap<(&[u8], bool), TracedFile> = BTreeMap::new();
    for access in accesses.iter().filter(|access| !made.contains(&*access.path)) {
        let is_temporary = || TEMPORARY_DIRS.iter().any(|dir| is_below(&access.path, dir));
        if !is_image_path(&access.path) || watched == Watched::InImage && is_temporary() {
            continue;
        }
        let fresh = || TracedFile {
            path: access.path.clone(),
            call: access.call,
            by: access.by.clone(),
            in_sysroot: None,
        };
        let entry = seen.entry((&access.path, access.found)).or_insert_with(fresh);
        entry.call = entry.call.max(access.call);
    }
    let asked = Probes::new(accesses, sysroot);
    let mut report = Report::default();
    for ((path, found), mut seen) in seen {
        if let Some((name, there)) = sysroot(path) {
            (seen.path, seen.in_sysroot) = (name, Some(there));
        }
        let is_file = matches!(seen.in_sysroot, Some(SysrootEntry::File(_)));
        let is_read = found && seen.call != Call::Look;
        let is_missing = match watched {
            Watched::InImage => !found && seen.in_sysroot.is_some(),
            Watched::OnSystem => is_read && is_file || found && is_file && asked.decides(path),
        };
        if is_missing && !in_image(path) {
            report.missing.push(seen.clone());
        }
        if is_read && (is_file || watched == Watched::InImage) {
            report.opened.push(seen);
        }
    }
    for list in [&mut report.opened, &mut report.missing] {
        list.sort_by(|a, b| a.path.cmp(&b.path));
        list.dedup_by(|a, b| a.path == b.path);
    }
    report
}

/// Which files matter that a program only asked about.
struct Probes<'a> {
    /// Directories that were opened: a program that lists one asks about all that is in it.
    listed: BTreeSet<&'a [u8]>,
    /// Sources of Python's compiled modules: it takes those in `__pycache__` only beside their
    /// sources.
    sources: BTreeSet<Vec<u8>>,
}

impl<'a> Probes<'a> {
    fn new(accesses: &'a [Access], sysroot: &InSysroot<'_>) -> Self {
        let opened = || accesses.iter().filter(|access| access.found && access.call == Call::Open);
        let is_directory =
            |access: &&Access| matches!(sysroot(&access.path), Some((_, SysrootEntry::Directory)));
        Self {
            listed: opened()
                .filter(is_directory)
                .map(|access| without_slash(&access.path))
                .collect(),
            sources: opened().filter_map(|access| source(&access.path)).collect(),
        }
    }

    fn decides(&self, path: &[u8]) -> bool {
        let path = without_slash(path);
        let dir = path.rsplitn(2, |&byte| byte == b'/').nth(1).unwrap_or_default();
        !self.listed.contains(dir) || self.sources.contains(path)
    }
}

fn without_slash(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
}

/// The source of a compiled module (PEP 3147): `x.py` of `__pycache__/x.cpython-311.pyc`.
fn source(compiled: &[u8]) -> Option<Vec<u8>> {
    const CACHE: &[u8] = b"/__pycache__/";
    let at = memchr::memmem::rfind(compiled, CACHE)?;
    let (dir, name) = (&compiled[..at], &compiled[at + CACHE.len()..]);
    let stem = name.strip_suffix(b".pyc")?.split(|&byte| byte == b'.').next()?;
    Some([dir, b"/", stem, b".py"].concat())
}

fn is_image_path(path: &[u8]) -> bool {
    path != b"/"
        && !SYSTEM_DIRS.iter().any(|dir| is_below(path, dir))
        && !GENERATED_FILES.contains(&path)
}

fn is_below(path: &[u8], dir: &[u8]) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(path: &str, call: Call, found: bool) -> Access {
        Access { path: path.into(), call, found, by: "/bin/app".into() }
    }

    fn paths(seen: &[TracedFile]) -> Vec<String> {
        seen.iter().map(|seen| String::from_utf8_lossy(&seen.path).into_owned()).collect()
    }

    const ACCESSES: [(&str, Call, bool); 9] = [
        ("/etc/app.conf", Call::Look, false),
        ("/etc/app.conf", Call::Open, false),
        ("/nowhere", Call::Open, false),
        ("/usr/share/app", Call::Look, false),
        ("/usr/lib/plugin.so", Call::Open, true),
        ("/bin/tool", Call::Execute, true),
        ("/etc/ld.so.cache", Call::Open, false),
        ("/proc/self/maps", Call::Open, true),
        ("/var/state", Call::Open, false),
    ];

    fn report(watched: Watched) -> Report {
        let mut accesses: Vec<Access> =
            ACCESSES.iter().map(|(path, call, found)| access(path, *call, *found)).collect();
        accesses.push(access("/var/state", Call::Create, true));
        let sysroot = |path: &[u8]| match path {
            b"/usr/share/app" => Some((path.to_vec(), SysrootEntry::Directory)),
            b"/nowhere" => None,
            _ => Some((path.to_vec(), SysrootEntry::File(1))),
        };
        classify(&accesses, watched, &sysroot, &|path| path == b"/bin/tool")
    }

    #[test]
    fn in_an_image_what_was_not_found_and_is_on_the_system_is_missing() {
        let report = report(Watched::InImage);
        assert_eq!(paths(&report.missing), ["/etc/app.conf", "/usr/share/app"]);
        assert_eq!(report.missing[0].call, Call::Open, "the most that was done with it");
        assert_eq!(paths(&report.opened), ["/bin/tool", "/usr/lib/plugin.so"]);
    }

    #[test]
    fn on_a_system_what_was_read_is_missing_unless_the_image_has_it() {
        let report = report(Watched::OnSystem);
        assert_eq!(paths(&report.missing), ["/usr/lib/plugin.so"]);
        assert_eq!(paths(&report.opened), ["/bin/tool", "/usr/lib/plugin.so"]);
    }

    /// What a program asks about decides what it does, but one that lists a directory asks about
    /// all that is there.
    #[test]
    fn on_a_system_files_that_are_asked_about_count_unless_their_directory_is_listed() {
        let accesses = [
            access("/etc/app.conf", Call::Look, true),
            access("/data/", Call::Open, true),
            access("/data/one", Call::Look, true),
            access("/data/two", Call::Open, true),
            access("/py", Call::Open, true),
            access("/py/x.py", Call::Look, true),
            access("/py/y.py", Call::Look, true),
            access("/py/__pycache__/x.cpython-311.opt-1.pyc", Call::Open, true),
        ];
        let sysroot = |path: &[u8]| match path {
            b"/data/" | b"/py" => Some((path.to_vec(), SysrootEntry::Directory)),
            _ => Some((path.to_vec(), SysrootEntry::File(1))),
        };
        let report = classify(&accesses, Watched::OnSystem, &sysroot, &|_| false);
        let wanted =
            ["/data/two", "/etc/app.conf", "/py/__pycache__/x.cpython-311.opt-1.pyc", "/py/x.py"];
        assert_eq!(paths(&report.missing), wanted);
        assert_eq!(paths(&report.opened), ["/data/two", "/py/__pycache__/x.cpython-311.opt-1.pyc"]);
    }

    #[test]
    fn names_that_only_begin_alike_are_ours() {
        assert!(
            is_image_path(b"/process")
                && is_image_path(b"/developer/x")
                && is_image_path(b"/etc/hosts.allow")
        );
        assert!(
            !is_image_path(b"/proc/1") && !is_image_path(b"/") && !is_below(b"/tmpfile", b"/tmp")
        );
    }
}
