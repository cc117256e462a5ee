//! musl's load order: `load_library` and `load_deps` in `ldso/dynlink.c`.

mod search;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Fault, FaultKind, Outcome, Program, SearchLogEntry, SearchRule, Tag, Warning,
    answer::Hit,
    cache_needs::note_cache_need,
    dirs::DirList,
    musl_path::{join_musl, musl_path},
    record::{Record, Requirement},
    search_log::{ClosedLog, NOT_THERE, SearchLog},
    search_paths::Paths,
    state::State,
};
use crate::elf::{Absence, Dlopen, FileId, ReadFailure, Request, exports, tokens::directory};

/// Maximum bytes of a file that might be another C library; the largest have about 20 MB with
/// debugging information.
const MAX_LIBC: usize = 64 << 20;

/// Libraries that the loader provides itself: how their names start after `lib`.
const RESERVED: [&[u8]; 7] = [b"c.", b"pthread.", b"rt.", b"m.", b"dl.", b"util.", b"xnet."];

struct Member {
    file: usize,
    requester: Option<usize>,
    paths: Arc<Paths>,
    /// How strongly it is required.
    requirement: Requirement,
}

struct Walk<'s, 'a> {
    state: &'s mut State<'a>,
    loader: usize,
    interpreter: Option<usize>,
    members: Vec<Member>,
    /// Objects that were found by a search, by the last component of their path.
    shortnames: BTreeMap<Arc<[u8]>, usize>,
    ids: BTreeMap<FileId, usize>,
    loads: Vec<usize>,
    /// Directories of LD_LIBRARY_PATH.
    library_path: Arc<[(SearchRule, DirList)]>,
    /// Directories of the path file or of its default, with the rule that gives them.
    own_path: (SearchRule, Arc<DirList>),
    record: Record,
}

/// Fills in what the program at `program.file` loads according to musl's rules.
pub(super) fn load(state: &mut State<'_>, program: &mut Program) -> Result<(), ReadFailure> {
    let (Some(file), Some(loader)) = (program.file, program.loader) else { return Ok(()) };
    let interpreter = program.interpreter;
    let opened = state.files.get(file).map(|file| file.opened.clone()).unwrap_or_default();
    let environment = &state.options.environment_path;
    let environment =
        environment.split(|b| matches!(b, b':' | b'\n')).filter(|dir| !dir.is_empty());
    let environment: Vec<Vec<u8>> = environment.map(<[u8]>::to_vec).collect();
    let library_path = state.library_dirs(loader, &opened, &environment)?.into();
    let own_path = musl_path(state, loader)?;
    let mut walk = Walk {
        state,
        loader,
        interpreter,
        members: Vec::new(),
        shortnames: BTreeMap::new(),
        ids: BTreeMap::new(),
        loads: Vec::new(),
        library_path,
        own_path,
        record: Record::default(),
    };
    let main = walk.state.files.get(file).is_some_and(|file| file.object.interp.is_some());
    walk.add(file, None, main)?;
    for name in walk.state.options.preload.clone() {
        let name: Arc<[u8]> = name.into();
        if !walk.request(0, None, Tag::Preload, &name)? {
            walk.state.warnings.insert(Warning::Preload(name));
        }
    }
    walk.note_order();
    walk.breadth_first(0)?;
    let at_start = walk.loads.len();
    walk.dlopens()?;
    walk.opens()?;
    let Walk { mut loads, record, .. } = walk;
    program.extra = loads.split_off(at_start);
    program.loads = loads;
    record.end(program);
    Ok(())
}

impl Walk<'_, '_> {
    /// Records the order of the directories, for the image's own path file.
    fn note_order(&mut self) {
        let own = Some(&self.own_path).filter(|(rule, _)| matches!(rule, SearchRule::PathFile(_)));
        let own = own.iter().flat_map(|(_, dirs)| dirs.dirs.iter());
        for &dir in self.library_path.iter().flat_map(|(_, list)| &list.dirs).chain(own) {
            let Some(dir) = self.state.dirs.get(dir) else { continue };
            // Spell the directory as `directory` does for a file in it.
            let dir: Arc<[u8]> = directory(&join_musl(&dir.path, b"x")).into();
            if !self.state.musl_order.contains(&dir) {
                self.state.musl_order.push(dir);
            }
        }
    }

    fn add(
        &mut self,
        file: usize,
        requester: Option<usize>,
        main: bool,
    ) -> Result<usize, ReadFailure> {
        let paths = self.state.paths(file, self.loader, main)?;
        if let Some(fault) = self.state.files.cut_off(file).filter(|_| !self.members.is_empty()) {
            self.record.fault(self.state, fault);
        }
        let requirement = self.record.requirement;
        self.members.push(Member { file, requester, paths, requirement });
        Ok(self.members.len() - 1)
    }

    /// `load_deps`, starting at a member.
    fn breadth_first(&mut self, from: usize) -> Result<(), ReadFailure> {
        let mut at = from;
        while let Some(member) = self.members.get(at) {
            let object = self.state.files.get(member.file).map(|file| file.object.clone());
            for (request, name) in object.iter().flat_map(|object| &object.requests) {
                // musl ignores filters.
                if *request == Request::Needed {
                    self.request(at, Some(at), Tag::Dynamic(*request), name)?;
                }
            }
            at += 1;
        }
        Ok(())
    }

    /// Loads the libraries that the members' dlopen notes name, required ones first. Whichever
    /// member calls dlopen, the program's paths are searched.
    fn dlopens(&mut self) -> Result<(), ReadFailure> {
        for requirement in [Requirement::Hard, Requirement::Recommended] {
            self.record.requirement = requirement;
            let mut at = 0;
            while let Some(member) = self.members.get(at) {
                let (file, of) = (member.file, member.requirement);
                for entry in &*self.state.dlopens(file) {
                    if of.max(Requirement::of(entry.priority)) == requirement {
                        let new = self.members.len();
                        self.dlopen(file, entry)?;
                        self.breadth_first(new)?;
                    }
                }
                at += 1;
            }
        }
        self.record.requirement = Requirement::Hard;
        Ok(())
    }

    fn dlopen(&mut self, requester: usize, entry: &Dlopen) -> Result<(), ReadFailure> {
        let tag = Tag::Dlopen(entry.priority);
        let mut log = SearchLog::default();
        for name in &entry.sonames {
            let (outcome, here) = self.load_library(Some(0), name)?;
            log.extend(&here);
            if matches!(outcome, Outcome::Found(..) | Outcome::Same(..)) {
                self.record.request(
                    self.state,
                    (requester, tag, name.clone()),
                    outcome,
                    log.close(false),
                );
                return Ok(());
            }
        }
        self.record.unanswered(self.state, requester, entry, log);
        Ok(())
    }

    /// Loads the libraries that members are known to open by name.
    fn opens(&mut self) -> Result<(), ReadFailure> {
        self.record.requirement = Requirement::Named;
        let mut at = 0;
        while let Some(file) = self.members.get(at).map(|member| member.file) {
            for name in self.state.opens(file) {
                let new = self.members.len();
                let (outcome, log) = self.load_library(Some(0), &name)?;
                if matches!(outcome, Outcome::Found(..) | Outcome::Same(..)) {
                    self.record.request(self.state, (file, Tag::Opened, name), outcome, log);
                    self.breadth_first(new)?;
                }
            }
            at += 1;
        }
        self.record.requirement = Requirement::Hard;
        Ok(())
    }

    /// Resolves a name that a member requests. Returns whether it was found. `needed_by` is the
    /// member whose search paths come first: `None` for LD_PRELOAD.
    fn request(
        &mut self,
        member: usize,
        needed_by: Option<usize>,
        tag: Tag,
        name: &Arc<[u8]>,
    ) -> Result<bool, ReadFailure> {
        let Some(requester) = self.members.get(member).map(|member| member.file) else {
            return Ok(false);
        };
        let (outcome, log) = self.load_library(needed_by, name)?;
        if let Outcome::Fatal(kind) = &outcome {
            let path = log.entries.last().map_or_else(|| name.clone(), |entry| entry.path.clone());
            self.record.fault(self.state, Fault { path, kind: kind.clone() });
        }
        let found = matches!(outcome, Outcome::Found(..) | Outcome::Same(..) | Outcome::Kernel);
        self.record.request(self.state, (requester, tag, name.clone()), outcome, log);
        Ok(found)
    }

    fn load_library(
        &mut self,
        needed_by: Option<usize>,
        name: &Arc<[u8]>,
    ) -> Result<(Outcome, ClosedLog), ReadFailure> {
        if self.is_self(name) {
            return Ok((self.itself(), ClosedLog::default()));
        }
        if name.is_empty() {
            return Ok((Outcome::Missing, ClosedLog::default()));
        }
        if let Some(&loaded) = self.shortnames.get(name) {
            return Ok((self.already(loaded), ClosedLog::default()));
        }
        let by_path = name.contains(&b'/');
        let answer = if by_path { self.at_path(name)? } else { self.search(needed_by, name)? };
        let (path, rule) = match answer.result {
            Hit::Found(path, rule) => (path, rule),
            Hit::Missing => return Ok((Outcome::Missing, answer.log)),
            Hit::Fatal(path, fault) => {
                // The error belongs to the last path that was tried.
                let mut places = answer.log.entries.to_vec();
                places.push(SearchLogEntry::new(&path, &SearchRule::Default, NOT_THERE));
                return Ok((
                    Outcome::Fatal(fault),
                    ClosedLog { entries: places.into(), ..answer.log },
                ));
            }
        };
        let Some(file) = self.state.files.take(&path) else {
            return Ok((Outcome::Fatal(FaultKind::Find(Absence::Missing)), answer.log));
        };
        if self.is_libc(file)? {
            return Ok((self.itself(), answer.log));
        }
        note_cache_need(self.state, self.loader, file, name, &rule)?;
        let id = self.state.files.get(file).map(|file| file.id).unwrap_or(FileId(0, 0));
        if let Some(&loaded) = self.ids.get(&id) {
            if !by_path && !self.shortnames.values().any(|&known| known == loaded) {
                self.name_shortly(loaded);
            }
            let loaded = self.members.get(loaded).map_or(file, |member| member.file);
            return Ok((Outcome::Same(file, loaded, rule), answer.log));
        }
        let index = self.add(file, needed_by, false)?;
        self.ids.insert(id, index);
        self.loads.push(file);
        if !by_path {
            self.shortnames.insert(name.clone(), index);
        }
        Ok((Outcome::Found(file, rule), answer.log))
    }

    /// Makes an object that was first loaded by a path available under its file name after a search
    /// has found it.
    fn name_shortly(&mut self, loaded: usize) {
        let file = self.members.get(loaded).and_then(|member| self.state.files.get(member.file));
        let Some(file) = file else { return };
        let name = file.opened.rsplit(|&b| b == b'/').next().unwrap_or_default();
        self.shortnames.entry(name.into()).or_insert(loaded);
    }

    fn is_self(&self, name: &[u8]) -> bool {
        let reserved = name
            .strip_prefix(b"lib")
            .is_some_and(|rest| RESERVED.iter().any(|r| rest.starts_with(r)));
        reserved || self.state.loader(self.loader).is_some_and(|facts| *facts.path == *name)
    }

    fn itself(&mut self) -> Outcome {
        let Some(interpreter) = self.interpreter else { return Outcome::Missing };
        if !self.loads.contains(&interpreter) {
            self.loads.push(interpreter);
        }
        Outcome::Found(interpreter, SearchRule::Loader)
    }

    fn already(&self, loaded: usize) -> Outcome {
        let file = self.members.get(loaded).map_or(0, |member| member.file);
        let opened = self.state.files.get(file).map(|file| file.opened.clone());
        Outcome::Found(file, SearchRule::Loaded(opened.unwrap_or_default()))
    }

    /// Whether a file is a C library, which the loader replaces with itself: it exports symbols
    /// that only a C library exports. Symbols are read only from files named like one.
    fn is_libc(&self, file: usize) -> Result<bool, ReadFailure> {
        let Some(file) = self.state.files.get(file) else { return Ok(false) };
        let interpreter =
            self.interpreter.and_then(|interpreter| self.state.files.get(interpreter));
        if interpreter.is_some_and(|interpreter| interpreter.id == file.id) {
            return Ok(true);
        }
        let name = file.object.soname.as_deref().unwrap_or(file.path.file_name());
        if !(name.starts_with(b"libc") || name.starts_with(b"ld-")) {
            return Ok(false);
        }
        let Ok(found) = self.state.lookup.find(&file.opened)? else { return Ok(false) };
        let Ok(bytes) = self.state.lookup.read(&found, MAX_LIBC)? else { return Ok(false) };
        let mut wanted = BTreeSet::from([&b"__libc_start_main"[..], b"stdin"]);
        let mut read_at = |offset, buffer: &mut [u8]| {
            let from =
                usize::try_from(offset).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
            let count = from.len().min(buffer.len());
            buffer.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            Ok(count)
        };
        // The bytes are in memory, so reading them cannot fail; a damaged table exports nothing.
        let read = exports(bytes.len() as u64, &mut read_at, |name| {
            wanted.remove(name);
        });
        Ok(matches!(read, Ok(Ok(()))) && wanted.is_empty())
    }
}
