//! Tar: a writer whose bytes depend on nothing but the tree, and a reader that trusts nothing.

pub mod header;
pub mod read;
pub mod spool;
pub mod write;
