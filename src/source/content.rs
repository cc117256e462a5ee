//! Opens and reads the bytes that a [`Content`] refers to.
//!
//! A host file may change between planning and packing, or while it is read. After its bytes have
//! been read, its identity, size and times are compared with those in the plan; if they differ, the
//! bytes are discarded. An image never mixes two versions of a file.

use std::{
    fs::File,
    io::{self, Read},
    os::{fd::OwnedFd, unix::fs::FileExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{fs::CWD, io::Errno};

use super::sys;
use crate::{
    elf::{Answer, LookupError, ReadFailure},
    tree::{Archive, Content, FileNode, HostFile, HostPath, Region},
};

/// Why content could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// A host file could not be opened.
    #[error("cannot read {}", path.display())]
    Open {
        /// The file on the host.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A host file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file on the host.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file differs from what was planned, or changed while it was read.
    #[error("{} changed while it was being packed", .0.display())]
    ChangedWhileRead(PathBuf),
    /// The archive could not be read, or is shorter than when it was planned.
    #[error("cannot read {name} at {offset}")]
    Archive {
        /// Name of the archive.
        name: String,
        /// Byte offset in the archive.
        offset: u64,
        /// The reason.
        source: io::Error,
    },
    /// A read goes past the end of the content.
    #[error("content ends before its length")]
    Short,
}

impl From<ContentError> for LookupError {
    fn from(error: ContentError) -> Self {
        let path = match &error {
            ContentError::Open { path, .. }
            | ContentError::Read { path, .. }
            | ContentError::ChangedWhileRead(path) => path.clone(),
            ContentError::Archive { name, .. } => name.into(),
            ContentError::Short => "generated content".into(),
        };
        match error {
            ContentError::Open { source, .. } => Self::of(path, source),
            // Who may open a file may read it: whatever the system says then is a failure.
            ContentError::Read { source, .. } | ContentError::Archive { source, .. } => {
                Self::Failed(ReadFailure { path, source })
            }
            changed => Self::Failed(ReadFailure { path, source: io::Error::other(changed) }),
        }
    }
}

/// Opens content of `len` bytes for reading from start to end. The read that reaches the end
/// compares a host file with the plan: a caller that stops earlier must discard what it has read.
///
/// # Errors
/// As [`read_at`].
pub fn open(content: &Content, len: u64) -> Result<Reader<'_>, ContentError> {
    Ok(Reader { source: Source::open(&mut Files::default(), content, len)?, len, at: 0 })
}

/// Fills `out` with the bytes of `content`, whose total length is `len`, starting at `offset`.
///
/// # Errors
/// [`ContentError`]; for a host file also if it is no longer the file that was planned.
pub fn read_at(
    content: &Content,
    len: u64,
    offset: u64,
    out: &mut [u8],
) -> Result<(), ContentError> {
    Files::default().read_at(content, len, offset, out)
}

/// Returns the first `limit` bytes of `file`, or all of a shorter file. The only absence that it
/// returns is [`crate::elf::Absence::Denied`].
///
/// # Errors
/// [`ReadFailure`]
pub fn head(file: &FileNode, limit: usize) -> Result<Answer<Vec<u8>>, ReadFailure> {
    let mut bytes = vec![0; usize::try_from(file.len).unwrap_or(usize::MAX).min(limit)];
    let read = read_at(&file.content, file.len, 0, &mut bytes);
    LookupError::split(read.map(|()| bytes).map_err(LookupError::from))
}

/// Opens files in tree order. Keeps the directory of the last file open and looks the next ones up
/// in it: resolving a long path for each file costs as much as all other work on a small file.
#[derive(Debug, Default)]
pub struct Files {
    /// The directory of the last file.
    dir: Option<Arc<Path>>,
    /// The open directory; set from the second file of a directory on.
    fd: Option<OwnedFd>,
}

impl Files {
    /// Like [`read_at`].
    ///
    /// # Errors
    /// As [`read_at`].
    pub fn read_at(
        &mut self,
        content: &Content,
        len: u64,
        offset: u64,
        out: &mut [u8],
    ) -> Result<(), ContentError> {
        let source = Source::open(self, content, len)?;
        source.read(offset, out)?;
        source.verify()
    }

    fn open(&mut self, path: &HostPath) -> Result<OwnedFd, Errno> {
        let whole = || sys::open_file(CWD, &*path.to_path_buf());
        let dir = path.dir();
        let Some(name) = path.name().filter(|_| !dir.as_os_str().is_empty()) else {
            return whole();
        };
        if self.dir.as_ref().is_none_or(|last| !Arc::ptr_eq(last, dir) && last != dir) {
            self.dir = Some(Arc::clone(dir));
            self.fd = None;
            return whole();
        }
        let fd = match &self.fd {
            Some(fd) => fd,
            None => self.fd.insert(sys::open_path(&**dir)?),
        };
        sys::open_file(fd, name)
    }
}

/// Opens a file of the host and compares it with the plan. Content of any other kind fails: it has
/// no file of its own.
///
/// # Errors
/// [`ContentError`]
pub fn host_file(content: &Content, len: u64) -> Result<File, ContentError> {
    let source = Source::open(&mut Files::default(), content, len)?;
    source.verify()?;
    match source {
        Source::Host(_, _, file) => Arc::try_unwrap(file).map_err(|_| ContentError::Short),
        Source::Inline(_) | Source::Member(..) | Source::Sparse(..) => Err(ContentError::Short),
    }
}

/// Content being read.
#[derive(Debug)]
pub struct Reader<'a> {
    source: Source<'a>,
    len: u64,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = usize::try_from(self.len - self.at).unwrap_or(usize::MAX).min(buf.len());
        let Some(buf) = buf.get_mut(..len).filter(|buf| !buf.is_empty()) else {
            if self.at == self.len {
                self.source.verify().map_err(io::Error::other)?;
            }
            return Ok(0);
        };
        self.source.read(self.at, buf).map_err(io::Error::other)?;
        self.at += buf.len() as u64;
        Ok(buf.len())
    }
}

/// The source of the bytes.
#[derive(Debug)]
pub(super) enum Source<'a> {
    Inline(&'a [u8]),
    Host(&'a HostFile, u64, Arc<File>),
    Member(&'a Arc<Archive>, u64),
    Sparse(&'a Arc<Archive>, &'a [Region]),
}

impl<'a> Source<'a> {
    pub(super) fn open(
        files: &mut Files,
        content: &'a Content,
        len: u64,
    ) -> Result<Self, ContentError> {
        Ok(match content {
            Content::Inline(bytes) => Self::Inline(bytes),
            Content::Host(host) => Self::Host(host, len, Arc::new(open_host(files, host)?)),
            Content::Member(archive, offset) => Self::Member(archive, *offset),
            Content::Sparse(archive, regions) => Self::Sparse(archive, regions),
        })
    }

    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), ContentError> {
        match self {
            Self::Inline(bytes) => {
                let from = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
                out.copy_from_slice(
                    from.and_then(|from| from.get(..out.len())).ok_or(ContentError::Short)?,
                );
                Ok(())
            }
            Self::Host(host, _, file) => file.read_exact_at(out, offset).or_else(|source| {
                // If the file has changed since it was planned, report that instead.
                self.verify()?;
                Err(ContentError::Read { path: host.path.to_path_buf(), source })
            }),
            Self::Member(archive, start) => {
                let at = start.checked_add(offset).ok_or(ContentError::Short)?;
                archive.read_exact_at(out, at).map_err(archive_error(archive, at))
            }
            Self::Sparse(archive, regions) => read_sparse(archive, regions, offset, out),
        }
    }

    /// Compares a host file with the plan.
    pub(super) fn verify(&self) -> Result<(), ContentError> {
        let Self::Host(host, len, file) = self else { return Ok(()) };
        let now = sys::fstat(&**file).map_err(|fault| ContentError::Read {
            path: host.path.to_path_buf(),
            source: fault.into(),
        })?;
        if now.is(host, *len) {
            Ok(())
        } else {
            Err(ContentError::ChangedWhileRead(host.path.to_path_buf()))
        }
    }
}

/// Opens a host file. A symbolic link in its place counts as a changed file.
fn open_host(files: &mut Files, host: &HostFile) -> Result<File, ContentError> {
    match files.open(&host.path) {
        Ok(file) => Ok(file.into()),
        Err(Errno::LOOP) => Err(ContentError::ChangedWhileRead(host.path.to_path_buf())),
        Err(fault) => {
            Err(ContentError::Open { path: host.path.to_path_buf(), source: fault.into() })
        }
    }
}

/// Fills `out` with the bytes from `offset` on of a file with zeros outside of `regions`.
fn read_sparse(
    archive: &Archive,
    regions: &[Region],
    offset: u64,
    out: &mut [u8],
) -> Result<(), ContentError> {
    out.fill(0);
    let end = offset.saturating_add(out.len() as u64);
    let first = regions.partition_point(|region| region.start + region.len <= offset);
    for region in regions[first..].iter().take_while(|region| region.start < end) {
        let from = region.start.max(offset);
        let to = (region.start + region.len).min(end);
        let at = region.at + (from - region.start);
        let part = &mut out[(from - offset) as usize..(to - offset) as usize];
        archive.read_exact_at(part, at).map_err(archive_error(archive, at))?;
    }
    Ok(())
}

fn archive_error(archive: &Archive, offset: u64) -> impl FnOnce(io::Error) -> ContentError {
    move |source| ContentError::Archive { name: archive.name.clone(), offset, source }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// The content and length of the file at `path`, as a directory walk records them.
    fn planned(path: &Path) -> (Content, u64) {
        let stat = sys::lstat(CWD, path).unwrap();
        let read_link = || Ok::<_, Errno>(Vec::new());
        let node = stat.node(|| path.into(), read_link).unwrap().unwrap();
        let file = node.file().unwrap();
        (file.content.clone(), file.len)
    }

    /// Only opening tells that a user may not read a file.
    #[test]
    fn a_denied_read_of_an_open_file_is_a_failure() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let (path, name) = (PathBuf::from("file"), "a.tar".to_owned());
        let open = ContentError::Open { path: path.clone(), source: denied() };
        assert!(matches!(open.into(), LookupError::Absent(crate::elf::Absence::Denied)));
        let read = ContentError::Read { path, source: denied() };
        let member = ContentError::Archive { name, offset: 0, source: denied() };
        for error in [read, member] {
            assert!(matches!(error.into(), LookupError::Failed(_)));
        }
    }

    fn read(content: &Content, len: u64) -> Result<Vec<u8>, String> {
        let mut whole = vec![0; len as usize];
        let at_once =
            read_at(content, len, 0, &mut whole).map(|()| whole).map_err(|e| e.to_string());
        let mut streamed = Vec::new();
        let stream = open(content, len).map_err(|e| e.to_string()).and_then(|mut reader| {
            reader.read_to_end(&mut streamed).map(|_| streamed).map_err(|e| e.to_string())
        });
        assert_eq!(at_once, stream);
        at_once
    }

    #[test]
    fn reads_each_kind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs_err::write(&path, "0123456789").unwrap();
        let (host, len) = planned(&path);
        assert_eq!(read(&host, len).unwrap(), b"0123456789");
        let mut part = [0; 3];
        read_at(&host, len, 4, &mut part).unwrap();
        assert_eq!(&part, b"456");
        let file = File::open(&path).unwrap();
        let member = Content::Member(Arc::new(Archive::new("a.tar", file)), 2);
        assert_eq!(read(&member, 5).unwrap(), b"23456");
        assert_eq!(read(&member, 9), Err("cannot read a.tar at 2".into()));
        assert_eq!(read(&Content::Inline(Arc::from(&b"ab"[..])), 2).unwrap(), b"ab");
    }

    /// Opens one file after the other, so that the second is looked up in the open directory.
    #[test]
    fn files_of_one_directory_are_read_through_it() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir(dir.path().join("d")).unwrap();
        let names = ["d/one", "d/two", "d/three", "other"];
        let planned: Vec<_> = names
            .map(|name| {
                let path = dir.path().join(name);
                fs_err::write(&path, name).unwrap();
                planned(&path)
            })
            .into();
        let mut files = Files::default();
        for ((content, len), name) in planned.iter().zip(names) {
            let mut out = vec![0; name.len()];
            files.read_at(content, *len, 0, &mut out).unwrap();
            assert_eq!(out, name.as_bytes());
        }
        let (content, len) = &planned[1];
        files.read_at(&planned[0].0, planned[0].1, 0, &mut [0; 5]).unwrap();
        fs_err::remove_file(dir.path().join("d/two")).unwrap();
        fs_err::os::unix::fs::symlink("three", dir.path().join("d/two")).unwrap();
        let fault = files.read_at(content, *len, 0, &mut [0; 5]).unwrap_err();
        assert!(matches!(fault, ContentError::ChangedWhileRead(_)), "{fault}");
    }

    #[test]
    fn a_file_that_is_not_the_planned_one_any_more_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let changed = format!("{} changed while it was being packed", path.display());
        let fresh = || {
            let _ = fs_err::remove_file(&path);
            fs_err::write(&path, "0123456789").unwrap();
            planned(&path)
        };
        let check = |change: &dyn Fn()| {
            let (content, len) = fresh();
            change();
            assert_eq!(read(&content, len), Err(changed.clone()));
        };
        check(&|| {
            fs_err::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"x").unwrap();
        });
        check(&|| File::options().write(true).open(&path).unwrap().set_len(3).unwrap());
        check(&|| {
            fs_err::rename(&path, dir.path().join("old")).unwrap();
            fs_err::write(&path, "0123456789").unwrap();
        });
        check(&|| {
            fs_err::rename(&path, dir.path().join("old")).unwrap();
            fs_err::os::unix::fs::symlink(dir.path().join("old"), &path).unwrap();
        });
        check(&|| {
            fs_err::remove_file(&path).unwrap();
            rustix::fs::mknodat(
                rustix::fs::CWD,
                &path,
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::from_raw_mode(0o600),
                0,
            )
            .unwrap();
        });
        let (content, len) = fresh();
        fs_err::remove_file(&path).unwrap();
        assert_eq!(read(&content, len), Err(format!("cannot read {}", path.display())));
    }
}
