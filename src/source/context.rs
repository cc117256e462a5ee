//! Reads a build context: a directory of the host as a tree, resolved without following links.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{CWD, FileType},
    io::Errno,
};

use super::{InputOptions, SourceError, dir::adopt, sys};
use crate::{
    path::{
        ImagePath,
        ignore::{Ignore, Verdict},
    },
    store,
    tree::{HostPath, Kind, Node, Tree},
    uninterrupted,
};

/// Maximum depth of nested directories: each stays open while those below it are read.
const MAX_DEPTH: usize = 512;

/// The read permission bits of the group and of others.
const READ: [u16; 2] = [0o040, 0o004];

/// Reads all files in the directory `root` that `ignore` does not exclude, by their path below it.
/// FIFOs and devices are included although no layer can hold them, so that an attempt to copy them
/// is reported; sockets are left out.
///
/// If neither the group nor others can read anything in a context, it was probably checked out
/// under a umask of 027 or 077. Unless modes are preserved, the class without access gets the
/// owner's permissions except write, as under a umask of 022.
///
/// # Errors
/// [`SourceError::Unreadable`] for the first directory that cannot be read or is nested too deep.
pub fn context(
    root: &Path,
    ignore: &Ignore,
    options: &InputOptions,
) -> Result<Context, SourceError> {
    let unreadable = |source: io::Error| SourceError::Unreadable { path: root.into(), source };
    let real = uninterrupted::canonicalize(root).map_err(unreadable)?;
    let fd = sys::open_directory(CWD, &*real).map_err(|errno| unreadable(errno.into()))?;
    let mut walk =
        Walk { root: &real, ignore, options, tree: Tree::new(), seen: 0, last_dir: None };
    walk.directory(fd, &ImagePath::root(), &Verdict::default(), 0)?;
    let Walk { mut tree, seen, .. } = walk;
    let opened = !options.preserve_mode && open_up(&mut tree, seen);
    // An excluded directory is still needed if something below it is included.
    tree.add_parents(|_| Node::directory(0o755));
    Ok(Context { tree, opened })
}

/// The result of [`context`].
#[derive(Debug)]
pub struct Context {
    /// The files, by their path below the context.
    pub tree: Tree,
    /// Whether the group or others were given the owner's permissions.
    pub opened: bool,
}

struct Walk<'a> {
    root: &'a Path,
    ignore: &'a Ignore,
    options: &'a InputOptions,
    tree: Tree,
    /// The union of the modes of all files and directories, including excluded ones.
    seen: u16,
    /// The directory of the last file, whose path the next ones share.
    last_dir: Option<Arc<Path>>,
}

/// Gives the group and others the owner's permissions if `seen` shows that they have none. Returns
/// whether it changed a mode.
fn open_up(tree: &mut Tree, seen: u16) -> bool {
    let closed = READ
        .iter()
        .filter(|&&read| seen & read == 0)
        .fold(0, |mask, read| mask | read | (read >> 2));
    if closed == 0 || seen == 0 {
        return false;
    }
    let paths: Vec<ImagePath> = tree.iter().map(|(path, _)| path.clone()).collect();
    for path in &paths {
        if let Some(node) = tree.get_mut(path)
            && !matches!(node.kind, Kind::Symlink(_))
        {
            let own = (node.meta.mode >> 6) & 5;
            node.meta.mode |= ((own << 3) | own) & closed;
        }
    }
    true
}

impl Walk<'_> {
    fn directory(
        &mut self,
        fd: OwnedFd,
        path: &ImagePath,
        verdict: &Verdict,
        depth: usize,
    ) -> Result<(), SourceError> {
        let at = self.host_path(path);
        let unreadable = |source: io::Error| SourceError::Unreadable { path: at.clone(), source };
        if depth > MAX_DEPTH {
            return Err(unreadable(io::Error::other("the directories are nested too deep")));
        }
        let names = store::names(&fd).map_err(|errno| unreadable(errno.into()))?;
        for name in names {
            let child = path.join(name.to_bytes()).map_err(|source| SourceError::BadPath {
                name: self.root.display().to_string(),
                entry: name.to_bytes().into(),
                source,
            })?;
            self.entry(fd.as_fd(), &name, &child, verdict, depth)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        path: &ImagePath,
        above: &Verdict,
        depth: usize,
    ) -> Result<(), SourceError> {
        let verdict = self.ignore.verdict(above, path.relative());
        let at = self.host_path(path);
        let unreadable =
            |errno: Errno| SourceError::Unreadable { path: at.clone(), source: errno.into() };
        let stat = sys::lstat(dir, name).map_err(unreadable)?;
        let is_directory = stat.kind == FileType::Directory;
        if is_directory || stat.kind == FileType::RegularFile {
            self.seen |= stat.mode & 0o777;
        }
        let enters = !verdict.excluded || self.ignore.may_reinclude_below(path.relative());
        if self.options.outputs.contains(&at) || !enters || (verdict.excluded && !is_directory) {
            return Ok(());
        }
        let on_host = || HostPath::after(&mut self.last_dir, &at);
        let found = stat.node(on_host, || sys::read_link(dir, name)).map_err(unreadable)?;
        // Sockets are not packed.
        let Some(found) = found else { return Ok(()) };
        if !verdict.excluded {
            self.tree.insert(path.clone(), adopt(found, &at, self.options)?);
        }
        if is_directory {
            let fd = sys::open_directory(dir, name).map_err(unreadable)?;
            self.directory(fd, path, &verdict, depth + 1)?;
        }
        Ok(())
    }

    fn host_path(&self, path: &ImagePath) -> PathBuf {
        self.root.join(std::ffi::OsStr::from_bytes(path.relative()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::timestamp::Mtime;

    #[test]
    fn a_private_checkout_is_like_any_other() {
        let tree = |modes: &[(&str, u16)]| -> Tree {
            modes
                .iter()
                .map(|(path, mode)| (ImagePath::new(path).unwrap(), Node::inline(*mode, *b"")))
                .collect()
        };
        let check = |modes: &[(&str, u16)], wanted: &[u16]| {
            let mut tree = tree(modes);
            open_up(&mut tree, modes.iter().fold(0, |seen, (_, mode)| seen | mode));
            assert_eq!(tree.iter().map(|(_, node)| node.meta.mode).collect::<Vec<_>>(), wanted);
        };
        check(&[("a", 0o600), ("b", 0o700)], &[0o644, 0o755]);
        check(&[("a", 0o640), ("b", 0o750)], &[0o644, 0o755]);
        check(&[("a", 0o600), ("b", 0o644), ("c", 0o400)], &[0o600, 0o644, 0o400]);
    }

    #[test]
    fn links_are_kept_and_what_is_ignored_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [("a/keep", "1"), ("a/gone", "2"), ("b/c/back", "3"), ("b/d", "4")] {
            let path = dir.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        fs_err::os::unix::fs::symlink("/etc", dir.path().join("etc")).unwrap();
        let options = InputOptions {
            exclude: Vec::new(),
            preserve_mode: false,
            owner: None,
            mtime: Mtime::OfContent,
            outputs: BTreeSet::new(),
            command_dirs: Vec::new(),
            versions: BTreeMap::new(),
            as_file: false,
            spool: dir.path().into(),
            jobs: std::num::NonZeroUsize::MIN,
        };
        let ignore = Ignore::parse(b"a/gone\nb\n!b/c/back\n").unwrap();
        let tree = context(dir.path(), &ignore, &options).unwrap().tree;
        let paths: Vec<_> = tree.iter().map(|(path, _)| path.to_string()).collect();
        assert_eq!(paths, ["/a", "/a/keep", "/b", "/b/c", "/b/c/back", "/etc"]);
    }
}
