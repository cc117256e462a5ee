//! `imgb` turns programs, directories and tarballs into the smallest container image that runs
//! them.
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
//! `pipeline` makes these calls, each taking the last one's value. After `plan::make` nothing is
//! decided.
//!
//! # Floors
//!
//! A module imports only from lower floors, and only what its row names; `tests/it/floors.rs` holds
//! this table against the code.
//!
//! | floor | module | holds | may import | may touch |
//! |---|---|---|---|---|
//! | 0 | [`path`] | ImagePath; globs and ignore lists | – | nothing |
//! | 0 | [`error_kind`] | what an error means to the caller | – | nothing |
//! | 0 | [`timestamp`] | Timestamp | – | nothing |
//! | 0 | [`digest`] | Digest, DiffId, and writers that compute them | path | Read/Write only |
//! | 0 | [`compress`] | codecs | path | Read/Write only |
//! | 1 | [`tree`] | Tree (image path → node), Content (where bytes are, never the bytes), overlay, text dump | path, timestamp | nothing |
//! | 1 | [`recipe`] | Buildfile text → Recipe → stages with nothing left to expand | path | nothing |
//! | 1 | [`elf`] | what a loader reads and where it searches: object, cache, closure | path | nothing (Lookup) |
//! | 1 | [`rules`] | soft dependencies: evidence → paths; the table of rules, which is data | path | nothing |
//! | 1 | [`trace`] | what a watched program asked the system for, and which of it an image lacks; strace logs, lists | error_kind, path | nothing |
//! | 1 | [`image`] | configuration, manifest, index, names, platforms | digest, timestamp | nothing |
//! | 2 | [`archive`] | tar writer (byte-stable) and reader (hostile input) | error_kind, path, timestamp, compress, tree | its own files |
//! | 2 | [`store`] | blobs on disk: temporary file, digest, rename | digest | its own files |
//! | 3 | [`source`] | the sysroot, directories, tarballs, the content of files | error_kind, path, timestamp, digest, compress, tree, elf, archive, store | host reads, threads |
//! | 4 | [`oci`] | images in files and directories: documents, layers as trees | error_kind, path, digest, compress, tree, elf, image, archive, store, source | host reads |
//! | 5 | [`plan`] | Plan, View, reasons, split into layers | error_kind, path, timestamp, tree, elf, rules, image, source | reads through `source` |
//! | 5 | [`check`] | the proof that an image will start, inside its own tree alone | path, tree, elf, image, oci, source | reads through `source` |
//! | 6 | [`build`] | a recipe's stages → Plan | error_kind, path, timestamp, tree, recipe, rules, elf, image, oci, plan, source | base images through `source` |
//! | 6 | [`pack`] | trees → layers | error_kind, path, digest, compress, tree, archive, store, source | threads |
//! | 7 | [`output`] | archives, OCI layout, root file system | error_kind, digest, image, tree, archive, store, source | writes at the target, stdout |
//! | 7 | [`run`] | the smoke run: a throw-away copy, namespaces, the program, and whoever watches it | error_kind, path, tree, trace, source, check | processes |
//! | 8 | [`pipeline`] | the calls above; the one union of errors; Event | all of the above | – |
//! | 9 | [`cli`] | arguments, commands, messages | all of the above | environment, clock, terminal, exit code, names of files |

pub mod archive;
pub mod build;
pub mod check;
pub mod cli;
pub mod compress;
pub mod digest;
pub mod elf;
pub mod error_kind;
pub mod image;
pub mod oci;
pub mod output;
pub mod pack;
pub mod path;
pub mod pipeline;
pub mod plan;
pub mod recipe;
pub mod rules;
pub mod run;
pub mod source;
pub mod store;
pub mod timestamp;
pub mod trace;
pub mod tree;
