//! What an image is made of, and how two images differ.
//!
//! Images are opened and read by the caller ([`crate::oci`]); nothing is executed.

pub mod components;
pub mod contents;
pub mod diff;
pub mod usage;
pub mod waste;
