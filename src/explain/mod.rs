//! What an image is made of, and how two images differ.
//!
//! Images are opened and read by the caller ([`crate::oci`]); nothing is executed.

pub mod bill;
mod companions;
pub mod components;
pub mod contents;
mod descriptions;
pub mod diff;
pub mod inspection;
pub mod materials;
pub mod page;
pub mod reach;
pub mod recorded;
pub mod resolve;
pub mod script_line;
pub mod usage;
pub mod waste;
pub mod why;
