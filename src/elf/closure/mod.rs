//! The closure: every file that programs load, what requested it, and how it was found.

mod answer;
mod cache_needs;
mod cache_search;
mod dirs;
mod display;
mod dlopen_notes;
mod files;
mod glibc;
mod ldcache_gen;
mod loader_table;
mod musl;
mod musl_path;
mod program;
mod record;
mod search;
mod search_log;
mod search_paths;
mod state;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use state::State;

pub use glibc::PRELOAD_FILE;
pub use ldcache_gen::ConfigFile;

use crate::{
    elf::{
        Absence, Dlopen, FileId, Loader, Lookup, Machine, Object, ObjectError, Priority,
        ReadFailure, Request,
    },
    path::{ImagePath, escape},
};

/// A program or library whose needs are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The path as it will be started by, links and all.
    pub path: ImagePath,
}

/// The settings under which the loader is simulated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoaderOptions {
    /// LD_LIBRARY_PATH of the image's environment, unsplit: each loader splits it in its own way.
    /// Relative directories are left out, here and below.
    pub environment_path: Vec<u8>,
    /// Directories that are searched next, as if they were appended to LD_LIBRARY_PATH. The image
    /// does not set the variable: libraries found there need an entry in its cache.
    pub library_path: Vec<Vec<u8>>,
    /// LD_PRELOAD.
    pub preload: Vec<Vec<u8>>,
    /// The processor that it runs on.
    pub hwcaps: Hwcaps,
    /// Names that objects, by their real paths, pass to dlopen(3) besides those in their metadata.
    /// A name that is not found is skipped, and a library that is found may lack its own needs.
    pub opens: Opens,
}

/// Names by the objects that pass them to dlopen(3).
pub type Opens = BTreeMap<ImagePath, BTreeSet<Arc<[u8]>>>;

/// The libraries that a value of LD_PRELOAD names, as both loaders split it.
pub fn preload_list(value: &str) -> Vec<Vec<u8>> {
    let names = value.split([':', ' ']).filter(|name| !name.is_empty());
    names.map(|name| name.as_bytes().to_vec()).collect()
}

/// The processor that is assumed where libraries come in several builds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Hwcaps {
    /// Any processor: the build that all of them can run.
    #[default]
    Baseline,
    /// Any processor, and the builds for better ones are taken too.
    All,
    /// A certain processor, whose best builds are taken.
    Cpu(Cpu),
}

/// A processor, as far as the loader distinguishes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// The subdirectories of `glibc-hwcaps` that it can use, best first.
    pub levels: Vec<Vec<u8>>,
    /// The legacy subdirectories that its loader tries, in order, if it tries any.
    pub legacy: Vec<Vec<u8>>,
    /// AT_PLATFORM, if it differs from the machine's usual one.
    pub platform: Option<Vec<u8>>,
}

/// What [`closure`] found. Indices are into its own vectors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closure {
    /// Every file that something loads, once for each path it is opened by.
    pub files: Vec<File>,
    /// The loaders that were simulated.
    pub loaders: Vec<Loader>,
    /// One for each root, in the same order.
    pub programs: Vec<Program>,
    /// Warnings, sorted.
    pub warnings: BTreeSet<Warning>,
    /// Libraries that the image's loader finds only through its cache or musl's path file.
    pub needs_cache: BTreeSet<CacheNeed>,
    /// Directories of LD_LIBRARY_PATH and of musl's path files, in search order.
    pub musl_order: Vec<Arc<[u8]>>,
    /// Libraries that dlopen metadata only suggests. They are not taken.
    pub suggested: Vec<Suggestion>,
}

/// A library that an object does not need to work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The file whose metadata names it.
    pub file: usize,
    /// What the file's dlopen note says of the library.
    pub dlopen: Dlopen,
}

/// A file, by one of the paths that it is opened by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The path that the loader opens. Absolute; may contain links, `..` and doubled slashes.
    pub opened: Arc<[u8]>,
    /// Its real path.
    pub path: ImagePath,
    /// Its identity.
    pub id: FileId,
    /// Its size in bytes.
    pub len: u64,
    /// The symbolic links on the way. All of them must be in the image.
    pub links: Vec<ImagePath>,
    /// The directories on the way that `..` leaves again. All of them must be in the image.
    pub dotdot_dirs: Vec<ImagePath>,
    /// Its contents.
    pub object: Arc<Object>,
}

/// One root, and what it loads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// The root's file. `None` if it is not a usable ELF object; `faults` says why.
    pub file: Option<usize>,
    /// The file that PT_INTERP names. Libraries do not have one.
    pub interpreter: Option<usize>,
    /// The loader that was simulated. `None` for static programs.
    pub loader: Option<usize>,
    /// The files that are loaded at start, in the loader's order, without the program itself. The
    /// interpreter is among them if something needs it by name.
    pub loads: Vec<usize>,
    /// Further files: what dlopen metadata requires or recommends, builds for better processors,
    /// and what these need.
    pub extra: Vec<usize>,
    /// The requests for libraries, in the loader's order.
    pub edges: Vec<Edge>,
    /// What keeps it from starting, besides missing libraries.
    pub faults: Vec<Fault>,
}

/// One request for a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The file that asks for it.
    pub requester: usize,
    /// What made it ask.
    pub tag: Tag,
    /// Whether the program starts without it: only a library that is recommended or may be opened
    /// needs it.
    pub optional: bool,
    /// The name that it asks for, as written in the file.
    pub name: Arc<[u8]>,
    /// The result.
    pub outcome: Outcome,
    /// Places that were searched before, in order, up to a limit.
    pub search_log: Arc<[SearchLogEntry]>,
    /// The number of further places that were searched.
    pub unlisted: usize,
}

/// What made a program ask for a library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tag {
    /// A tag of the dynamic section.
    Dynamic(Request),
    /// LD_PRELOAD.
    Preload,
    /// `/etc/ld.so.preload`.
    PreloadFile,
    /// A build, for better processors, of a library that was found ([`Hwcaps::All`]).
    Variant,
    /// Dlopen metadata.
    Dlopen(Priority),
    /// dlopen(3) of one of [`LoaderOptions::opens`].
    Opened,
}

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A file, and the rule that found it.
    Found(usize, SearchRule),
    /// The first file was opened. It is the same as the second, which is loaded already.
    Same(usize, usize, SearchRule),
    /// The vDSO, which the kernel maps.
    Kernel,
    /// It was not found.
    Missing,
    /// A file was found that makes the loader stop.
    Fatal(FaultKind),
}

/// The rule by which a library was found or looked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SearchRule {
    /// The name has a slash, so it is a path.
    Path,
    /// DT_RPATH of the file that was opened by this path.
    Rpath(Arc<[u8]>),
    /// DT_RUNPATH of the file that was opened by this path.
    Runpath(Arc<[u8]>),
    /// The image's LD_LIBRARY_PATH.
    Environment,
    /// A directory of [`LoaderOptions::library_path`].
    LibraryPath,
    /// glibc's cache at this path.
    Cache(Arc<[u8]>),
    /// The configuration from which ldconfig would make the missing cache: file and line.
    Conf(Arc<[u8]>, usize),
    /// musl's path file at this path.
    PathFile(Arc<[u8]>),
    /// The loader's own directories.
    Default,
    /// It is already loaded; it was opened by this path.
    Loaded(Arc<[u8]>),
    /// It is the loader itself.
    Loader,
    /// In a subdirectory beside the library at this path.
    Beside(Arc<[u8]>),
}

/// A place where a library was looked for and not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchLogEntry {
    /// The file or directory; for a rule without one, what the rule looks at.
    pub path: Arc<[u8]>,
    /// The rule that led there.
    pub rule: SearchRule,
    /// Why nothing was taken there.
    pub miss: Miss,
}

/// Why a library was not found at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// No such file, or none that could be opened.
    Find(Absence),
    /// The way there leads through procfs, to another file in each process.
    OfProcess,
    /// The directory does not exist.
    NoDirectory,
    /// An object of the other ELF class.
    Class(Machine),
    /// An object of an invalid ELF class.
    NoClass,
    /// An object for another machine.
    Machine(Machine),
    /// The cache has no such name.
    NotInCache,
    /// DF_1_NODEFLIB of the requester forbids the place.
    NoDefaultLib,
    /// The path is relative to the working directory, which an image does not fix.
    Relative,
    /// The path contains a token that has no value.
    Token,
    /// The path is longer than musl's loader has room for.
    TooLong,
}

/// What keeps a program from starting, besides a missing library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file: its path as opened, or as written in another file.
    pub path: Arc<[u8]>,
    /// What is wrong with it.
    pub kind: FaultKind,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// It cannot be opened.
    #[error("{0}")]
    Find(#[from] Absence),
    /// The path leads through procfs, to a different file in each process.
    #[error("the path leads through /proc, where it is different for each process")]
    OfProcess,
    /// It cannot be read as an ELF object.
    #[error("{0}")]
    Object(#[from] ObjectError),
    /// A directory, device or FIFO.
    #[error("not a regular file")]
    NotRegular,
    /// Shorter than an ELF header.
    #[error("file too short")]
    TooShort,
    /// The header has a value that the loader refuses.
    #[error("invalid ELF header: {0}")]
    Header(&'static str),
    /// An object of another machine where no other can be taken.
    #[error("made for {0}, not for {1}")]
    Machine(Machine, Machine),
    /// A program where a library is needed.
    #[error("a program, which cannot be loaded as a library")]
    Program,
    /// The dynamic section that a loader needs is missing.
    #[error("no dynamic section")]
    NotDynamic,
    /// PT_INTERP is relative to the working directory.
    #[error("the interpreter's path is relative")]
    RelativeInterpreter,
    /// PT_INTERP names a file that has an interpreter itself.
    #[error("the interpreter has an interpreter of its own")]
    NestedInterpreter,
    /// The file ends before its segments do. Access beyond its end is SIGBUS.
    #[error("the file is truncated: it ends before its segments do")]
    CutOff,
    /// It needs versions of a library that nothing loads by this name. The loader's assertion
    /// fails (`find_needed` in `elf/dl-version.c`).
    #[error("needs versions of {}, but nothing loads a library by that name", escape(.0))]
    VersionsOf(Arc<[u8]>),
    /// More requests than any real closure has: thousands of objects with thousands of needs.
    #[error("too many requests for libraries in all")]
    TooManyRequests,
    /// It is a filter of objects that filter it. The loader recurses until its stack is full.
    #[error("filters in a circle")]
    FilterCircle,
    /// It does not define a symbol version that another file needs: the version, the other file.
    #[error("no version {}, needed by {}", escape(.0), escape(.1))]
    Version(Arc<[u8]>, Arc<[u8]>),
}

/// A problem that does not keep a program from starting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Warning {
    /// An empty or relative element of a search path, which the loader takes from its working
    /// directory: file, tag, element. It is left out.
    RelativeElement(Arc<[u8]>, &'static str, Arc<[u8]>),
    /// A loader with an unknown name; glibc's rules were followed.
    UnknownLoader(Arc<[u8]>),
    /// A library that needs others, for whose machine no loader was found.
    NoLoader(Arc<[u8]>, Machine),
    /// A preloaded library that was not found. The loader only prints an error.
    Preload(Arc<[u8]>),
    /// A library without symbol versions, and a file that needs versions of it. The loader accepts
    /// it.
    NoVersions(Arc<[u8]>, Arc<[u8]>),
    /// A file whose dlopen metadata recommends a library that was not found.
    Recommended(Arc<[u8]>, Arc<[u8]>),
    /// A library that dlopen metadata recommends, and a library that it needs and that is missing.
    RecommendedNeeds(Arc<[u8]>, Arc<[u8]>),
    /// A file with invalid dlopen metadata, and what is invalid.
    Metadata(Arc<[u8]>, String),
    /// A fault that matters only when a library is opened by dlopen(3).
    Soft(String),
    /// A library that [`LoaderOptions::library_path`] finds, and the one that the requester's
    /// RUNPATH finds: the image needs LD_LIBRARY_PATH too.
    Shadowed(Arc<[u8]>, Arc<[u8]>),
    /// A file, and a path in it that contains `$PLATFORM`, whose value depends on the processor.
    /// The usual one was assumed.
    Platform(Arc<[u8]>, Arc<[u8]>),
    /// A directory in a search path that leads through procfs, so is different for each process. It
    /// is left out.
    ProcessDirectory(Arc<[u8]>),
    /// A library that exists only as a build for better processors, and that build.
    OnlyVariant(Arc<[u8]>, Arc<[u8]>),
}

/// A library that needs an entry in the image's cache.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CacheNeed {
    /// The loader whose cache it is: an index into [`Closure::loaders`].
    pub loader: usize,
    /// The name that it is requested by.
    pub name: Arc<[u8]>,
    /// The path that it is opened by.
    pub path: Arc<[u8]>,
}

impl Closure {
    /// The unanswered requests that keep a program from starting, with the program's index.
    pub fn missing(&self) -> impl Iterator<Item = (usize, &Edge)> {
        let edges = self.programs.iter().enumerate();
        let edges =
            edges.flat_map(|(index, program)| program.edges.iter().map(move |edge| (index, edge)));
        edges.filter(|(_, edge)| edge.outcome == Outcome::Missing && edge.is_hard())
    }

    /// All faults, with the program's index.
    pub fn faults(&self) -> impl Iterator<Item = (usize, &Fault)> {
        let programs = self.programs.iter().enumerate();
        programs.flat_map(|(index, program)| program.faults.iter().map(move |fault| (index, fault)))
    }
}

impl Edge {
    /// Whether the program cannot start without it.
    pub fn is_hard(&self) -> bool {
        !self.optional && self.tag.is_hard()
    }
}

impl Tag {
    /// Whether a requester with this tag cannot do without the library.
    pub fn is_hard(self) -> bool {
        matches!(
            self,
            Self::Dynamic(Request::Needed | Request::Filter) | Self::Dlopen(Priority::Required)
        )
    }
}

/// Finds everything that `roots` need, as their loaders would, through `lookup` only.
///
/// Faults and missing libraries are data in the result. Programs share what was read but do not
/// influence each other: the result of one is the same alone and among thousands.
///
/// # Errors
/// [`ReadFailure`]: a file that could not be read is neither missing nor at fault, and no closure
/// without it is right.
pub fn closure(
    roots: &[Root],
    options: &LoaderOptions,
    lookup: &dyn Lookup,
) -> Result<Closure, ReadFailure> {
    let mut state = State::new(options, lookup);
    for root in roots {
        let program = program::resolve(&mut state, root)?;
        state.programs.push(program);
    }
    cache_needs::note_libraries(&mut state)?;
    Ok(state.into_closure())
}
