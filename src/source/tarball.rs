//! Reads a tarball of any compression as a tree. Its members are read in place, not extracted.

use std::{
    cell::Cell,
    fs::File,
    io::{self, Read as _},
    path::Path,
    sync::Arc,
};

use super::{
    InputOptions, SourceError,
    content::{self, ContentError},
};
use crate::{
    archive::{
        read::{self, Whiteouts},
        spool,
    },
    compress::{self, Format},
    path::ImagePath,
    tree::{FileNode, Node, Tree},
};

/// Length of a tar header in bytes.
const BLOCK: usize = 512;

/// Whether the decompressed content of the file at `path` starts with a tar header.
pub(super) fn is_tarball_at(path: &Path) -> Result<bool, SourceError> {
    let unreadable = |source| SourceError::Unreadable { path: path.into(), source };
    let file = fs_err::File::open(path).map_err(unreadable)?;
    begins_with_header(&file).map_err(unreadable)
}

/// Whether the decompressed content of `file` starts with a tar header.
///
/// # Errors
/// [`ContentError`] if the file cannot be read.
pub fn is_tarball(file: &FileNode) -> Result<bool, ContentError> {
    begins_with_header(content::open(&file.content, file.len)?)
        .map_err(|source| ContentError::Read { path: "a tarball".into(), source })
}

fn begins_with_header(mut reader: impl io::Read) -> io::Result<bool> {
    let mut front = Vec::new();
    (&mut reader).take(compress::MAX_SNIFF as u64).read_to_end(&mut front)?;
    let format = Format::sniff(&front);
    let fault = Cell::new(None);
    let input = DecoderInput { inner: front.chain(reader), fault: &fault };
    let mut block = Vec::with_capacity(BLOCK);
    // A file that does not decompress is not a tarball and is packed as it is.
    if let Ok(decoder) = compress::decoder(format, input) {
        let _ = decoder.take(BLOCK as u64).read_to_end(&mut block);
    }
    fault.into_inner().map_or_else(|| Ok(is_header(&block)), Err)
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
    let opened = content::host_file(&file.content, file.len).map_err(|error| {
        SourceError::Unreadable { path: name.into(), source: io::Error::other(error) }
    })?;
    members(name, opened, &ImagePath::root(), options)
}

/// Whether `block` is a tar header with a valid checksum (POSIX.1-1988, `ustar`; V7 has no magic).
fn is_header(block: &[u8]) -> bool {
    let Some(block) = block.first_chunk::<BLOCK>() else { return false };
    let header = tar::Header::from_byte_slice(block);
    let sum: u32 = block
        .iter()
        .enumerate()
        .map(|(at, &b)| if (148..156).contains(&at) { 32 } else { u32::from(b) })
        .sum();
    block.iter().any(|&b| b != 0) && header.cksum().is_ok_and(|wanted| wanted == sum)
}

/// The tarball's files below `root`, with their own modes and owners and the image's time.
pub(super) fn read(
    path: &Path,
    root: &ImagePath,
    options: &InputOptions,
) -> Result<Tree, SourceError> {
    let file = fs_err::File::open(path)
        .map_err(|source| SourceError::Unreadable { path: path.into(), source })?;
    members(&path.display().to_string(), file.into_parts().0, root, options)
}

fn members(
    name: &str,
    file: File,
    root: &ImagePath,
    options: &InputOptions,
) -> Result<Tree, SourceError> {
    let archive = Arc::new(spool::open(name, file, &options.spool, spool::Limits::default())?);
    let contents = read::read(&archive, Whiteouts::Refuse, read::Limits::default())?;
    let mut tree = Tree::new();
    let mut excluded: Option<ImagePath> = None;
    for (path, mut node) in contents.change.tree {
        let place = root.join(path.relative()).map_err(|source| SourceError::BadPath {
            name: name.into(),
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
            let error = begins_with_header(Failing(start)).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(5));
        }
    }

    #[test]
    fn knows_a_header_by_its_checksum() {
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        header.set_cksum();
        let mut block = *header.as_bytes();
        assert!(is_header(&block));
        block[0] ^= 1;
        assert!(!is_header(&block));
        assert!(!is_header(&[0; BLOCK]) && !is_header(b"#!/bin/sh"));
    }
}
