//! The files of a sysroot's package database → [`Database`].

use std::{
    num::NonZeroUsize,
    os::unix::ffi::OsStrExt as _,
    sync::atomic::{AtomicBool, Ordering},
};

use super::{View, unlisted};
use crate::{
    elf::{Answer, FileId, FoundKind, Lookup as _, LookupError, ReadFailure},
    packages::{self, Database, Links, Listing, MAX_TEXT, PackageId, apk, dpkg, rpm},
    path::ImagePath,
    source::{SmallFiles, Sysroot, in_order},
    tree::HostFile,
};

/// Bytes of a file of the database that are read at most.
const MAX_FILE: usize = 64 << 20;

/// Lists of packages that a thread reads at a time.
const FILES_OF_TASK: usize = 32;
/// Bytes of rpm's database that are read at most.
const MAX_RPM: usize = 1 << 30;

/// What is known of a sysroot's packages.
#[derive(Debug, Default)]
pub(super) struct Packages {
    pub(super) database: Option<Database>,
    /// Why a database is not read.
    pub(super) unread: Option<String>,
}

impl<'a> View<'a> {
    /// Who owns the sysroot's files; `None` if it has no database of packages. It is read when it
    /// is asked for first.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn packages(&self) -> Result<Option<&Database>, ReadFailure> {
        Ok(self.read_packages()?.database.as_ref())
    }

    /// As [`View::packages`], for when nothing else is looked up.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn into_packages(self) -> Result<Option<Database>, ReadFailure> {
        self.read_packages()?;
        Ok(self.packages.into_inner().and_then(|packages| packages.database))
    }

    /// Why a database of packages that the sysroot has is not read.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn unread_packages(&self) -> Result<Option<&str>, ReadFailure> {
        Ok(self.read_packages()?.unread.as_deref())
    }

    /// Whether the sysroot seems to have a database of packages, which is not read to tell.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn may_have_packages(&self) -> Result<bool, ReadFailure> {
        if let Some(known) = self.packages.get() {
            return Ok(known.database.is_some());
        }
        let Some(view) = self.sysroot_alone() else { return Ok(false) };
        for path in packages::DIRECTORIES {
            if view.find(path.as_bytes())?.is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the highest layer has a file that a package of the sysroot may own: one in a
    /// directory that the sysroot has too, or in `/` under a name that the sysroot has. The
    /// database is not read to tell.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn meets_sysroot(&self) -> Result<bool, ReadFailure> {
        let Some(view) = self.sysroot_alone() else { return Ok(false) };
        let mut missing: Option<&ImagePath> = None;
        for (path, node) in self.tree {
            if missing.is_some_and(|dir| path.is_within(dir)) {
                continue;
            }
            let is_in_root = path.parent_bytes() == Some(b"/");
            let is_there = match node.is_directory() || is_in_root {
                true => view.probe(path.as_bytes())?.is_ok(),
                false => true,
            };
            match node.is_directory() {
                true if !is_there => missing = Some(path),
                false if is_there => return Ok(true),
                _ => {}
            }
        }
        Ok(false)
    }

    fn read_packages(&self) -> Result<&Packages, ReadFailure> {
        if let Some(known) = self.packages.get() {
            return Ok(known);
        }
        let mut found = Packages::default();
        if let Some(sysroot) = self.sysroot {
            let jobs = self.options.map_or(NonZeroUsize::MIN, |options| options.jobs);
            let view = View::of_sysroot(sysroot);
            found = read(&view, sysroot, jobs)?;
            self.memo.borrow_mut().denied.append(&mut view.memo.take().denied);
        }
        Ok(self.packages.get_or_init(|| found))
    }

    /// The sysroot alone, with its own metadata.
    fn sysroot_alone(&self) -> Option<View<'a>> {
        self.sysroot.map(View::of_sysroot)
    }

    /// The checksums of a package's files, in the database's format; empty if it has none.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn package_checksums(&self, id: PackageId) -> Result<Vec<u8>, ReadFailure> {
        match (self.packages()?, self.sysroot_alone()) {
            (Some(database), Some(view)) => checksums(&view, database, id),
            _ => Ok(Vec::new()),
        }
    }

    /// Where the file of the host `host` is in the sysroot, if it is there and `wanted` approves of
    /// its path below it, which has no leading slash.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub fn in_sysroot(
        &self,
        host: &HostFile,
        wanted: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Option<ImagePath>, ReadFailure> {
        let (Some(Sysroot::Directory(root)), Some(view)) = (self.sysroot, self.sysroot_alone())
        else {
            return Ok(None);
        };
        let on_host = host.path.to_path_buf();
        let Some(path) = root.path_below(&on_host) else { return Ok(None) };
        let path = path.as_os_str().as_bytes();
        if !wanted(path) {
            return Ok(None);
        }
        let found = view.probe(path)?;
        Ok(found.ok().filter(|found| found.id == FileId(host.dev, host.ino)).map(|at| at.path))
    }
}

/// The package database of `sysroot`, whose files `view` shows, if it has one: the first of those
/// of dpkg, apk and rpm. Lists of files are read on up to `jobs` threads.
///
/// # Errors
/// [`ReadFailure`]
fn read(
    view: &View<'_>,
    sysroot: Sysroot<'_>,
    jobs: NonZeroUsize,
) -> Result<Packages, ReadFailure> {
    let found = |database| Packages { database: Some(database), unread: None };
    if let Some(database) = read_dpkg(view, sysroot, jobs)? {
        return Ok(found(database));
    }
    for path in apk::FILES {
        if let Some((path, text)) = file(view, path, MAX_FILE)? {
            return Ok(found(apk::parse(&text, path, root_links(view)?)));
        }
    }
    read_rpm(view)
}

/// rpm's database. Of its three formats, only SQLite's is read.
fn read_rpm(view: &View<'_>) -> Result<Packages, ReadFailure> {
    let unread = |path: &str, why: &str| {
        let unread = Some(format!("the package database `{path}` is not read: {why}"));
        Packages { database: None, unread }
    };
    for dir in rpm::DIRECTORIES {
        let path = format!("{dir}/rpmdb.sqlite");
        if let Some((real, bytes)) = file(view, &path, MAX_RPM)? {
            let log = view.find(format!("{path}-wal").as_bytes())?;
            if log.is_ok_and(|log| matches!(log.kind, FoundKind::File(1..))) {
                return Ok(unread(
                    &path,
                    "changes in `rpmdb.sqlite-wal` are not written back to it",
                ));
            }
            return Ok(match rpm::parse(&bytes, real, root_links(view)?) {
                Ok(database) => Packages { database: Some(database), unread: None },
                Err(error) => unread(&path, &error.to_string()),
            });
        }
        for (name, format) in [("Packages", "Berkeley DB"), ("Packages.db", "NDB")] {
            let path = format!("{dir}/{name}");
            if view.find(path.as_bytes())?.is_ok() {
                let why = format!("its format is {format}, not SQLite (`rpm --rebuilddb`)");
                return Ok(unread(&path, &why));
            }
        }
    }
    Ok(Packages::default())
}

/// dpkg's database.
fn read_dpkg(
    view: &View<'_>,
    sysroot: Sysroot<'_>,
    jobs: NonZeroUsize,
) -> Result<Option<Database>, ReadFailure> {
    let whole =
        |path: &[u8]| Ok(file(view, path, MAX_FILE)?.map(|(_, bytes)| bytes).unwrap_or_default());
    let mut text = whole(format!("{}/status", dpkg::DIRECTORY).as_bytes())?;
    let parts = Directory::open(view, "status.d")?;
    let info = Directory::open(view, "info")?;
    for name in parts.names.iter().filter(|name| !name.ends_with(b".md5sums")) {
        let path = parts.path.child(name).unwrap_or_else(|_| ImagePath::root());
        let part = whole(path.as_bytes())?;
        if text.len() + part.len() > MAX_FILE {
            break;
        }
        text.extend_from_slice(b"\n\n");
        text.extend(part);
    }
    let status = dpkg::Status::parse(&text);
    if status.is_empty() {
        return Ok(None);
    }
    let wanted: Vec<Wanted> =
        status.file_names().filter_map(|(id, names)| list_of(id, &names, &info, &parts)).collect();
    // To pass on one file at a time would take longer than to read it.
    let items: Vec<&[Wanted]> = wanted.chunks(FILES_OF_TASK).collect();
    let mut lists: Vec<(PackageId, Listing)> = Vec::new();
    let (mut len, is_full) = (0, AtomicBool::new(false));
    let directory = |directory: &Directory| SmallFiles::new(sysroot, directory.path.clone());
    let directories = [directory(&info), directory(&parts)];
    let worker = || {
        let (directories, is_full) = (&directories, &is_full);
        move |wanted: &[Wanted]| {
            let mut len = 0;
            let mut read = |wanted| {
                if len > MAX_TEXT || is_full.load(Ordering::Relaxed) {
                    return Ok(Ok(Listing::default()));
                }
                let list = LookupError::split(listing(wanted, directories));
                len += list.iter().flatten().map(Listing::text_len).sum::<usize>();
                list
            };
            wanted.iter().map(&mut read).collect::<Result<Vec<_>, _>>()
        }
    };
    let take = |wanted: &[Wanted], answers: Vec<Answer<Listing>>| {
        for (wanted, answer) in wanted.iter().zip(answers) {
            if let Ok(list) = view.record(&wanted.path, answer) {
                len += list.text_len();
                match len <= MAX_TEXT {
                    true => lists.push((wanted.package, list)),
                    false => is_full.store(true, Ordering::Relaxed),
                }
            }
        }
        Ok(())
    };
    in_order(&items, jobs, |wanted| Ok(Some(wanted)), worker, take)?;
    if !parts.names.is_empty() && wanted.iter().any(|wanted| wanted.has_checksums) {
        status.complete(&mut lists, &unlisted::entries(view)?);
    }
    let diversions = whole(format!("{}/diversions", dpkg::DIRECTORY).as_bytes())?;
    Ok(Some(status.with_files(lists, root_links(view)?, &diversions)))
}

/// The checksums of a package's files, as they are written in the database that `view` shows.
///
/// # Errors
/// [`ReadFailure`]
fn checksums(view: &View<'_>, database: &Database, id: PackageId) -> Result<Vec<u8>, ReadFailure> {
    let Some(package) = database.package(id) else { return Ok(Vec::new()) };
    let names = dpkg::file_names(package);
    for (name, directory) in names.iter().flat_map(|name| [(name, "info"), (name, "status.d")]) {
        let path = format!("{}/{directory}/{name}.md5sums", dpkg::DIRECTORY);
        if let Some((_, bytes)) = file(view, path, MAX_FILE)? {
            return Ok(bytes);
        }
    }
    Ok(Vec::new())
}

/// A directory of the database; empty if there is none.
struct Directory {
    path: ImagePath,
    /// In order.
    names: Vec<Vec<u8>>,
}

impl Directory {
    fn open(view: &View<'_>, name: &str) -> Result<Self, ReadFailure> {
        let path = format!("{}/{name}", dpkg::DIRECTORY);
        let names = view.list(path.as_bytes())?.unwrap_or_default();
        let resolved = view.resolve(path.as_bytes())?;
        let path = resolved.map_or_else(|_| ImagePath::root(), |resolved| resolved.path);
        Ok(Self { path, names })
    }

    fn entry(&self, name: &str) -> Option<ImagePath> {
        self.names.binary_search_by(|known| known[..].cmp(name.as_bytes())).ok()?;
        self.path.child(name.as_bytes()).ok()
    }
}

/// A file that lists what a package owns.
struct Wanted {
    package: PackageId,
    path: ImagePath,
    /// Whether it is in `info`, otherwise in `status.d`.
    is_in_info: bool,
    /// Whether it lists checksums, too.
    has_checksums: bool,
}

/// The list of a package: images without dpkg have its checksums only.
fn list_of(
    package: PackageId,
    names: &[String],
    info: &Directory,
    parts: &Directory,
) -> Option<Wanted> {
    let find = |directory: &Directory, extension: &str| {
        names.iter().find_map(|name| directory.entry(&format!("{name}.{extension}")))
    };
    let wanted =
        |path, is_in_info, has_checksums| Some(Wanted { package, path, is_in_info, has_checksums });
    if let Some(path) = find(info, "list") {
        return wanted(path, true, false);
    }
    match find(parts, "md5sums") {
        Some(path) => wanted(path, false, true),
        None => wanted(find(info, "md5sums")?, true, true),
    }
}

/// Reads a list, out of `info` or `status.d`.
fn listing(wanted: &Wanted, [info, parts]: &[SmallFiles<'_>; 2]) -> Result<Listing, LookupError> {
    let directory = if wanted.is_in_info { info } else { parts };
    let bytes = directory.read(wanted.path.file_name(), MAX_FILE)?;
    Ok(match wanted.has_checksums {
        true => Listing::of_checksums(bytes),
        false => Listing::of_paths(bytes),
    })
}

/// The file that `path` leads to, with its real path, up to `limit` bytes.
fn file(
    view: &View<'_>,
    path: impl AsRef<[u8]>,
    limit: usize,
) -> Result<Option<(ImagePath, Vec<u8>)>, ReadFailure> {
    match view.find(path.as_ref())? {
        Ok(found) if found.is_file() => {
            Ok(view.read(&found, limit)?.ok().map(|bytes| (found.path, bytes)))
        }
        _ => Ok(None),
    }
}

/// The links to directories in the root, with where they lead.
fn root_links(view: &View<'_>) -> Result<Links, ReadFailure> {
    let mut links = Links::new();
    for name in view.list(b"/")?.unwrap_or_default() {
        let Ok(path) = ImagePath::root().child(&name) else { continue };
        match view.resolve(path.as_bytes())? {
            Ok(resolved) if resolved.is_directory && resolved.path != path => {
                links.push((path, resolved.path));
            }
            _ => {}
        }
    }
    Ok(links)
}
