//! Where an image's documents and blobs come from: files of a directory, or members of an archive.
//!
//! In a directory links are followed, since build systems make layouts of links into their stores
//! (Bazel, Nix). Whatever a link leads to has to be a regular file, which is checked before it is
//! opened, so that no device is touched and no FIFO waited for. A blob has to have the digest that
//! leads to it, so a link does not bring a file into an image that the layout's maker did not have.
//!
//! A registry answers for the same paths, which are those of a layout; everything above works with
//! digests and bytes.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, Stat},
    io::{Errno, retry_on_intr},
};

use super::{ImageError, blob_file::BlobFile, remote::Remote};
use crate::{
    archive::{
        read::{self, Fault, Whiteouts},
        spool,
    },
    digest::Digest,
    engine,
    image::{EngineImage, StoredImage, Transport},
    store::Extent,
    tree::{Content, ResolveError, Tree},
};

/// A directory or an archive that holds images.
#[derive(Debug)]
pub(super) enum BlobSource {
    /// A directory of the host. Only files directly in it or below `blobs` are opened.
    Directory { fd: OwnedFd, path: PathBuf, form: Form },
    /// An uncompressed tar and its members, and the directory for temporary files.
    Archive { file: Arc<File>, tree: Tree, spool: PathBuf },
    /// A repository of a registry.
    Registry(Box<Remote>),
}

/// Where a layout has its blobs.
const BLOBS: &str = "blobs/sha256/";
/// The same for the manifests and indexes of a registry, which are not blobs there.
const MANIFESTS: &str = "manifests/sha256/";

/// How files are named in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// An OCI layout.
    Layout,
    /// skopeo's `dir:`, whose blobs are beside the manifest.
    Dir,
}

impl BlobSource {
    /// Opens the file or directory of an image. An archive that is compressed as a whole is
    /// decompressed into a temporary file in `spool`.
    pub(super) fn open(
        stored: &StoredImage,
        spool: &Path,
        limits: spool::Limits,
    ) -> Result<Self, ImageError> {
        let name = stored.to_string();
        let unreadable = |errno: Errno| match errno {
            Errno::NOENT | Errno::NOTDIR => ImageError::NotFound(name.clone()),
            errno => ImageError::Unreadable { name: name.clone(), source: errno.into() },
        };
        // A FIFO or device must not block.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| rustix::fs::open(&stored.path, flags, Mode::empty()))
            .map_err(unreadable)?;
        let stat = retry_on_intr(|| rustix::fs::fstat(&fd)).map_err(unreadable)?;
        let refuse = |why| Err(ImageError::NoImage { name: name.clone(), why });
        match (FileType::from_raw_mode(stat.st_mode), stored.transport) {
            (FileType::Directory, None | Some(Transport::Oci | Transport::Dir)) => {
                let form = form(&fd, stored.transport).map_err(unreadable)?;
                Ok(Self::Directory { fd, path: stored.path.clone(), form })
            }
            (
                FileType::RegularFile,
                None | Some(Transport::OciArchive | Transport::DockerArchive),
            ) => Self::archive(&name, fd.into(), spool, limits),
            (FileType::Directory | FileType::RegularFile, _) => {
                refuse("the transport does not fit it")
            }
            _ => refuse("it is neither a file nor a directory"),
        }
    }

    /// The archive that an engine's command writes of the image in its store.
    pub(super) fn saved(
        image: &EngineImage,
        spool: &Path,
        limits: spool::Limits,
    ) -> Result<Self, ImageError> {
        let write = |source| spool::SpoolError::Write { dir: spool.to_owned(), source };
        let file = tempfile::tempfile_in(spool).map_err(write)?;
        engine::save(image.engine.command(), &image.name, &file)?;
        Self::archive(&image.to_string(), file, spool, limits)
    }

    /// Reads the members of an archive.
    fn archive(
        name: &str,
        file: File,
        spool: &Path,
        limits: spool::Limits,
    ) -> Result<Self, ImageError> {
        let archive = Arc::new(spool::open(name, file, spool, limits)?);
        let contents = read::read(&archive, Whiteouts::Refuse, read::Limits::default());
        let contents = contents.map_err(|error| match error.fault {
            Fault::Checksum | Fault::Truncated if error.offset == 0 => {
                ImageError::NoImage { name: name.into(), why: "it is not a tar archive" }
            }
            _ => error.into(),
        })?;
        // skopeo takes the first of them, docker the last.
        if contents.replaced_files > 0 {
            let why = "it has a member twice, of which readers take different ones";
            return Err(ImageError::NoImage { name: name.into(), why });
        }
        let file = archive.file.try_clone();
        let file = file.map_err(|source| ImageError::Unreadable { name: name.into(), source })?;
        let (file, tree) = (Arc::new(file), contents.change.tree);
        Ok(Self::Archive { file, tree, spool: spool.to_owned() })
    }

    /// The file at `path`, which is relative and has no `..`; `None` if there is none. A document
    /// says how many bytes it has, which a registry does not exceed then.
    pub(super) fn stored(
        &self,
        path: &str,
        size: Option<u64>,
    ) -> Result<Option<BlobFile>, ImageError> {
        let Self::Registry(remote) = self else { return self.file(path) };
        match (digest_in(path), size) {
            (Some((MANIFESTS, digest)), _) => remote.manifest(digest),
            (Some((_, digest)), Some(size)) => remote.blob(digest, size),
            _ => Ok(None),
        }
    }

    /// As [`BlobSource::stored`], for the bytes of a blob of a known size. An error of a registry
    /// is inside the [`io::Error`].
    pub(super) fn fetch(&self, path: &str, digest: Digest, size: u64) -> io::Result<Extent> {
        let file = self.stored(path, Some(size)).map_err(|error| match error {
            ImageError::Registry(error) => io::Error::other(error),
            error => io::Error::other(error),
        })?;
        let file = file.ok_or_else(|| io::Error::other(ImageError::MissingBlob(digest)))?;
        Ok(file.extent)
    }

    /// The registry and the repository, if it is one.
    pub(super) fn repository(&self) -> Option<(&str, &str)> {
        match self {
            Self::Registry(remote) => {
                Some((remote.repository.registry(), remote.repository.name()))
            }
            Self::Directory { .. } | Self::Archive { .. } => None,
        }
    }

    /// As [`BlobSource::stored`], of a file or directory.
    pub(super) fn file(&self, path: &str) -> Result<Option<BlobFile>, ImageError> {
        match self {
            Self::Registry(_) => Ok(None),
            Self::Directory { fd, path: dir, .. } => in_directory(fd, dir, path),
            Self::Archive { file, tree, spool } => in_archive(file, tree, path, spool),
        }
    }

    /// The path of the blob with this digest.
    pub(super) fn blob_path(&self, digest: Digest) -> String {
        match self {
            Self::Directory { form: Form::Dir, .. } => digest.hex(),
            _ => format!("{BLOBS}{}", digest.hex()),
        }
    }

    /// The path of the manifest or index with this digest.
    pub(super) fn manifest_path(&self, digest: Digest) -> String {
        match self {
            Self::Directory { form: Form::Dir, .. } => format!("{}.manifest.json", digest.hex()),
            Self::Registry(_) => format!("{MANIFESTS}{}", digest.hex()),
            _ => self.blob_path(digest),
        }
    }

    /// The content of the document at `path`; `None` if there is none.
    pub(super) fn document(&self, path: &str) -> Result<Option<Vec<u8>>, ImageError> {
        self.file(path)?.map(|part| part.read(path)).transpose()
    }
}

/// The directory and the digest in the path of a registry's blob or manifest.
fn digest_in(path: &str) -> Option<(&'static str, Digest)> {
    [BLOBS, MANIFESTS].into_iter().find_map(|dir| {
        let digest = format!("sha256:{}", path.strip_prefix(dir)?).parse();
        Some((dir, digest.ok()?))
    })
}

/// The form of a directory: where no transport says it, the file that the image begins with.
fn form(fd: &OwnedFd, transport: Option<Transport>) -> Result<Form, Errno> {
    let has = |name: &str| match retry_on_intr(|| rustix::fs::statat(fd, name, AtFlags::empty())) {
        Err(Errno::NOENT | Errno::LOOP) => Ok(false),
        found => found.map(|_| true),
    };
    Ok(match transport {
        Some(Transport::Dir) => Form::Dir,
        None if has("manifest.json")? && !has("index.json")? => Form::Dir,
        _ => Form::Layout,
    })
}

fn in_directory(fd: &OwnedFd, dir: &Path, path: &str) -> Result<Option<BlobFile>, ImageError> {
    let unreadable = |errno: Errno| ImageError::Unreadable {
        name: dir.join(path).display().to_string(),
        source: errno.into(),
    };
    let not_regular = || ImageError::document(path, "not a regular file");
    let is_regular = |stat: &Stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    match retry_on_intr(|| rustix::fs::statat(fd, path, AtFlags::empty())) {
        Ok(stat) if is_regular(&stat) => {}
        Ok(_) => return Err(not_regular()),
        Err(Errno::NOENT | Errno::NOTDIR) => {
            return dangling(fd, path).map_err(unreadable)?.map_or(Ok(None), Err);
        }
        Err(Errno::LOOP) => return Err(ImageError::document(path, "its links form a loop")),
        Err(errno) => return Err(unreadable(errno)),
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file =
        retry_on_intr(|| rustix::fs::openat(fd, path, flags, Mode::empty())).map_err(unreadable)?;
    // It may have been replaced since.
    let stat = retry_on_intr(|| rustix::fs::fstat(&file)).map_err(unreadable)?;
    if !is_regular(&stat) {
        return Err(not_regular());
    }
    let len = u64::try_from(stat.st_size).unwrap_or(0);
    Ok(Some(BlobFile { extent: Extent { file: Arc::new(file.into()), offset: 0 }, len }))
}

/// The error for a link to a file that does not exist; `None` if there is no link either.
fn dangling(fd: &OwnedFd, path: &str) -> Result<Option<ImageError>, Errno> {
    let target = match retry_on_intr(|| rustix::fs::readlinkat(fd, path, Vec::new())) {
        Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        target => crate::path::escape(target?.as_bytes()),
    };
    let why = format!("a link to `{target}`, which does not exist");
    Ok(Some(ImageError::document(path, why)))
}

/// Links are followed only among the members: an old `docker save` links a layer that several
/// images share.
fn in_archive(
    file: &Arc<File>,
    tree: &Tree,
    path: &str,
    spool: &Path,
) -> Result<Option<BlobFile>, ImageError> {
    let resolved = match tree.resolve(path.as_bytes()) {
        Ok(resolved) => resolved,
        Err(ResolveError::Loop) => return Err(ImageError::document(path, "its links form a loop")),
        Err(_) => return Ok(None),
    };
    match tree.get(&resolved.path).and_then(|node| node.file()) {
        Some(member) => match &member.content {
            Content::Member(_, offset) => {
                let extent = Extent { file: Arc::clone(file), offset: *offset };
                Ok(Some(BlobFile { extent, len: member.len }))
            }
            Content::Sparse(archive, regions) => {
                let file = spool::expand(archive, regions, member.len, spool)?;
                let extent = Extent { file: Arc::new(file), offset: 0 };
                Ok(Some(BlobFile { extent, len: member.len }))
            }
            _ => Ok(None),
        },
        None => Err(ImageError::document(path, "not a regular file")),
    }
}
