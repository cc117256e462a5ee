//! Programs → the libraries and loaders they need, which join the image.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Generated, Missing, Needed, Note, PlanError, PlanOptions, Reason, Remedy,
    builder::{ImageBuilder, unreadable},
    runtime_deps::{self, RuntimeDeps},
};
use crate::{
    elf::{
        self, Absence, Closure, ConfigFile, Edge, FaultKind, File, Found, FoundKind, Lookup as _,
        Miss, Opens, Outcome, Program, ReadFailure, Root, SearchRule, Tag,
    },
    path::{ImagePath, escape},
    source::{self, MisplacedDependency},
    tree::FileNode,
    view::View,
};

/// The inputs' own objects, grouped by how they are treated.
#[derive(Debug, Default)]
pub(super) struct Roots {
    /// Programs: everything they need must be found.
    pub(super) programs: Vec<ImagePath>,
    /// Libraries among the inputs. Those that a program loads are found with the program; the rest
    /// are plugins.
    pub(super) libraries: Vec<ImagePath>,
    /// Names by which the inputs' own objects may already be loaded when a plugin is loaded: file
    /// names and SONAMEs.
    pub(super) siblings: BTreeSet<Vec<u8>>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    pub(super) missing: Vec<Missing>,
    pub(super) faults: Vec<String>,
    pub(super) notes: Vec<Note>,
    /// Variables of the environment that rules set.
    pub(super) variables: Vec<String>,
}

/// Adds everything that `roots` need, what rules add, and the files that tell the image's loader
/// where to find libraries.
pub(super) fn take(
    roots: &Roots,
    options: &PlanOptions,
    mut rules: RuntimeDeps<'_>,
    builder: &mut ImageBuilder<'_>,
) -> Result<Outcomes, PlanError> {
    let mut search = search(options);
    let mut all = roots.programs.clone();
    let mut closure = resolve(&all, &search, builder)?;
    let plugins = unloaded(&roots.libraries, &closure, builder)?;
    let mut assumed = Opens::new();
    if !plugins.is_empty() {
        all.extend(plugins);
        closure = resolve(&all, &search, builder)?;
        assumed = by_programs(&closure, roots.programs.len());
        if !assumed.is_empty() {
            search.opens.clone_from(&assumed);
            closure = resolve(&all, &search, builder)?;
        }
    }
    let hard = all.len();
    loop {
        take_files(&closure, builder)?;
        if options.rules.choice.is_nothing() {
            break;
        }
        let added = rules.follow(&closure, hard, &search, builder)?;
        let added = unloaded(&added, &closure, builder)?;
        let mut opens = rules.opens(builder)?;
        for (by, names) in &assumed {
            opens.entry(by.clone()).or_default().extend(names.iter().cloned());
        }
        if added.is_empty() && opens == search.opens {
            break;
        }
        all.extend(added);
        search.opens = opens;
        closure = resolve(&all, &search, builder)?;
    }
    let mut outcomes = Outcomes::default();
    for file in closure.config_files() {
        outcomes.notes.extend(tell(&file, builder)?);
    }
    outcomes
        .notes
        .extend(closure.warnings.iter().map(|warning| Note::warning(warning.to_string())));
    let kinds = Kinds { roots, hard, opened: rules.opened_names() };
    classify(&closure, &kinds, options, builder.view, &mut outcomes)?;
    let (notes, variables) = rules.finish(builder)?;
    outcomes.notes.extend(notes);
    outcomes.variables = variables;
    Ok(outcomes)
}

/// Libraries of the inputs that lack something alone, opened by each program whose search path
/// counts for what it opens: `programs` are the first of `closure`.
fn by_programs(closure: &Closure, programs: usize) -> Opens {
    let lacking = closure.missing().filter(|(program, _)| *program >= programs);
    let lacking = lacking.filter_map(|(program, _)| closure.programs.get(program)?.file);
    let names: BTreeSet<Arc<[u8]>> =
        lacking.filter_map(|file| Some(closure.files.get(file)?.opened.clone())).collect();
    let counts = |program: &Program| {
        let file = closure.files.get(program.file?)?;
        let is_musl = closure.loaders.get(program.loader?)?.dialect == elf::Dialect::Musl;
        let has_path = match (&file.object.rpath, &file.object.runpath) {
            (Some(_), None) => true,
            (_, runpath) => is_musl && runpath.is_some(),
        };
        has_path.then(|| file.path.clone())
    };
    if names.is_empty() {
        return Opens::new();
    }
    closure
        .programs
        .iter()
        .take(programs)
        .filter_map(counts)
        .map(|path| (path, names.clone()))
        .collect()
}

/// Puts in what tells the image's loader where libraries are: into what the inputs bring, where
/// they do.
fn tell(file: &ConfigFile, builder: &mut ImageBuilder<'_>) -> Result<Option<Note>, PlanError> {
    const WHAT: Generated = Generated::LibraryPaths;
    let path = ImagePath::new(&file.path)
        .map_err(|source| PlanError::Path { path: ImagePath::root(), source })?;
    let own = builder.view.find(path.as_bytes())?.ok().filter(|found| builder.has(&found.path));
    let Some(own) = own else {
        builder.generate(path, file.bytes.clone(), WHAT);
        return Ok(None);
    };
    let bytes = match builder.view.read(&own, elf::cache::MAX_CACHE)? {
        Err(absence @ Absence::Denied) => return Err(unreadable(&own.path, absence)),
        bytes => bytes.unwrap_or_default(),
    };
    let Some(more) = file.over(&bytes) else { return Ok(None) };
    builder.replace(own.path, more, WHAT);
    let first = file.needs.first().map_or_else(String::new, |need| escape(&need.path));
    let text = format!(
        "{path} does not lead to all libraries of the image ({first} is one): they are added"
    );
    Ok(Some(Note::warning(text)))
}

/// Those of `objects` that nothing in `closure` loads.
fn unloaded(
    objects: &[ImagePath],
    closure: &Closure,
    builder: &ImageBuilder<'_>,
) -> Result<Vec<ImagePath>, ReadFailure> {
    let loaded: BTreeSet<&ImagePath> = closure.files.iter().map(|file| &file.path).collect();
    let mut plugins = Vec::new();
    for path in objects {
        if builder.view.find(path.as_bytes())?.is_ok_and(|found| !loaded.contains(&found.path)) {
            plugins.push(path.clone());
        }
    }
    Ok(plugins)
}

/// How the image's loader searches.
fn search(options: &PlanOptions) -> elf::LoaderOptions {
    let preload = options.settings.variable("LD_PRELOAD").unwrap_or_default();
    elf::LoaderOptions {
        environment_path: options
            .settings
            .variable("LD_LIBRARY_PATH")
            .unwrap_or_default()
            .into_bytes(),
        library_path: options.library_path.clone(),
        preload: elf::preload_list(&preload),
        hwcaps: if options.hwcaps_all { elf::Hwcaps::All } else { elf::Hwcaps::Baseline },
        opens: Opens::new(),
    }
}

fn resolve(
    roots: &[ImagePath],
    search: &elf::LoaderOptions,
    builder: &ImageBuilder<'_>,
) -> Result<Closure, ReadFailure> {
    let roots: Vec<Root> = roots.iter().map(|path| Root { path: path.clone() }).collect();
    elf::closure(&roots, search, builder.view)
}

/// Takes every file that `closure` opened, with the links on its way, and why.
fn take_files(closure: &Closure, builder: &mut ImageBuilder<'_>) -> Result<(), PlanError> {
    let file = |index: usize| closure.files.get(index);
    let path = |index: usize| file(index).map_or_else(ImagePath::root, |file| file.path.clone());
    // A library makes the same requests in each program that loads it.
    let mut known = BTreeSet::new();
    for program in &closure.programs {
        let by = program.file.map_or_else(ImagePath::root, path);
        if let Some(file) = program.file.and_then(file) {
            builder.add_path_components(&file.path, &file.links, &file.dotdot_dirs)?;
        }
        if let Some(file) = program.interpreter.and_then(file) {
            builder.take(&found(file), Reason::Loader(by))?;
        }
        for edge in &program.edges {
            let (Outcome::Found(index, how) | Outcome::Same(index, _, how)) = &edge.outcome else {
                continue;
            };
            let Some(file) = file(*index) else { continue };
            // What may be opened is in the image by another reason: a rule, or an input.
            if edge.tag == Tag::Opened && builder.has(&file.path) {
                builder.add_path_components(&file.path, &file.links, &file.dotdot_dirs)?;
                continue;
            }
            if !known.insert((edge.requester, *index, edge.tag, &edge.name, how)) {
                continue;
            }
            let (by, name, found_by) = (path(edge.requester), edge.name.clone(), how.clone());
            let reason = Reason::Needed(Arc::new(Needed { by, name, found_by }));
            builder.take(&found(file), reason)?;
            // The library and the list that has the loader load it make sense together only.
            if edge.tag == Tag::PreloadFile
                && let Ok(list) = builder.view.find(elf::PRELOAD_FILE)?
            {
                builder.take(&list, Reason::PreloadList)?;
            }
        }
    }
    Ok(())
}

fn found(file: &elf::File) -> Found {
    Found {
        path: file.path.clone(),
        id: file.id,
        links: file.links.clone(),
        dotdot_dirs: file.dotdot_dirs.clone(),
        kind: FoundKind::Other,
    }
}

/// How much the programs of a closure matter. The first are those of `roots`. Then come plugins, up
/// to `hard`: what these need may be loaded already when they are. The rest came by rules: the
/// image starts without.
struct Kinds<'r> {
    roots: &'r Roots,
    hard: usize,
    /// The names by which objects open libraries: a plugin that is opened so is one that its
    /// program can do without.
    opened: BTreeSet<Arc<[u8]>>,
}

impl Kinds<'_> {
    /// Whether the image starts without the program of this number.
    fn is_optional(&self, program: usize, closure: &Closure) -> bool {
        let file = closure.programs.get(program).and_then(|program| program.file);
        let name = file.and_then(|file| closure.files.get(file)).map(|file| file.path.file_name());
        let is_opened = |name: &[u8]| self.opened.iter().any(|known| **known == *name);
        let is_plugin = program >= self.roots.programs.len();
        program >= self.hard || (is_plugin && name.is_some_and(is_opened))
    }
}

/// What is missing or broken in `closure`.
fn classify(
    closure: &Closure,
    kinds: &Kinds<'_>,
    options: &PlanOptions,
    view: &View<'_>,
    outcomes: &mut Outcomes,
) -> Result<(), ReadFailure> {
    let Kinds { roots, hard, .. } = *kinds;
    let mut lacks = Vec::new();
    let mut later: BTreeMap<String, BTreeSet<ImagePath>> = BTreeMap::new();
    let path = |index: usize| {
        closure.files.get(index).map_or_else(ImagePath::root, |file| file.path.clone())
    };
    let by_programs = found_by(closure.programs.iter().take(roots.programs.len()));
    for (program, edge) in closure.missing() {
        let by = path(edge.requester);
        if program >= roots.programs.len() && by_programs.contains(&(edge.requester, &*edge.name)) {
            continue;
        }
        if options.allows_missing(&edge.name) {
            continue;
        }
        if program >= roots.programs.len() && roots.siblings.contains(&*edge.name) {
            later.entry(escape(&edge.name)).or_default().insert(by);
            continue;
        }
        let missing = Missing {
            name: escape(&edge.name),
            by,
            searched: edge.searched(),
            remedy: denied(edge)
                .or_else(|| on_the_host(edge, closure, view).map(Remedy::Misplaced)),
        };
        if kinds.is_optional(program, closure) {
            // A plugin's host may load what stands beside it first, as java does with libjvm.
            if closure.files.iter().all(|file| file.path.file_name() != &*edge.name) {
                lacks.push(missing);
            }
        } else if !outcomes.missing.contains(&missing) {
            outcomes.missing.push(missing);
        }
    }
    outcomes.notes.extend(later.iter().filter_map(|(name, by)| {
        let (first, others) = (by.first()?, by.len() - 1);
        let by = if others == 0 { first.to_string() } else { format!("{first} and {others} more") };
        Some(Note::warning(format!("{by} need `{name}`, which must be loaded before")))
    }));
    outcomes.notes.extend(runtime_deps::lacks(&lacks));
    classify_faults(closure, hard, options, view, outcomes)
}

/// What is broken in `closure`: an error, or a warning for programs from `hard` on.
fn classify_faults(
    closure: &Closure,
    hard: usize,
    options: &PlanOptions,
    view: &View<'_>,
    outcomes: &mut Outcomes,
) -> Result<(), ReadFailure> {
    for (program, fault) in closure.faults() {
        let by = closure
            .programs
            .get(program)
            .and_then(|program| program.file)
            .and_then(|file| closure.files.get(file))
            .map_or_else(ImagePath::root, |file| file.path.clone());
        if options.allows_missing(&fault.path) {
            continue;
        }
        match fault.kind {
            _ if program >= hard => {
                // Of what cannot be opened the fault itself says which file it is.
                let by = if by.is_root() { escape(&fault.path) } else { by.to_string() };
                let text = format!("`{by}`, which a rule added, cannot start: {fault}");
                outcomes.notes.push(Note::warning(text).about(by));
            }
            FaultKind::Find(Absence::Missing) => {
                let missing = Missing {
                    name: escape(&fault.path),
                    by,
                    searched: Vec::new(),
                    remedy: other_root(&fault.path, view)?.map(Remedy::Sysroot),
                };
                outcomes.missing.push(missing);
            }
            FaultKind::Find(absence @ Absence::Denied) => {
                let name = escape(&fault.path);
                outcomes.missing.push(Missing {
                    searched: vec![format!("{name} ({absence})")],
                    remedy: Some(Remedy::Denied(name.clone())),
                    name,
                    by,
                });
            }
            _ => outcomes.faults.push(format!("`{by}` cannot start: {fault}")),
        }
    }
    Ok(())
}

/// What helps where a library is missing because this user may not look at a place.
fn denied(edge: &Edge) -> Option<Remedy> {
    let mut log = edge.search_log.iter();
    let denied = log.find(|entry| entry.miss == Miss::Find(Absence::Denied))?;
    Some(Remedy::Denied(escape(&denied.path)))
}

/// The directory below `/usr` of the sysroot that has `path` below it, as cross compilers install
/// the roots of other machines: `/usr/aarch64-linux-gnu`.
fn other_root(path: &[u8], view: &View<'_>) -> Result<Option<ImagePath>, ReadFailure> {
    if !path.starts_with(b"/") {
        return Ok(None);
    }
    for name in view.list(b"/usr")?.unwrap_or_default() {
        let dir = [b"/usr/", &name[..]].concat();
        let found = view.probe(&[&dir[..], path].concat())?;
        if found.is_ok_and(|found| found.is_file()) {
            return Ok(ImagePath::new(dir).ok());
        }
    }
    Ok(None)
}

/// What files of `programs` asked for and got.
fn found_by<'a>(programs: impl Iterator<Item = &'a Program>) -> BTreeSet<(usize, &'a [u8])> {
    let edges = programs.flat_map(|program| &program.edges);
    let found = edges.filter(|edge| matches!(edge.outcome, Outcome::Found(..) | Outcome::Same(..)));
    found.map(|edge| (edge.requester, &*edge.name)).collect()
}

/// Where on the host the `$ORIGIN` of an input's search path leads to what it misses in the image.
fn on_the_host(edge: &Edge, closure: &Closure, view: &View<'_>) -> Option<MisplacedDependency> {
    let mut asked: BTreeMap<&[u8], Option<Origin<'_>>> = BTreeMap::new();
    edge.search_log.iter().find_map(|entry| {
        let (SearchRule::Rpath(of) | SearchRule::Runpath(of)) = &entry.rule else { return None };
        let (origin, program) = (*asked.entry(of).or_insert_with(|| origin(of, closure, view)))?;
        let mut way = entry.path.strip_prefix(origin.path.parent()?.as_bytes())?.to_vec();
        if entry.miss == elf::Miss::NoDirectory {
            way.push(b'/');
            way.extend_from_slice(&edge.name);
        }
        source::misplaced_dependency(program, &way)
    })
}

/// Where an input is in the image and where it came from.
type Origin<'a> = (&'a File, &'a FileNode);

/// The place of the input that was opened as `of`, if `$ORIGIN` is in its search path.
fn origin<'a>(of: &[u8], closure: &'a Closure, view: &'a View<'_>) -> Option<Origin<'a>> {
    let file = closure.files.iter().find(|file| *file.opened == *of)?;
    let list = file.object.runpath.as_ref().or(file.object.rpath.as_ref())?;
    list.windows(6).find(|word| *word == b"ORIGIN")?;
    Some((file, view.own_file(&file.path)?))
}
