//! `imgb` packs programs, directories and tarballs into minimal container images.
//!
//! This page is the architecture: how data flows, which modules there are, and what each may use.
//!
//! The library exists for the binary, the tests and the benches. It makes no promise of stability:
//! any release may change any item. What users may rely on is the command line, the Buildfile and
//! the format of the output, all in `docs/`. The modules are public so that tests and benches can
//! drive each stage alone, and so that `cargo doc` shows the whole of it.
//!
//! # Data flow
//!
//! ```text
//!   inputs and options        Buildfile
//!          │                      │ recipe::parse
//!          │                      ▼
//!          │                    Recipe
//!          │ source::gather       │ build: one stage after another, bases through oci
//!          ▼                      ▼
//!       [Input] ◀──────────── [Input] of each instruction
//!          │ plan: elf::closure and the rules look through one view of files
//!          ▼
//!        Plan ─────────▶ imgb plan, imgb deps
//!          │ check: the proof that the image will start
//!          │ pack: content is read once, that of large files twice, since a file's time depends
//!          │ on its content; tar, compression and both digests in one pass
//!          ▼
//!       [Layer]
//!          │ image::assemble
//!          ▼
//!        Image
//!          │ output::write
//!          ▼
//!    archive, OCI layout or root file system
//!          │ oci: index, manifest and configuration first, then layers as trees
//!          ▼
//!    Tree and configuration
//!          ├──▶ check      imgb check
//!          ├──▶ slim       imgb slim: the plan of a smaller image
//!          └──▶ run        imgb run: a copy of the image in namespaces of its own
//!                 └──▶ trace   imgb trace: what the program asked for and did not find
//! ```
//!
//! [`pipeline`] makes these calls, each of which takes the value of the one before. Nothing is
//! decided after the plan is made.
//!
//! ```
//! use imgb::{
//!     compress::Compression,
//!     image::{Platform, Target},
//!     pipeline::{Delivery, PackRequest, Part, deliver, plan},
//!     plan::{Layers, PlanOptions, RuleSet, Settings},
//!     rules::{Choice, Table},
//!     source::{InputOptions, Request},
//!     store::Durability,
//!     timestamp::Mtime,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = tempfile::tempdir()?;
//! let (file, archive) = (dir.path().join("motd"), dir.path().join("image.tar"));
//! fs_err::write(&file, "hello\n")?;
//! let request = PackRequest {
//!     requests: vec![Request::parse(&format!("{}:/etc/motd", file.display()))?],
//!     base: None,
//!     sysroot: None,
//!     image: imgb::oci::OpenOptions {
//!         platform: None,
//!         machine: Platform::linux("amd64", None),
//!         any: false,
//!         spool: dir.path().into(),
//!         limits: Default::default(),
//!         registries: Default::default(),
//!         pieces: None,
//!     },
//!     source: InputOptions {
//!         exclude: Vec::new(),
//!         preserve_mode: false,
//!         owner: None,
//!         mtime: Mtime::OfContent,
//!         outputs: [archive.clone()].into(),
//!         command_dirs: Vec::new(),
//!         versions: Default::default(),
//!         as_file: false,
//!         spool: dir.path().into(),
//!         jobs: std::num::NonZero::<usize>::MIN,
//!     },
//!     plan: PlanOptions {
//!         dependencies: true,
//!         package_metadata: true,
//!         rules: RuleSet { table: Table::builtin()?, choice: Choice::default() },
//!         include: Vec::new(),
//!         allow_missing: Vec::new(),
//!         strict: false,
//!         library_path: Vec::new(),
//!         hwcaps_all: false,
//!         layers: Layers::One,
//!         platform: None,
//!         fallback_platform: Platform::linux("amd64", None),
//!         settings: Settings::default(),
//!         capabilities: Vec::new(),
//!     },
//!     deny_secrets: true,
//! };
//! let delivery = Delivery {
//!     targets: vec![Target::parse(&archive.to_string_lossy(), None, |_| false)?],
//!     names: vec!["example:1".parse()?],
//!     fallback_name: "image".parse()?,
//!     compression: Compression::default(),
//!     jobs: std::num::NonZero::<usize>::MIN,
//!     cache: None,
//!     cache_from: Vec::new(),
//!     cache_to: Vec::new(),
//!     annotations: Default::default(),
//!     machine: Platform::linux("amd64", None),
//!     scratch: dir.path().into(),
//!     durability: Durability::Cached,
//!     registries: Default::default(),
//!     push: Default::default(),
//!     expected: None,
//! };
//!
//! // Inputs are gathered and everything is decided; then their bytes are read, once.
//! let planned = plan(&request, &|_| {})?;
//! assert!(planned.plan.merged().iter().any(|(path, _)| path.to_string() == "/etc/motd"));
//! let part = Part {
//!     plan: &planned.plan,
//!     base: planned.base.as_deref(),
//!     annotations: Default::default(),
//! };
//! let delivered = deliver(&[part], &delivery, &|_| {})?;
//! assert_eq!(delivered.layers[0].len(), 1);
//! assert!(archive.exists());
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//!
//! A module imports only from lower floors, and only what its row names. `tests/it/floors.rs` reads
//! this table and holds the code to it. Files do not import from each other in a circle either
//! (`tests/it/floors_circles.rs`).
//!
//! ```text
//! 0 path       ImagePath; globs and ignore lists
//!     imports –
//!     touches nothing
//! 0 error_kind what an error means to the caller: its kind and its text
//!     imports –
//!     touches nothing
//! 0 timestamp  Timestamp
//!     imports –
//!     touches nothing
//! 0 suggest    the known name that a mistyped one is closest to
//!     imports –
//!     touches nothing
//! 0 quantity   counts with their nouns, and sizes
//!     imports –
//!     touches nothing
//! 0 machine_files  what describes a machine and its users, not its programs: data
//!     imports –
//!     touches nothing
//! 0 uninterrupted  calls of the standard library, repeated after a signal
//!     imports –
//!     touches its own files
//! 1 digest     Digest, DiffId, and writers that compute them
//!     imports path
//!     touches Read/Write only
//! 1 compress   codecs
//!     imports path
//!     touches Read/Write only
//! 1 languages  what language runtimes read, where packages are: data
//!     imports path
//!     touches nothing
//! 1 packages   who owns a file, what its package depends on: dpkg, apk, rpm
//!     imports path
//!     touches nothing (bytes in)
//! 1 tree       Tree (image path → node), Content (where bytes are), overlay, text dump
//!     imports path, timestamp
//!     touches nothing
//! 1 elf        what a loader reads and where it searches: object, cache, closure
//!     imports path, quantity
//!     touches nothing (Lookup)
//! 1 engine     the command lines of docker and podman: save, load, inspect
//!     imports error_kind, path
//!     touches processes
//! 2 ownership  whether what a file mentions is meant: dependencies between packages say
//!     imports path, packages
//!     touches nothing
//! 2 embedded   archives inside files: ZIP, PyInstaller
//!     imports elf
//!     touches Read/Write only
//! 2 trace      what a watched program asked the system for, and what its image lacks
//!     imports error_kind, languages, machine_files, path
//!     touches nothing
//! 2 image      configuration, manifest, index, names, transports, platforms, ports, signals
//!     imports path, digest, timestamp, compress, suggest
//!     touches nothing
//! 2 archive    tar writer (byte-stable) and reader (hostile input)
//!     imports error_kind, path, timestamp, compress, tree, uninterrupted
//!     touches its own files
//! 2 registry   manifests and blobs of registries, both ways: auth, retry, resume
//!     imports path, quantity, error_kind, digest, uninterrupted
//!     touches sockets, credentials, sessions, threads, clock
//! 2 store      blobs on disk: temporary file, digest, rename
//!     imports digest, uninterrupted
//!     touches its own files
//! 3 components what programs and packages say of themselves: names, versions, licences
//!     imports elf, embedded
//!     touches Read/Write only
//! 3 rules      run-time dependencies: evidence → paths; the table of rules is data
//!     imports machine_files, path, ownership
//!     touches nothing
//! 3 recipe     Buildfile text → Recipe → stages with nothing left to expand
//!     imports path, suggest, image
//!     touches nothing
//! 3 source     the sysroot, directories, tarballs, the content of files
//!     imports error_kind, languages, path, suggest, timestamp, digest, compress, tree, elf,
//!             archive, store, uninterrupted
//!     touches host reads, threads
//! 3 oci        images in files and directories: documents, layers as trees
//!     imports error_kind, path, quantity, digest, compress, engine, tree, image, archive,
//!             registry, store
//!     touches host reads
//! 4 reuse      layers of earlier images and of shared caches, which need no compression
//!     imports error_kind, timestamp, digest, compress, image, store, oci
//!     touches reads through oci, threads
//! 4 view       one lookup over layers of trees and a sysroot
//!     imports path, packages, tree, elf, source
//!     touches reads through source
//! 4 sbom       SPDX and CycloneDX documents from plain values
//!     imports components, digest, path, timestamp
//!     touches nothing
//! 5 plan       Plan, reasons, split into layers
//!     imports components, embedded, error_kind, languages, machine_files, path, quantity,
//!             timestamp, packages, tree, elf, ownership, image, rules, source, view
//!     touches reads through source
//! 5 process    how an image's program is found, and as whom it runs
//!     imports path, tree, elf, view
//!     touches reads through source
//! 6 build      a recipe's stages → Plan; bases and sysroots
//!     imports digest, error_kind, path, timestamp, tree, recipe, rules, elf, image, oci, plan,
//!             source, suggest, view, uninterrupted
//!     touches reads through source, base images through oci
//! 6 pack       trees → layers
//!     imports error_kind, path, timestamp, digest, compress, tree, archive, store, source,
//!             reuse
//!     touches threads
//! 6 check      the proof that an image will start, inside its own tree alone
//!     imports languages, path, tree, elf, image, process, view
//!     touches reads through source
//! 6 needs      what an image's programs need of it: an image that exists → paths and reasons
//!     imports elf, image, languages, machine_files, packages, path, plan, process, source,
//!             tree, view
//!     touches reads through source
//! 6 relayer    an image → the plan of one with the same files in other layers
//!     imports elf, image, oci, plan, timestamp, tree
//!     touches reads through source
//! 7 output     archives, OCI layout, root file system, registries, engines
//!     imports error_kind, quantity, digest, compress, engine, image, tree, archive, registry,
//!             store, source, uninterrupted
//!     touches writes at the target, stdout, threads
//! 7 run        the smoke run: a throw-away copy, namespaces, the program and its watcher
//!     imports error_kind, path, timestamp, tree, elf, trace, image, source, process, view,
//!             uninterrupted
//!     touches processes
//! 7 explain    what is in an image, why, and how two images differ
//!     imports components, error_kind, path, timestamp, digest, compress, packages, tree, elf,
//!             image, archive, source, oci, view, sbom, plan, needs, rules, quantity
//!     touches reads through source
//! 7 slim       an image → the plan of a smaller one
//!     imports digest, elf, error_kind, image, needs, oci, path, plan, source, tree, view
//!     touches reads through source, base images through oci
//! 8 transfer   images from anywhere to anywhere, byte for byte; indexes; artifacts about images
//!     imports error_kind, digest, compress, image, oci, output, registry, store, tree
//!     touches host reads
//! 8 pipeline   the calls above; the one union of errors; Event
//!     imports all of the above
//!     touches –
//! 9 cli        arguments, commands, messages
//!     imports all of the above
//!     touches environment, clock, terminal, exit code, names of files
//! ```

pub mod archive;
pub mod build;
pub mod check;
pub mod cli;
pub mod components;
pub mod compress;
pub mod digest;
pub mod elf;
pub mod embedded;
pub mod engine;
pub mod error_kind;
pub mod explain;
pub mod image;
pub mod languages;
pub mod machine_files;
pub mod needs;
pub mod oci;
pub mod output;
pub mod ownership;
pub mod pack;
pub mod packages;
pub mod path;
pub mod pipeline;
pub mod plan;

pub mod process;
pub mod quantity;
pub mod recipe;
pub mod registry;
pub mod relayer;
pub mod reuse;
pub mod rules;
pub mod run;
pub mod sbom;
pub mod slim;
pub mod source;
pub mod store;
pub mod suggest;
pub mod timestamp;
pub mod trace;
pub mod transfer;
pub mod tree;
pub mod uninterrupted;
pub mod view;
