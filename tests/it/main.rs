//! The end-to-end tests: one binary, one module per subject. The list says what goes where.
#![cfg(test)]

// The command line, from the outside.
/// `imgb build`: where files go, faults, secrets.
mod build;
/// Bases from every local form, `COPY --from` of them, `pack --base`.
mod build_bases;
/// Hundreds of Dockerfiles, built by imgb and by Docker or buildah.
mod build_conformance;
/// Contexts, tarballs and Buildfiles that nobody means well with.
mod build_hostile;
/// Buildfiles as users have them, run on real engines.
mod build_seeds;
/// The cache of compressed layers.
mod cache;
/// The proof that an image will start, and what it finds.
mod check;
/// Images made anew of objects of which one bit is turned.
mod check_bits;
/// Good images of which one thing after another is damaged.
mod check_each;
/// `imgb deps`: trees, lists, JSON, graphs, exit codes.
mod deps;
/// Programs with windows, on a screen of their own.
mod desktop;
/// What makes the same inputs the same bytes, and the golden digests that pin the format.
mod determinism;
/// The order in which outputs reach the disk.
mod durable;
/// Every bad input, with its exit code and its one message.
mod errors;
/// Every output read back by programs that are not ours.
mod foreign;
/// From a program to a running container, on real engines.
mod founding;
/// Images read back: every form, every flipped bit, every lie.
mod image_read;
/// What each kind of input becomes, and what the options make of it.
mod inputs;
/// Programs of Debian at real work: in an engine with defaults only, and not without the rule they
/// show.
mod programs;
/// Directories of software, and what is foreign in them.
mod rules_directories;
/// What the C library opens at run time: a part of a C program for each rule.
mod rules_libc;
/// The smoke run: exit codes, limits, and nothing outside.
mod run;
/// The static build, in an empty root, packing itself.
mod selfpack;
/// Certificates: real clients and a real server in an engine.
mod tls;
/// Watched programs: what they open, what their images lack, and the same from strace's log.
mod trace;

// The stages from the outside.
/// The tar writer against our reader, the tar crate, GNU tar, bsdtar and Python's tarfile.
mod archive;
/// Roots of other architectures, asked of their own loaders.
mod elf_architectures;
/// ELF objects made of nothing.
mod elf_builder;
/// glibc's rules, one case a test.
mod elf_cases;
/// Random graphs of libraries, against the real loaders.
mod elf_graphs;
/// Objects and roots that nobody means well with.
mod elf_hostile;
/// Every dynamic object of the machine, as its loader lists it.
mod elf_machine;
/// The real loaders, asked.
mod elf_oracle;
/// Programs of the machine, each alone in an empty root.
mod elf_programs;
/// Closures in roots of all kinds.
mod elf_roots;
/// Hostile and odd tars, one test for each kind.
mod hostile_tar;
/// Nothing is read twice, and no number of threads shows in a large layer.
mod once;
/// Layers: the same bytes whatever the threads, and faults on the way.
mod pack;

// The source text.
/// README, CONTRIBUTING and Cargo.toml agree with the command and with each other.
mod documents;
/// The module table, held against the code; sizes and other tidiness.
mod floors;
/// No circle of imports between the files of `src/`.
mod floors_circles;
/// Lines of source, comments, docs and scripts fit into 100 columns.
mod floors_columns;

// What the others stand on.
/// dockerd, containerd, podman and umoci with runc, each with its own state, each ended afterwards.
mod engines;
/// The programs and trees that more than one test packs; fixtures/README.md lists them.
mod fixtures;
/// The rules of the OCI image specification, as checks on JSON and on blobs.
mod image_spec;
/// A packed program, unpacked into an empty root and run there.
mod rules_root;
/// Rust source as tokens: the paths it names, without comments, strings and unit tests.
mod rust_text;
/// A temporary directory, files in it, and commands run over it.
mod sandbox;
