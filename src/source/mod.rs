//! Where files come from: the host, seen through a root.

pub mod host;
pub mod walk;
