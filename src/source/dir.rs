//! Reads a directory of the host as a tree. Links stay links.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustix::{
    fs::{CWD, FileType},
    io::{Errno, retry_on_intr},
};

use super::{InputOptions, SourceError, stat::HostStat, sys, worker_pool};
use crate::{
    path::ImagePath,
    store,
    tree::{HostPath, Node, Tree, Xattrs, capability},
    uninterrupted,
};

/// Reads the directory `source`: its contents go below `root`, its own metadata to `root` itself.
/// All files that cannot be packed are reported together.
pub(super) fn read(
    name: &str,
    source: &Path,
    root: &ImagePath,
    options: &InputOptions,
) -> Result<Tree, SourceError> {
    let unreadable = |path: &Path, source| SourceError::Unreadable { path: path.into(), source };
    let real = uninterrupted::canonicalize(source).map_err(|error| unreadable(source, error))?;
    let metadata =
        uninterrupted::symlink_metadata(&real).map_err(|error| unreadable(&real, error))?;
    let own = node(name, &real, &HostStat::of_metadata(&metadata), options)?;
    let walk = Walk { name, source, real: &real, options, directories: AtomicUsize::new(1) };
    let first = Directory { number: 0, on_host: real.as_path().into(), path: root.clone() };
    let found = worker_pool::run(first, options.jobs, |directory| {
        let mut part = Part::default();
        let result = walk.directory(&directory, &mut part);
        let left = std::mem::take(&mut part.left);
        ((directory, result.map(|()| part)), left)
    });
    let mut parts: Vec<_> = found.iter().map(|_| Part::default()).collect();
    let (mut faults, mut unpackable) = (Vec::new(), Vec::new());
    for (directory, result) in found {
        match (result, parts.get_mut(directory.number)) {
            (Ok(mut part), Some(place)) => {
                unpackable.append(&mut part.unpackable);
                *place = part;
            }
            (Ok(_), None) => {}
            (Err(fault), _) => faults.push((directory.path, fault)),
        }
    }
    // Report the first error in path order, whichever thread met it first.
    if let Some((_, fault)) = faults.into_iter().min_by(|(one, _), (other, _)| one.cmp(other)) {
        return Err(fault);
    }
    unpackable.sort_unstable();
    match unpackable.is_empty() {
        true => Ok(depth_first((root.clone(), own), parts).collect()),
        false => Err(SourceError::NoRegularFiles { name: name.into(), entries: unpackable }),
    }
}

/// Returns `root`, whose directory is the first of `parts`, and everything below it, each directory
/// before its contents. This is nearly tree order, so building the tree has little to sort.
fn depth_first(
    root: (ImagePath, Node),
    mut parts: Vec<Part>,
) -> impl Iterator<Item = (ImagePath, Node)> {
    let mut enter = move |number: usize| {
        let part = parts.get_mut(number).map(std::mem::take).unwrap_or_default();
        (part.nodes.into_iter(), part.below.into_iter())
    };
    let mut left = vec![enter(0)];
    let next = move || {
        loop {
            let (siblings, below) = left.last_mut()?;
            let Some((path, node)) = siblings.next() else {
                left.pop();
                continue;
            };
            let below = if node.is_directory() { below.next() } else { None };
            left.extend(below.map(&mut enter));
            return Some((path, node));
        }
    };
    std::iter::once(root).chain(std::iter::from_fn(next))
}

/// A walk of the directory `real`, which the user named `source`.
struct Walk<'a> {
    name: &'a str,
    source: &'a Path,
    real: &'a Path,
    options: &'a InputOptions,
    /// How many directories have been found so far, including the first.
    directories: AtomicUsize,
}

/// A directory that is still to be read.
struct Directory {
    /// Directories are numbered in the order in which they are found.
    number: usize,
    on_host: Arc<Path>,
    /// Its path in the image.
    path: ImagePath,
}

/// The contents of one directory.
#[derive(Default)]
struct Part {
    nodes: Vec<(ImagePath, Node)>,
    /// The numbers of the directories among the nodes, in the order of the nodes.
    below: Vec<usize>,
    unpackable: Vec<(PathBuf, &'static str)>,
    left: Vec<Directory>,
}

impl Walk<'_> {
    /// Reads the contents of a directory. Files are looked up relative to the open directory:
    /// resolving a long path for each of them would double the cost.
    fn directory(&self, directory: &Directory, part: &mut Part) -> Result<(), SourceError> {
        let Directory { on_host: dir, path, .. } = directory;
        let unreadable = |path: &Path, errno: Errno| SourceError::Unreadable {
            path: path.into(),
            source: errno.into(),
        };
        let fd = sys::open_directory(CWD, &**dir).map_err(|errno| unreadable(dir, errno))?;
        let names = store::names(&fd).map_err(|errno| unreadable(dir, errno))?;
        let outputs: Vec<_> =
            self.options.outputs.iter().filter(|path| path.parent() == Some(&**dir)).collect();
        part.nodes.reserve_exact(names.len());
        for name in names {
            let on_host = below(dir, name.to_bytes());
            let Some(at) = self.place(&on_host, path, name.to_bytes())? else { continue };
            if outputs.contains(&&on_host) {
                continue;
            }
            let stat = sys::lstat(&fd, &*name).map_err(|errno| unreadable(&on_host, errno))?;
            if let Some(kind) = unpackable_kind(stat.kind) {
                part.unpackable.push((self.source.join(self.below(&on_host)), kind));
                continue;
            }
            let read_link = || sys::read_link(&fd, &*name);
            let file = || HostPath::new(dir, OsStr::from_bytes(name.to_bytes()));
            let found = stat.node(file, read_link);
            let Some(found) = found.map_err(|errno| unreadable(&on_host, errno))? else { continue };
            part.nodes.push((at.clone(), adopt(found, &on_host, self.options)?));
            if stat.kind == FileType::Directory {
                let number = self.directories.fetch_add(1, Ordering::Relaxed);
                part.below.push(number);
                part.left.push(Directory { number, on_host: on_host.into(), path: at });
            }
        }
        Ok(())
    }

    /// The path in the image of `name` in `dir`; `None` if it is excluded.
    fn place(
        &self,
        on_host: &Path,
        dir: &ImagePath,
        name: &[u8],
    ) -> Result<Option<ImagePath>, SourceError> {
        let bad_path = |source| SourceError::BadPath {
            name: self.name.into(),
            entry: self.below(on_host).as_os_str().as_bytes().into(),
            source,
        };
        let path = dir.child(name).map_err(bad_path)?;
        if self.options.excludes(&path) {
            return Ok(None);
        }
        if name.starts_with(b".wh.") && !self.options.outputs.contains(on_host) {
            return Err(SourceError::WhiteoutName {
                name: self.name.into(),
                entry: self.below(on_host).into(),
            });
        }
        Ok(Some(path))
    }

    fn below<'p>(&self, on_host: &'p Path) -> &'p Path {
        on_host.strip_prefix(self.real).unwrap_or(on_host)
    }
}

/// Returns `dir/name`, allocated at its exact length since there is one for each file.
fn below(dir: &Path, name: &[u8]) -> PathBuf {
    let mut path = PathBuf::with_capacity(dir.as_os_str().len() + 1 + name.len());
    path.push(dir);
    path.push(OsStr::from_bytes(name));
    path
}

/// The node for a host file that the user named. `stat` describes the file itself, or the target if
/// the file is a link.
pub(super) fn node(
    name: &str,
    path: &Path,
    stat: &HostStat,
    options: &InputOptions,
) -> Result<Node, SourceError> {
    let unreadable =
        |errno: Errno| SourceError::Unreadable { path: path.into(), source: errno.into() };
    let found = stat.node(|| path.into(), || sys::read_link(CWD, path)).map_err(unreadable)?;
    match (found, unpackable_kind(stat.kind)) {
        (Some(found), None) => adopt(found, path, options),
        (_, kind) => {
            let entries = vec![(path.into(), kind.unwrap_or("file of an unknown kind"))];
            Err(SourceError::NoRegularFiles { name: name.into(), entries })
        }
    }
}

/// Gives a host file the metadata that inputs get, and its own file capabilities.
pub(super) fn adopt(found: Node, path: &Path, options: &InputOptions) -> Result<Node, SourceError> {
    let mut node = options.adopt(found);
    if node.is_executable() {
        node.meta.xattrs = capability_attribute(path)
            .map_err(|source| SourceError::Unreadable { path: path.into(), source })?;
    }
    Ok(node)
}

fn unpackable_kind(kind: FileType) -> Option<&'static str> {
    match kind {
        FileType::Fifo => Some("FIFO"),
        FileType::Socket => Some("socket"),
        FileType::CharacterDevice => Some("character device"),
        FileType::BlockDevice => Some("block device"),
        _ => None,
    }
}

/// Reads `security.capability` in the kernel's format (`struct vfs_cap_data`). No other attribute
/// is packed.
///
/// # Errors
/// If the attribute cannot be read, except if it is missing or this user may not read it.
pub fn capability_attribute(path: &Path) -> std::io::Result<Xattrs> {
    let mut value = [0; 64];
    match retry_on_intr(|| rustix::fs::lgetxattr(path, capability::NAME, &mut value)) {
        Ok(len) => Ok(value
            .get(..len)
            .map(|value| Box::new([(capability::NAME.into(), value.into())].into()))),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM | Errno::ACCESS) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
