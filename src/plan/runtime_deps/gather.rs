//! The closure's files → facts.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::Arc,
};

use super::{
    commands,
    embedded::{self, Archives},
    opens::{self, Mentions, Openings},
    owners::{self, Owners},
    perl::PerlModules,
    registered::{self, Registered},
    startable::StartablePrograms,
    starters,
    survey::{Survey, Surveyor, Task, Window},
    texts, unowned,
};
use crate::{
    elf::{self, Absence, Closure, File, Object, ReadFailure},
    ownership::{Belongings, Names, Startables},
    path::ImagePath,
    plan::{Note, PlanOptions},
    rules::{Account, Evidence, Facts, Libc, LibcKind, Mention, Owned, Table},
    source::in_order,
    tree::{Tree, accounts::UserEntry},
    view::View,
};

/// An archive, and the modules that its sources import.
pub(super) type Imports = (ImagePath, BTreeSet<Vec<u8>>);

/// Gathers facts.
#[derive(Debug)]
pub(super) struct Gatherer<'t> {
    surveyor: Surveyor<'t>,
    pub(super) owners: Owners<'t>,
    startable: StartablePrograms,
    /// Threads that look through files.
    jobs: NonZeroUsize,
    pub(super) facts: Facts,
    /// Files that were examined.
    seen: BTreeSet<ImagePath>,
    /// Programs that a rule brought with the directory that they are in: nothing names them.
    pub(super) helpers: BTreeSet<ImagePath>,
    /// Files of the closure that only such programs load.
    pub(super) of_helpers: BTreeSet<ImagePath>,
    /// Files that import functions which start programs.
    starting: BTreeSet<ImagePath>,
    /// Files that call dlopen(3).
    callers: BTreeSet<ImagePath>,
    /// Names of libraries, looked for as the files that call dlopen(3) do.
    pub(super) openings: Openings,
    /// Names of libraries that objects inside archives need, looked for likewise.
    pub(super) needed: Openings,
    /// Directories in which libraries that texts name were looked for.
    listings: texts::Listings,
    /// Archives inside files.
    archives: Archives<'t>,
    pub(super) perl: PerlModules,
    registered: Registered,
    /// A note about libraries that objects inside archives lack.
    pub(super) lacking: Option<Note>,
}

impl<'t> Gatherer<'t> {
    pub(super) fn new(
        table: &'t Table,
        view: &View<'_>,
        (options, perl): (&PlanOptions, PerlModules),
        jobs: NonZeroUsize,
    ) -> Result<Self, ReadFailure> {
        let (accounts, groups) = accounts(view)?;
        let facts = Facts {
            user: options.settings.user.clone(),
            environment: options.settings.env.clone(),
            accounts,
            groups,
            ..Facts::default()
        };
        let configuration = Names::of_files(&registered::configuration(view)?);
        let surveyor = Surveyor::new(table.wanted(), configuration);
        let (seen, starting, callers, openings, needed, listings, archives) = Default::default();
        let (helpers, of_helpers) = Default::default();
        let registered = Registered::default();
        let (owners, startable, lacking) = (Owners::new(table), Default::default(), None);
        Ok(Self {
            surveyor,
            owners,
            startable,
            jobs,
            facts,
            seen,
            starting,
            helpers,
            of_helpers,
            callers,
            openings,
            needed,
            listings,
            archives,
            perl,
            registered,
            lacking,
        })
    }

    /// Adds the facts of those files of `closure` that are new. The first `hard` programs are the
    /// user's; rules added the others.
    pub(super) fn add(
        &mut self,
        closure: &Closure,
        hard: usize,
        search: &elf::LoaderOptions,
        view: &View<'_>,
    ) -> Result<(), ReadFailure> {
        let programs: BTreeSet<usize> =
            closure.programs.iter().filter_map(|program| program.file).collect();
        let listed: BTreeSet<usize> =
            closure.programs.iter().take(hard).filter_map(|program| program.file).collect();
        // What something starts is examined anew, as a program.
        let started = self.started_helpers();
        self.helpers.retain(|path| !started.contains(path));
        let of_helpers = only_loaded_by(&self.helpers, closure);
        for path in self.of_helpers.difference(&of_helpers) {
            self.seen.remove(path);
        }
        self.of_helpers = of_helpers;
        let mut new: Vec<New<'_>> = Vec::new();
        for (index, file) in closure.files.iter().enumerate() {
            let is_program = programs.contains(&index) && file.object.is_program();
            let is_listed = listed.contains(&index) && !self.perl.is_followed(&file.path);
            if is_program && is_listed {
                let opened = ImagePath::new(&file.opened).unwrap_or_else(|_| file.path.clone());
                self.facts.programs.insert(opened, file.path.clone());
            }
            if !self.seen.insert(file.path.clone()) {
                continue;
            }
            self.name(file);
            let own = is_program || listed.contains(&index);
            let programs: Vec<_> = self.facts.programs.values().cloned().collect();
            let belongings = self.owners.all_belongings(&file.path, &programs, view)?;
            let startable = match self.of_helpers.contains(&file.path) {
                true => Arc::default(),
                false => self.startable.of(&file.path, &programs, view)?,
            };
            new.push(New { file, own, belongings, startable });
        }
        let mut names: Vec<(&ImagePath, BTreeSet<Box<[u8]>>)> = Vec::new();
        let surveyor = &self.surveyor;
        let worker = || {
            let mut window = Window::default();
            move |task| surveyor.survey(task, &mut window)
        };
        in_order(
            &new.iter().collect::<Vec<_>>(),
            self.jobs,
            |new| open(new, view),
            worker,
            |New { file, belongings, startable, .. }, mut survey| {
                if survey.calls_dlopen {
                    self.callers.insert(file.path.clone());
                }
                if survey.starts_programs {
                    self.starting.insert(file.path.clone());
                }
                self.startable.leave_common(&file.path, &mut survey.programs, view)?;
                commands::record_programs(&file.path, (&survey, startable), &mut self.facts, view)?;
                let is_weak = self.of_helpers.contains(&file.path);
                for belongings in belongings {
                    let found = (&**belongings, &survey.mentions);
                    owners::note(&mut self.facts, (&file.path, is_weak), found, view)?;
                }
                let is_owned = !belongings.is_empty();
                let libraries = note(&mut self.facts, (&file.path, is_owned), survey, view)?;
                if !libraries.is_empty() {
                    names.push((&file.path, libraries));
                }
                Ok(())
            },
        )?;
        self.facts.starts_nothing = starters::starting_nothing(closure, &self.starting, view)?;
        let mentions = self.mentions(names, closure);
        self.registered.note(&mut self.facts, &opens::direct(closure), view)?;
        let known = (&mut self.facts, &mut self.owners, view);
        self.openings.resolve(mentions, closure, search, known)
    }

    /// The helpers that something starts, as is known by now.
    pub(super) fn started_helpers(&self) -> BTreeSet<ImagePath> {
        let Facts { started, programs, .. } = &self.facts;
        let is_program = |path: &ImagePath| programs.values().any(|program| program == path);
        let found = self.helpers.iter().filter(|path| started.contains(*path) || is_program(path));
        found.cloned().collect()
    }

    /// Looks into archives inside the files of `tree`. Returns the modules that each imports.
    pub(super) fn look_into(
        &mut self,
        tree: &Tree,
        view: &View<'_>,
    ) -> Result<Vec<Imports>, ReadFailure> {
        let mut archives = embedded::look(tree, &self.surveyor, view)?;
        let mut imports = Vec::new();
        for (path, contents) in &mut archives {
            for survey in std::mem::take(&mut contents.surveys) {
                for name in note(&mut self.facts, (path, true), survey, view)? {
                    self.facts.library_names.entry(name).or_insert_with(|| path.clone());
                }
            }
            imports.push((path.clone(), std::mem::take(&mut contents.imports)));
        }
        self.archives.append(&mut archives);
        Ok(imports)
    }

    /// Looks for the libraries that texts name and that objects inside archives need.
    pub(super) fn resolve_texts(
        &mut self,
        closure: &Closure,
        search: &elf::LoaderOptions,
        view: &View<'_>,
    ) -> Result<(), ReadFailure> {
        let Self { openings, needed, listings, facts, owners, .. } = self;
        let known = (&mut *facts, &mut *owners, view);
        texts::resolve((openings, listings), closure, search, known)?;
        let (searched, known) = ((closure, search), (facts, owners, view));
        self.lacking = embedded::resolve(&self.archives, needed, searched, known)?;
        Ok(())
    }

    /// What the names in objects ask dlopen(3) for: through the object itself, or through those
    /// that it is linked with and that call dlopen(3) for it.
    fn mentions(
        &self,
        names: Vec<(&ImagePath, BTreeSet<Box<[u8]>>)>,
        closure: &Closure,
    ) -> Mentions {
        let mut mentions = Mentions::new();
        let needed = opens::needed(closure);
        for (by, names) in names {
            let is_caller = |path: &&&ImagePath| self.callers.contains(**path);
            let wrappers = || needed.get(by).into_iter().flatten().filter(is_caller).copied();
            let callers: Vec<&ImagePath> = match self.callers.contains(by) {
                true => vec![by],
                false => wrappers().collect(),
            };
            // What its dynamic section names is among its constants, and loaded already.
            let is_new =
                |name: &[u8]| self.callers.contains(by) || !self.facts.libraries.contains_key(name);
            for name in names.iter().filter(|name| is_new(name)) {
                for caller in &callers {
                    let evidence = match *caller == by {
                        true => Evidence::Dlopen(name.clone()),
                        false => Evidence::DlopenThrough(name.clone(), (*caller).clone()),
                    };
                    let mention = Mention { by: by.clone(), evidence: evidence.into() };
                    mentions.entry(((*caller).clone(), Arc::from(&**name))).or_insert(mention);
                }
            }
        }
        mentions
    }

    /// Notes the names under which a file is loaded, and whether it is a C library.
    fn name(&mut self, file: &File) {
        let soname = file.object.soname.as_deref();
        let names = [soname, Some(file.path.file_name())];
        for name in names.into_iter().flatten() {
            self.facts.libraries.entry(name.into()).or_insert_with(|| file.path.clone());
        }
        let kind = match soname.unwrap_or_default() {
            b"libc.so.6" => LibcKind::Glibc,
            _ if file.path.file_name().starts_with(b"ld-musl-")
                || (soname == Some(b"libc.so") && file.object.interp.is_none()) =>
            {
                LibcKind::Musl
            }
            _ => return,
        };
        let libc = Libc { kind, version: glibc_version(&file.object), path: file.path.clone() };
        self.facts.libcs.insert(libc);
    }
}

/// The files of `closure` that only these `programs` load.
fn only_loaded_by(programs: &BTreeSet<ImagePath>, closure: &Closure) -> BTreeSet<ImagePath> {
    if programs.is_empty() {
        return BTreeSet::new();
    }
    let path = |index: &usize| closure.files.get(*index).map(|file| &file.path);
    let is_other = |program: &&elf::Program| {
        !program.file.as_ref().and_then(path).is_some_and(|path| programs.contains(path))
    };
    let others = closure.programs.iter().filter(is_other);
    let loaded = others.flat_map(|one| one.file.iter().chain(&one.loads).chain(&one.extra));
    let loaded: BTreeSet<_> = loaded.filter_map(path).collect();
    let files = closure.files.iter().map(|file| &file.path);
    files.filter(|path| !loaded.contains(path)).cloned().collect()
}

/// A file of the closure that is new.
struct New<'c> {
    file: &'c File,
    /// Whether it is a program or the user names it.
    own: bool,
    /// What belongs to it, if a package owns it.
    belongings: Vec<Arc<Belongings>>,
    /// What it may start, by file name.
    startable: Arc<Startables>,
}

/// Opens a file of the closure, unless nothing in it says anything about the program.
fn open(new: &New<'_>, view: &View<'_>) -> Result<Option<Task>, ReadFailure> {
    let New { file, own, belongings, startable } = new;
    let name = file.object.soname.as_deref().unwrap_or_else(|| file.path.file_name());
    if is_system_library(name) {
        return Ok(None);
    }
    let Ok(Some(node)) = view.node(&file.path)? else { return Ok(None) };
    let Some(node) = node.file() else { return Ok(None) };
    let names = belongings.iter().map(|one| one.names().clone()).collect();
    let startable = startable.clone();
    Ok(view.reader(node)?.ok().map(|reader| Task { reader, own: *own, names, startable }))
}

/// Notes what the file at `path` asks for. Returns the names of libraries in it.
fn note(
    facts: &mut Facts,
    (path, is_owned): (&ImagePath, bool),
    Survey { symbols, own, hits, configuration, runs_shell, .. }: Survey<'_>,
    view: &View<'_>,
) -> Result<BTreeSet<Box<[u8]>>, ReadFailure> {
    for symbol in symbols {
        facts.add_symbol(symbol, path, own);
    }
    for literal in hits.literals {
        facts.paths.entry(literal.into()).or_insert_with(|| path.clone());
    }
    for word in hits.words {
        facts.words.entry(word.into()).or_insert_with(|| path.clone());
    }
    for name in configuration.names() {
        let at = [b"/etc/", name].concat();
        if unowned::is_unowned(&at, view)? {
            facts.add_owned(&at, Owned::by_nobody(path, name));
        }
    }
    for line in hits.command_lines {
        facts.command_lines.entry(line).or_insert_with(|| (path.clone(), own && runs_shell));
    }
    if !is_owned {
        unowned::note(facts, (path, own), &hits.paths, view)?;
        unowned::note(facts, (path, false), &hits.listed, view)?;
    }
    for string in hits.paths {
        let known = facts.paths.contains_key(&string);
        // What may not be looked at counts as there: a rule that wants it notes the denial.
        let is_absent = |answer| matches!(answer, Err(Absence::Missing | Absence::Loop));
        if !known && !is_absent(view.probe(&string)?) {
            facts.paths.entry(string).or_insert_with(|| path.clone());
        }
    }
    Ok(hits.libraries)
}

/// Whether a library belongs to the C library or the compiler: its imports say nothing about the
/// program.
fn is_system_library(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 17] = [
        b"libc.so.",
        b"ld-linux",
        b"ld64.so",
        b"ld.so",
        b"libpthread.so",
        b"libm.so",
        b"libmvec.so",
        b"libdl.so",
        b"librt.so",
        b"libresolv.so",
        b"libutil.so",
        b"libanl.so",
        b"libnss_",
        b"ld-musl-",
        b"libc.musl-",
        b"libgcc_s.so",
        b"libstdc++.so",
    ];
    NAMES.iter().any(|prefix| name.starts_with(prefix)) || name == b"libc.so"
}

/// The newest version that the GNU C library defines.
fn glibc_version(object: &Object) -> Option<(u32, u32)> {
    let versions = object.verdef.iter().flatten().filter_map(|version| {
        let text = std::str::from_utf8(version).ok()?.strip_prefix("GLIBC_")?;
        let (major, minor) = text.split_once('.')?;
        Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
    });
    versions.max()
}

pub(in crate::plan) type AccountsByName = (BTreeMap<String, Account>, BTreeMap<String, u32>);

/// The sysroot's accounts and groups: names and numbers, no passwords. Of two entries with one name
/// the first counts.
pub(in crate::plan) fn accounts(view: &View<'_>) -> Result<AccountsByName, ReadFailure> {
    let tables = view.accounts()?;
    let account = |user: UserEntry| {
        Some((user.name, Account { uid: user.uid?, gid: user.gid?, home: user.home? }))
    };
    // A map keeps the last of equal names.
    let users = tables.users.into_iter().rev().filter_map(account).collect();
    let groups = tables.groups.into_iter().rev();
    Ok((users, groups.filter_map(|group| Some((group.name, group.gid?))).collect()))
}
