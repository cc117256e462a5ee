//! Names of libraries in files → the libraries that the loader finds when a program opens them.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

use super::{
    extras,
    owners::{Asked, Owners},
};
use crate::{
    elf::{self, Closure, File, Lookup as _, Outcome, Program, ReadFailure, Request, Root, Tag},
    ownership::Bond,
    path::ImagePath,
    rules::{Evidence, Facts, Mention},
    view::View,
};

/// A library that an object opens: the object, the name, and the path that the name leads to.
type Opening = (ImagePath, Arc<[u8]>, Arc<[u8]>);

/// An object that calls dlopen(3), and the name that it passes.
type Call = (ImagePath, Arc<[u8]>);

/// Names that may be passed to dlopen(3): for each object that calls it and each name, where the
/// name was found.
pub(super) type Mentions = BTreeMap<(ImagePath, Arc<[u8]>), Mention>;

/// The largest library, in bytes, that is taken though no package says whether it is needed.
const MAX_UNKNOWN: u64 = 2_000_000;

/// The libraries that were looked for and found.
#[derive(Debug, Default)]
pub(super) struct Openings {
    /// Callers and names that were looked for.
    pub(super) asked: BTreeSet<(ImagePath, Arc<[u8]>)>,
    /// What was found.
    pub(super) found: BTreeSet<Opening>,
    /// Directories of libraries, each with the names in it that have a version.
    versioned: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>,
}

impl Openings {
    /// Looks for libraries as dlopen(3) would in the programs that load the calling object, and
    /// notes in `facts` what is found.
    ///
    /// # Errors
    /// [`ReadFailure`]
    pub(super) fn resolve(
        &mut self,
        mut mentions: Mentions,
        closure: &Closure,
        search: &elf::LoaderOptions,
        (facts, owners, view): (&mut Facts, &mut Owners<'_>, &View<'_>),
    ) -> Result<(), ReadFailure> {
        mentions.retain(|asked, _| self.asked.insert(asked.clone()));
        if mentions.is_empty() {
            return Ok(());
        }
        let versions = self.add_versions(&mut mentions, closure, (search, view))?;
        let mut opens = elf::Opens::new();
        for (by, name) in mentions.keys() {
            opens.entry(by.clone()).or_default().insert(name.clone());
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
        let programs = found.programs.iter().filter_map(|program| program.file);
        let programs = programs.filter_map(|file| Some(found.files.get(file)?.path.clone()));
        let programs: Vec<_> = programs.collect::<BTreeSet<_>>().into_iter().collect();
        for edge in found.programs.iter().flat_map(|program| &program.edges) {
            let (Tag::Opened, Outcome::Found(index, _) | Outcome::Same(index, ..)) =
                (edge.tag, &edge.outcome)
            else {
                continue;
            };
            let files = (found.files.get(*index), found.files.get(edge.requester));
            let (Some(library), Some(caller)) = files else { continue };
            let asked = (caller.path.clone(), edge.name.clone());
            let Some(mention) = mentions.get(&asked) else { continue };
            // Only the name that the library gives itself stands for a version.
            let is_version = versions.contains(&asked);
            if is_version && library.object.soname.as_ref() != Some(&edge.name) {
                continue;
            }
            let asked = (asked.0, asked.1, library.opened.clone());
            if !self.found.insert(asked) {
                continue;
            }
            let weigh = || extras::new_bytes((&found, *index), closure, view);
            let asked = owners.asked(&mention.by, &programs, &library.path, view)?;
            let (opens, mention) = match asked {
                _ if matches!(*mention.evidence, Evidence::Embedded(..)) => {
                    (&mut facts.embedded, mention.clone())
                }
                Asked::For(tie)
                    if tie.bond != Bond::Recommends || weigh()? <= extras::MAX_BYTES =>
                {
                    let evidence = Evidence::Tied(mention.evidence.clone(), tie).into();
                    (&mut facts.opens, Mention { evidence, by: mention.by.clone() })
                }
                Asked::Unknown | Asked::Listed if extras::size(library, view)? <= MAX_UNKNOWN => {
                    (&mut facts.opens, mention.clone())
                }
                _ => (&mut facts.may_open, mention.clone()),
            };
            let paths = opens.entry((*edge.name).into()).or_default();
            paths.entry((*library.opened).into()).or_insert(mention);
        }
        Ok(())
    }

    /// Adds the versions of each name that has none, and which the program may complete: for
    /// `libicuuc.so` and `libicuuc.so.`, what the directories of `closure` have as
    /// `libicuuc.so.72`. Returns the keys of what it added.
    fn add_versions(
        &mut self,
        mentions: &mut Mentions,
        closure: &Closure,
        (search, view): (&elf::LoaderOptions, &View<'_>),
    ) -> Result<BTreeSet<Call>, ReadFailure> {
        let mut added = Mentions::new();
        let bare = |name: &[u8]| name.ends_with(b".so") || name.ends_with(b".so.");
        let may_be_completed = |by: &Mention| !matches!(*by.evidence, Evidence::Embedded(..));
        let unversioned = mentions.iter().filter(|((_, name), _)| bare(name));
        let unversioned: Vec<_> = unversioned.filter(|(_, by)| may_be_completed(by)).collect();
        if unversioned.is_empty() {
            return Ok(BTreeSet::new());
        }
        for dir in directories(closure, search, view)? {
            if let Entry::Vacant(new) = self.versioned.entry(dir) {
                let mut names = view.list(new.key())?.unwrap_or_default();
                names.retain(|name| is_versioned(name));
                new.insert(names.into_iter().collect());
            }
        }
        for ((caller, name), mention) in unversioned {
            let stem = name.strip_suffix(b".").unwrap_or(name);
            let prefix = [stem, b"."].concat();
            for names in self.versioned.values() {
                let versions = names.range(prefix.clone()..);
                for version in versions.take_while(|name| name.starts_with(&prefix)) {
                    let key = (caller.clone(), Arc::from(&**version));
                    if !mentions.contains_key(&key) {
                        added.insert(key, mention.clone());
                    }
                }
            }
        }
        let keys = added.keys().cloned().collect();
        mentions.append(&mut added);
        Ok(keys)
    }
}

/// Whether `name` ends in `.so.` and a version.
fn is_versioned(name: &[u8]) -> bool {
    let Some(at) = memchr::memmem::rfind(name, b".so.") else { return false };
    let version = name.get(at + 4..).unwrap_or_default();
    !version.is_empty() && version.iter().all(|b| b.is_ascii_digit() || *b == b'.')
}

/// The directories in which the objects of `closure` are, and those that their loaders search for
/// every program.
fn directories(
    closure: &Closure,
    search: &elf::LoaderOptions,
    view: &View<'_>,
) -> Result<BTreeSet<Vec<u8>>, ReadFailure> {
    let dir = |file: &File| {
        let end = memchr::memrchr(b'/', &file.opened)?;
        file.opened.get(..end).map(<[u8]>::to_vec)
    };
    let mut dirs: BTreeSet<Vec<u8>> = closure.files.iter().filter_map(dir).collect();
    dirs.extend(search.library_path.iter().cloned());
    dirs.extend(search.environment_path.split(|&b| b == b':' || b == b';').map(<[u8]>::to_vec));
    dirs.extend(closure.loaders.iter().flat_map(|l| &l.system_dirs).map(|dir| dir.to_vec()));
    dirs.extend(
        elf::conf::directories(b"/etc/ld.so.conf", view)?.into_iter().map(|dir| dir.dir.to_vec()),
    );
    dirs.retain(|dir| dir.starts_with(b"/"));
    Ok(dirs)
}

/// The objects that each object loads first, because its dynamic section names them.
pub(super) fn needed(closure: &Closure) -> BTreeMap<&ImagePath, BTreeSet<&ImagePath>> {
    let mut needed: BTreeMap<&ImagePath, BTreeSet<&ImagePath>> = BTreeMap::new();
    for edge in closure.programs.iter().flat_map(|program| &program.edges) {
        let (Tag::Dynamic(Request::Needed), Outcome::Found(index, _) | Outcome::Same(_, index, _)) =
            (edge.tag, &edge.outcome)
        else {
            continue;
        };
        let files = (closure.files.get(edge.requester), closure.files.get(*index));
        if let (Some(by), Some(library)) = files {
            needed.entry(&by.path).or_default().insert(&library.path);
        }
    }
    needed
}

/// The programs and plugins of `closure`, and the objects that these are linked with themselves.
pub(super) fn direct(closure: &Closure) -> BTreeSet<&ImagePath> {
    let files = closure.programs.iter().filter_map(|program| closure.files.get(program.file?));
    let roots: BTreeSet<_> = files.map(|file| &file.path).collect();
    let needed = needed(closure);
    let linked = roots.iter().filter_map(|root| needed.get(root)).flatten().copied();
    roots.iter().copied().chain(linked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_version() {
        let names = ["libicuuc.so.72", "liba-1.2.so.3.4", "libicuuc.so", "libx.so.", "libx.so.2a"];
        let versioned = names.map(|name| is_versioned(name.as_bytes()));
        assert_eq!(versioned, [true, true, false, false, false]);
    }
}
