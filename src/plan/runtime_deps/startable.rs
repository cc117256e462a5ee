//! Packages of the sysroot → the programs that a file of the closure may start, and the commands
//! that the programs of a package only talk about.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

use super::{
    owners::owner,
    survey::{NamedPrograms, Window, named_programs},
};
use crate::{
    elf::ReadFailure,
    ownership::{self, Startables, is_command},
    packages::{Database, PackageId},
    path::ImagePath,
    view::View,
};

/// Programs of one package that are compared.
const MAX_COMPARED: usize = 16;
/// How many others have to be there so that they say something.
const MIN_OTHERS: usize = 4;
/// Commands in a list of them.
const MIN_LISTED: usize = 3;

/// A program of a package, and what it says of the package's commands.
#[derive(Debug)]
struct Compared {
    path: ImagePath,
    says: NamedPrograms,
}

/// What is known of packages so far.
#[derive(Debug, Default)]
pub(super) struct StartablePrograms {
    /// What a program of each package may start.
    of_programs: BTreeMap<PackageId, Arc<Startables>>,
    /// What other files may start whose source has programs in these packages.
    of_others: BTreeMap<BTreeSet<PackageId>, Arc<Startables>>,
    /// Some programs of each package.
    compared: BTreeMap<PackageId, Vec<Compared>>,
}

impl StartablePrograms {
    /// What the file at the real path `path` may start: what its package has or asks for, if it is
    /// one of `programs`; for other files, what the packages of those of `programs` ask for that
    /// are from the same source.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub(super) fn of(
        &mut self,
        path: &ImagePath,
        programs: &[ImagePath],
        view: &View<'_>,
    ) -> Result<Arc<Startables>, ReadFailure> {
        let Some(database) = view.packages()? else { return Ok(Arc::default()) };
        let Some(id) = owner(path, database, view) else { return Ok(Arc::default()) };
        if programs.contains(path) {
            return Ok(self.of_program(id, database));
        }
        let source = |id| database.package(id).map(|package| &package.source);
        let owners = programs.iter().filter_map(|program| owner(program, database, view));
        let relatives: BTreeSet<_> = owners.filter(|other| source(*other) == source(id)).collect();
        if let Some(known) = self.of_others.get(&relatives) {
            return Ok(known.clone());
        }
        let mut all = Startables::new();
        for id in &relatives {
            let startable = self.of_program(*id, database);
            let asked_for = startable.iter().filter(|(_, one)| one.is_asked_for);
            all.extend(asked_for.map(|(name, one)| (name.clone(), one.clone())));
        }
        Ok(self.of_others.entry(relatives).or_insert(all.into()).clone())
    }

    fn of_program(&mut self, id: PackageId, database: &Database) -> Arc<Startables> {
        let new = || ownership::startable(database, id).into();
        self.of_programs.entry(id).or_insert_with(new).clone()
    }

    /// Takes those commands out of `named`, the programs whose names the program at `path` has,
    /// that are in a text which the programs of its package share: a help text that most of the
    /// others have without starting programs, or a list of commands that nearly all have.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub(super) fn leave_common(
        &mut self,
        path: &ImagePath,
        named: &mut BTreeSet<Box<[u8]>>,
        view: &View<'_>,
    ) -> Result<(), ReadFailure> {
        let Some(database) = view.packages()?.filter(|_| !named.is_empty()) else { return Ok(()) };
        let Some(id) = owner(path, database, view) else { return Ok(()) };
        let startable = self.of_program(id, database);
        let is_own_command = |name: &[u8]| {
            let one = startable.get(name);
            one.is_some_and(|one| !one.is_asked_for && is_command(&one.path))
        };
        if !named.iter().any(|name| is_own_command(name)) {
            return Ok(());
        }
        let compared = match self.compared.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(compare(id, database, (&startable, view))?),
        };
        let others: Vec<_> = compared.iter().filter(|other| other.path != *path).collect();
        if others.len() >= MIN_OTHERS {
            let in_help = |name: &[u8]| is_in_help(name, &others);
            let is_listed = |name: &[u8]| is_named_by_most(name, &others);
            // All may run one helper.
            let listed = named.iter().filter(|name| is_own_command(name) && is_listed(name));
            let is_list = listed.count() >= MIN_LISTED;
            named.retain(|name| {
                !(is_own_command(name) && (in_help(name) || (is_list && is_listed(name))))
            });
        }
        Ok(())
    }
}

/// Whether most of `others` have the name of a command and start no programs.
fn is_in_help(name: &[u8], others: &[&Compared]) -> bool {
    let have = others.iter().filter(|other| other.says.named.contains(name));
    2 * have.filter(|other| !other.says.starts_programs).count() > others.len()
}

/// Whether nine of ten of `others` have the name of a command, without that command itself.
fn is_named_by_most(name: &[u8], others: &[&Compared]) -> bool {
    let others: Vec<_> = others.iter().filter(|other| other.path.file_name() != name).collect();
    let have = others.iter().filter(|other| other.says.named.contains(name));
    10 * have.count() >= 9 * others.len()
}

/// Programs of the package `id`, at most [`MAX_COMPARED`] from all over its list, and what of
/// `startable` each names.
fn compare(
    id: PackageId,
    database: &Database,
    (startable, view): (&Startables, &View<'_>),
) -> Result<Vec<Compared>, ReadFailure> {
    let mut programs = BTreeMap::new();
    for path in database.files(id).filter(is_command) {
        let Ok(found) = view.probe(path.as_bytes())? else { continue };
        if found.is_file()
            && let Ok(Some(node)) = view.node(&found.path)?
            && let Some(file) = node.file()
        {
            // One file may have many names.
            programs.insert(found.path, file.clone());
        }
    }
    let mut seen = BTreeSet::new();
    programs.retain(|_, file| seen.insert(file.content.identity()));
    let step = programs.len().div_ceil(MAX_COMPARED).max(1);
    let mut window = Window::default();
    let mut compared = Vec::new();
    for (path, file) in programs.into_iter().step_by(step) {
        let Ok(reader) = view.reader(&file)? else { continue };
        if let Some(says) = named_programs(&reader, startable, &mut window)? {
            compared.push(Compared { path, says });
        }
    }
    Ok(compared)
}
