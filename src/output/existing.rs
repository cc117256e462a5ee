//! What an output may replace: nothing but images.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use super::{OutputError, stream::is_stream};
use crate::{
    compress::{self, Format},
    image::{Destination, OutputFormat, Target},
    source::if_present,
    uninterrupted,
};

/// Bytes of an existing file that are looked at, decompressed: room for several headers of a tar.
const HEAD: u64 = 8 << 10;

/// The bytes of a tar's header and the blocks that its content is padded to.
const BLOCK: usize = 512;

/// Whether what is at `target` now is an image of some form, so that it may be replaced: an empty
/// file, the archive of an image, for [`OutputFormat::Rootfs`] any tar. Also if nothing is there,
/// or a device or pipe. Whether a directory is a layout is found out when it is opened.
///
/// # Errors
/// If an existing file cannot be read.
pub fn is_replaceable(target: &Target) -> Result<bool, OutputError> {
    let Destination::Path(path) = &target.destination else { return Ok(true) };
    if target.format == OutputFormat::OciLayout || is_stream(path) || !has_content(path)? {
        return Ok(true);
    }
    let head = head(path).map_err(|source| unreadable(path, source))?;
    Ok(match target.format {
        // The tar of an empty root consists of blocks of zeros.
        OutputFormat::Rootfs => is_tar(&head) || head.iter().all(|&byte| byte == 0),
        _ => is_image(&head),
    })
}

/// Whether the file at `path` is the archive of an image.
///
/// # Errors
/// If an existing file cannot be read.
pub fn is_archive(path: &Path) -> Result<bool, OutputError> {
    if is_stream(path) || !has_content(path)? {
        return Ok(false);
    }
    Ok(is_image(&head(path).map_err(|source| unreadable(path, source))?))
}

/// Whether `path` leads to a file that is not empty.
fn has_content(path: &Path) -> Result<bool, OutputError> {
    let found = if_present(uninterrupted::metadata(path));
    let found = found.map_err(|source| unreadable(path, source))?;
    Ok(found.is_some_and(|found| found.is_file() && found.len() > 0))
}

fn unreadable(path: &Path, source: io::Error) -> OutputError {
    OutputError::Io { action: "read", path: path.into(), source }
}

/// The first bytes of a file, decompressed; fewer if the file is shorter or damaged.
fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut start = Vec::new();
    file.by_ref().take(HEAD).read_to_end(&mut start)?;
    let format = Format::sniff(&start);
    if format == Format::Plain {
        return Ok(start);
    }
    let mut head = Vec::new();
    let decoder = compress::decoder(format, start.chain(file))?;
    // What could be decompressed before a fault is enough.
    let _ = decoder.take(HEAD).read_to_end(&mut head);
    Ok(head)
}

fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

/// Whether a tar begins like an archive of an image: with a document or a directory of blobs, or
/// with what `docker save` and skopeo name after a digest.
fn is_image(head: &[u8]) -> bool {
    let headers = head.chunks(BLOCK).take_while(|header| is_tar(header));
    let mut names = headers.map(|header| {
        let name = header.get(..100).unwrap_or_default();
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        name.strip_prefix(b"./").unwrap_or(name)
    });
    // GNU tar begins with `./`, if it is told to archive `.`.
    names.find(|name| !name.is_empty()).is_some_and(|name| {
        let first = name.split(|&byte| byte == b'/').next().unwrap_or_default();
        let hex = first.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let documents: [&[u8]; 5] =
            [b"blobs", b"oci-layout", b"index.json", b"manifest.json", b"repositories"];
        hex >= 64 || documents.contains(&first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::header;

    #[test]
    fn knows_archives_of_images_by_their_first_member() {
        let hex = "ab".repeat(32);
        for (names, wanted) in [
            (&["blobs/", "blobs/sha256/"][..], true),
            (&["./", "./oci-layout"], true),
            (&["index.json"], true),
            (&[&format!("{hex}/layer.tar")], true),
            (&[&format!("{hex}.json")], true),
            (&["etc/passwd"], false),
            (&["./", "./etc/", "./blobs/"], false),
            (&["abcdef/x"], false),
            (&[], false),
        ] {
            let head = names.iter().flat_map(|name| header::blob(name, 0)).collect::<Vec<_>>();
            assert_eq!(is_image(&head), wanted, "{names:?}");
        }
        assert!(!is_image(b"#!/bin/sh\n"));
    }
}
