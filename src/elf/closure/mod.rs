//! The closure: every file that programs load, who asked for it, and how it was found.

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

/// How the loader is to be imagined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoaderOptions {
    /// LD_LIBRARY_PATH as the image's own environment has it, whole: each loader has its own way to
    /// split it. Relative directories are left out, here and below.
    pub environment_path: Vec<u8>,
    /// Directories that are searched next, as if LD_LIBRARY_PATH went on with them. The image has
    /// no such variable: what is found there needs its cache.
    pub library_path: Vec<Vec<u8>>,
    /// LD_PRELOAD.
    pub preload: Vec<Vec<u8>>,
    /// Which processor it runs on.
    pub hwcaps: Hwcaps,
    /// Names that objects, by their real paths, give to dlopen(3) besides those of their metadata.
    /// One that leads nowhere is passed over, and what one leads to may lack what it needs.
    pub opens: Opens,
}

/// Names by the objects that give them to dlopen(3).
pub type Opens = BTreeMap<ImagePath, BTreeSet<Arc<[u8]>>>;

/// The libraries that a value of LD_PRELOAD names, as both loaders split it.
pub fn preload_list(value: &str) -> Vec<Vec<u8>> {
    let names = value.split([':', ' ']).filter(|name| !name.is_empty());
    names.map(|name| name.as_bytes().to_vec()).collect()
}

/// Which processor is assumed, where libraries come in several builds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Hwcaps {
    /// Any: the build that every processor can run.
    #[default]
    Baseline,
    /// Any, and the builds for better ones come along.
    All,
    /// A certain one, whose best builds are taken.
    Cpu(Cpu),
}

/// A processor as the loader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// The subdirectories of `glibc-hwcaps` that it can use, best first.
    pub levels: Vec<Vec<u8>>,
    /// The legacy subdirectories that its loader tries, in order, if it tries any.
    pub legacy: Vec<Vec<u8>>,
    /// AT_PLATFORM, if another than the machine's usual one.
    pub platform: Option<Vec<u8>>,
}

/// What [`closure`] found. Indices are into its own vectors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closure {
    /// Every file that something loads, once for each path it is opened by.
    pub files: Vec<File>,
    /// The loaders that were imagined.
    pub loaders: Vec<Loader>,
    /// One for each root, in their order.
    pub programs: Vec<Program>,
    /// What deserves a word, in order, each once.
    pub warnings: BTreeSet<Warning>,
    /// Libraries that the image's loader finds only where its cache, or musl's path file, says so.
    pub needs_cache: BTreeSet<CacheNeed>,
    /// Directories of LD_LIBRARY_PATH and of musl's path files, in the order in which its loader
    /// searches them.
    pub musl_order: Vec<Arc<[u8]>>,
    /// Libraries that dlopen metadata suggests: they are not taken.
    pub suggested: Vec<Suggestion>,
}

/// A library that an object can do without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The file whose metadata it is.
    pub file: usize,
    /// What it says.
    pub dlopen: Dlopen,
}

/// A file as it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The path that the loader opens. Absolute; may have links, `..` and doubled slashes in it.
    pub opened: Arc<[u8]>,
    /// Where it really is.
    pub path: ImagePath,
    /// Its identity.
    pub id: FileId,
    /// Its size, bytes.
    pub len: u64,
    /// The symbolic links on the way: all must be in the image.
    pub links: Vec<ImagePath>,
    /// The directories on the way that `..` leaves again: all must be in the image.
    pub dotdot_dirs: Vec<ImagePath>,
    /// What is in it.
    pub object: Arc<Object>,
}

/// One root and what it loads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// The root's file; `None` where it is no usable ELF object: see `faults`.
    pub file: Option<usize>,
    /// The file that PT_INTERP names. A library has none.
    pub interpreter: Option<usize>,
    /// Whose rules were followed; `None` for static programs.
    pub loader: Option<usize>,
    /// All that is loaded, in the loader's order, without the program itself and files that were
    /// not found. The interpreter is among them where something needs it by name.
    pub loads: Vec<usize>,
    /// What joins besides: what dlopen metadata requires or recommends, builds for better
    /// processors, and what these need.
    pub extra: Vec<usize>,
    /// What was asked for, in the loader's order.
    pub edges: Vec<Edge>,
    /// What would stop it.
    pub faults: Vec<Fault>,
}

/// One request for a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The file that asks.
    pub requester: usize,
    /// By which tag.
    pub tag: Tag,
    /// Whether the program starts without: what dlopen metadata only recommends needs it, or what
    /// may be opened.
    pub optional: bool,
    /// The name it asks for, as it stands in the file.
    pub name: Arc<[u8]>,
    /// What came of it.
    pub outcome: Outcome,
    /// What was tried before, in order, as far as there is room for it.
    pub search_log: Arc<[SearchLogEntry]>,
    /// Places that were tried after these, and nothing found there.
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
    /// A build for better processors of a library that was found ([`Hwcaps::All`]).
    Variant,
    /// Dlopen metadata.
    Dlopen(Priority),
    /// dlopen(3) of one of [`LoaderOptions::opens`].
    Opened,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A file, found so.
    Found(usize, SearchRule),
    /// The first file was opened and is the same as the second, which is loaded already.
    Same(usize, usize, SearchRule),
    /// The kernel maps it: the vDSO.
    Kernel,
    /// Not found anywhere.
    Missing,
    /// A file was found that the loader stops at.
    Fatal(FaultKind),
}

/// By which rule a library was found, or looked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SearchRule {
    /// The name has a slash, so it is a path.
    Path,
    /// DT_RPATH of the file that was opened by this path.
    Rpath(Arc<[u8]>),
    /// DT_RUNPATH of the file that was opened by this path.
    Runpath(Arc<[u8]>),
    /// LD_LIBRARY_PATH of the image.
    Environment,
    /// The directories given besides ([`LoaderOptions::library_path`]).
    LibraryPath,
    /// glibc's cache, by its path.
    Cache(Arc<[u8]>),
    /// The configuration of a cache that is not there: file and line.
    Conf(Arc<[u8]>, usize),
    /// musl's path file.
    PathFile(Arc<[u8]>),
    /// The loader's own directories.
    Default,
    /// It is loaded already, opened by this path.
    Loaded(Arc<[u8]>),
    /// It is the loader itself.
    Loader,
    /// Next to a library that was found.
    Beside(Arc<[u8]>),
}

/// A place that was looked at in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchLogEntry {
    /// The file or directory, or what stands for one.
    pub path: Arc<[u8]>,
    /// By which rule.
    pub rule: SearchRule,
    /// Why it was not taken.
    pub miss: Miss,
}

/// Why a place did not give the library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// No such file, or none that could be opened.
    Find(Absence),
    /// The way there leads through procfs, to another file in each process.
    OfProcess,
    /// The directory itself is not there.
    NoDirectory,
    /// An object of the other ELF class.
    Class(Machine),
    /// An object of a class that there is not.
    NoClass,
    /// An object for another machine.
    Machine(Machine),
    /// The cache has no such name.
    NotInCache,
    /// DF_1_NODEFLIB of the requester forbids the place.
    NoDefaultLib,
    /// It depends on the working directory, which an image does not fix.
    Relative,
    /// A token in it has no value.
    Token,
    /// The path is longer than musl's loader has room for.
    TooLong,
}

/// What would stop a program from starting, besides a library that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What it is about: as opened, or as it stands in a file.
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
    /// The way there leads through procfs, to another file in each process.
    #[error("the way leads through /proc, to another place in each process")]
    OfProcess,
    /// It cannot be read as an ELF object.
    #[error("{0}")]
    Object(#[from] ObjectError),
    /// A directory, device or FIFO.
    #[error("no regular file")]
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
    /// A program where a library is wanted.
    #[error("a program, which cannot be loaded as a library")]
    Program,
    /// No dynamic section where one is needed.
    #[error("no dynamic section")]
    NotDynamic,
    /// PT_INTERP is relative to the working directory.
    #[error("the interpreter's path is relative")]
    RelativeInterpreter,
    /// PT_INTERP names a file that itself wants an interpreter.
    #[error("the interpreter wants an interpreter")]
    NestedInterpreter,
    /// The file ends before its segments do: what is past the end cannot be mapped (SIGBUS).
    #[error("the file ends before its segments do: it is cut off")]
    CutOff,
    /// Versions of a library are wanted that nothing loads by this name: the loader's assertion
    /// fails (`find_needed` in `elf/dl-version.c`).
    #[error("wants versions of {}, which nothing loads by that name", escape(.0))]
    VersionsOf(Arc<[u8]>),
    /// More requests than any real closure has: objects with thousands of needs, thousands of
    /// times.
    #[error("too many requests for libraries in all")]
    TooManyRequests,
    /// It is among filters that filter each other: the loader runs in a circle until its stack is
    /// used up.
    #[error("filters in a circle")]
    FilterCircle,
    /// It does not define a symbol version that another file wants: the version, the other file.
    #[error("no version {}, needed by {}", escape(.0), escape(.1))]
    Version(Arc<[u8]>, Arc<[u8]>),
}

/// What deserves a word and stops nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Warning {
    /// An empty or relative element of a search path, which the loader takes from its working
    /// directory: file, tag, element. It is left out.
    RelativeElement(Arc<[u8]>, &'static str, Arc<[u8]>),
    /// A file whose interpreter is none that is known: glibc's rules were followed.
    UnknownLoader(Arc<[u8]>),
    /// A library that needs others, and no loader for its machine.
    NoLoader(Arc<[u8]>, Machine),
    /// A preloaded library that was not found: the loader only complains.
    Preload(Arc<[u8]>),
    /// A library without symbol versions, and a file that wants versions of it: the loader takes it
    /// so.
    NoVersions(Arc<[u8]>, Arc<[u8]>),
    /// A file whose dlopen metadata recommends a library that was not found.
    Recommended(Arc<[u8]>, Arc<[u8]>),
    /// A library that dlopen metadata recommends, and one that it needs and that was not found.
    RecommendedNeeds(Arc<[u8]>, Arc<[u8]>),
    /// A file whose dlopen metadata is not as it should be, and how.
    Metadata(Arc<[u8]>, String),
    /// A fault that only matters once a library is opened by dlopen.
    Soft(String),
    /// A library that [`LoaderOptions::library_path`] finds, and the one that its user's RUNPATH
    /// finds:
    /// the image needs the variable, too.
    Shadowed(Arc<[u8]>, Arc<[u8]>),
    /// A file, and a path of it in which `$PLATFORM` stands: what this is depends on the processor.
    /// It was taken for the usual one.
    Platform(Arc<[u8]>, Arc<[u8]>),
    /// A directory that is searched and that leads through procfs to something of the process: it
    /// is left out.
    ProcessDirectory(Arc<[u8]>),
    /// A library that is missing on most processors, and a build of it for better ones.
    OnlyVariant(Arc<[u8]>, Arc<[u8]>),
}

/// A library that needs an entry in the image's cache.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CacheNeed {
    /// Whose cache: an index into [`Closure::loaders`].
    pub loader: usize,
    /// What it is asked for by.
    pub name: Arc<[u8]>,
    /// Where it is opened.
    pub path: Arc<[u8]>,
}

impl Closure {
    /// The requests that nothing answers and that stop the program, with the program's index.
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
    /// Whether the program does not start without it.
    pub fn is_hard(&self) -> bool {
        !self.optional && self.tag.is_hard()
    }
}

impl Tag {
    /// Whether who asks so cannot do without.
    pub fn is_hard(self) -> bool {
        matches!(
            self,
            Self::Dynamic(Request::Needed | Request::Filter) | Self::Dlopen(Priority::Required)
        )
    }
}

/// Finds all that `roots` need, as their loaders would, looking through `lookup` only.
///
/// Faults and missing libraries are data in the result. Programs do not influence each other: the
/// result of one is the same alone and among thousands, which only share what was read.
///
/// # Errors
/// [`ReadFailure`]: a file that could not be read is neither missing nor at fault, and without it
/// no closure is right.
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
