//! A directory of the host as a tree, links kept as links.

use std::{
    fs::Metadata,
    os::unix::{ffi::OsStrExt as _, fs::FileTypeExt as _, fs::MetadataExt as _},
    path::Path,
    sync::Arc,
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
    let mut tree = Tree::new();
    let mut unpackable = Vec::new();
    let mut walk = walkdir::WalkDir::new(&real).sort_by_file_name().into_iter();
    while let Some(entry) = walk.next() {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(&real).to_owned();
            SourceError::Unreadable { path, source: error.into() }
        })?;
        let below = entry.path().strip_prefix(&real).unwrap_or(entry.path());
        let bad_path = |source| SourceError::BadPath {
            name: name.into(),
            entry: below.as_os_str().as_bytes().into(),
            source,
        };
        let path = root.join(below.as_os_str().as_bytes()).map_err(bad_path)?;
        if entry.depth() > 0 && (options.excludes(&path) || options.outputs.contains(entry.path())) {
            if entry.file_type().is_dir() {
                walk.skip_current_dir();
            }
            continue;
        }
        if entry.file_name().as_bytes().starts_with(b".wh.") && entry.depth() > 0 {
            return Err(SourceError::WhiteoutName { name: name.into(), entry: below.into() });
        }
        let metadata = entry.metadata().map_err(|error| unreadable(entry.path(), error.into()))?;
        if let Some(kind) = unpackable_kind(&metadata) {
            unpackable.push((source.join(below), kind));
            continue;
        }
        tree.insert(path, node(name, entry.path(), &metadata, options)?);
    }
    match unpackable.is_empty() {
        true => Ok(tree),
        false => Err(SourceError::NoRegularFiles { name: name.into(), entries: unpackable }),
    }
}

/// The node that stands for a file of the host. `metadata` is the file's own, not a link target's, except for
/// inputs that the user named.
pub(super) fn node(
    name: &str,
    path: &Path,
    metadata: &Metadata,
    options: &Options,
) -> Result<Node, SourceError> {
    let unreadable = |source| SourceError::Unreadable { path: path.into(), source };
    if let Some(kind) = unpackable_kind(metadata) {
        return Err(SourceError::NoRegularFiles { name: name.into(), entries: vec![(path.into(), kind)] });
    }
    if metadata.is_symlink() {
        let target = fs_err::read_link(path).map_err(unreadable)?;
        let mut node = Node::symlink(target.as_os_str().as_bytes());
        node.meta = crate::tree::Meta { mode: 0o777, ..options.meta(0o777, false) };
        return Ok(node);
    }
    let mut meta = options.meta(metadata.mode(), metadata.is_dir());
    if metadata.is_dir() {
        return Ok(Node { meta, kind: Kind::Directory });
    }
    if meta.mode & 0o111 != 0 {
        meta.xattrs = capability_attribute(path).map_err(unreadable)?;
    }
    Ok(Node { meta, kind: Kind::File(file(path, metadata)) })
}

/// The regular file at `path` as content.
pub(super) fn file(path: &Path, metadata: &Metadata) -> FileNode {
    let content = Content::Host(Arc::new(HostFile {
        path: path.into(),
        dev: metadata.dev(),
        ino: metadata.ino(),
        mtime: (metadata.mtime(), metadata.mtime_nsec() as u32),
        ctime: (metadata.ctime(), metadata.ctime_nsec() as u32),
    }));
    FileNode { len: metadata.len(), content, shared: metadata.nlink() > 1 }
}

fn unpackable_kind(metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    match () {
        () if kind.is_fifo() => Some("FIFO"),
        () if kind.is_socket() => Some("socket"),
        () if kind.is_char_device() => Some("character device"),
        () if kind.is_block_device() => Some("block device"),
        () => None,
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
