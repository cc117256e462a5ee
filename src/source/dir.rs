//! A directory of the host as a tree, links kept as links.

use std::{
    ffi::OsStr,
    fs::Metadata,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat},
    io::Errno,
};

use super::{Options, SourceError};
use crate::{
    path::ImagePath,
    tree::{Content, FileNode, HostFile, Kind, Node, Tree, Xattrs, capability},
};

/// `source`'s contents at `root`, its own metadata at `root` itself. All files that cannot be packed are
/// reported together.
pub(super) fn read(
    name: &str,
    source: &Path,
    root: &ImagePath,
    options: &Options,
) -> Result<Tree, SourceError> {
    let unreadable = |path: &Path, source| SourceError::Unreadable { path: path.into(), source };
    let real = fs_err::canonicalize(source).map_err(|error| unreadable(source, error))?;
    let metadata = fs_err::symlink_metadata(&real).map_err(|error| unreadable(&real, error))?;
    let own = node(name, &real, &Found::of(&metadata), options)?;
    let mut walk = Walk { name, source, real: &real, options, nodes: Vec::new(), unpackable: Vec::new() };
    walk.nodes.push((root.clone(), own));
    let mut left = vec![(real.clone(), root.clone())];
    while let Some((dir, path)) = left.pop() {
        walk.directory(&dir, &path, &mut left)?;
    }
    let Walk { nodes, mut unpackable, .. } = walk;
    unpackable.sort_unstable();
    match unpackable.is_empty() {
        true => Ok(nodes.into_iter().collect()),
        false => Err(SourceError::NoRegularFiles { name: name.into(), entries: unpackable }),
    }
}

/// A walk below `real`, which the user calls `source`.
struct Walk<'a> {
    name: &'a str,
    source: &'a Path,
    real: &'a Path,
    options: &'a Options,
    nodes: Vec<(ImagePath, Node)>,
    unpackable: Vec<(PathBuf, &'static str)>,
}

impl Walk<'_> {
    /// Takes what is in the directory `dir`, which will be `path`. Directories in it are `left` for later, the
    /// first in byte order on top. Files are looked up from the open directory: to walk a long path for each
    /// costs as much again.
    fn directory(
        &mut self,
        dir: &Path,
        path: &ImagePath,
        left: &mut Vec<(PathBuf, ImagePath)>,
    ) -> Result<(), SourceError> {
        let unreadable =
            |path: &Path, errno: Errno| SourceError::Unreadable { path: path.into(), source: errno.into() };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open(dir, flags, Mode::empty()).map_err(|errno| unreadable(dir, errno))?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&fd).map_err(|errno| unreadable(dir, errno))? {
            let entry = entry.map_err(|errno| unreadable(dir, errno))?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
        }
        names.sort_unstable();
        let first = left.len();
        for name in names {
            let on_host = dir.join(OsStr::from_bytes(name.to_bytes()));
            let Some(at) = self.place(&on_host, path, name.to_bytes())? else { continue };
            let stat = rustix::fs::statat(&fd, &name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|errno| unreadable(&on_host, errno))?;
            let found = Found::of_stat(&stat);
            if let Some(kind) = unpackable_kind(found.kind) {
                self.unpackable.push((self.source.join(self.below(&on_host)), kind));
                continue;
            }
            let is_directory = found.kind == FileType::Directory;
            self.nodes.push((at.clone(), node(self.name, &on_host, &found, self.options)?));
            if is_directory {
                left.push((on_host, at));
            }
        }
        if let Some(new) = left.get_mut(first..) {
            new.reverse();
        }
        Ok(())
    }

    /// Where `name` in `dir` goes; `None` if it is to be left out.
    fn place(&self, on_host: &Path, dir: &ImagePath, name: &[u8]) -> Result<Option<ImagePath>, SourceError> {
        let bad_path = |source| SourceError::BadPath {
            name: self.name.into(),
            entry: self.below(on_host).as_os_str().as_bytes().into(),
            source,
        };
        let path = dir.child(name).map_err(bad_path)?;
        if self.options.excludes(&path) || self.options.outputs.contains(on_host) {
            return Ok(None);
        }
        if name.starts_with(b".wh.") {
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

/// What lstat(2) tells of a file.
pub(super) struct Found {
    kind: FileType,
    mode: u32,
    len: u64,
    id: (u64, u64),
    links: u64,
    mtime: (i64, u32),
    ctime: (i64, u32),
}

impl Found {
    /// As the standard library says it.
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            kind: FileType::from_raw_mode(metadata.mode()),
            mode: metadata.mode(),
            len: metadata.len(),
            id: (metadata.dev(), metadata.ino()),
            links: metadata.nlink(),
            mtime: (metadata.mtime(), metadata.mtime_nsec() as u32),
            ctime: (metadata.ctime(), metadata.ctime_nsec() as u32),
        }
    }

    /// As the kernel says it, in types that differ between architectures.
    fn of_stat(stat: &Stat) -> Self {
        let of = super::host::host_stat(stat, super::host::HostKind::Other);
        Self {
            kind: FileType::from_raw_mode(stat.st_mode),
            mode: stat.st_mode,
            len: of.len,
            id: (of.id.0, of.id.1),
            links: of.links,
            mtime: of.mtime,
            ctime: of.ctime,
        }
    }
}

/// The node that stands for a file of the host. `found` is the file's own, not a link target's, except for inputs
/// that the user named.
pub(super) fn node(name: &str, path: &Path, found: &Found, options: &Options) -> Result<Node, SourceError> {
    let unreadable = |source| SourceError::Unreadable { path: path.into(), source };
    if let Some(kind) = unpackable_kind(found.kind) {
        return Err(SourceError::NoRegularFiles { name: name.into(), entries: vec![(path.into(), kind)] });
    }
    if found.kind == FileType::Symlink {
        let target = fs_err::read_link(path).map_err(unreadable)?;
        let mut node = Node::symlink(target.as_os_str().as_bytes());
        node.meta = crate::tree::Meta { mode: 0o777, ..options.meta(0o777, false) };
        return Ok(node);
    }
    let is_directory = found.kind == FileType::Directory;
    let mut meta = options.meta(found.mode, is_directory);
    if is_directory {
        return Ok(Node { meta, kind: Kind::Directory });
    }
    if meta.mode & 0o111 != 0 {
        meta.xattrs = capability_attribute(path).map_err(unreadable)?;
    }
    Ok(Node { meta, kind: Kind::File(file(path, found)) })
}

/// The regular file at `path` as content.
pub(super) fn file(path: &Path, found: &Found) -> FileNode {
    let content = Content::Host(Arc::new(HostFile {
        path: path.into(),
        dev: found.id.0,
        ino: found.id.1,
        mtime: found.mtime,
        ctime: found.ctime,
    }));
    FileNode { len: found.len, content, shared: found.links > 1 }
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

/// `security.capability`, as the kernel gives it (`struct vfs_cap_data`); no other attribute is packed.
///
/// # Errors
/// Where the host refuses for another reason than that the attribute is not there or not for this user.
pub fn capability_attribute(path: &Path) -> std::io::Result<Xattrs> {
    use rustix::io::Errno;
    let mut value = [0; 64];
    match rustix::fs::lgetxattr(path, capability::NAME, &mut value) {
        Ok(len) => {
            Ok(value.get(..len).map(|value| Box::new([(capability::NAME.into(), value.into())].into())))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM | Errno::ACCESS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
