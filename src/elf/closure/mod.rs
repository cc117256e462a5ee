//! The closure: every file that programs load, who asked for it, and how it was found.

mod config;
mod files;
mod glibc;
mod musl;
mod program;
mod search;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

pub use config::ConfigFile;

use crate::{
    elf::{
        Dialect, Dlopen, FileId, FindError, Loader, Lookup, Machine, Object, ObjectError, Priority, Request,
        dlopen,
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
pub struct Options {
    /// LD_LIBRARY_PATH: directories of the image. Relative ones are left out.
    pub library_path: Vec<Vec<u8>>,
    /// LD_PRELOAD.
    pub preload: Vec<Vec<u8>>,
    /// Which processor it runs on.
    pub hwcaps: Hwcaps,
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
    /// The symbolic links on the way: all must be in the image.
    pub links: Vec<ImagePath>,
    /// The directories on the way that `..` leaves again: all must be in the image.
    pub through: Vec<ImagePath>,
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
    /// All that is loaded, in the loader's order, without the program itself and files that were not found.
    /// The interpreter is among them where something needs it by name.
    pub loads: Vec<usize>,
    /// What joins besides: what dlopen metadata requires or recommends, builds for better processors, and what
    /// these need.
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
    /// The name it asks for, as it stands in the file.
    pub name: Arc<[u8]>,
    /// What came of it.
    pub outcome: Outcome,
    /// What was tried before, in order.
    pub tried: Arc<[Tried]>,
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
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A file, found so.
    Found(usize, How),
    /// The first file was opened and is the same as the second, which is loaded already.
    Same(usize, usize, How),
    /// The kernel maps it: the vDSO.
    Kernel,
    /// Not found anywhere.
    Missing,
    /// A file was found that the loader stops at.
    Fatal(FaultKind),
}

/// By which rule a library was found, or looked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// The name has a slash, so it is a path.
    Path,
    /// DT_RPATH of the file that was opened by this path.
    Rpath(Arc<[u8]>),
    /// DT_RUNPATH of the file that was opened by this path.
    Runpath(Arc<[u8]>),
    /// LD_LIBRARY_PATH.
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
pub struct Tried {
    /// The file or directory, or what stands for one.
    pub path: Arc<[u8]>,
    /// By which rule.
    pub how: How,
    /// Why it was not taken.
    pub miss: Miss,
}

/// Why a place did not give the library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// No such file, or none that could be opened.
    Find(FindError),
    /// The directory itself is not there.
    NoDirectory,
    /// An object of the other ELF class.
    Class(Machine),
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
    Find(#[from] FindError),
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
    /// It does not define a symbol version that another file wants: the version, the other file.
    #[error("no version {}, needed by {}", escape(.0), escape(.1))]
    Version(Arc<[u8]>, Arc<[u8]>),
}

/// What deserves a word and stops nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Warning {
    /// An empty or relative element of a search path, which the loader takes from its working directory: file,
    /// tag, element. It is left out.
    RelativeElement(Arc<[u8]>, &'static str, Arc<[u8]>),
    /// A file whose interpreter is none that is known: glibc's rules were followed.
    UnknownLoader(Arc<[u8]>),
    /// A library that needs others, and no loader for its machine.
    NoLoader(Arc<[u8]>, Machine),
    /// A preloaded library that was not found: the loader only complains.
    Preload(Arc<[u8]>),
    /// A library without symbol versions, and a file that wants versions of it: the loader takes it so.
    NoVersions(Arc<[u8]>, Arc<[u8]>),
    /// A file whose dlopen metadata recommends a library that was not found.
    Recommended(Arc<[u8]>, Arc<[u8]>),
    /// A file whose dlopen metadata is not as it should be, and how.
    Metadata(Arc<[u8]>, String),
    /// A fault that only matters once a library is opened by dlopen.
    Soft(String),
    /// A library that LD_LIBRARY_PATH finds, and the one that its user's RUNPATH finds: the image needs the
    /// variable, too.
    Shadowed(Arc<[u8]>, Arc<[u8]>),
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
        let edges = edges.flat_map(|(index, program)| program.edges.iter().map(move |edge| (index, edge)));
        edges.filter(|(_, edge)| edge.outcome == Outcome::Missing && edge.tag.is_hard())
    }

    /// All faults, with the program's index.
    pub fn faults(&self) -> impl Iterator<Item = (usize, &Fault)> {
        let programs = self.programs.iter().enumerate();
        programs.flat_map(|(index, program)| program.faults.iter().map(move |fault| (index, fault)))
    }
}

impl Tag {
    /// Whether the program does not start without it.
    pub fn is_hard(self) -> bool {
        matches!(self, Self::Dynamic(Request::Needed | Request::Filter) | Self::Dlopen(Priority::Required))
    }
}

/// The tag as readelf(1) names it, or the variable or file.
impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dynamic(Request::Needed) => "NEEDED",
            Self::Dynamic(Request::Auxiliary) => "AUXILIARY",
            Self::Dynamic(Request::Filter) => "FILTER",
            Self::Preload => "LD_PRELOAD",
            Self::PreloadFile => "/etc/ld.so.preload",
            Self::Variant => "glibc-hwcaps",
            Self::Dlopen(Priority::Required) => "dlopen required",
            Self::Dlopen(Priority::Recommended) => "dlopen recommended",
            Self::Dlopen(Priority::Suggested) => "dlopen suggested",
        })
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path => f.write_str("path"),
            Self::Rpath(of) => write!(f, "RPATH of {}", escape(of)),
            Self::Runpath(of) => write!(f, "RUNPATH of {}", escape(of)),
            Self::LibraryPath => f.write_str("--library-path"),
            Self::Cache(path) if path.ends_with(b"/ld.so.cache") => f.write_str("ld.so.cache"),
            Self::Cache(path) | Self::PathFile(path) => write!(f, "{}", escape(path)),
            Self::Conf(file, line) => write!(f, "{}:{line}", escape(file)),
            Self::Default => f.write_str("default"),
            Self::Loaded(path) => write!(f, "already loaded as {}", escape(path)),
            Self::Loader => f.write_str("the loader itself"),
            Self::Beside(path) => write!(f, "beside {}", escape(path)),
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Find(error) => write!(f, "{error}"),
            Self::NoDirectory => f.write_str("no such directory"),
            Self::Class(machine) | Self::Machine(machine) => write!(f, "made for {machine}"),
            Self::NotInCache => f.write_str("not in the cache"),
            Self::NoDefaultLib => f.write_str("excluded by NODEFLIB"),
            Self::Relative => f.write_str("relative to the working directory"),
            Self::Token => f.write_str("a token in it has no value"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            FaultKind::Version(version, by) => {
                write!(f, "{} not found in {}, needed by {}", escape(version), escape(&self.path), escape(by))
            }
            kind => write!(f, "{}: {kind}", escape(&self.path)),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RelativeElement(file, tag, element) => write!(
                f,
                "{}: {tag} element `{}` is taken from the working directory and left out",
                escape(file),
                escape(element)
            ),
            Self::UnknownLoader(path) => {
                write!(f, "{}: unknown loader, taken to follow glibc's rules", escape(path))
            }
            Self::NoLoader(path, machine) => write!(f, "{}: no loader for {machine} found", escape(path)),
            Self::Preload(name) => write!(f, "{}: preloaded library not found", escape(name)),
            Self::NoVersions(library, user) => {
                write!(f, "{} has no version information, which {} wants", escape(library), escape(user))
            }
            Self::Recommended(file, name) => {
                write!(f, "{} recommends {}, which was not found", escape(file), escape(name))
            }
            Self::Metadata(file, what) => write!(f, "{}: {what}", escape(file)),
            Self::Soft(what) => f.write_str(what),
            Self::Shadowed(path, other) => write!(
                f,
                "{} needs LD_LIBRARY_PATH in the image: RUNPATH leads to {}",
                escape(path),
                escape(other)
            ),
        }
    }
}

/// Finds all that `roots` need, as their loaders would, looking through `lookup` only.
///
/// Faults and missing libraries are data in the result. Programs do not influence each other: the result of
/// one is the same alone and among thousands, which only share what was read.
pub fn closure(roots: &[Root], options: &Options, lookup: &dyn Lookup) -> Closure {
    let mut state = State::new(options, lookup);
    for root in roots {
        let program = program::resolve(&mut state, root);
        state.out.programs.push(program);
    }
    state.out
}

/// What programs share: each fact is asked for once.
struct State<'a> {
    options: &'a Options,
    lookup: &'a dyn Lookup,
    out: Closure,
    /// Opened paths.
    opened: BTreeMap<Arc<[u8]>, files::Opened>,
    /// Loaders by PT_INTERP and machine.
    loaders: BTreeMap<(Arc<[u8]>, Machine), usize>,
    /// What each loader's cache or configuration says, by its index.
    configs: BTreeMap<usize, Arc<search::Config>>,
    /// Search paths of files, by file, loader, and whether it is the program.
    paths: BTreeMap<(usize, usize, bool), Arc<search::Paths>>,
    /// What is in a directory that is searched.
    dirs: BTreeMap<(usize, Arc<[u8]>), Arc<search::Dir>>,
    /// Results of the last part of the search, which depends on little: loader, NODEFLIB, name.
    tails: BTreeMap<(usize, bool, Arc<[u8]>), search::Answer>,
    /// Versions that a file's need, by its index, does not find in another file.
    versions: BTreeMap<(usize, usize, usize), Arc<[Arc<[u8]>]>>,
    /// What the notes of a file say that is to be taken.
    dlopens: BTreeMap<usize, Arc<[Dlopen]>>,
    /// The files of `/etc/ld.so.preload`.
    preload_file: Option<Arc<[Vec<u8>]>>,
}

impl<'a> State<'a> {
    fn new(options: &'a Options, lookup: &'a dyn Lookup) -> Self {
        Self {
            options,
            lookup,
            out: Closure::default(),
            opened: BTreeMap::new(),
            loaders: BTreeMap::new(),
            configs: BTreeMap::new(),
            paths: BTreeMap::new(),
            dirs: BTreeMap::new(),
            tails: BTreeMap::new(),
            versions: BTreeMap::new(),
            dlopens: BTreeMap::new(),
            preload_file: None,
        }
    }

    fn loader(&self, loader: usize) -> Option<&Loader> {
        self.out.loaders.get(loader)
    }

    fn is_musl(&self, loader: usize) -> bool {
        self.loader(loader).is_some_and(|loader| loader.dialect == Dialect::Musl)
    }

    /// The dlopen metadata of a file that is to be taken. What it only suggests is noted in passing.
    fn dlopens(&mut self, file: usize) -> Arc<[Dlopen]> {
        if let Some(known) = self.dlopens.get(&file) {
            return known.clone();
        }
        let mut taken = Vec::new();
        if let Some((opened, object)) = self.out.files.get(file).map(|f| (f.opened.clone(), f.object.clone()))
        {
            for note in &object.dlopen_notes {
                let (entries, errors) = dlopen::parse(note);
                let warnings = errors.iter().map(|e| Warning::Metadata(opened.clone(), e.to_string()));
                self.out.warnings.extend(warnings);
                let (suggested, hard): (Vec<_>, Vec<_>) =
                    entries.into_iter().partition(|entry| entry.priority == Priority::Suggested);
                taken.extend(hard);
                self.out.suggested.extend(suggested.into_iter().map(|dlopen| Suggestion { file, dlopen }));
            }
        }
        let taken: Arc<[Dlopen]> = taken.into();
        self.dlopens.insert(file, taken.clone());
        taken
    }
}
