//! What is read from the host.

pub mod content;
