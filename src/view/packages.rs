//! The files of a sysroot's package database → [`Database`].

use std::num::NonZeroUsize;

use super::{Sysroot, View};
use crate::{
    elf::{Absence, Answer, FoundKind, Lookup as _, LookupError, ReadFailure},
    packages::{Database, Links, Listing, PackageId, dpkg},
    path::ImagePath,
    source::{content::Files, in_order},
};

/// Bytes of a file of the database that are read at most.
const MAX_FILE: usize = 64 << 20;

/// The package database of `sysroot`, whose files `view` shows, if it has one. Lists of files are
/// read on up to `jobs` threads.
///
/// # Errors
/// [`ReadFailure`]
pub(super) fn read(
    view: &View<'_>,
    sysroot: Sysroot<'_>,
    jobs: NonZeroUsize,
) -> Result<Option<Database>, ReadFailure> {
    let mut text = file(view, &format!("{}/status", dpkg::DIRECTORY))?.unwrap_or_default();
    let parts = Directory::open(view, "status.d")?;
    let info = Directory::open(view, "info")?;
    for name in parts.names.iter().filter(|name| !name.ends_with(b".md5sums")) {
        let path = parts.path.child(name).unwrap_or_else(|_| ImagePath::root());
        let part = file(view, path.as_bytes())?.unwrap_or_default();
        if text.len() + part.len() <= MAX_FILE {
            text.extend_from_slice(b"\n\n");
            text.extend(part);
        }
    }
    let status = dpkg::Status::parse(&text);
    if status.is_empty() {
        return Ok(None);
    }
    let wanted: Vec<Wanted> =
        status.file_names().filter_map(|(id, names)| list_of(id, &names, &info, &parts)).collect();
    let items: Vec<&Wanted> = wanted.iter().collect();
    let mut lists: Vec<(PackageId, Listing)> = Vec::new();
    let worker = || {
        let mut files = Files::default();
        move |wanted: &Wanted| LookupError::split(listing(wanted, sysroot, &mut files))
    };
    let take = |wanted: &Wanted, answer: Answer<Listing>| {
        if let Ok(list) = view.record(&wanted.path, answer) {
            lists.push((wanted.package, list));
        }
        Ok(())
    };
    in_order(&items, jobs, |wanted| Ok(Some(wanted)), worker, take)?;
    let diversions = file(view, &format!("{}/diversions", dpkg::DIRECTORY))?.unwrap_or_default();
    Ok(Some(status.with_files(lists, root_links(view)?, &diversions)))
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
    if let Some(path) = find(info, "list") {
        return Some(Wanted { package, path, has_checksums: false });
    }
    let path = find(parts, "md5sums").or_else(|| find(info, "md5sums"))?;
    Some(Wanted { package, path, has_checksums: true })
}

fn listing(
    wanted: &Wanted,
    sysroot: Sysroot<'_>,
    files: &mut Files,
) -> Result<Listing, LookupError> {
    let node = sysroot.node(&wanted.path)??.ok_or(Absence::Missing)?;
    let file = node.file().ok_or(Absence::Missing)?;
    let len = usize::try_from(file.len).unwrap_or(usize::MAX).min(MAX_FILE);
    let mut bytes = vec![0; len];
    files.read_at(&file.content, file.len, 0, &mut bytes)?;
    Ok(match wanted.has_checksums {
        true => Listing::of_checksums(bytes),
        false => Listing::of_paths(bytes),
    })
}

/// The whole file that `path` leads to.
fn file(view: &View<'_>, path: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, ReadFailure> {
    match view.find(path.as_ref())? {
        Ok(found) if matches!(found.kind, FoundKind::File(_)) => {
            Ok(view.read(&found, MAX_FILE)?.ok())
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
