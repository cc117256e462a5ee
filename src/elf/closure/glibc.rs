//! glibc's loading order: `elf/rtld.c`, `elf/dl-deps.c`, `_dl_map_object` in `elf/dl-load.c`.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Edge, Fault, FaultKind, How, Hwcaps, Miss, Outcome, Program, State, Tag, Tried, Warning,
    files::{Opened, Verdict},
    search::{Answer, Hit, Listed, Paths, join},
};
use crate::elf::{
    FileId, FindError, NODEFLIB, Request,
    tokens::{Tokens, directory},
};

/// Where `/etc/ld.so.preload` is: no build of glibc moves it.
const PRELOAD_FILE: &[u8] = b"/etc/ld.so.preload";

/// A loaded object (`struct link_map`).
struct Member {
    file: usize,
    /// Who first asked for it (`l_loader`), by its index here.
    requester: Option<usize>,
    paths: Arc<Paths>,
    has_runpath: bool,
    nodeflib: bool,
}

/// One program's loading.
struct Walk<'s, 'a> {
    state: &'s mut State<'a>,
    loader: usize,
    members: Vec<Member>,
    /// Every name that a loaded object answers to.
    names: BTreeMap<Arc<[u8]>, Known>,
    ids: BTreeMap<FileId, usize>,
    /// Breadth-first order, in which the dependencies of members are looked at, and whether they were.
    list: Vec<(usize, bool)>,
    listed: Vec<bool>,
    /// The order of loading, the program first (`l_next`).
    chain: Vec<usize>,
    edges: Vec<Edge>,
    faults: Vec<Fault>,
}

/// Who answers to a name.
#[derive(Clone, Copy)]
enum Known {
    Member(usize),
    Vdso,
}

/// Fills in what the program at `program.file` loads by glibc's rules.
pub(super) fn load(state: &mut State<'_>, program: &mut Program) {
    let (Some(file), Some(loader)) = (program.file, program.loader) else { return };
    let mut walk = Walk {
        state,
        loader,
        members: Vec::new(),
        names: BTreeMap::new(),
        ids: BTreeMap::new(),
        list: Vec::new(),
        listed: Vec::new(),
        chain: Vec::new(),
        edges: Vec::new(),
        faults: Vec::new(),
    };
    walk.start(file, program.interpreter);
    walk.preload();
    walk.breadth_first();
    if walk.state.options.hwcaps == Hwcaps::All {
        walk.variants();
    }
    walk.place_interpreter(program.interpreter.is_some());
    let Walk { members, chain, edges, faults, .. } = walk;
    program.loads = chain.iter().skip(1).filter_map(|&m| members.get(m)).map(|m| m.file).collect();
    program.edges = edges;
    program.faults.extend(faults);
}

impl Walk<'_, '_> {
    /// The program, and the loader itself, which is there before anything is searched.
    fn start(&mut self, main: usize, interpreter: Option<usize>) {
        let has_interpreter = self.state.out.files.get(main).is_some_and(|file| file.object.interp.is_some());
        let main = self.add(main, None, has_interpreter);
        self.enlist(self.list.len(), main);
        for vdso in [&b"linux-vdso.so.1"[..], b"linux-gate.so.1", b"linux-vdso32.so.1", b"linux-vdso64.so.1"]
        {
            self.names.insert(vdso.into(), Known::Vdso);
        }
        if let Some(interpreter) = interpreter {
            let path = self.state.loader(self.loader).map(|facts| facts.path.clone());
            let member = self.add(interpreter, None, false);
            if let Some(path) = path {
                self.names.entry(path).or_insert(Known::Member(member));
            }
        }
    }

    /// Adds a file to the loaded ones.
    fn add(&mut self, file: usize, requester: Option<usize>, main: bool) -> usize {
        let index = self.members.len();
        let paths = self.state.paths(file, self.loader, main);
        let object = self.state.out.files.get(file).map(|file| file.object.clone());
        let soname = object.as_ref().and_then(|object| object.soname.clone());
        self.members.push(Member {
            file,
            requester,
            paths,
            has_runpath: object.as_ref().is_some_and(|object| object.runpath.is_some()),
            nodeflib: object.as_ref().is_some_and(|object| object.flags_1 & NODEFLIB != 0),
        });
        self.listed.push(false);
        self.chain.push(index);
        if let Some(soname) = soname {
            self.names.entry(soname).or_insert(Known::Member(index));
        }
        index
    }

    fn enlist(&mut self, at: usize, member: usize) {
        self.list.insert(at, (member, false));
        if let Some(listed) = self.listed.get_mut(member) {
            *listed = true;
        }
    }

    /// LD_PRELOAD, then the preload file: as if the program needed them first.
    fn preload(&mut self) {
        let from_file = self.state.preload_file();
        let from_environment = self.state.options.preload.iter().map(|name| (Tag::Preload, name));
        let all = from_environment.chain(from_file.iter().map(|name| (Tag::PreloadFile, name)));
        let all: Vec<(Tag, Arc<[u8]>)> = all.map(|(tag, name)| (tag, Arc::from(&**name))).collect();
        for (tag, name) in all {
            match self.request(0, tag, &name) {
                Some(member) if !self.listed.get(member).copied().unwrap_or(true) => {
                    self.enlist(self.list.len(), member);
                }
                Some(_) => {}
                None => drop(self.state.out.warnings.insert(Warning::Preload(name))),
            }
        }
    }

    /// `_dl_map_object_deps`.
    fn breadth_first(&mut self) {
        let mut at = 0;
        while let Some(entry) = self.list.get_mut(at) {
            if std::mem::replace(&mut entry.1, true) {
                at += 1;
                continue;
            }
            let member = entry.0;
            let file = self.members.get(member).and_then(|m| self.state.out.files.get(m.file));
            let Some(object) = file.map(|file| file.object.clone()) else { continue };
            // A filtee is put before its filter and pushes it on.
            let mut place = at;
            for (request, name) in &object.requests {
                let Some(found) = self.request(member, Tag::Dynamic(*request), name) else { continue };
                if *request == Request::Needed {
                    if !self.listed.get(found).copied().unwrap_or(true) {
                        self.enlist(self.list.len(), found);
                    }
                } else if self.filtee(place, member, found) {
                    place += 1;
                }
            }
        }
    }

    /// Puts a filtee before its filter, which is at `place`, unless it is there already.
    fn filtee(&mut self, place: usize, filter: usize, filtee: usize) -> bool {
        if self.listed.get(filtee).copied().unwrap_or(true) {
            let later = self.list.iter().skip(place + 1).position(|&(member, _)| member == filtee);
            let Some(later) = later else { return false };
            self.list.remove(place + 1 + later);
        }
        self.enlist(place, filtee);
        self.chain.retain(|&member| member != filtee);
        let before = self.chain.iter().position(|&member| member == filter).unwrap_or(self.chain.len());
        self.chain.insert(before, filtee);
        true
    }

    /// One name asked for by a member: the member that answers, if any.
    fn request(&mut self, member: usize, tag: Tag, name: &Arc<[u8]>) -> Option<usize> {
        let requester = self.members.get(member)?.file;
        let mut tried: Arc<[Tried]> = Arc::from([]);
        let (found, outcome) = match self.expand(member, name) {
            // An empty name is no name: the loader passes over it.
            None if name.is_empty() => return None,
            None => {
                tried = Arc::from([Tried { path: name.clone(), how: How::Path, miss: Miss::Token }]);
                (None, Outcome::Missing)
            }
            Some(full) => match self.loaded(&full) {
                Some((found, outcome)) => (found, outcome),
                None => {
                    let answer = self.search(member, &full);
                    tried = answer.tried;
                    self.map(member, tag, &full, answer.result)
                }
            },
        };
        self.edges.push(Edge { requester, tag, name: name.clone(), outcome, tried });
        found
    }

    /// The name with its tokens replaced (`expand_dst`).
    fn expand(&self, member: usize, name: &Arc<[u8]>) -> Option<Arc<[u8]>> {
        if !name.contains(&b'$') {
            return Some(name.clone()).filter(|name| !name.is_empty());
        }
        let file = self.members.get(member).and_then(|m| self.state.out.files.get(m.file))?;
        let facts = self.state.loader(self.loader)?;
        let main = member == 0 && file.object.interp.is_some();
        let platform = match &self.state.options.hwcaps {
            Hwcaps::Cpu(cpu) => cpu.platform.as_deref(),
            _ => None,
        };
        let tokens = Tokens {
            origin: directory(if main { file.path.as_bytes() } else { &file.opened }),
            lib: &facts.lib,
            platform: platform.unwrap_or(&facts.platform),
        };
        tokens.glibc(name).map(Arc::from)
    }

    /// The loaded object that answers to `name` (`_dl_name_match_p`, DT_SONAME).
    fn loaded(&self, name: &[u8]) -> Option<(Option<usize>, Outcome)> {
        Some(match *self.names.get(name)? {
            Known::Vdso => (None, Outcome::Kernel),
            Known::Member(index) => {
                let file = self.members.get(index)?.file;
                let opened = self.state.out.files.get(file)?.opened.clone();
                (Some(index), Outcome::Found(file, How::Loaded(opened)))
            }
        })
    }

    /// The search of `_dl_map_object`.
    fn search(&mut self, member: usize, name: &Arc<[u8]>) -> Answer {
        let mut tried = Vec::new();
        if name.contains(&b'/') {
            return self.at_path(name);
        }
        if let Some(hit) = self.before_tail(member, name, &mut tried) {
            return Answer { result: hit, tried: tried.into() };
        }
        let nodeflib = self.members.get(member).is_some_and(|m| m.nodeflib);
        let tail = self.state.tail(self.loader, nodeflib, name);
        if tried.is_empty() {
            return tail;
        }
        tried.extend(tail.tried.iter().cloned());
        Answer { result: tail.result, tried: tried.into() }
    }

    fn at_path(&mut self, path: &Arc<[u8]>) -> Answer {
        let (result, miss) = if path.starts_with(b"/") {
            match self.state.glibc_verdict(self.loader, path) {
                Verdict::Take => (Hit::Found(path.clone(), How::Path), None),
                Verdict::Fatal(fault) => (Hit::Fatal(path.clone(), fault), None),
                Verdict::Skip(miss) => (Hit::Missing, Some(miss)),
            }
        } else {
            (Hit::Missing, Some(Miss::Relative))
        };
        let tried = miss.map(|miss| Tried { path: path.clone(), how: How::Path, miss });
        Answer { result, tried: tried.into_iter().collect() }
    }

    /// DT_RPATH up the chain of requesters, LD_LIBRARY_PATH, DT_RUNPATH.
    fn before_tail(&mut self, member: usize, name: &[u8], tried: &mut Vec<Tried>) -> Option<Hit> {
        if !self.members.get(member)?.has_runpath {
            let mut next = Some(member);
            let mut did_main = false;
            while let Some(index) = next {
                let at = self.members.get(index)?;
                next = at.requester;
                did_main |= index == 0;
                if let Some(hit) = self.in_rpath(index, name, tried) {
                    return Some(hit);
                }
            }
            if !did_main && let Some(hit) = self.in_rpath(0, name, tried) {
                return Some(hit);
            }
        }
        if !self.state.options.library_path.is_empty() {
            let dirs = self.state.library_path();
            let found = self.state.try_dirs(self.loader, &dirs, name, &How::LibraryPath, tried);
            if let Listed::End(hit) = found {
                return Some(hit);
            }
        }
        let at = self.members.get(member)?;
        let paths = at.paths.clone();
        let dirs = paths.runpath.as_ref()?;
        let how = How::Runpath(self.state.out.files.get(at.file)?.opened.clone());
        match self.state.try_dirs(self.loader, dirs, name, &how, tried) {
            Listed::End(hit) => Some(hit),
            Listed::Next => None,
        }
    }

    fn in_rpath(&mut self, index: usize, name: &[u8], tried: &mut Vec<Tried>) -> Option<Hit> {
        let at = self.members.get(index)?;
        let paths = at.paths.clone();
        let dirs = paths.rpath.as_ref()?;
        let how = How::Rpath(self.state.out.files.get(at.file)?.opened.clone());
        match self.state.try_dirs(self.loader, dirs, name, &how, tried) {
            Listed::End(hit) => Some(hit),
            Listed::Next => None,
        }
    }

    /// `_dl_map_object_from_fd`: another name of a loaded file, or one more member.
    fn map(&mut self, member: usize, tag: Tag, name: &Arc<[u8]>, hit: Hit) -> (Option<usize>, Outcome) {
        let (path, how) = match hit {
            Hit::Found(path, how) => (path, how),
            Hit::Missing => return (None, Outcome::Missing),
            Hit::Fatal(path, kind) => {
                if tag.is_hard() {
                    self.faults.push(Fault { path, kind: kind.clone() });
                }
                return (None, Outcome::Fatal(kind));
            }
        };
        let Some(file) = self.state.take(&path) else {
            return (None, Outcome::Fatal(FaultKind::Find(FindError::Missing)));
        };
        self.state.note_cache_need(self.loader, file, name, &how);
        let id = self.state.out.files.get(file).map(|file| file.id).unwrap_or(FileId(0, 0));
        if let Some(&loaded) = self.ids.get(&id) {
            self.names.entry(name.clone()).or_insert(Known::Member(loaded));
            let loaded_file = self.members.get(loaded).map_or(file, |member| member.file);
            return (Some(loaded), Outcome::Same(file, loaded_file, how));
        }
        let index = self.add(file, Some(member), false);
        self.ids.insert(id, index);
        // `l_name` is the path, `l_libname` the name.
        self.names.entry(path).or_insert(Known::Member(index));
        self.names.entry(name.clone()).or_insert(Known::Member(index));
        (Some(index), Outcome::Found(file, how))
    }

    /// The loader stands where the first request for it put it, or nowhere if there was none (`dl_main`).
    fn place_interpreter(&mut self, there: bool) {
        if !there {
            return;
        }
        self.chain.retain(|&member| member != 1);
        if let Some(place) = self.list.iter().position(|&(member, _)| member == 1) {
            let before = place.checked_sub(1).and_then(|at| self.list.get(at)).map(|&(member, _)| member);
            let at = self.chain.iter().position(|&member| Some(member) == before);
            self.chain.insert(at.map_or(1, |at| at + 1).min(self.chain.len()), 1);
        }
    }

    /// The other builds of all that was found by search, beside it, and what they need.
    fn variants(&mut self) {
        let levels = self.state.loader(self.loader).map(|facts| facts.hwcaps.clone()).unwrap_or_default();
        let mut at = 1;
        while let Some(member) = self.members.get(at) {
            let file = member.file;
            at += 1;
            let Some(opened) = self.state.out.files.get(file).map(|file| file.opened.clone()) else {
                continue;
            };
            if self
                .edges
                .iter()
                .any(|e| e.tag == Tag::Variant && matches!(e.outcome, Outcome::Found(f, _) if f == file))
            {
                continue;
            }
            let name: Arc<[u8]> = opened.rsplit(|&b| b == b'/').next().unwrap_or_default().into();
            for level in &levels {
                let dir = join(&join(directory(&opened), b"glibc-hwcaps"), level);
                let path: Arc<[u8]> = join(&dir, &name).into();
                let Verdict::Take = self.state.glibc_verdict(self.loader, &path) else { continue };
                self.variant(at - 1, file, &name, &path, &opened);
            }
        }
        self.breadth_first();
    }

    fn variant(&mut self, member: usize, file: usize, name: &Arc<[u8]>, path: &Arc<[u8]>, of: &Arc<[u8]>) {
        let Opened::Object(..) = self.state.open(path) else { return };
        let Some(found) = self.state.take(path) else { return };
        let id = self.state.out.files.get(found).map(|file| file.id).unwrap_or(FileId(0, 0));
        if self.ids.contains_key(&id) {
            return;
        }
        let requester = self.members.get(member).and_then(|member| member.requester);
        let index = self.add(found, requester, false);
        self.ids.insert(id, index);
        self.enlist(self.list.len(), index);
        let outcome = Outcome::Found(found, How::Beside(of.clone()));
        self.edges.push(Edge {
            requester: file,
            tag: Tag::Variant,
            name: name.clone(),
            outcome,
            tried: Arc::from([]),
        });
    }
}

impl State<'_> {
    /// The absolute elements of LD_LIBRARY_PATH, cleaned as the loader does.
    pub(super) fn library_path(&self) -> Vec<Arc<[u8]>> {
        let mut dirs: Vec<Arc<[u8]>> = Vec::new();
        for dir in self.options.library_path.iter().filter(|dir| dir.starts_with(b"/")) {
            let mut dir: &[u8] = dir;
            while let Some(shorter) = dir.strip_suffix(b"/").filter(|shorter| !shorter.is_empty()) {
                dir = shorter;
            }
            if !dirs.iter().any(|known| **known == *dir) {
                dirs.push(dir.into());
            }
        }
        dirs
    }

    /// The names in the preload file: blanks and colons between them, comments from `#` to the line's end.
    fn preload_file(&mut self) -> Arc<[Vec<u8>]> {
        if let Some(known) = &self.preload_file {
            return known.clone();
        }
        let found = self.lookup.find(PRELOAD_FILE);
        let text = found.ok().and_then(|found| self.lookup.read(&found, 1 << 20).ok()).unwrap_or_default();
        let lines =
            text.split(|&b| b == b'\n').map(|line| line.split(|&b| b == b'#').next().unwrap_or_default());
        let names = lines.flat_map(|line| line.split(|&b| matches!(b, b' ' | b'\t' | b':')));
        let names: Arc<[Vec<u8>]> = names.filter(|n| !n.is_empty()).map(<[u8]>::to_vec).collect();
        self.preload_file = Some(names.clone());
        names
    }
}
