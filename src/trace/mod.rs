//! Classifies the files that a watched program accessed, and finds those that an image lacks. Pure:
//! the caller provides the accesses, and answers what the image and the sysroot contain.

mod known_files;
mod path_list;
mod strace;
mod strace_call;
mod strace_string;

use std::collections::{BTreeMap, BTreeSet};

pub use path_list::{ListError, MAX_LIST, parse as parse_list, write as write_list};
pub use strace::{StraceError, read as read_strace};

/// What a program did with a path, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// Looked at it without opening it: stat(2), access(2), readlink(2).
    Look,
    /// Opened it for reading.
    Open,
    /// Executed it.
    Execute,
    /// Opened it with O_CREAT or O_TRUNC.
    Create,
}

/// A path that a program named in a system call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Access {
    /// Absolute, as the program named it: neither links nor `..` are resolved.
    pub path: Vec<u8>,
    /// The kind of system call.
    pub call: Call,
    /// Whether it existed; `false` means ENOENT or ENOTDIR. Calls with other errors are not
    /// accesses.
    pub found: bool,
    /// The program that made the call: the path by which it was executed, or its name.
    pub by: String,
}

/// Where the program was watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// In an image: what it did not find may be missing.
    InImage,
    /// On a system: what it read or found there is what an image needs.
    OnSystem,
}

/// A file in the sysroot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SysrootEntry {
    /// A regular file, and its length in bytes.
    File(u64),
    /// A directory.
    Directory,
}

/// Looks up a path in the sysroot. Returns the path without `..` and what is there.
pub type InSysroot<'a> = dyn Fn(&[u8]) -> Option<(Vec<u8>, SysrootEntry)> + 'a;

/// A file in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedFile {
    /// The path as the program named it.
    pub path: Vec<u8>,
    /// The most that was done with it.
    pub call: Call,
    /// The program that accessed it first.
    pub by: String,
    /// The file in the sysroot at that path.
    pub in_sysroot: Option<SysrootEntry>,
}

/// The result of watching a program. Each list is sorted by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files that the program read or executed.
    pub opened: Vec<TracedFile>,
    /// Files that the sysroot has and the image lacks: candidates for `--include`.
    pub missing: Vec<TracedFile>,
}

/// Classifies `accesses`. `in_image` tells whether the image has something at a path.
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
        let is_temporary = || known_files::is_temporary(&access.path);
        if !known_files::is_image_path(&access.path)
            || watched == Watched::InImage && is_temporary()
        {
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
    let probes = Probes::new(accesses, sysroot);
    let mut report = Report::default();
    for ((path, found), mut seen) in seen {
        if let Some((name, there)) = sysroot(path) {
            (seen.path, seen.in_sysroot) = (name, Some(there));
        }
        let is_file = matches!(seen.in_sysroot, Some(SysrootEntry::File(_)));
        let is_read = found && seen.call != Call::Look;
        let is_missing = match watched {
            Watched::InImage => !found && seen.in_sysroot.is_some(),
            Watched::OnSystem => is_read && is_file || found && is_file && probes.matters(path),
        };
        // A runtime compiles a source again where the compiled file is missing.
        let has_source = || known_files::required_source(path).is_some_and(|from| in_image(&from));
        if is_missing && !in_image(path) && !has_source() {
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

/// Decides which of the files matter that a program only looked at.
struct Probes<'a> {
    /// Directories that were opened: a program that lists one looks at every entry.
    listed: BTreeSet<&'a [u8]>,
    /// Sources of compiled files that were opened: the runtime requires both.
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
            sources: opened()
                .filter_map(|access| known_files::required_source(&access.path))
                .collect(),
        }
    }

    fn matters(&self, path: &[u8]) -> bool {
        let path = without_slash(path);
        let dir = path.rsplitn(2, |&byte| byte == b'/').nth(1).unwrap_or_default();
        !self.listed.contains(dir) || self.sources.contains(path)
    }
}

fn without_slash(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
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

    #[test]
    fn compiled_files_are_not_missing_where_the_image_has_their_sources() {
        let pyc = |name: &str| format!("/py/__pycache__/{name}.cpython-311.pyc");
        let accesses = ["x", "y"].map(|name| access(&pyc(name), Call::Open, false));
        let sysroot = |path: &[u8]| Some((path.to_vec(), SysrootEntry::File(1)));
        let report = classify(&accesses, Watched::InImage, &sysroot, &|path| path == b"/py/x.py");
        assert_eq!(paths(&report.missing), [pyc("y")]);
    }

    /// The files that a program looks at decide what it does, but a program that lists a directory
    /// looks at all of its entries.
    #[test]
    fn on_a_system_files_that_are_looked_at_count_unless_their_directory_is_listed() {
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
}
