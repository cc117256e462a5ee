//! Tar: a writer whose output depends only on the tree, and a reader for hostile input.

pub mod header;
pub mod read;
pub mod spool;
pub mod write;
