//! Classifies the files that a watched program accessed, and finds those that an image lacks. Pure:
//! the caller provides the accesses, and answers what the image and the sysroot contain.

mod known_files;
mod path_list;
mod serving;
mod strace;
mod strace_call;
mod strace_string;

use std::collections::{BTreeMap, BTreeSet};

pub use path_list::{ListError, MAX_LIST, include_path, parse as parse_list, write as write_list};
pub use serving::{
    Served, Withheld, is_personal, is_served_from_sysroot, personal_places, source_of_compiled,
};
pub use strace::{StraceError, read as read_strace};

/// What a program did with a path, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// Looked at it without opening it: stat(2), access(2), readlink(2).
    Look,
    /// Listed the directory: getdents(2).
    List,
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
    /// Whether the image had it; `false` means ENOENT or ENOTDIR, or that it was served just before
    /// the call. Calls with other errors are not accesses.
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

/// What was observed of a program.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// In the order of their first occurrence.
    pub accesses: &'a [Access],
    /// Where it was watched.
    pub watched: Watched,
    /// What it got from the sysroot.
    pub served: &'a Served,
}

/// A file in the sysroot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SysrootEntry {
    /// A regular file, and its length in bytes.
    File(u64),
    /// A directory.
    Directory,
}

/// Looks up a path in the sysroot. Returns the real path that it leads to and what is there.
pub type InSysroot<'a> = dyn Fn(&[u8]) -> Option<(Vec<u8>, SysrootEntry)> + 'a;

/// A file in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedFile {
    /// The path as the program named it, without components that mean nothing (`//`, `/./`).
    pub path: Vec<u8>,
    /// The most that was done with it.
    pub call: Call,
    /// The program that accessed it first.
    pub by: String,
    /// The file in the sysroot at that path.
    pub in_sysroot: Option<SysrootEntry>,
    /// The real path of that file in the sysroot where it differs from `path`.
    pub leads_to: Option<Vec<u8>>,
    /// Why it was not served while the program ran; `None` also where nothing was to be served.
    pub withheld: Option<Withheld>,
}

/// The result of watching a program. Each list is sorted by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files that the program read or executed.
    pub opened: Vec<TracedFile>,
    /// Files that the sysroot has and the image lacks: candidates for `--include`.
    pub missing: Vec<TracedFile>,
    /// Files of that kind that belong in no image.
    pub confidential: Vec<TracedFile>,
}

/// Files of a listed directory beyond this number, or this many bytes, are not all missing: the
/// program was looking for something that is not there.
const MAX_LISTED: usize = 256;
const MAX_LISTED_BYTES: u64 = 16 << 20;

/// Classifies what was observed. `in_image` tells whether the image has something at a path.
pub fn classify(
    observed: Observed<'_>,
    sysroot: &InSysroot<'_>,
    in_image: &dyn Fn(&[u8]) -> bool,
) -> Report {
    let Observed { accesses, watched, served } = observed;
    let (mut report, mut missing) = (Report::default(), Vec::new());
    let probes = Probes::new(accesses, sysroot);
    let all = seen(observed);
    for (&(path, found), seen) in &all {
        let mut seen = seen.clone();
        if let Some((real, there)) = sysroot(path).filter(|(real, _)| is_wanted(real, watched)) {
            (seen.path, seen.in_sysroot) = (in_normal_form(path), Some(there));
            seen.leads_to = Some(real).filter(|real| *real != seen.path);
        }
        let is_file = matches!(seen.in_sysroot, Some(SysrootEntry::File(_)));
        let is_read = found && seen.call != Call::Look;
        let is_missing = match watched {
            Watched::InImage => !found && seen.in_sysroot.is_some(),
            Watched::OnSystem => is_read && is_file || found && is_file && probes.matters(path),
        };
        if is_missing && !in_image(path) {
            // What was only looked at before it was served may be opened then.
            let later = all.get(&(path, true)).map_or(seen.call, |later| later.call);
            missing.push(TracedFile { call: seen.call.max(later), ..seen.clone() });
        }
        if is_read && (is_file || watched == Watched::InImage) {
            report.opened.push(seen);
        }
    }
    missing.extend(files_of_listed(served, accesses));
    let wanted: BTreeSet<Vec<u8>> = missing.iter().map(|file| file.path.clone()).collect();
    // A runtime compiles a source again where the compiled file is missing.
    let is_compiled = |path: &[u8]| {
        let source = known_files::required_source(path);
        source.is_some_and(|from| {
            in_image(&from) || watched == Watched::InImage && wanted.contains(&from)
        })
    };
    missing.retain(|file| !is_compiled(&file.path));
    let is_confidential =
        |file: &TracedFile| file.withheld.as_ref().is_some_and(Withheld::is_confidential);
    (report.confidential, report.missing) = missing.into_iter().partition(is_confidential);
    for list in [&mut report.opened, &mut report.missing, &mut report.confidential] {
        // Of equal paths, the one with which most was done.
        list.sort_by(|a, b| a.path.cmp(&b.path).then(b.call.cmp(&a.call)));
        list.dedup_by(|a, b| a.path == b.path);
    }
    report
}

/// The files that were accessed, by path and whether they were found, without those that an image
/// never needs. What the program itself made does not count from then on.
fn seen(observed: Observed<'_>) -> BTreeMap<(&[u8], bool), TracedFile> {
    let (mut made, mut seen) = (BTreeSet::new(), BTreeMap::new());
    for access in observed.accesses.iter().chain(&observed.served.interpreters) {
        let path = &access.path[..];
        if access.call == Call::Create {
            made.insert(path);
        }
        if made.contains(path) || !is_wanted(path, observed.watched) {
            continue;
        }
        let fresh = || TracedFile {
            path: access.path.clone(),
            call: access.call,
            by: access.by.clone(),
            in_sysroot: None,
            leads_to: None,
            withheld: observed.served.withheld.get(path).cloned(),
        };
        let entry = seen.entry((path, access.found)).or_insert_with(fresh);
        entry.call = entry.call.max(access.call);
    }
    seen
}

/// Whether an image may need what is at `path`.
fn is_wanted(path: &[u8], watched: Watched) -> bool {
    match watched {
        Watched::InImage => serving::is_served_from_sysroot(path),
        Watched::OnSystem => known_files::is_image_path(path),
    }
}

/// The files of directories that a program listed without opening any of their files: their names
/// are what it wanted to know.
fn files_of_listed(served: &Served, accesses: &[Access]) -> Vec<TracedFile> {
    let opened: BTreeSet<&[u8]> = accesses
        .iter()
        .filter(|access| access.call >= Call::Open)
        .filter_map(|access| parent(without_slash(&access.path)))
        .collect();
    let mut files = Vec::new();
    for (dir, names) in &served.listed {
        let bytes: u64 = names.iter().map(|(_, len)| len).sum();
        let is_small = names.len() <= MAX_LISTED && bytes <= MAX_LISTED_BYTES;
        if !is_small || opened.contains(&dir[..]) || known_files::is_shared(dir) {
            continue;
        }
        let lists = |access: &&Access| access.call == Call::List && access.path == *dir;
        let by = accesses.iter().find(lists).map_or("", |access| &access.by);
        files.extend(names.iter().map(|(name, len)| TracedFile {
            path: [dir, &b"/"[..], name].concat(),
            call: Call::List,
            by: by.to_owned(),
            in_sysroot: Some(SysrootEntry::File(*len)),
            leads_to: None,
            withheld: None,
        }));
    }
    files
}

/// `path` without empty components and `.`; `..` stays, since it may follow a link.
fn in_normal_form(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for part in path.split(|&byte| byte == b'/').filter(|part| !matches!(*part, b"" | b".")) {
        out.push(b'/');
        out.extend_from_slice(part);
    }
    out
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
        let dir = parent(path).unwrap_or_default();
        !self.listed.contains(dir) || self.sources.contains(path)
    }
}

fn parent(path: &[u8]) -> Option<&[u8]> {
    path.rsplitn(2, |&byte| byte == b'/').nth(1)
}

fn without_slash(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
}

#[cfg(test)]
mod tests;
