//! Whole files of one directory of a sysroot, when there are many and each is small.

use std::{
    fs::File,
    os::{fd::OwnedFd, unix::fs::FileExt as _},
};

use rustix::fs::FileType;

use super::{Sysroot, content::Files, sys};
use crate::{
    elf::{Absence, LookupError},
    path::ImagePath,
};

/// A directory whose files are read. One that is opened by its name there costs a third less than
/// one whose path is looked up and whose metadata are compared first.
#[derive(Debug)]
pub struct SmallFiles<'a> {
    sysroot: Sysroot<'a>,
    /// The directory's real path.
    path: ImagePath,
    /// The open directory; `None` if the sysroot is a tree, or it cannot be opened.
    fd: Option<OwnedFd>,
}

impl<'a> SmallFiles<'a> {
    /// The directory at a real path.
    pub fn new(sysroot: Sysroot<'a>, path: ImagePath) -> Self {
        let fd = match sysroot {
            Sysroot::Directory(root) => root.open_directory(&path),
            Sysroot::Tree(_) => None,
        };
        Self { sysroot, path, fd }
    }

    /// The first `limit` bytes of a regular file.
    ///
    /// # Errors
    /// [`LookupError`]
    pub fn read(&self, name: &[u8], limit: usize) -> Result<Vec<u8>, LookupError> {
        let path = self.path.child(name).map_err(|_| Absence::Missing)?;
        let (Sysroot::Directory(root), Some(fd)) = (self.sysroot, &self.fd) else {
            return self.read_node(&path, limit);
        };
        let failure = |source| LookupError::of(root.host_path(&path), source);
        let file = sys::open_file(fd, name).map_err(|errno| root.error(&path, errno))?;
        let stat = sys::fstat(&file).map_err(|errno| failure(errno.into()))?;
        if stat.kind != FileType::RegularFile {
            return Err(Absence::Missing.into());
        }
        let mut bytes = vec![0; usize::try_from(stat.len).unwrap_or(usize::MAX).min(limit)];
        File::from(file).read_exact_at(&mut bytes, 0).map_err(failure)?;
        Ok(bytes)
    }

    fn read_node(&self, path: &ImagePath, limit: usize) -> Result<Vec<u8>, LookupError> {
        let node = self.sysroot.node(path)??.ok_or(Absence::Missing)?;
        let file = node.file().ok_or(Absence::Missing)?;
        let mut bytes = vec![0; usize::try_from(file.len).unwrap_or(usize::MAX).min(limit)];
        Files::default().read_at(&file.content, file.len, 0, &mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::{
        source::HostRoot,
        tree::{Node, Tree},
    };

    #[test]
    fn only_regular_files_of_the_directory_are_read() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(dir.path().join("d/below")).unwrap();
        fs_err::write(dir.path().join("d/file"), "0123").unwrap();
        symlink("file", dir.path().join("d/link")).unwrap();
        let host = HostRoot::new(dir.path()).unwrap();
        let path = ImagePath::new("/d").unwrap();
        let files = SmallFiles::new((&host).into(), path.clone());
        assert_eq!(files.read(b"file", 99).unwrap(), b"0123");
        assert_eq!(files.read(b"file", 2).unwrap(), b"01");
        for name in ["link", "below", "none"] {
            let answer = files.read(name.as_bytes(), 99);
            assert!(matches!(answer, Err(LookupError::Absent(_))), "{name}: {answer:?}");
        }
        let tree: Tree = [(ImagePath::new("/d/file").unwrap(), Node::inline(0o644, *b"0123"))]
            .into_iter()
            .collect();
        let files = SmallFiles::new((&tree).into(), path);
        assert_eq!(files.read(b"file", 2).unwrap(), b"01");
        assert!(matches!(files.read(b"none", 2), Err(LookupError::Absent(Absence::Missing))));
    }
}
