//! `imgb` turns programs, directories and tarballs into the smallest container image that runs them.
//!
//! # The way of the data
//!
//! ```text
//! Buildfile text ──recipe::parse──▶ Recipe ◀── the pack command's flags
//!                                     │ source::gather    directories, tarballs, programs, base image
//!                                     ▼
//!                                   [Input]
//!                                     │ plan::make        elf::closure and the rules look through plan::View
//!                                     ▼
//!                                   Plan ───▶ imgb plan · imgb deps · imgb why
//!                                     │ pack::pack        content is read once; tar, compress, both digests in one pass
//!                                     ▼
//!                                   [Layer] ──image::assemble──▶ Image ──output::write──▶ archive | OCI layout | rootfs tar
//! ```
//!
//! `pipeline` makes these calls, each taking the last one's value. After `plan::make` nothing is decided.
//!
//! # Floors
//!
//! A module imports only from lower floors, and only what its row names; `tests/it/floors.rs` holds this
//! table against the code.
//!
//! | floor | module | holds | may import | may touch |
//! |---|---|---|---|---|
//! | 0 | [`path`] [`timestamp`] [`digest`] [`compress`] | names, times, digests, codecs | – | Read/Write only |
//! | 1 | [`tree`] | Tree: image path → node; Content: where bytes are, never the bytes | path, timestamp | nothing |
//! | 1 | [`recipe`] | Buildfile text → Recipe → stages with nothing left to expand | path | nothing |

pub mod compress;
pub mod digest;
pub mod elf;
pub mod path;
pub mod recipe;
pub mod timestamp;
pub mod tree;
