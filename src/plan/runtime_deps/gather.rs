//! The closure's files → facts.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::Arc,
};

use super::survey::{Survey, Surveyor, Window};
use crate::{
    elf::{self, Absence, Closure, File, Object, Outcome, Program, ReadFailure, Root, Tag},
    path::ImagePath,
    plan::PlanOptions,
    rules::{Account, Facts, Libc, LibcKind, Table, is_named_after},
    source::{FileReader, in_order},
    tree::accounts::UserEntry,
    view::View,
};

/// A name that an object may give to dlopen(3), and the object.
type LibraryName = (Arc<[u8]>, ImagePath);

/// A library that an object opens: the object, the name, and the path that the name leads to.
pub(super) type Opening = (ImagePath, Arc<[u8]>, Arc<[u8]>);

/// Gathers facts.
#[derive(Debug)]
pub(super) struct Gatherer<'t> {
    surveyor: Surveyor<'t>,
    /// Threads that look through files.
    jobs: NonZeroUsize,
    pub(super) facts: Facts,
    /// Files that were examined.
    seen: BTreeSet<ImagePath>,
    /// Names that were looked for as libraries, each with the object that has the name.
    asked: BTreeSet<(Arc<[u8]>, ImagePath)>,
    /// Those that were found.
    pub(super) opens: BTreeSet<Opening>,
}

impl<'t> Gatherer<'t> {
    pub(super) fn new(
        table: &'t Table,
        view: &View<'_>,
        options: &PlanOptions,
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
        let surveyor = Surveyor::new(table.wanted());
        let (seen, asked, opens) = Default::default();
        Ok(Self { surveyor, jobs, facts, seen, asked, opens })
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
        let mut new: Vec<(&File, bool)> = Vec::new();
        for (index, file) in closure.files.iter().enumerate() {
            let is_program = programs.contains(&index) && file.object.is_program();
            if is_program && listed.contains(&index) {
                let opened = ImagePath::new(&file.opened).unwrap_or_else(|_| file.path.clone());
                self.facts.programs.insert(opened, file.path.clone());
            }
            if !self.seen.insert(file.path.clone()) {
                continue;
            }
            self.name(file);
            new.push((file, is_program || listed.contains(&index)));
        }
        let mut names: Vec<LibraryName> = Vec::new();
        let surveyor = &self.surveyor;
        let worker = || {
            let mut window = Window::default();
            move |(reader, own)| surveyor.survey(&reader, own, &mut window)
        };
        in_order(
            &new,
            self.jobs,
            |(file, own)| open(file, own, view),
            worker,
            |(file, _), survey| {
                let libraries = note(&mut self.facts, &file.path, survey, view)?;
                names.extend(libraries.map(|name| (name, file.path.clone())));
                Ok(())
            },
        )?;
        self.resolve(names, closure, search, view)
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

    /// Looks for libraries as dlopen(3) would in the programs that load the object with the name.
    fn resolve(
        &mut self,
        names: Vec<(Arc<[u8]>, ImagePath)>,
        closure: &Closure,
        search: &elf::LoaderOptions,
        view: &View<'_>,
    ) -> Result<(), ReadFailure> {
        let new = names.into_iter().filter(|asked| self.asked.insert(asked.clone()));
        let mut opens = elf::Opens::new();
        for (name, by) in new {
            opens.entry(by).or_default().insert(name);
        }
        if opens.is_empty() {
            return Ok(());
        }
        let asks = |index: &usize| {
            closure.files.get(*index).is_some_and(|file| opens.contains_key(&file.path))
        };
        let is_asking = |program: &&Program| {
            program.loader.is_some()
                && program.file.iter().chain(&program.loads).chain(&program.extra).any(asks)
        };
        let root = |program: &Program| {
            let path = ImagePath::new(&closure.files.get(program.file?)?.opened).ok()?;
            Some(Root { path })
        };
        let roots: Vec<Root> = closure.programs.iter().filter(is_asking).filter_map(root).collect();
        let search = elf::LoaderOptions { opens, hwcaps: elf::Hwcaps::Baseline, ..search.clone() };
        let found = elf::closure(&roots, &search, view)?;
        for edge in found.programs.iter().flat_map(|program| &program.edges) {
            let (Tag::Opened, Outcome::Found(index, _) | Outcome::Same(index, ..)) =
                (edge.tag, &edge.outcome)
            else {
                continue;
            };
            let files = (found.files.get(*index), found.files.get(edge.requester));
            let (Some(library), Some(by)) = files else { continue };
            let paths = self.facts.opens.entry((*edge.name).into()).or_default();
            paths.entry((*library.opened).into()).or_insert_with(|| by.path.clone());
            self.opens.insert((by.path.clone(), edge.name.clone(), library.opened.clone()));
        }
        Ok(())
    }
}

/// A file and whether it is the user's own, as [`Surveyor::survey`] takes them.
type SurveyTask = (FileReader, bool);

/// Opens a file of the closure, unless nothing in it says anything about the program.
fn open(file: &File, own: bool, view: &View<'_>) -> Result<Option<SurveyTask>, ReadFailure> {
    let name = file.object.soname.as_deref().unwrap_or_else(|| file.path.file_name());
    if is_system_library(name) {
        return Ok(None);
    }
    let Ok(Some(node)) = view.node(&file.path)? else { return Ok(None) };
    let Some(node) = node.file() else { return Ok(None) };
    Ok(view.reader(node)?.ok().map(|reader| (reader, own)))
}

/// Notes what the file at `path` asks for. Returns the names that it may pass to dlopen(3).
fn note(
    facts: &mut Facts,
    path: &ImagePath,
    Survey { symbols, own, hits }: Survey<'_>,
    view: &View<'_>,
) -> Result<impl Iterator<Item = Arc<[u8]>>, ReadFailure> {
    for symbol in symbols {
        facts.add_symbol(symbol, path, own);
    }
    for literal in hits.literals {
        facts.paths.entry(literal.into()).or_insert_with(|| path.clone());
    }
    for word in hits.words {
        facts.words.entry(word.into()).or_insert_with(|| path.clone());
    }
    for string in hits.paths {
        let known = facts.paths.contains_key(&string);
        let is_namesake = is_named_after(&string, path.file_name());
        // What may not be looked at counts as there: a rule that wants it notes the denial.
        let is_absent = |answer| matches!(answer, Err(Absence::Missing | Absence::Loop));
        if (known && !is_namesake) || is_absent(view.probe(&string)?) {
            continue;
        }
        if is_namesake {
            facts.namesakes.entry(string.clone()).or_insert_with(|| path.clone());
        }
        facts.paths.entry(string).or_insert_with(|| path.clone());
    }
    Ok(hits.libraries.into_iter().map(Arc::from))
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
