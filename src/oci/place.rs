//! Where an image's documents and blobs are: files of a directory, or members of an archive.

use std::{
    fs::File,
    os::fd::OwnedFd,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{FileType, Mode, OFlags},
    io::Errno,
};

use super::ImageError;
use crate::{
    archive::{
        read::{self, Whiteouts},
        spool,
    },
    image::{ImageName, Transport},
    store::Extent,
    tree::{Content, ResolveError, Tree},
};

/// Bytes of a document that are read: the limit of containers/image and of most registries.
const MAX_DOCUMENT: u64 = 4 << 20;

/// A directory or an archive with an image in it.
#[derive(Debug)]
pub(super) enum Place {
    /// A directory of the host; only files right there or below `blobs` are opened.
    Directory { fd: OwnedFd, path: PathBuf },
    /// A tar, uncompressed, and what is in it.
    Archive { file: Arc<File>, tree: Tree },
}

/// Bytes of a regular file or member.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) extent: Extent,
    pub(super) len: u64,
}

impl Place {
    /// Opens what `name` names; an archive that is compressed as a whole is uncompressed into
    /// `spool`.
    pub(super) fn open(
        name: &ImageName,
        spool: &Path,
        limits: spool::Limits,
    ) -> Result<Self, ImageError> {
        let unreadable = |errno: Errno| match errno {
            Errno::NOENT | Errno::NOTDIR => ImageError::NotFound(name.to_string()),
            errno => ImageError::Unreadable { name: name.to_string(), source: errno.into() },
        };
        // A FIFO or device that somebody put there must not block.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&name.path, flags, Mode::empty()).map_err(unreadable)?;
        let stat = rustix::fs::fstat(&fd).map_err(unreadable)?;
        match (FileType::from_raw_mode(stat.st_mode), name.transport) {
            (FileType::Directory, None | Some(Transport::Oci)) => {
                Ok(Self::Directory { fd, path: name.path.clone() })
            }
            (
                FileType::RegularFile,
                None | Some(Transport::OciArchive | Transport::DockerArchive),
            ) => {
                let archive = Arc::new(spool::open(&name.to_string(), fd.into(), spool, limits)?);
                let contents = read::read(&archive, Whiteouts::Refuse, read::Limits::default())?;
                let file = archive.file.try_clone();
                let file = file
                    .map_err(|source| ImageError::Unreadable { name: name.to_string(), source })?;
                Ok(Self::Archive { file: Arc::new(file), tree: contents.change.tree })
            }
            (FileType::Directory | FileType::RegularFile, _) => Err(ImageError::NoImage {
                name: name.to_string(),
                why: "the transport does not fit it",
            }),
            _ => Err(ImageError::NoImage {
                name: name.to_string(),
                why: "it is no file or directory",
            }),
        }
    }

    /// The file at `path`, relative and without `..`; `None` if nothing is there.
    pub(super) fn part(&self, path: &str) -> Result<Option<Part>, ImageError> {
        match self {
            Self::Directory { fd, path: dir } => in_directory(fd, dir, path),
            Self::Archive { file, tree } => in_archive(file, tree, path),
        }
    }

    /// The whole file at `path`, if it is there.
    pub(super) fn document(&self, path: &str) -> Result<Option<Vec<u8>>, ImageError> {
        self.part(path)?.map(|part| part.read(path)).transpose()
    }
}

impl Part {
    /// All of it, which is to be a document called `name`.
    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>, ImageError> {
        if self.len > MAX_DOCUMENT {
            return Err(ImageError::document(name, "larger than 4 MiB"));
        }
        let mut bytes = vec![0; self.len as usize];
        self.extent
            .file
            .read_exact_at(&mut bytes, self.extent.offset)
            .map_err(|source| ImageError::Unreadable { name: name.into(), source })?;
        Ok(bytes)
    }
}

fn in_directory(fd: &OwnedFd, dir: &Path, path: &str) -> Result<Option<Part>, ImageError> {
    let unreadable = |errno: Errno| ImageError::Unreadable {
        name: dir.join(path).display().to_string(),
        source: errno.into(),
    };
    let no_file = || ImageError::document(path, "no regular file");
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(fd, path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(Errno::LOOP | Errno::NXIO) => return Err(no_file()),
        Err(errno) => return Err(unreadable(errno)),
    };
    let stat = rustix::fs::fstat(&file).map_err(unreadable)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(no_file());
    }
    let len = u64::try_from(stat.st_size).unwrap_or(0);
    Ok(Some(Part { extent: Extent { file: Arc::new(file.into()), offset: 0 }, len }))
}

/// Links are followed among the members alone: old `docker save` links a layer that several images
/// have.
fn in_archive(file: &Arc<File>, tree: &Tree, path: &str) -> Result<Option<Part>, ImageError> {
    let resolved = match tree.resolve(path.as_bytes()) {
        Ok(resolved) => resolved,
        Err(ResolveError::Loop) => return Err(ImageError::document(path, "links without end")),
        Err(_) => return Ok(None),
    };
    match tree.get(&resolved.path).and_then(|node| node.file()) {
        Some(member) => match &member.content {
            Content::Member(_, offset) => {
                let extent = Extent { file: Arc::clone(file), offset: *offset };
                Ok(Some(Part { extent, len: member.len }))
            }
            _ => Ok(None),
        },
        None => Err(ImageError::document(path, "no regular file")),
    }
}
