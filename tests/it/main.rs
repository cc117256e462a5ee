//! The end-to-end tests: one binary, one module per subject. This list says what goes where.
#![cfg(test)]
#![allow(clippy::disallowed_methods, reason = "tests may panic, and make no outputs")]

// The command line.
/// `pack` from scratch and on a base: the same decisions.
mod agreement;
/// `imgb attach`, `imgb referrers`, `--referrers`: what is beside an image, which engines ignore.
mod attach;
/// `imgb build`: where files go, faults, secrets.
mod build;
/// Bases of every local form, in FROM, `COPY --from` and `pack --base`.
mod build_bases;
/// Hundreds of Dockerfiles, built by imgb and by Docker or buildah.
mod build_conformance;
/// Named contexts, ignore files, patterns that match nothing, `--exclude`.
mod build_contexts;
/// Malicious contexts, tarballs and Buildfiles.
mod build_hostile;
/// Buildfiles as users write them, run on real engines.
mod build_seeds;
/// The cache of compressed layers.
mod cache;
/// `imgb check`: that an image can start, and what keeps it from starting.
mod check;
/// Images of objects in which one bit is flipped.
mod check_bits;
/// Good images in which one file after another is damaged.
mod check_each;
/// docs/ci.md: every job, without any privilege.
mod ci;
/// `imgb deps`: trees, lists, JSON, graphs, exit codes.
mod deps;
/// Graphical programs, on a screen of their own.
mod desktop;
/// The same inputs give the same bytes; the golden digests that pin the format.
mod determinism;
/// `imgb diff`: an image and itself, and each single change, named exactly.
mod diff;
/// The order in which outputs reach the disk, failing fsyncs, several writers of one layout.
mod durable;
/// Layers that are on their way to a registry while others are packed.
mod early_uploads;
/// Images in the stores of docker and podman.
mod engine_stores;
/// Every bad input, with its exit code and its one message.
mod errors;
/// System calls that fail, and processes that are killed, at any moment.
mod faults;
/// Every output, read back by other programs.
mod foreign;
/// From a program to a running container, on real engines.
mod founding;
/// Every example in the help, run as it stands there.
mod help_examples;
/// The image reader, compared with umoci and skopeo.
mod image_differential;
/// An archive that says two things, documents of the wrong shape, damage beside the image.
mod image_faces;
/// Images as other tools write them: links, directories, signatures beside them, odd spellings.
mod image_forms;
/// Files and documents of images that are larger than any reader needs; their texts on a terminal.
mod image_limits;
/// Reading images: every form, every flipped bit, documents that are wrong.
mod image_read;
/// `imgb index`: indexes of images that exist.
mod index;
/// What each kind of input becomes, and the effect of the options.
mod inputs;
/// `imgb inspect`: sizes as GNU tar lists them, waste, single layers, packages.
mod inspect;
/// JSON Schema, as far as the schemas of others have it.
mod json_schema;
/// docs/json.md, compared with what each command prints.
mod json_shapes;
/// Large images are cut along their packages into layers that change only with what they hold.
mod layers;
/// What is said: one message for one kind, and what to do about common mistakes.
mod messages;
/// Common mistakes, each with a message that says what to do.
mod mistakes;
/// `copy` between files, `load`, and that only registries open sockets.
mod moves_local;
/// `push`, `pull`, `copy` and `-o docker://` with a real registry and the clients of others.
mod moves_registry;
/// What outputs replace, what engines do not take of them, and the hint after each.
mod outputs;
/// What `-o` may replace, and how the ending of its name compresses it.
mod overwrite;
/// Packages of the sysroot decide what a program's mentions mean.
mod ownership;
/// Packages as evidence: what they say is not meant.
mod ownership_limits;
/// Packages as evidence: which programs and scripts are started.
mod ownership_started;
/// What scanners find in an image: the packages that own its files.
mod packages;
/// `imgb inspect --html`: the page in headless Chromium.
mod page;
/// Images for several platforms, and the index that lists them.
mod platforms;
/// Debian's programs at real work: in an engine with defaults, and failing without the rule they
/// show.
mod programs;
/// `--provenance`, `--attach` and `--sbom`: what is said of a build, and where it goes.
mod provenance;
/// The causes of each path in a plan's JSON.
mod reasons;
/// Directories of software, and objects for other machines in them.
mod rules_directories;
/// Files that the C library opens at run time: a part of a C program for each rule.
mod rules_libc;
/// Libraries that are named elsewhere than in the object that opens them.
mod rules_mentions;
/// `imgb run`: exit codes, limits, isolation.
mod run;
/// Programs that try to get out of the sandbox of `imgb run` and `imgb trace`.
mod run_attacks;
/// What guards the sandbox, attacked from inside.
mod run_guard;
/// The limits of that sandbox, and that nothing is left of it.
mod run_limits;
/// The standard streams of a program in that sandbox.
mod run_streams;
/// `imgb sbom` and `--sbom`: what is listed, the same bytes each time.
mod sbom;
/// The commands that scripts run.
mod scripts;
/// The modules of Python scripts of packages, and the commands that these start.
mod scripts_python;
/// The files of a release; the static build, in an empty root, packing itself.
mod selfpack;
/// Layers of earlier images and of caches that machines share, which are not compressed again.
mod shared_layers;
/// `imgb slim`: what an image keeps, and that it still does what it did.
mod slim;
/// What `imgb slim` keeps of a server: its configuration, entrypoint script and packages tell.
mod slim_servers;
/// Standard streams that are closed or full, control characters in messages.
mod standard_streams;
/// What an image starts: the program, its interpreter, and the advice where there is none.
mod starts;
/// What the configuration starts: fixes for what cannot start, health checks, users.
mod starts_config;
/// Dependencies, and the promises of SECURITY.md.
mod supply_chain;
/// Directories that are gone, for temporary files and the one a run is started in; imgb's own name.
mod surroundings;
/// `--sysroot`: directories and images give the same image on any machine.
mod sysroots;
/// Times of files: of their content, or of `SOURCE_DATE_EPOCH`.
mod times;
/// Compiled modules and the times of their sources.
mod times_compiled;
/// Certificates: real clients and a real server in an engine.
mod tls;
/// `imgb trace`: what programs open, what their images lack, and the same from an strace log.
mod trace;
/// Directories that a program lists under `imgb trace`.
mod trace_listed;
/// `imgb trace` of an image: what it lacks is served while its program runs.
mod trace_serving;
/// Files that cannot be read: a failing disk, directories that are closed to this user.
mod unreadable;
/// `imgb why`: chains in images of imgb's and of others' making, and what nothing leads to.
mod why;

// The stages, through the library.
/// The tar writer, read back by imgb, the tar crate, GNU tar, bsdtar and Python's tarfile.
mod archive;
/// Layers that try to get out of their root, which containerd unpacks too.
mod breakouts;
/// Roots of other architectures, compared with their own loaders.
mod elf_architectures;
/// Builds ELF objects from scratch.
mod elf_builder;
/// glibc's search rules, one case per test.
mod elf_cases;
/// Random graphs of libraries, compared with the real loaders.
mod elf_graphs;
/// Malicious objects and roots.
mod elf_hostile;
/// Every dynamic object of the machine, as its loader lists it.
mod elf_machine;
/// Asks the real loaders.
mod elf_oracle;
/// Programs of the machine, each alone in an empty root.
mod elf_programs;
/// Closures in roots of all kinds.
mod elf_roots;
/// Hostile and odd tars, one test for each kind.
mod hostile_tar;
/// Nothing is read twice, and large layers do not depend on the number of threads.
mod once;
/// Layers: the same bytes for any number of threads, and faults while packing.
mod pack;
/// What holds for all inputs, tried with random ones.
mod properties;
/// Small archives that would cost much time, memory or disk.
mod tar_budget;
/// What other writers of tars write, and readers agree on.
mod tar_forms;
/// What imgb accepts, GNU tar, Python and Go list alike.
mod tar_readers;
/// Sparse files in tarballs, archives and layers.
mod tar_sparse;

/// No credential is where it does not belong: output, arguments, images, files.
mod registry_canaries;
/// The client of registries against Debian's docker-registry.
mod registry_client;
/// Stored credentials: files of docker and podman, helpers, and what is wrong with them.
mod registry_credentials;
/// Registries that fail, lie and lead astray.
mod registry_hostile;
/// Registries behind proxies, with wrong certificates, or not there at all: what messages say.
mod registry_network;

// The source text.
/// tests/CATALOGUE.md names tests that exist.
mod catalogue;
/// The command line: malformed values, what `plan` takes, the form of JSON.
mod command_line;
/// Every command of README, docs/ and Buildfile.example, run as a reader would run it.
mod doc_commands;
/// README, CONTRIBUTING and Cargo.toml agree with the command and with each other.
mod documents;
/// The module table of src/lib.rs, compared with the code; sizes and other tidiness.
mod floors;
/// Calls that the system may interrupt or refuse.
mod floors_calls;
/// No circle of imports between the files of `src/`.
mod floors_circles;
/// Lines of source, comments, docs and scripts fit into 100 columns.
mod floors_columns;

// Helpers.
/// Headless Chromium, driven by its DevTools protocol.
mod browser;
/// dockerd, containerd, podman and umoci with runc, each with its own state, ended afterwards.
mod engines;
/// The programs and trees that more than one test packs; fixtures/README.md lists them.
mod fixtures;
/// The rules of the OCI image specification, as checks on JSON and on blobs.
mod image_spec;
/// Small images, and layouts built from JSON values.
mod layouts;
/// Layers whose files can be fetched one by one.
mod lazy_pulling;
/// Tars in which every byte can be set.
mod raw_tar;
/// A registry in memory that keeps what it gets.
mod registry_honest;
/// A server on loopback that answers as a test says, and records every request.
mod registry_script;
/// Debian's docker-registry, open, with a login, or with TLS; each with its own data.
mod registry_server;
/// A packed program, unpacked into an empty root and run there.
mod rules_root;
/// The paths that Rust source names, without comments, strings and unit tests.
mod rust_text;
/// A temporary directory, files in it, and commands that run there.
mod sandbox;
/// Random trees, and trees as tars and as text.
mod trees;
