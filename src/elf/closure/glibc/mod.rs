//! glibc's load order: `elf/rtld.c`, `elf/dl-deps.c`, `_dl_map_object` in `elf/dl-load.c`.

mod environment;
mod extra;
mod request;
mod versions;

pub use environment::PRELOAD_FILE;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Fault, FaultKind, Hwcaps, Program, SearchRule, Tag, Warning,
    dirs::DirList,
    record::{Record, Requirement},
    search_paths::Paths,
    state::State,
};
use crate::elf::{FileId, NODEFLIB, ReadFailure, Request};

/// A loaded object (`struct link_map`).
struct Member {
    file: usize,
    /// Index of the member that first requested it (`l_loader`).
    requester: Option<usize>,
    paths: Arc<Paths>,
    has_runpath: bool,
    nodeflib: bool,
    /// How strongly it is required.
    requirement: Requirement,
}

/// Maximum filtees moved before their filters. More means a circle, in which the real loader runs
/// until its stack overflows.
const MAX_MOVES: usize = 1000;

/// One program's loading.
struct Walk<'s, 'a> {
    state: &'s mut State<'a>,
    loader: usize,
    members: Vec<Member>,
    /// Every name of a loaded object, and the index of its member.
    names: BTreeMap<Arc<[u8]>, usize>,
    /// Those of the names under which an object was loaded (`l_name`, `l_libname`), unlike a name
    /// that is only its SONAME.
    matched: BTreeSet<Arc<[u8]>>,
    ids: BTreeMap<FileId, usize>,
    /// Members in breadth-first order, and whether the dependencies of each have been processed.
    list: Vec<(usize, bool)>,
    listed: Vec<bool>,
    /// Whether a member's requests are recorded: a filtee that is moved makes its requests again.
    recorded: Vec<bool>,
    moves: usize,
    /// Members in load order, the program first (`l_next`).
    chain: Vec<usize>,
    /// Directories of LD_LIBRARY_PATH.
    library_path: Arc<[(SearchRule, DirList)]>,
    record: Record,
}

/// Names of the vDSO, which the kernel maps into every program. It satisfies these before any file.
const VDSO: [&[u8]; 4] =
    [b"linux-vdso.so.1", b"linux-gate.so.1", b"linux-vdso32.so.1", b"linux-vdso64.so.1"];

/// Fills in what the program at `program.file` loads according to glibc's rules.
pub(super) fn load(state: &mut State<'_>, program: &mut Program) -> Result<(), ReadFailure> {
    let (Some(file), Some(loader)) = (program.file, program.loader) else { return Ok(()) };
    let library_path = environment::library_path(state, loader, file)?.into();
    let mut walk = Walk {
        state,
        loader,
        members: Vec::new(),
        names: BTreeMap::new(),
        matched: BTreeSet::new(),
        ids: BTreeMap::new(),
        list: Vec::new(),
        listed: Vec::new(),
        recorded: Vec::new(),
        moves: 0,
        chain: Vec::new(),
        library_path,
        record: Record::default(),
    };
    walk.start(file, program.interpreter)?;
    walk.preload()?;
    walk.breadth_first()?;
    walk.place_interpreter(program.interpreter.is_some());
    let at_start = walk.members.len();
    // A program's own filtees come before it.
    let loads: Vec<usize> = walk.chain.iter().copied().filter(|&member| member != 0).collect();
    walk.dlopens()?;
    walk.opens()?;
    if walk.state.options.hwcaps == Hwcaps::All {
        walk.variants()?;
    }
    walk.check_versions();
    let Walk { members, record, .. } = walk;
    program.loads =
        loads.iter().filter_map(|&member| members.get(member)).map(|m| m.file).collect();
    program.extra = members.iter().skip(at_start).map(|member| member.file).collect();
    record.end(program);
    Ok(())
}

impl Walk<'_, '_> {
    /// Adds the program, and the loader itself, which is loaded before any search.
    fn start(&mut self, main: usize, interpreter: Option<usize>) -> Result<(), ReadFailure> {
        let has_interpreter =
            self.state.files.get(main).is_some_and(|file| file.object.interp.is_some());
        let main = self.add(main, None, has_interpreter)?;
        self.enlist(self.list.len(), main);
        if let Some(interpreter) = interpreter {
            let path = self.state.loader(self.loader).map(|facts| facts.path.clone());
            let member = self.add(interpreter, None, false)?;
            if let Some(path) = path {
                self.matched.insert(path.clone());
                self.names.entry(path).or_insert(member);
            }
        }
        Ok(())
    }

    /// Adds a file to the loaded objects.
    fn add(
        &mut self,
        file: usize,
        requester: Option<usize>,
        main: bool,
    ) -> Result<usize, ReadFailure> {
        let index = self.members.len();
        let paths = self.state.paths(file, self.loader, main)?;
        let object = self.state.files.get(file).map(|file| file.object.clone());
        let soname = object.as_ref().and_then(|object| object.soname.clone());
        self.members.push(Member {
            file,
            requester,
            paths,
            has_runpath: object.as_ref().is_some_and(|object| object.runpath.is_some()),
            nodeflib: object.as_ref().is_some_and(|object| object.flags_1 & NODEFLIB != 0),
            requirement: self.record.requirement,
        });
        if index > 0
            && let Some(fault) = self.state.files.cut_off(file)
        {
            self.record.fault(self.state, fault);
        }
        self.listed.push(false);
        self.recorded.push(false);
        self.chain.push(index);
        if let Some(soname) = soname {
            self.names.entry(soname).or_insert(index);
        }
        Ok(index)
    }

    fn opened(&self, member: usize) -> Arc<[u8]> {
        let file = self.members.get(member).and_then(|member| self.state.files.get(member.file));
        file.map_or_else(Arc::default, |file| file.opened.clone())
    }

    fn is_listed(&self, member: usize) -> bool {
        self.listed.get(member).copied().unwrap_or(true)
    }

    fn enlist(&mut self, at: usize, member: usize) {
        self.list.insert(at, (member, false));
        if let Some(listed) = self.listed.get_mut(member) {
            *listed = true;
        }
    }

    /// Loads LD_PRELOAD, then the preload file, as if the program needed them first.
    fn preload(&mut self) -> Result<(), ReadFailure> {
        let from_file = environment::preload_file(self.state)?;
        let from_environment = self.state.options.preload.iter().map(|name| (Tag::Preload, name));
        let all = from_environment.chain(from_file.iter().map(|name| (Tag::PreloadFile, name)));
        let all: Vec<(Tag, Arc<[u8]>)> = all.map(|(tag, name)| (tag, Arc::from(&**name))).collect();
        for (tag, name) in all {
            match self.request(0, tag, &name)? {
                Some(member) if !self.is_listed(member) => {
                    self.enlist(self.list.len(), member);
                }
                Some(_) => {}
                None => drop(self.state.warnings.insert(Warning::Preload(name))),
            }
        }
        Ok(())
    }

    /// `_dl_map_object_deps`.
    fn breadth_first(&mut self) -> Result<(), ReadFailure> {
        let mut at = 0;
        while let Some(entry) = self.list.get_mut(at) {
            if std::mem::replace(&mut entry.1, true) {
                at += 1;
                continue;
            }
            let member = entry.0;
            let file = self.members.get(member).and_then(|m| self.state.files.get(m.file));
            let Some(object) = file.map(|file| file.object.clone()) else { continue };
            let known = self
                .recorded
                .get_mut(member)
                .is_some_and(|recorded| std::mem::replace(recorded, true));
            let requests = self.record.len();
            // A filtee is inserted before its filter and moves it back by one.
            let mut place = at;
            for (request, name) in &object.requests {
                let Some(found) = self.request(member, Tag::Dynamic(*request), name)? else {
                    continue;
                };
                if *request == Request::Needed {
                    if !self.is_listed(found) {
                        self.enlist(self.list.len(), found);
                    }
                } else if self.filtee(place, member, found) {
                    place += 1;
                }
            }
            if known {
                self.record.truncate(requests);
            }
            if self.moves > MAX_MOVES {
                let path = self.opened(member);
                self.record.fault(self.state, Fault { path, kind: FaultKind::FilterCircle });
                break;
            }
        }
        Ok(())
    }

    /// Inserts a filtee before its filter, which is at `place`, or moves it there from a later
    /// place. Returns false if it is listed earlier.
    fn filtee(&mut self, place: usize, filter: usize, filtee: usize) -> bool {
        if self.is_listed(filtee) {
            let later = self.list.iter().skip(place + 1).position(|&(member, _)| member == filtee);
            let Some(later) = later else { return false };
            self.list.remove(place + 1 + later);
            self.moves += 1;
        }
        self.enlist(place, filtee);
        self.chain.retain(|&member| member != filtee);
        let before =
            self.chain.iter().position(|&member| member == filter).unwrap_or(self.chain.len());
        self.chain.insert(before, filtee);
        true
    }

    /// Puts the loader where the first request for it put it, or leaves it out if there was none
    /// (`dl_main`).
    fn place_interpreter(&mut self, there: bool) {
        if !there {
            return;
        }
        self.chain.retain(|&member| member != 1);
        if let Some(place) = self.list.iter().position(|&(member, _)| member == 1) {
            let before =
                place.checked_sub(1).and_then(|at| self.list.get(at)).map(|&(member, _)| member);
            let at = self.chain.iter().position(|&member| Some(member) == before);
            self.chain.insert(at.map_or(1, |at| at + 1).min(self.chain.len()), 1);
        }
    }
}
