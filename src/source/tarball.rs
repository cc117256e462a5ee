//! Reads a tarball of any compression as a tree. Its members are read in place, not extracted.

use std::{
    cell::Cell,
    io::{self, Read as _},
    path::Path,
    sync::Arc,
};

use super::{InputOptions, SourceError, content};
use crate::{
    archive::{
        read::{self, Whiteouts},
        spool,
    },
    compress::{self, Format},
    path::ImagePath,
    tree::{Archive, Content, FileNode, Node, Tree},
};

/// How large a tarball may become when it is decompressed.
const LIMITS: spool::Limits = spool::Limits::DEFAULT;

/// Length of a tar header in bytes.
const BLOCK: usize = 512;

/// Endings of names of tarballs, of every compression in use, in lower case.
const ENDINGS: [&str; 17] = [
    ".tar",
    ".tar.gz",
    ".tgz",
    ".taz",
    ".tar.bz2",
    ".tbz",
    ".tbz2",
    ".tar.xz",
    ".txz",
    ".tar.zst",
    ".tzst",
    ".tar.lzma",
    ".tar.lz",
    ".tar.lz4",
    ".tar.lzo",
    ".tar.z",
    ".tar.br",
];

/// Whether the file at `path` is a tarball: its decompressed content starts with a tar header.
///
/// # Errors
/// [`SourceError::NoTarball`] for what looks like a tarball and cannot be read as one.
pub(super) fn is_tarball_at(path: &Path) -> Result<bool, SourceError> {
    let unreadable = |source| SourceError::Unreadable { path: path.into(), source };
    let file = fs_err::File::open(path).map_err(unreadable)?;
    let front = Front::read(&file).map_err(unreadable)?;
    front.is_tarball(&path.display().to_string())
}

/// Whether `file`, which messages call `name`, is a tarball for ADD. A tarball without entries is
/// not: Docker copies it as a file.
///
/// # Errors
/// [`SourceError::NoTarball`] for what looks like a tarball and cannot be read as one.
pub fn is_tarball(name: &str, file: &FileNode) -> Result<bool, SourceError> {
    let unreadable = |source| SourceError::Unreadable { path: name.into(), source };
    let content = content::open(&file.content, file.len);
    let content = content.map_err(|error| unreadable(io::Error::other(error)))?;
    let front = Front::read(content).map_err(unreadable)?;
    Ok(!front.is_empty_tarball() && front.is_tarball(name)?)
}

/// What a file starts with.
struct Front {
    format: Format,
    /// The first block after decompression; shorter if there is less.
    block: Vec<u8>,
    /// Why decompression ended.
    damage: Option<io::Error>,
}

impl Front {
    fn read(mut reader: impl io::Read) -> io::Result<Self> {
        let mut front = Vec::new();
        (&mut reader).take(compress::MAX_SNIFF as u64).read_to_end(&mut front)?;
        let format = Format::sniff(&front);
        let fault = Cell::new(None);
        let input = DecoderInput { inner: front.chain(reader), fault: &fault };
        let mut block = Vec::with_capacity(BLOCK);
        let decoded = compress::decoder(format, input)
            .and_then(|decoder| decoder.take(BLOCK as u64).read_to_end(&mut block));
        match fault.into_inner() {
            Some(fault) => Err(fault),
            None => Ok(Self { format, block, damage: decoded.err() }),
        }
    }

    /// Whether this is what `tar -T /dev/null` writes: only zeros.
    fn is_empty_tarball(&self) -> bool {
        self.block.len() == BLOCK && self.block.iter().all(|&byte| byte == 0)
    }

    /// Whether this is the start of a tarball, by a header with a valid checksum. A file that only
    /// looks like a tarball, by its name or by the magic of its header, is an error: it would be
    /// packed as a file, without a word.
    fn is_tarball(&self, name: &str) -> Result<bool, SourceError> {
        let first = self.block.first_chunk::<BLOCK>();
        if first.is_some_and(read::is_header) {
            return Ok(true);
        }
        let lower = name.to_ascii_lowercase();
        let is_named = ENDINGS.iter().any(|ending| lower.ends_with(ending));
        if is_named && self.is_empty_tarball() {
            return Ok(true);
        }
        let has_magic = self.block.get(257..262) == Some(b"ustar");
        if !is_named && !has_magic {
            return Ok(false);
        }
        let why = match (&self.damage, first) {
            (Some(damage), _) => format!("its {} stream is damaged: {damage}", self.format),
            (None, None) if self.block.is_empty() => "it is empty".to_owned(),
            (None, None) => "it is shorter than a tar header".to_owned(),
            (None, Some(_)) if has_magic => "the checksum of its first header is wrong".to_owned(),
            (None, Some(_)) => "it does not start with a tar header".to_owned(),
        };
        Err(SourceError::NoTarball { name: name.to_owned(), why })
    }
}

/// Keeps the error of reading the file, which decoders wrap in errors of their own.
struct DecoderInput<'a, R> {
    inner: R,
    fault: &'a Cell<Option<io::Error>>,
}

impl<R: io::Read> io::Read for DecoderInput<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buf).map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.fault.set(Some(error));
            }
            kind.into()
        })
    }
}

/// Reads the files of a tarball. They keep their own modes and owners and get the image's
/// timestamp. `name` is what messages call the tarball.
///
/// # Errors
/// [`SourceError`] if the tarball cannot be read, is damaged or is hostile.
pub fn unpack(name: &str, file: &FileNode, options: &InputOptions) -> Result<Tree, SourceError> {
    unpack_at(name, file, &ImagePath::root(), options)
}

/// As [`unpack`], below `root`.
pub(super) fn unpack_at(
    name: &str,
    file: &FileNode,
    root: &ImagePath,
    options: &InputOptions,
) -> Result<Tree, SourceError> {
    let unreadable =
        |error| SourceError::Unreadable { path: name.into(), source: io::Error::other(error) };
    if matches!(file.content, Content::Host(_)) {
        let opened = content::host_file(&file.content, file.len).map_err(unreadable)?;
        return members(spool::open(name, opened, &options.spool, LIMITS)?, root, options);
    }
    let reader = content::open(&file.content, file.len).map_err(unreadable)?;
    members(spool::spool(name, reader, &options.spool, LIMITS)?, root, options)
}

/// The tarball's files below `root`, with their own modes and owners and the image's time.
pub(super) fn read(
    path: &Path,
    root: &ImagePath,
    options: &InputOptions,
) -> Result<Tree, SourceError> {
    let file = fs_err::File::open(path)
        .map_err(|source| SourceError::Unreadable { path: path.into(), source })?;
    let name = path.display().to_string();
    members(spool::open(&name, file.into_parts().0, &options.spool, LIMITS)?, root, options)
}

fn members(
    archive: Archive,
    root: &ImagePath,
    options: &InputOptions,
) -> Result<Tree, SourceError> {
    let archive = Arc::new(archive);
    let contents = read::read(&archive, Whiteouts::Refuse, read::Limits::default())?;
    let mut tree = Tree::new();
    let mut excluded: Option<ImagePath> = None;
    for (path, mut node) in contents.change.tree {
        let place = root.join(path.relative()).map_err(|source| SourceError::BadPath {
            name: archive.name.clone(),
            entry: path.as_bytes().into(),
            source,
        })?;
        if excluded.as_ref().is_some_and(|dir| place.is_within(dir)) {
            continue;
        }
        if options.excludes(&place) {
            excluded = Some(place);
            continue;
        }
        settle(&mut node, options);
        tree.insert(place, node);
    }
    Ok(tree)
}

/// Options that the user set for all files override the tarball's metadata.
fn settle(node: &mut Node, options: &InputOptions) {
    node.meta.mtime = options.mtime;
    if let Some((uid, gid)) = options.owner {
        (node.meta.uid, node.meta.gid) = (uid, gid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some bytes, then an I/O error.
    struct Failing(&'static [u8]);

    impl io::Read for Failing {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buf)? {
                0 => Err(io::Error::from_raw_os_error(5)),
                len => Ok(len),
            }
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error() {
        for start in [&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..], b"more than six bytes"] {
            let error = Front::read(Failing(start)).err();
            assert_eq!(error.and_then(|error| error.raw_os_error()), Some(5));
        }
    }

    /// The verdict on a file, or the message.
    fn verdict(name: &str, bytes: &[u8]) -> Result<bool, String> {
        Front::read(bytes).unwrap().is_tarball(name).map_err(|error| error.to_string())
    }

    #[test]
    fn knows_a_header_by_its_checksum() {
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        header.set_cksum();
        let mut block = *header.as_bytes();
        for name in ["a", "a.tar"] {
            assert_eq!(verdict(name, &block), Ok(true));
        }
        assert_eq!(verdict("a", &[0; BLOCK]), Ok(false));
        assert_eq!(verdict("a.TAR", &[0; BLOCK]), Ok(true));
        assert_eq!(verdict("a", b"#!/bin/sh"), Ok(false));
        block[0] ^= 1;
        let wrong = "a: cannot be read as a tarball: the checksum of its first header is wrong";
        assert!(verdict("a", &block).unwrap_err().starts_with(wrong));
    }

    #[test]
    fn what_is_named_like_a_tarball_must_be_one() {
        let gzip = |bytes: &[u8]| {
            let mut out = Vec::new();
            let mut encoder = flate2::read::GzEncoder::new(bytes, flate2::Compression::fast());
            encoder.read_to_end(&mut out).unwrap();
            out
        };
        let text = gzip(b"some text that is not a tarball");
        for (bytes, why) in [
            (&b""[..], "it is empty"),
            (&text[..20], "its gzip stream is damaged: "),
            (&text, "it is shorter than a tar header"),
            (&[b'x'; 600], "it does not start with a tar header"),
        ] {
            for name in ["x.tar", "d/x.tar.gz", "x.tgz", "x.tar.lz4"] {
                let wanted = format!("{name}: cannot be read as a tarball: {why}");
                let message = verdict(name, bytes).unwrap_err();
                assert!(message.starts_with(&wanted), "{message}");
            }
            for name in ["x", "x.gz", "tar", "x.tar.txt"] {
                assert_eq!(verdict(name, bytes), Ok(false));
            }
        }
    }
}
