//! What the fuzz targets share: files in memory, structured input, and what holds for every tree
//! and every message.

pub mod image;
pub mod input;
pub mod tar;
pub mod tree;

use std::{fs::File, io::Write as _, path::PathBuf, sync::Arc};

use imgb::tree::Archive;

/// The directory for nameless files: in memory, so that no run waits for a disk.
pub fn scratch() -> PathBuf {
    "/dev/shm".into()
}

/// A nameless file with these bytes.
pub fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile_in(scratch()).expect("/dev/shm is writable");
    file.write_all(bytes).expect("/dev/shm has space");
    file
}

/// An archive with these bytes.
pub fn archive(bytes: &[u8]) -> Arc<Archive> {
    Arc::new(Archive::new("in.tar", file(bytes)))
}

/// A message, which holds no control characters besides line feeds. Hostile names in it are
/// escaped.
pub fn check_message(text: &str) {
    assert!(!text.is_empty(), "an empty message");
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "control characters in {text:?}");
}

/// A message of one line.
pub fn check_line(text: &str) {
    check_message(text);
    assert!(!text.contains('\n'), "several lines in {text:?}");
}
