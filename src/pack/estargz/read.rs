//! Reads the table of contents of a layer back.

use std::{
    io::{self, Read as _},
    os::unix::fs::FileExt as _,
};

use super::footer;
use crate::{
    archive::header,
    compress::{Format, decoder},
    store::Blob,
};

/// The table of contents of an eStargz layer, as it is written in it.
///
/// # Errors
/// If the blob cannot be read, or is not one.
pub(super) fn toc(blob: &Blob) -> io::Result<Vec<u8>> {
    let invalid = || io::Error::other("the layer has no table of contents");
    let extent = blob.place.open()?;
    let end = blob.size.checked_sub(footer::LEN as u64).ok_or_else(invalid)?;
    let mut bytes = [0; footer::LEN];
    extent.file.read_exact_at(&mut bytes, extent.offset + end)?;
    let start = footer::parse(&bytes).filter(|start| *start < end).ok_or_else(invalid)?;
    let mut member = vec![0; usize::try_from(end - start).map_err(io::Error::other)?];
    extent.file.read_exact_at(&mut member, extent.offset + start)?;
    let mut tar = decoder(Format::Gzip, &member[..])?;
    let mut head = [0; header::BLOCK];
    tar.read_exact(&mut head)?;
    let len = header::size_of_blob(&head).ok_or_else(invalid)?;
    let mut toc = Vec::new();
    tar.take(len).read_to_end(&mut toc)?;
    if toc.len() as u64 == len { Ok(toc) } else { Err(invalid()) }
}
