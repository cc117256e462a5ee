//! The end-to-end tests: one binary, one module per subject.
#![cfg(test)]

/// The tar writer against our reader, the tar crate, GNU tar, bsdtar and Python's tarfile.
mod archive;
/// Hostile and odd tars, one test for each kind.
mod hostile_tar;
/// Layers: the same bytes whatever the threads, and faults on the way.
mod pack;
